"""gateway.cli: the commands as a user types them."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from redis.asyncio import Redis
from typer.testing import CliRunner, Result

from gateway import __version__
from gateway.cli import app
from gateway.sandbox import tones
from gateway.sandbox.caller import Call, dial, place_call
from gateway.sandbox.emulator import Emulator, Ending, Knobs
from gateway.sandbox.emulator.knobs import declared
from gateway.shell import ENDING_SIGNALS
from tests.conftest import AUTH_TOKEN, PUBLIC_URL, SIGNED_URL
from tests.telling import Teller, Writer

NO_REDIS = "redis://127.0.0.1:1/0"
PATIENCE = 30.0
"""Seconds after which a test that hangs is given up."""

TURNGATE = (sys.executable, "-m", "gateway")


@pytest.fixture(autouse=True)
def no_redis_url(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if "redis_url" in request.fixturenames:
        request.getfixturevalue("redis_url")
    monkeypatch.delenv("REDIS_URL", raising=False)


def run(*words: str, **environment: str) -> Result:
    return CliRunner().invoke(app, words, env={"COLUMNS": "200", **environment})


@asynccontextmanager
async def started(*words: str, **environment: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """The command as a process of its own."""
    process = await asyncio.create_subprocess_exec(
        *TURNGATE,
        *words,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def line_with(stream: asyncio.StreamReader | None, text: bytes) -> bytes:
    """The first line that has it."""
    assert stream is not None
    async for line in stream:
        if text in line:
            return line
    pytest.fail(f"no line with {text!r} came")


def a_gateway(redis_url: str, prefix: str, assemblyai_url: str = "ws://127.0.0.1:1") -> dict[str, str]:
    """An environment that `serve` can start with, on free ports."""
    return {
        "ASSEMBLYAI_API_KEY": "a-key",
        "TURNGATE_ASSEMBLYAI_URL": assemblyai_url,
        "TWILIO_AUTH_TOKEN": AUTH_TOKEN,
        "TURNGATE_PUBLIC_URL": PUBLIC_URL,
        "TURNGATE_MEDIA_HOST": "127.0.0.1",
        "TURNGATE_MEDIA_PORT": "0",
        "TURNGATE_ADMIN_PORT": "0",
        "REDIS_URL": redis_url,
        "TURNGATE_REDIS_PREFIX": prefix,
    }


# what there is


def test_help_names_every_command_and_loads_little() -> None:
    result = run("--help")
    assert result.exit_code == 0
    for command in ("serve", "check", "tail", "demo", "emulate", "call", "redis", "version"):
        assert command in result.output
    code = "import sys, gateway.cli; print(*{name.partition('.')[0] for name in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout.split()
    assert not {"aiohttp", "pydantic", "redis", "websockets"} & set(loaded)


@pytest.mark.parametrize("module", ["typer", "gateway.sandbox.demo"])
def test_ctrl_c_while_it_still_loads_is_no_fault_to_trace(module: str) -> None:
    code = f"""
import runpy, sys
class CtrlC:
    def find_spec(self, name, *_):
        if name == {module!r}:
            raise KeyboardInterrupt
sys.meta_path.insert(0, CtrlC())
sys.argv = ["turngate", "demo"]
runpy.run_module("gateway", run_name="__main__")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 130
    assert "Traceback" not in done.stderr


def test_the_version_is_the_packages() -> None:
    assert run("version").output == run("--version").output == f"{__version__}\n"


def test_the_sandbox_has_its_own_options_and_help() -> None:
    assert "--fault-after-ms" in run("emulate", "--help").output
    assert "--signed-url" in run("call", "--help").output
    narrow = run("emulate", "--help", COLUMNS="80").output
    assert all(knob.flag in narrow for knob in declared())
    refused = run("call", "--dtmf", "5")
    assert refused.exit_code == 2
    assert "AT:DIGIT" in refused.output
    unreached = run("call", "--url", "ws://127.0.0.1:1/", "--say", "one", "--speed", "50", "--json")
    assert unreached.exit_code == 1
    assert json.loads(unreached.stdout)["ok"] is False


async def test_the_emulator_runs_until_it_is_told_to_stop() -> None:
    async with started("emulate", "--port", "0", PYTHONUNBUFFERED="1") as process:
        await line_with(process.stdout, b"AssemblyAI v3 emulator on ws://127.0.0.1:")
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0


async def test_the_emulator_whose_greeting_nobody_reads_ends_quietly() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    emulator = await asyncio.create_subprocess_exec(
        *TURNGATE, "emulate", "--port", "0", stdout=writer, stderr=subprocess.PIPE
    )
    os.close(writer)
    _, err = await emulator.communicate()
    assert err == b""


async def test_a_redis_runs_until_it_is_told_to_stop() -> None:
    async with started("redis", "--port", "0") as process:
        url = (await line_with(process.stdout, b"Redis on redis://127.0.0.1:")).decode().split()[2].rstrip(";")
        async with Redis.from_url(url) as client:
            assert await client.set("a", "b")
        async with started("redis", "--port", url.rpartition(":")[2].partition("/")[0]) as second:
            _, err = await second.communicate()
        assert second.returncode == 1
        assert b"is in use; is a Redis running already?" in err
        process.send_signal(signal.SIGINT)
        assert await process.communicate() == (b"", b"")
        assert process.returncode == 0


