"""gateway.client: a call's whole transcript, however late one comes, over real servers."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import TypeVar

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from gateway import events, feed
from gateway.app import Gateway
from gateway.client import Transcripts, fold
from gateway.feed import Feed
from gateway.order import Message
from gateway.sandbox import tones
from gateway.sandbox.caller import Call, place_call
from tests.conftest import AUTH_TOKEN, SIGNED_URL, media_url
from tests.telling import Teller, Writer

PATIENCE = 20.0
"""Seconds after which a test that hangs is given up."""

Kind = TypeVar("Kind")


@pytest.fixture
def writer(redis_client: Redis, prefix: str) -> Writer:
    return Writer(redis_client, prefix)


@pytest.fixture
async def transcripts(redis_url: str, prefix: str) -> AsyncIterator[Transcripts]:
    """The library; its connections bear the prefix as their name."""
    async with Transcripts(f"{redis_url}?client_name={prefix}", prefix) as entered:
        yield entered


async def rest(told: AsyncGenerator[Kind, None]) -> list[Kind]:
    return [one async for one in told]


async def some(told: AsyncGenerator[Kind, None], count: int) -> list[Kind]:
    return [await anext(told) for _ in range(count)]


async def connections(writer: Writer) -> list[str]:
    """The addresses of subscribers under this test's name."""
    clients = await writer.client.client_list(_type="pubsub")
    return [one["addr"] for one in clients if one["name"] == writer.prefix]


async def all_gone(writer: Writer) -> None:
    """Waits until the server has noticed that this test's subscribers have closed their connections."""
    async with asyncio.timeout(PATIENCE):
        while await connections(writer):
            pass


async def test_a_call_that_is_over_is_told_whole_and_ends(transcripts: Transcripts, writer: Writer) -> None:
    told = Teller().whole("hello", "good bye")
    await writer.write(*told)
    assert await rest(transcripts.call("CA1", linger=0)) == told


async def test_what_was_said_before_comes_first_then_what_is_said_now(transcripts: Transcripts, writer: Writer) -> None:
    teller = Teller()
    before = [teller.started(), teller.turn("before")]
    await writer.write(*before)
    following = transcripts.messages("CA1", linger=0)
    heard = await some(following, 2)
    live = [teller.turn("li", 1, final=False), teller.turn("live", 1), teller.ended()]
    await writer.write(*live)
    heard += await rest(following)
    assert [one.event for one in heard] == before + live
    assert [one.live for one in heard] == [False, False, True, True, True]
    assert heard[1].data == events.encode(before[1])


