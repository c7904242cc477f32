"""gateway.feed: one key of Redis, live and stored, and how all feeds are given up."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from gateway import feed
from gateway.feed import LeftError, Link, connect, in_time
from tests.telling import Teller, Writer, message

PATIENCE = 20.0
"""Seconds after which a test that hangs is given up."""


@pytest.fixture
def writer(redis_client: Redis, prefix: str) -> Writer:
    return Writer(redis_client, prefix)


@pytest.fixture
async def link(redis_url: str) -> AsyncIterator[Link]:
    client = connect(redis_url, Retry(NoBackoff(), 0))
    yield Link(client)
    await client.aclose()


async def test_a_subscription_is_confirmed_and_then_tells(link: Link, writer: Writer) -> None:
    told = Teller().started()
    async with link.feed(writer.call_key()) as one:
        assert await one.next(None) is None
        await writer.client.publish(writer.call_key(), "no event")
        await writer.publish(told)
        assert await one.next(None) == message(told)
        assert await one.next(0) is None


async def test_the_history_comes_in_pages(link: Link, writer: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "PAGE", 2)
    told = [message(event, live=False) for event in Teller().whole("a", "b", "c")]
    await writer.store(*Teller().whole("a", "b", "c"))
    async with link.feed(writer.call_key()) as one:
        assert await one.page() == told[:2]
        assert one.has_more
        assert await one.rest() == told[2:]
        assert not one.has_more


async def test_what_is_stored_can_be_left_out(link: Link, writer: Writer) -> None:
    teller = Teller()
    await writer.store(teller.started())
    async with link.feed(writer.call_key()) as one:
        await one.skip()
        await writer.store(last := teller.ended())
        assert await one.rest() == [message(last, live=False)]
    async with link.feed(writer.call_key("CA2")) as empty:
        await empty.skip()
        assert await empty.rest() == []


async def test_leaving_frees_whoever_waits_and_whoever_comes_later(link: Link, writer: Writer) -> None:
    confirmed = asyncio.Event()

    async def read() -> None:
        async with link.feed(writer.call_key()) as one:
            await one.next(None)
            confirmed.set()
            await one.next(None)

    async with asyncio.timeout(PATIENCE):
        reading = asyncio.create_task(read())
        await confirmed.wait()
        await link.leave()
        await asyncio.wait((reading,))
    assert isinstance(reading.exception(), LeftError)
    with pytest.raises(LeftError):
        async with link.feed(writer.call_key()):
            pytest.fail("it is open")


async def test_leaving_closes_feeds_that_nobody_reads(link: Link, writer: Writer) -> None:
    async with link.feed(writer.call_key()) as idle:
        await link.leave()
        with pytest.raises(LeftError):
            await idle.next(None)


async def test_what_times_out_otherwise_was_not_left(link: Link) -> None:
    with pytest.raises(TimeoutError):
        async with link.wait():
            raise TimeoutError


async def test_a_redis_that_is_slow_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "_SECONDS", 0)
    with pytest.raises(RedisTimeoutError, match="the first answer took longer than 0 s"):
        async with in_time("the first answer"):
            await asyncio.Event().wait()


async def test_a_redis_that_is_away_is_told() -> None:
    link = Link(connect("redis://127.0.0.1:1/0", Retry(NoBackoff(), 0)))
    with pytest.raises(RedisConnectionError):
        async with link.feed("key"):
            pytest.fail("it is open")
    await link.leave()