async def test_a_redis_that_ends_by_itself_is_told() -> None:
    async with started("redis", "--port", "0") as process:
        url = (await line_with(process.stdout, b"Redis on redis://127.0.0.1:")).decode().split()[2].rstrip(";")
        async with Redis.from_url(url) as client:
            await client.shutdown(nosave=True)
        _, err = await process.communicate()
        assert process.returncode == 1
        assert b"the server ended by itself" in err


# check


def test_check_tells_all_faults_and_fails() -> None:
    result = run("check", TURNGATE_CHUNK_MS="20", TURNGATE_TRAKCS="both", REDIS_URL=NO_REDIS)
    assert result.exit_code == 2
    for said in ("ASSEMBLYAI_API_KEY: is not set", "TURNGATE_CHUNK_MS:", "TURNGATE_TRAKCS: is no setting", "Redis at"):
        assert said in result.stderr
    assert "TURNGATE_BACKLOG_SECONDS" in result.stdout


def test_check_is_content_where_serve_could_start(redis_url: str, prefix: str) -> None:
    result = run("check", **a_gateway(redis_url, prefix))
    assert result.exit_code == 0, result.stderr
    assert "can start" in result.stderr
    assert AUTH_TOKEN not in result.output


def test_check_fails_otherwise_than_settings_do_if_only_redis_is_away() -> None:
    result = run("check", **a_gateway(NO_REDIS, "turngate"))
    assert result.exit_code == 1
    assert "is it running" in result.stderr


# serve


def test_serve_tells_all_faults() -> None:
    result = run("serve")
    assert result.exit_code == 2
    assert "ASSEMBLYAI_API_KEY: is not set" in result.stderr
    assert "TWILIO_AUTH_TOKEN: is not set" in result.stderr


