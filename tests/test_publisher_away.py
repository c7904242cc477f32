"""The outbox and a Redis that is absent, hangs, is full, or is none."""

import asyncio
import shutil
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio as redis

from gateway import redis_write
from gateway.publisher import BATCH
from gateway.sandbox.redis import RedisServer
from tests.support.outbox import PATIENCE, boxed, ids, wait


def binaries() -> list[Any]:
    other = shutil.which("redis-server")
    return [pytest.param(None, id="valkey"), *([pytest.param(Path(other), id="redis-server")] if other else [])]


@pytest.fixture(params=binaries())
async def server(request: pytest.FixtureRequest) -> AsyncIterator[RedisServer]:
    """A server of the test's own, not started yet."""
    one = RedisServer(binary=request.param)
    yield one
    await one.stop()


@pytest.fixture
async def own_client(server: RedisServer) -> AsyncIterator[redis.Redis]:
    client = redis.Redis.from_url(server.url)
    yield client
    await client.aclose()


async def test_redis_may_come_after_the_events(server: RedisServer, own_client: redis.Redis, prefix: str) -> None:
    async with boxed(server.url, prefix) as box:
        said = box.say("CA1", 10)
        await wait(box.away)
        said += box.say("CA1", BATCH)
        assert box.count("redis_up") == 0
        assert box.count("outbox_bytes") > 0
        await server.start()
        await box.written()
        assert await ids(own_client, box.key("CA1")) == said
        assert box.count("redis_up") == 1
        assert box.count("outbox_bytes") == 0
        assert box.count("events_dropped_total", reason="overflow") == 0


async def test_redis_may_go_and_come_back(server: RedisServer, own_client: redis.Redis, prefix: str) -> None:
    await server.start()
    async with boxed(server.url, prefix) as box:
        box.say("CA1", 3)
        await box.written()
        await server.stop()
        later = box.say("CA1", 3)
        await wait(box.away)
        later += box.say("CA1", 3)
        await server.start()
        await box.written()
        # It has forgotten what it had.
        assert await ids(own_client, box.key("CA1")) == later
        assert box.count("events_published_total") == 9


async def test_that_redis_is_back_is_noticed_without_an_event(server: RedisServer, prefix: str) -> None:
    async with boxed(server.url, prefix) as box:
        await wait(box.away)
        back = asyncio.Event()
        box.outbox._back = back.set  # type: ignore[method-assign]
        await server.start()
        await wait(back)


async def test_a_hanging_redis_is_left_and_found_again(
    server: RedisServer, own_client: redis.Redis, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_write, "TIMEOUT", 0.1)
    await server.start()
    async with boxed(server.url, prefix) as box:
        said = box.say("CA1")
        await box.written()
        assert server._process is not None
        server._process.send_signal(signal.SIGSTOP)
        said += box.say("CA1", 5)
        await wait(box.away)
        said += box.say("CA1", 5)
        assert await box.outbox.flush(0.01) == 10, "a flush keeps to its bound"
        server._process.send_signal(signal.SIGCONT)
        await box.written()
        assert await ids(own_client, box.key("CA1")) == said, "what hung was done meanwhile, and not done again"


async def test_the_end_does_not_wait_for_a_hanging_redis(
    server: RedisServer, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_write, "TIMEOUT", 0.1)
    await server.start()
    async with boxed(server.url, prefix) as box:
        await box.written()
        assert server._process is not None
        server._process.send_signal(signal.SIGSTOP)
        box.say("CA1", 300)
        await wait(box.away)
        await box.stop()
        async with asyncio.timeout(PATIENCE):
            await box.outbox.close()


Trouble = Callable[[redis.Redis], Any]


@pytest.mark.parametrize(
    ("trouble", "relief"),
    [
        (lambda client: client.config_set("maxmemory", 1), lambda client: client.config_set("maxmemory", 0)),
        (
            lambda client: client.execute_command("REPLICAOF", "127.0.0.1", "1"),
            lambda client: client.execute_command("REPLICAOF", "NO", "ONE"),
        ),
    ],
    ids=["full", "a replica"],
)
async def test_a_redis_that_takes_no_writes_is_waited_for(
    trouble: Trouble, relief: Trouble, server: RedisServer, own_client: redis.Redis, prefix: str
) -> None:
    await server.start()
    async with boxed(server.url, prefix) as box:
        said = box.say("CA1")
        await box.written()
        await trouble(own_client)
        said += box.say("CA1", 5)
        await wait(box.away)
        await relief(own_client)
        await box.written()
        assert await ids(own_client, box.key("CA1")) == said
        assert box.count("events_dropped_total", reason="refused") == 0


async def test_what_is_no_redis_is_redis_away(prefix: str) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    other = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with other, boxed(f"redis://127.0.0.1:{other.sockets[0].getsockname()[1]}/0", prefix) as box:
        box.say("CA1")
        await wait(box.away)
        assert box.count("outbox_bytes") > 0


async def test_a_unix_socket_is_a_place_too(prefix: str, tmp_path: Path) -> None:
    async with boxed(f"unix://{tmp_path}/none.sock", prefix) as box:
        await wait(box.away)
