"""What all commands share: what they say to people, exit statuses, and how they end when they are told to."""

import asyncio
import io
import os
import signal
import sys
import termios
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import typer
from rich.console import Console, RenderableType

ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Ctrl-C, a polite kill, and a terminal that is closed."""

_ANY_WIDTH = 100_000
"""Columns; for a pipe, where a line is as long as it is."""

_Result = TypeVar("_Result")


class Interrupted(Exception):
    """A command was told to end before it was through. `status` is the exit status that shells give such an end."""

    def __init__(self, signum: int) -> None:
        super().__init__(signal.strsignal(signum))
        self.status = 128 + signum


def until_interrupted(main: Callable[[], Coroutine[Any, Any, _Result]]) -> _Result:
    """Runs `main`; on one of the ending signals it is cancelled and cleans up.

    Raises:
        Interrupted: it was cancelled so.
    """
    import uvloop  # noqa: PLC0415 - not for `--help`

    signals: list[int] = []

    async def run() -> _Result:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None

        def end(signum: int) -> None:
            signals.append(signum)
            task.cancel()

        for signum in heeded():
            loop.add_signal_handler(signum, end, signum)
        return await main()

    try:
        with keys_unseen():
            return uvloop.run(run())
    except asyncio.CancelledError:
        if not signals:
            raise
        raise Interrupted(signals[0]) from None


def heeded() -> list[signal.Signals]:
    """The ending signals, without SIGHUP where whoever started us had it ignored: `nohup` means just that."""
    return [one for one in ENDING_SIGNALS if one != signal.SIGHUP or signal.getsignal(one) != signal.SIG_IGN]


@contextmanager
def keys_unseen() -> Iterator[None]:
    """Keeps the terminal from showing Ctrl-C as `^C`, which would push a picture that is drawn in place out of it."""
    terminal = sys.__stdin__
    # Whoever is in the background would be stopped if it touched the terminal.
    if terminal is None or not _is_ours(terminal):
        yield
        return
    before = termios.tcgetattr(terminal)
    quiet = [*before]
    quiet[3] &= ~termios.ECHOCTL
    termios.tcsetattr(terminal, termios.TCSADRAIN, quiet)
    try:
        yield
    finally:
        if _is_ours(terminal):
            termios.tcsetattr(terminal, termios.TCSADRAIN, before)


def _is_ours(terminal: io.TextIOBase | Any) -> bool:
    try:
        return os.tcgetpgrp(terminal.fileno()) == os.getpgrp()
    except (OSError, ValueError):
        return False


def mark(sign: str, style: str, text: str) -> None:
    """Says a sentence on standard error, behind a sign."""
    console = Console(stderr=True, highlight=False)
    console.print(f"[{style}]{sign}[/] ", end="")
    console.print(text, soft_wrap=True, markup=False, emoji=False)


def warn(text: str) -> None:
    """Says what may not be meant."""
    mark("!", "bold yellow", text)


def failed(lines: Iterable[str], *, status: int = 2) -> typer.Exit:
    """Says what is wrong. Returns what is to be raised."""
    for line in lines:
        mark("✗", "bold red", line)
    return typer.Exit(status)


def show(what: RenderableType) -> None:
    """Prints a table: as the terminal is wide, or into a pipe without breaking a line or filling it up with blanks."""
    console = Console()
    if console.is_terminal:
        console.print(what)
        return
    out = io.StringIO()
    Console(file=out, width=_ANY_WIDTH, color_system=None).print(what)
    for line in out.getvalue().splitlines():
        typer.echo(line.rstrip())


def print_what_can_be() -> None:
    """From now on, what standard output can't encode is printed as `?`."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")


def nobody_reads() -> None:
    """After a BrokenPipeError: whoever read has read enough (`| head`); there is nobody to write the rest to."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