def test_serve_tells_that_a_port_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = {"TURNGATE_MEDIA_PORT": str(server.getsockname()[1])}
        done = subprocess.run(
            [*TURNGATE, "serve"],
            env={**os.environ, **a_gateway(NO_REDIS, "turngate"), **taken},
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert "could not listen" in done.stderr
    assert taken["TURNGATE_MEDIA_PORT"] in done.stderr
    assert "Traceback" not in done.stderr


def test_serve_tells_that_a_host_is_none() -> None:
    nowhere = {**a_gateway(NO_REDIS, "turngate"), "TURNGATE_MEDIA_HOST": "nohost.invalid"}
    done = subprocess.run(
        [*TURNGATE, "serve"], env={**os.environ, **nowhere}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "TURNGATE_MEDIA_HOST" in done.stderr
    assert "another gateway" not in done.stderr


@pytest.mark.parametrize("signum", ENDING_SIGNALS)
async def test_serve_ends_politely(redis_url: str, prefix: str, signum: signal.Signals) -> None:
    async with started("serve", **a_gateway(redis_url, prefix)) as process:
        serving = json.loads(await line_with(process.stderr, b'"serving"'))
        assert serving["media_port"] > 0
        process.send_signal(signum)
        assert await process.wait() == 0


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
async def test_serve_ends_at_once_when_it_is_told_twice(
    prefix: str, emulator: Emulator, signum: signal.Signals
) -> None:
    emulator.knobs = Knobs(ending=Ending.SILENT)
    forever = {"TURNGATE_DRAIN_SECONDS": "3600", "TURNGATE_FLUSH_SECONDS": "3600"}
    async with (
        asyncio.timeout(PATIENCE),
        started("serve", **a_gateway(NO_REDIS, prefix, emulator.url), **forever) as process,
    ):
        serving = json.loads(await line_with(process.stderr, b'"serving"'))
        url = f"ws://127.0.0.1:{serving['media_port']}/media/twilio"
        async with dial(Call(url=url, auth_token=AUTH_TOKEN, signed_url=SIGNED_URL)) as line:
            await line.connected()
            await line.start()
            await line.media(b"\xff" * 1600)
            await emulator.wait_for(lambda: emulator.sessions and emulator.sessions[0].audio_bytes, timeout=PATIENCE)
            process.send_signal(signal.SIGTERM)
            await emulator.wait_for(lambda: emulator.sessions[0].terminated, timeout=PATIENCE)
            process.send_signal(signum)
            await line_with(process.stderr, b"events were not delivered")
            assert await process.wait() == 0


# tail


async def test_tail_shows_a_live_call_of_a_running_gateway(
    redis_url: str, prefix: str, emulator: object, start_gateway: object
) -> None:
    gateway = await start_gateway()  # type: ignore[operator]
    call = Call(
        url=f"ws://127.0.0.1:{gateway.media_port}/media/twilio",
        inbound=tones.speak("one two three") + b"\xff" * 16000,
        auth_token=AUTH_TOKEN,
        signed_url=SIGNED_URL,
        speed=10,
    )
    where = {"REDIS_URL": redis_url, "TURNGATE_REDIS_PREFIX": prefix}
    async with started("tail", call.call_sid, "--linger", "0", **where) as process:
        report = await place_call(call)
        assert report.ok
        assert process.stdout is not None
        shown = (await process.stdout.read()).decode()
        assert await process.wait() == 0
    assert "caller: one two three" in shown
    assert "the stream ended: completed (stopped)" in shown
    assert "turns: 1, 3 words" in shown
    assert "\x1b" not in shown


async def test_tail_of_all_calls_ends_quietly(redis_url: str, prefix: str, redis_client: Redis) -> None:
    await Writer(redis_client, prefix).write(Teller().started())
    async with started("tail", "--json", TURNGATE_REDIS_URL=redis_url, TURNGATE_REDIS_PREFIX=prefix) as process:
        assert json.loads(await line_with(process.stdout, b"stream.started"))["call_id"] == "CA1"
        process.send_signal(signal.SIGINT)
        assert await process.communicate() == (b"", b"")
        assert process.returncode == 0


async def test_tail_into_a_pipe_that_is_closed_ends_quietly(redis_url: str, prefix: str, redis_client: Redis) -> None:
    writer = Writer(redis_client, prefix)
    await writer.write(*Teller().whole(*(["many words"] * 900)))
    words = [*TURNGATE, "tail", "CA1", "--json", "--redis-url", redis_url, "--prefix", prefix]
    piped = await asyncio.create_subprocess_shell(
        f"{' '.join(words)} | head -n 1", stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    out, err = await piped.communicate()
    assert json.loads(out)["type"] == "stream.started"
    assert err == b""


def test_tail_refuses_what_can_be_no_call_id() -> None:
    refused = run("tail", "CA 1")
    assert refused.exit_code == 2
    assert "'CA 1' is no call id" in refused.stderr


@pytest.mark.parametrize(
    ("url", "says"),
    [(NO_REDIS, "Is it running?"), ("http://localhost", "must specify one of the following schemes")],
)
def test_tail_says_what_to_do_about_a_redis_that_is_not_there(url: str, says: str) -> None:
    result = run("tail", "CA1", REDIS_URL=url)
    assert result.exit_code == 2
    assert says in result.stderr
    assert "Traceback" not in result.output


# demo


async def test_demo_comes_through_as_a_process_of_its_own() -> None:
    async with started("demo", "--speed", "20", ASSEMBLYAI_API_KEY="a-key-alone-never-goes-live") as process:
        out, err = await process.communicate()
    assert process.returncode == 0, err
    assert err == b""
    assert "an emulator of AssemblyAI" in out.decode()
    assert out.decode().endswith("✓ The transcript came through, every event once and in order.\n")


async def test_demo_comes_through_on_a_terminal_of_few_characters() -> None:
    async with started("demo", "--speed", "50", PYTHONIOENCODING="ascii") as process:
        out, err = await process.communicate()
    assert (process.returncode, err) == (0, b"")
    assert out.endswith(b"? The transcript came through, every event once and in order.\n")


@pytest.mark.parametrize("signum", ENDING_SIGNALS)
async def test_demo_ends_cleanly_when_it_is_interrupted(signum: signal.Signals) -> None:
    async with started("demo") as process:
        await line_with(process.stdout, b"a stream began")
        process.send_signal(signum)
        _, err = await process.communicate()
    assert process.returncode == 128 + signum
    assert err.decode() == "✗ interrupted\n"


def test_demo_with_a_redis_that_is_not_there_says_so() -> None:
    result = run("demo", REDIS_URL=NO_REDIS)
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert "Is it running?" in line


def test_demo_with_a_redis_url_that_is_none_says_so() -> None:
    result = run("demo", REDIS_URL="bogus")
    assert result.exit_code == 2
    assert result.stderr == "✗ REDIS_URL: a URL that begins with redis://, rediss:// or unix:// is expected.\n"


def test_demo_goes_live_only_with_a_key_and_a_yes() -> None:
    assert "ASSEMBLYAI_API_KEY: is not set" in run("demo", "--live").stderr
    assert "real time only" in run("demo", "--live", "--speed", "2", ASSEMBLYAI_API_KEY="k").stderr
    asked = CliRunner().invoke(app, ["demo", "--live"], input="n\n", env={"ASSEMBLYAI_API_KEY": "k"})
    assert asked.exit_code == 1
    assert "at most $0.0033" in asked.stderr
    unknown = CliRunner().invoke(app, ["demo", "--live", "--model", "x"], input="n\n", env={"ASSEMBLYAI_API_KEY": "k"})
    assert "not known here" in unknown.stderr
    faulty = {"ASSEMBLYAI_API_KEY": "a key", "TURNGATE_ASSEMBLYAI_URL": "ws://127.0.0.1:1"}
    assert "has characters that no key has" in run("demo", "--live", "--yes", **faulty).stderr
