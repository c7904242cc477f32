"""`turngate emulate`: one flag per knob."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from gateway.sandbox.emulator import cli
from gateway.sandbox.emulator.choices import Ending
from gateway.sandbox.emulator.knobs import Knobs, declared

app = typer.Typer()
app.command()(cli.emulate)


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[tuple[object, ...]]:
    """What the command would have served."""
    calls: list[tuple[object, ...]] = []

    async def serve(*arguments: object) -> None:
        calls.append(arguments)

    monkeypatch.setattr(cli, "_serve", serve)
    return calls


def test_every_knob_is_a_flag(served: list[tuple[object, ...]]) -> None:
    arguments = ["--port", "0", "--key", "a", "--key", "b", "--begin-delay", "10", "--strict", "--ending", "drop"]
    result = CliRunner().invoke(app, [*arguments, "--no-keep-audio"])
    assert result.exit_code == 0, result.output
    knobs = Knobs(keys=("a", "b"), begin_delay=10, strict=True, ending=Ending.DROP, keep_audio=False)
    assert served == [(knobs, (), "127.0.0.1", 0, None)]


def test_the_defaults_are_those_of_the_declaration(served: list[tuple[object, ...]]) -> None:
    assert CliRunner().invoke(app, []).exit_code == 0
    assert served == [(Knobs(), (), "127.0.0.1", 8090, None)]


def test_help_names_every_flag() -> None:
    output = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "200", "TERM": "dumb"}).output
    missing = [knob.flag for knob in declared() if knob.flag not in output]
    assert missing == []


def test_recordings_are_loaded(served: list[tuple[object, ...]]) -> None:
    wav = Path(__file__).parents[2] / "data" / "speech-8k.wav"
    assert CliRunner().invoke(app, ["--recording", str(wav)]).exit_code == 0
    assert len(served[0][1]) == 1  # type: ignore[arg-type]  # a tuple of recordings


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--begin-delay", "-1"], "knob begin_delay"),
        (["--port", "99999"], "65535"),
        (["--recording", "/nowhere.wav"], "/nowhere.wav"),
        (["--tls-cert", "x.pem"], "--tls-key"),
    ],
)
def test_wrong_arguments_are_refused_with_a_reason(arguments: list[str], says: str) -> None:
    result = CliRunner().invoke(app, arguments, env={"COLUMNS": "200", "TERM": "dumb"})
    assert result.exit_code == 2
    assert says in result.output


async def test_it_runs_says_where_and_stops_at_sigterm() -> None:
    program = "import typer; from gateway.sandbox.emulator.cli import emulate; typer.run(emulate)"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-u", "-c", program, "--port", "0"), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    lines = [(await process.stdout.readline()).decode() for _ in range(3)]
    assert lines[1].startswith("Point the gateway at it with TURNGATE_ASSEMBLYAI_URL=ws://127.0.0.1:")
    process.send_signal(signal.SIGTERM)
    rest, _ = await process.communicate()
    assert rest.decode() == "0 sessions, 0 billed seconds, 0 without Terminate\n"
    assert process.returncode == 0
