"""Logs: one JSON object a line on standard error, from us and from libraries alike."""

import json
import logging
import sys
from typing import Any

import pytest
import structlog

from gateway import logs
from gateway.metrics import Metrics

SECRET = "what was said"
PATIENCE = 20.0


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    out, err = capsys.readouterr()
    assert out == "", "standard output is for data"
    return [json.loads(line) for line in err.splitlines()]


def test_a_line_is_one_json_object(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("json")
    structlog.get_logger("gateway.test").info("stream started", call_id="CA1", tracks=["inbound"])
    [line] = lines(capsys)
    assert line.pop("timestamp").endswith("Z")
    assert line == {"event": "stream started", "level": "info", "call_id": "CA1", "tracks": ["inbound"]}


def test_without_a_terminal_it_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("auto")
    structlog.get_logger().info("x")
    assert lines(capsys)[0]["event"] == "x"


@pytest.mark.parametrize(("level", "heard"), [("debug", 4), ("info", 3), ("warning", 2), ("error", 1)])
def test_the_level_is_a_floor(level: str, heard: int, capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("json", level)
    log = structlog.get_logger()
    for name in logs.LEVELS:
        getattr(log, name)(name)
    assert [line["level"] for line in lines(capsys)] == list(logs.LEVELS)[-heard:]


def test_libraries_log_the_same_way_and_only_warnings(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("json", "info")
    logging.getLogger("aiohttp.server").info("chatter")
    logging.getLogger("aiohttp.server").error("Error handling request from %s", "127.0.0.1")
    [line] = lines(capsys)
    assert (line["event"], line["level"]) == ("Error handling request from 127.0.0.1", "error")


def test_a_librarys_traceback_is_in_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("json")
    try:
        _ = 1 // 0
    except ZeroDivisionError:
        logging.getLogger("asyncio").exception("Task exception was never retrieved")
    [line] = lines(capsys)
    assert "ZeroDivisionError: " in line["exception"]


@pytest.mark.parametrize("form", ["json", "pretty"])
def test_a_traceback_shows_no_local_variables(form: Any, capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(form)
    error = failed()
    structlog.get_logger().error("stream failed", exc_info=error)
    said = capsys.readouterr().err
    assert "ZeroDivisionError" in said
    assert SECRET not in said


def failed() -> Exception:
    heard = SECRET.upper().lower()
    try:
        return Exception(heard.index("w") // 0)
    except ZeroDivisionError as error:
        return error


def test_pretty_is_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("pretty")
    structlog.get_logger().info("stream started", call_id="CA1")
    said = capsys.readouterr().err
    assert "stream started" in said
    assert not said.startswith("{")


def test_it_may_be_set_up_again_without_saying_all_twice(capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(3):
        logs.configure("json")
    logging.getLogger("library").warning("once")
    structlog.get_logger().warning("once")
    assert [line["event"] for line in lines(capsys)] == ["once", "once"]


def test_what_a_library_cant_say_hurts_nobody(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("json")
    before = logs.WRITER.dropped
    [ours] = [handler for handler in logging.getLogger().handlers if handler.get_name() == "turngate"]
    ours.handle(logging.LogRecord("library", logging.WARNING, "file", 1, "%d", ("no number",), None))
    assert lines(capsys) == []
    assert logs.WRITER.dropped == before + 1


@pytest.mark.parametrize("form", ["json", "pretty"])
def test_lines_that_were_dropped_are_told_in_the_same_form(form: Any, capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(form)
    logs.WRITER.put(logs.WRITER._notice(12))
    said = capsys.readouterr().err
    assert "log lines were dropped" in said
    assert ("12" if form == "pretty" else '"lines": 12') in said


def test_dropped_lines_are_a_metric(monkeypatch: pytest.MonkeyPatch) -> None:
    metrics = Metrics()
    monkeypatch.setattr(logs.WRITER, "dropped", 7)
    assert metrics.registry.get_sample_value("turngate_log_lines_dropped_total") == 7


def test_without_standard_error_there_are_no_logs_and_no_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    logs.configure()
    structlog.get_logger().info("x")
    assert logs.WRITER.flush(PATIENCE)