async def test_what_comes_while_the_history_is_read_comes_once(
    transcripts: Transcripts, writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    teller = Teller()
    first, before, after, last = teller.started(), teller.turn("a"), teller.turn("b", 1), teller.ended()
    await writer.write(first)
    page, pending = Feed.page, [[before], [after, last]]

    async def page_meanwhile(feed: Feed) -> list[Message]:
        for told in pending[:1]:
            await writer.write(*told)
        found = await page(feed)
        for told in pending[1:]:
            await writer.write(*told)
        pending.clear()
        return found

    monkeypatch.setattr(Feed, "page", page_meanwhile)
    assert await rest(transcripts.call("CA1", linger=0)) == [first, before, after, last]


async def test_what_the_channel_lost_is_found_in_the_history(transcripts: Transcripts, writer: Writer) -> None:
    teller = Teller()
    first, lost, last = teller.started(), teller.turn("lost"), teller.ended()
    following = transcripts.call("CA1", linger=0)
    await writer.write(first)
    assert await anext(following) == first
    await writer.store(lost)
    await writer.write(last)
    assert await rest(following) == [lost, last]
    assert transcripts.missed == 0


async def test_a_partial_shows_that_something_was_lost_too(transcripts: Transcripts, writer: Writer) -> None:
    teller = Teller()
    first, lost, partial = teller.started(), teller.turn("lost"), teller.turn("a", 1, final=False)
    following = transcripts.call("CA1")
    await writer.write(first)
    assert await anext(following) == first
    await writer.store(lost)
    await writer.write(partial)
    assert await some(following, 2) == [lost, partial]


async def test_what_neither_has_is_counted(transcripts: Transcripts, writer: Writer) -> None:
    teller = Teller()
    first, *_, late, last = teller.whole("a", "b", "c")
    following = transcripts.call("CA1", linger=0)
    await writer.write(first)
    assert await anext(following) == first
    await writer.client.delete(writer.call_key())
    await writer.write(late, last)
    assert await rest(following) == [late, last]
    assert transcripts.missed == 2


async def test_a_lost_connection_loses_nothing(transcripts: Transcripts, writer: Writer) -> None:
    teller = Teller()
    first, lost, *live = teller.whole("while away", "back")
    following = transcripts.call("CA1", linger=0)
    await writer.write(first)
    assert await anext(following) == first
    for address in await connections(writer):
        await writer.client.client_kill(address)
    await writer.write(lost)
    assert await anext(following) == lost
    await writer.write(*live)
    assert await rest(following) == live


async def test_a_long_history_is_read_in_pages(
    transcripts: Transcripts, writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "PAGE", 3)
    told = Teller().whole(*"abcdefg")
    assert len(told) % 3 == 0
    await writer.write(*told)
    assert await rest(transcripts.call("CA1", linger=0)) == told


async def test_a_call_goes_on_with_its_next_stream(transcripts: Transcripts, writer: Writer) -> None:
    one, two = Teller().whole("first"), Teller(stream_id="MZ2").whole("second")
    await writer.write(*one)
    following = transcripts.call("CA1")
    assert await some(following, 3) == one
    await writer.write(*two)
    assert await some(following, 3) == two
    await following.aclose()


async def test_a_stream_whose_owner_is_gone_is_ended_by_another(transcripts: Transcripts, writer: Writer) -> None:
    first, last = Teller().started(), Teller(epoch="e2").ended("indeterminate", "gateway_lost")
    await writer.write(first, last)
    assert await rest(transcripts.call("CA1", linger=0)) == [first, last]


async def test_what_is_no_event_or_a_newer_one_does_not_disturb(transcripts: Transcripts, writer: Writer) -> None:
    teller = Teller()
    following, first = transcripts.call("CA1", linger=0), teller.started()
    await writer.write(first)
    assert await anext(following) == first
    await writer.client.publish(writer.call_key(), "hello")
    await writer.client.xadd(writer.call_key(), {"something": "else"})
    newer = b'{"v":1,"id":"MZ1:e1:2","type":"news","call_id":"CA1","stream_id":"MZ1","seq":2,"at":"x"}'
    await writer.client.publish(writer.call_key(), newer)
    teller.seq += 1
    last = teller.ended()
    await writer.write(last)
    assert await rest(following) == [last]
    assert transcripts.missed == 0


async def test_all_calls_are_announced_from_now_on(
    transcripts: Transcripts, writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = Teller().whole("a"), Teller("CA2", "MZ2").whole("b")
    skip, skipped = Feed.skip, asyncio.Event()

    async def skip_and_tell(feed: Feed) -> None:
        await skip(feed)
        skipped.set()

    monkeypatch.setattr(Feed, "skip", skip_and_tell)
    await writer.write(*one)
    following = transcripts.calls()
    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
        heard = group.create_task(some(following, 2))
        await skipped.wait()
        await writer.write(*two)
    assert heard.result() == [two[0], two[-1]]
    await following.aclose()


async def test_calls_under_way_come_first_if_wanted(transcripts: Transcripts, writer: Writer) -> None:
    over, alive, new = Teller().whole("a"), Teller("CA2", "MZ2").started(), Teller("CA3", "MZ3").started()
    await writer.write(*over, alive)
    following = transcripts.calls(under_way=True)
    assert await anext(following) == alive
    await writer.write(new)
    assert await anext(following) == new
    for address in await connections(writer):
        await writer.client.client_kill(address)
    last = Teller("CA4", "MZ4").started()
    await writer.write(last)
    assert await anext(following) == last


async def test_leaving_ends_every_subscription(redis_url: str, writer: Writer) -> None:
    async with Transcripts(f"{redis_url}?client_name={writer.prefix}", writer.prefix) as transcripts:
        await writer.write(Teller().started())
        following = transcripts.call("CA1")
        await anext(following)
        assert len(await connections(writer)) == 1
    await all_gone(writer)
    with pytest.raises(StopAsyncIteration):
        await anext(following)


async def test_leaving_ends_subscriptions_that_other_tasks_read(redis_url: str, writer: Writer) -> None:
    first, begun = Teller().started(), asyncio.Semaphore(0)
    await writer.write(first)

    async def read(told: AsyncGenerator[Kind, None]) -> list[Kind]:
        heard = []
        async for one in told:
            heard.append(one)
            begun.release()
        return heard

    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
        async with Transcripts(f"{redis_url}?client_name={writer.prefix}", writer.prefix) as transcripts:
            readers = [
                group.create_task(read(transcripts.call("CA1"))),
                group.create_task(read(transcripts.calls(under_way=True))),
            ]
            for _ in readers:
                await begun.acquire()
        await all_gone(writer)
    assert [reader.result() for reader in readers] == [[first], [first]]


async def test_leaving_ends_a_reader_at_whatever_moment(redis_url: str, writer: Writer) -> None:
    await writer.write(*Teller().whole("a")[:-1])
    url = f"{redis_url}?client_name={writer.prefix}"
    for steps in range(40):
        async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group, Transcripts(url, writer.prefix) as leaving:
            group.create_task(rest(leaving.call("CA1")))
            for _ in range(steps):
                await asyncio.sleep(0)
        await all_gone(writer)


async def test_a_reader_who_is_cancelled_while_others_leave_is_cancelled(redis_url: str, writer: Writer) -> None:
    await writer.write(Teller().started())
    async with asyncio.timeout(PATIENCE), Transcripts(redis_url, writer.prefix) as transcripts:
        told = transcripts.call("CA1")
        await anext(told)
        reading = asyncio.create_task(rest(told))
        await asyncio.sleep(0)
        reading.cancel()
    await asyncio.wait((reading,))
    assert reading.cancelled()


async def test_what_is_subscribed_to_after_leaving_ends_at_once(redis_url: str, writer: Writer) -> None:
    await writer.write(Teller().started())
    async with Transcripts(redis_url, writer.prefix) as transcripts:
        pass
    assert await rest(transcripts.call("CA1", linger=None)) == []


async def test_a_cancellation_ends_it_at_whatever_moment(transcripts: Transcripts, writer: Writer) -> None:
    await writer.write(Teller().started())
    for steps in range(40):
        following = asyncio.create_task(rest(transcripts.call("CA1")))
        for _ in range(steps):
            await asyncio.sleep(0)
        following.cancel()
        await asyncio.wait((following,))
        assert following.cancelled()


async def test_a_redis_that_is_not_there_is_told_on_entering() -> None:
    with pytest.raises(RedisConnectionError):
        await Transcripts("redis://127.0.0.1:1/0").__aenter__()


def test_a_url_that_is_none_is_told_at_once() -> None:
    with pytest.raises(ValueError, match="redis://"):
        Transcripts("http://127.0.0.1")


async def test_a_live_call_is_told_to_its_end(
    start_gateway: Callable[..., Awaitable[Gateway]], redis_url: str, prefix: str
) -> None:
    gateway = await start_gateway()
    call = Call(
        url=media_url(gateway),
        inbound=tones.speak("one two three") + b"\xff" * 16000,
        auth_token=AUTH_TOKEN,
        signed_url=SIGNED_URL,
        speed=10,
    )
    async with Transcripts(redis_url, prefix) as transcripts:
        following = transcripts.call(call.call_sid, linger=0)
        report = await place_call(call)
        assert report.ok, report.verdict
        told = await rest(following)
    assert [turn.text for turn in fold(told).values()] == ["one two three"]
    assert isinstance(told[-1], events.StreamEnded)


def test_a_transcript_is_the_newest_of_every_turn_in_their_order() -> None:
    teller, other = Teller(), Teller(stream_id="MZ2")
    told = [
        teller.started(),
        teller.turn("he", 0, final=False),
        teller.turn("yes", 0, final=False, track="outbound"),
        teller.turn("hello", 0),
        teller.turn("er", 1, final=False),
        teller.turn("Hello.", 0, formatted=True),
        teller.turn("", 1),
        other.turn("hi", 0),
    ]
    turns = fold(told)
    assert {key: turn.text for key, turn in turns.items()} == {
        ("MZ1", "inbound", 0): "Hello.",
        ("MZ1", "outbound", 0): "yes",
        ("MZ2", "inbound", 0): "hi",
    }
    assert fold([teller.turn("yes, please", 0, track="outbound")], turns) is turns
    assert turns["MZ1", "outbound", 0].text == "yes, please"


def test_it_needs_little() -> None:
    code = "import sys, gateway.client; print(*{name.partition('.')[0] for name in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout.split()
    assert {"redis", "msgspec"} <= set(loaded)
    assert not {"aiohttp", "pydantic", "structlog", "websockets", "rich", "typer"} & set(loaded)
