"""Logs: JSON lines, or pretty on a terminal. Static messages with fields; ids, never what was said, dialled or sent.

Whoever logs never waits, and hears of no failure: `log_writer` takes the lines.
"""

import atexit
import logging
import sys
from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import structlog

from gateway.log_writer import LogWriter

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}

FLUSH_SECONDS = 1.0
"""What the last lines have at the end of the process."""

_HANDLER = "turngate"
_Processors = list[structlog.typing.Processor]

WRITER = LogWriter()
"""The process's."""

atexit.register(lambda: WRITER.flush(FLUSH_SECONDS))


def configure(form: Literal["auto", "json", "pretty"] = "auto", level: str = "info") -> None:
    """Sets up the process's logs, which go to standard error. It may be called again.

    What libraries log goes the same way in the same form, warnings and above only.
    """
    pretty = form == "pretty" or (form == "auto" and sys.stderr is not None and sys.stderr.isatty())
    shared: _Processors = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    last: _Processors
    if pretty:
        # A plain traceback: rich's would show local variables, and with them what was said, and keys.
        last = [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
    else:
        last = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    WRITER.direct_to(sys.stderr, partial(_dropped, [*shared, *last]))
    structlog.configure(
        processors=[*shared, *last],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=lambda *_: _Lines(WRITER.put),
        cache_logger_on_first_use=False,
    )
    _configure_libraries(shared, last, max(LEVELS[level], logging.WARNING))


def _configure_libraries(shared: _Processors, last: _Processors, level: int) -> None:
    handler = _Handler()
    handler.set_name(_HANDLER)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder(allow=())],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    # It would show the subprotocols that a stranger asked for.
    logging.getLogger("aiohttp.websocket").setLevel(logging.ERROR)
    root = logging.getLogger()
    for old in [one for one in root.handlers if one.get_name() == _HANDLER]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level)


class _Lines:
    """The last link of structlog's chain: each level's method takes a line as it is to be written."""

    __slots__ = ("critical", "debug", "error", "info", "warning")

    def __init__(self, put: Callable[[str], None]) -> None:
        self.debug = self.info = self.warning = self.error = self.critical = put


class _Handler(logging.Handler):
    """Takes what libraries log."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            WRITER.put(self.format(record))
        except Exception:  # noqa: BLE001 - the boundary: what a library can't say is not to hurt whoever called it
            WRITER.dropped += 1


def _dropped(processors: _Processors, count: int) -> str:
    """The line that tells of dropped ones."""
    line: Any = {"event": "log lines were dropped", "lines": count}
    for process in processors:
        line = process(None, "warning", line)
    return str(line)
