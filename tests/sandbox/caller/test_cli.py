"""gateway.sandbox.caller.cli: `turngate call` as a user types it."""

import asyncio
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import typer
from typer.testing import CliRunner
from websockets.asyncio.server import ServerConnection

from gateway.sandbox import tones
from gateway.sandbox.caller.cli import call
from tests.sandbox.caller.server import Behaviour, Server, Stream, a_server, record

app = typer.Typer()
app.command()(call)


@contextmanager
def a_server_beside(behave: Behaviour = record) -> Iterator[Server]:
    """The server in a thread of its own, since a command runs its own event loop."""
    ready: list[Server] = []
    up, over = threading.Event(), asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    async def run() -> None:
        loops.append(asyncio.get_running_loop())
        async with a_server(behave) as server:
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


def test_a_port_that_none_can_be_is_told() -> None:
    result = CliRunner().invoke(app, ["--url", "ws://127.0.0.1:99999/", "--say", "one"])
    assert result.exit_code == 1
    assert "not a WebSocket URL; Port out of range" in result.output


def test_the_words_that_can_be_said_are_printed() -> None:
    result = CliRunner().invoke(app, ["--words"])
    assert result.exit_code == 0
    assert result.output.split() == list(tones.VOCABULARY)


def test_a_fault_that_never_happens_is_told() -> None:
    with a_server_beside() as server:
        result = CliRunner().invoke(app, ["--url", server.url, "--say", "one", "--speed", "100", "--gap", "5:1"])
    assert result.exit_code == 0
    assert "--gap at 5 s never happens" in result.stderr


def test_into_a_pipe_lines_end_where_they_end() -> None:
    with a_server_beside() as server:
        result = CliRunner().invoke(app, ["--url", server.url, "--say", "one", "--speed", "100"])
    lines = result.stdout.splitlines()
    assert lines == [line.rstrip() for line in lines]


@pytest.mark.parametrize("more", [[], ["--json"]])
def test_a_call_that_is_given_up_tells_what_it_saw(more: list[str]) -> None:
    heard = threading.Event()

    async def behave(connection: ServerConnection, stream: Stream) -> None:
        stream.messages.append(await connection.recv())
        heard.set()
        await record(connection, stream)

    with a_server_beside(behave) as server:
        program = "import typer; from gateway.sandbox.caller.cli import call; typer.run(call)"
        process = subprocess.Popen(
            [sys.executable, "-c", program, "--url", server.url, *more], stdout=subprocess.PIPE, text=True
        )
        heard.wait()
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate()
    assert process.returncode == 130
    assert "interrupted after" in out
    assert not more or json.loads(out)["interrupted"]


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["nothing.wav"], "nothing.wav"),
        (["--say", "xyzzy"], "--words"),
        (["--say", " "], "takes words"),
        (["--say", "one", "--speed", "inf"], "speed"),
        (["--dtmf", "5"], "AT:DIGIT"),
        (["--reset", "--no-stop"], "ends once"),
        (["--tracks", "both", "--dtmf", "1:5"], "31941"),
    ],
)
def test_what_means_nothing_exits_with_2_and_says_why(words: list[str], why: str) -> None:
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 2
    assert why in result.output
