"""One write to Redis: what the client is like, what the script does, and which answers pass."""

import socket
from typing import Any

import pytest
import redis.asyncio as redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoPermissionError, OutOfMemoryError, ResponseError

from gateway import redis_write
from gateway.redis_write import WRITE, is_redis_url, is_transient, redis_client

# the client


async def test_what_redis_does_not_acknowledge_is_dropped_before_it_is_repeated(redis_url: str) -> None:
    client = redis_client(redis_url)
    connection: Any = await client.connection_pool.get_connection()  # type: ignore[no-untyped-call]
    try:
        raw = connection._writer.get_extra_info("socket")
        assert raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == redis_write.GIVE_UP_MS
        assert redis_write.GIVE_UP_MS / 1000 < redis_write.TIMEOUT
        assert connection.retry.get_retries() == 0
    finally:
        await client.connection_pool.release(connection)
        await client.aclose()


@pytest.mark.parametrize("url", ["http://localhost", "localhost:6379", "redis://host:port"])
def test_another_url_is_refused(url: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - whatever the client says
        redis_client(url)


@pytest.mark.parametrize(
    ("url", "read"),
    [
        ("redis://host", True),
        ("rediss://user:p%2Fw@host:6380/2", True),
        ("unix:///run/redis.sock", True),
        ("redis:///0", False),
        ("redis://host/name", False),
        ("redis://:pa/ss@host", False),
    ],
)
def test_a_url_is_one_only_where_nothing_in_it_is_passed_over(url: str, read: bool) -> None:
    assert is_redis_url(url) is read


# the script


@pytest.fixture
async def run(redis_client: redis.Redis, prefix: str) -> Any:
    """Runs the script on one key, and gives its answer and what is stored."""

    async def once(event_id: str, look_back: int, *, length: int = 1000) -> tuple[int, list[str]]:
        answer: Any = await redis_client.eval(WRITE, 1, prefix, event_id, "{}", length, 60, look_back)
        stored: Any = await redis_client.xrange(prefix)
        return answer, [fields[b"id"].decode() for _, fields in stored]

    return once


async def test_a_first_write_is_not_looked_for(run: Any) -> None:
    assert await run("one", 0) == (1, ["one"])
    assert await run("one", 0) == (1, ["one", "one"])


async def test_a_repeat_is_found_as_far_back_as_is_looked(run: Any) -> None:
    for event_id in ("one", "two", "three"):
        await run(event_id, 0)
    assert await run("one", 3) == (0, ["one", "two", "three"])
    assert await run("one", 2) == (1, ["one", "two", "three", "one"])


async def test_what_may_be_a_repeat_and_is_none_is_written(run: Any, redis_client: redis.Redis, prefix: str) -> None:
    assert await run("one", 512) == (1, ["one"])
    assert await redis_client.ttl(prefix) in range(1, 61)


# answers


@pytest.mark.parametrize(
    ("message", "transient"),
    [
        ("MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk", True),
        ("BUSY Redis is busy running a script", True),
        ("NOREPLICAS Not enough good replicas to write", True),
        ("WRONGTYPE Operation against a key holding the wrong kind of value", False),
        ("unknown command 'EVALSHA'", False),
    ],
)
def test_what_passes_is_known_by_its_code(message: str, transient: bool) -> None:
    assert is_transient(ResponseError(message)) is transient


def test_what_passes_is_known_by_its_kind() -> None:
    assert is_transient(OutOfMemoryError("command not allowed when used memory > 'maxmemory'"))
    assert is_transient(RedisConnectionError("closed"))
    assert not is_transient(NoPermissionError("this user has no permissions to run the 'publish' command"))
    assert not is_transient(1)
