"""gateway.sandbox.caller.cli: `turngate call` as a user types it."""

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import typer
from typer.testing import CliRunner

from gateway.sandbox.caller.cli import call
from tests.sandbox.caller.server import Server, a_server

app = typer.Typer()
app.command()(call)


@contextmanager
def a_server_beside() -> Iterator[Server]:
    """The server in a thread of its own, since a command runs its own event loop."""
    ready: list[Server] = []
    up, over = threading.Event(), asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    async def run() -> None:
        loops.append(asyncio.get_running_loop())
        async with a_server() as server:
            ready.append(server)
            up.set()
            await over.wait()

    thread = threading.Thread(target=asyncio.run, args=(run(),))
    thread.start()
    up.wait()
    try:
        yield ready[0]
    finally:
        loops[0].call_soon_threadsafe(over.set)
        thread.join()


def test_a_call_that_went_well_exits_with_0() -> None:
    with a_server_beside() as server:
        words = ["--say", "one two", "--speed", "100", "--dtmf", "0.1:5", "--parameter", "a=b", "--call-sid", "CA9"]
        result = CliRunner().invoke(app, ["--url", server.url, *words])
    assert result.exit_code == 0, result.output
    assert "CA9" in result.output
    assert "completed" in result.output
    assert server.stream.of("start")[0]["start"]["customParameters"] == {"a": "b"}
    assert len(server.stream.of("dtmf")) == 1


def test_many_calls_report_as_json_lines() -> None:
    with a_server_beside() as server:
        words = ["--say", "one", "--speed", "100", "--calls", "3", "--spread", "0", "--json", "--auth-token", "t"]
        result = CliRunner().invoke(app, ["--url", server.url, *words])
    assert result.exit_code == 0, result.output
    assert [json.loads(line)["ok"] for line in result.stdout.splitlines()] == [True] * 3
    assert all("x-twilio-signature" in stream.headers for stream in server.streams)


def test_a_server_that_is_not_there_exits_with_1_and_says_what_to_start() -> None:
    result = CliRunner().invoke(app, ["--url", "ws://127.0.0.1:1/", "--say", "one"])
    assert result.exit_code == 1
    assert "turngate serve" in " ".join(result.output.split())


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["nothing.wav"], "nothing.wav"),
        (["--say", "xyzzy"], "xyzzy"),
        (["--dtmf", "5"], "AT:DIGIT"),
        (["--reset", "--no-stop"], "ends once"),
        (["--tracks", "both", "--dtmf", "1:5"], "31941"),
    ],
)
def test_what_means_nothing_exits_with_2_and_says_why(words: list[str], why: str) -> None:
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 2
    assert why in result.output
