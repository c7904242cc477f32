"""gateway.follow: every call at once, though gateways are killed and there are more calls than room."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError

from gateway import follow
from gateway.client import Message, Transcripts
from gateway.events import AnyEvent
from gateway.follow import AllCalls
from tests.telling import Teller, Writer

PATIENCE = 20.0
"""Seconds after which a test that hangs is given up."""


@pytest.fixture
def writer(redis_client: Redis, prefix: str) -> Writer:
    return Writer(redis_client, prefix)


class Ear:
    """Takes what is told and complained of, and lets one wait for it."""

    def __init__(self) -> None:
        self.told: list[AnyEvent] = []
        self.complaints: list[str] = []
        self._news = asyncio.Event()

    def tell(self, message: Message) -> None:
        assert message.event is not None
        self.told.append(message.event)
        self._news.set()

    def complain(self, text: str) -> None:
        self.complaints.append(text)
        self._news.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self._news.clear()
            await self._news.wait()

    async def hears(self, *events: AnyEvent) -> None:
        await self.until(lambda: all(event in self.told for event in events))


@asynccontextmanager
async def following(redis_url: str, writer: Writer) -> AsyncIterator[Ear]:
    """All calls are followed meanwhile; the connections bear the prefix as their name."""
    ear = Ear()
    async with (
        asyncio.timeout(PATIENCE),
        Transcripts(f"{redis_url}?client_name={writer.prefix}", writer.prefix) as transcripts,
        asyncio.TaskGroup() as group,
    ):
        task = group.create_task(AllCalls(transcripts, ear.tell, ear.complain, linger=0).follow())
        yield ear
        task.cancel()


async def let_go(call_id: str) -> None:
    """Waits until a call is followed no more."""
    task = next((task for task in asyncio.all_tasks() if task.get_name() == f"tail {call_id}"), None)
    if task is not None:
        await asyncio.wait((task,))


async def test_every_call_is_told_to_its_end(redis_url: str, writer: Writer) -> None:
    one, two = Teller("CA1", "MZ1").whole("one"), Teller("CA2", "MZ2").whole("two")
    await writer.write(*one[:2])
    async with following(redis_url, writer) as ear:
        await ear.hears(*one[:2])
        await writer.write(*two, one[2])
        await ear.hears(*one, *two)
    assert sorted(ear.told, key=lambda event: event.call_id) == one + two
    assert ear.complaints == []


async def test_a_call_whose_gateway_was_killed_is_given_up(
    redis_url: str, writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "QUIET_SECONDS", 0.06)
    teller = Teller()
    await writer.write(teller.started(), teller.turn("last words"))
    async with following(redis_url, writer) as ear:
        await ear.until(lambda: bool(ear.complaints))
        assert ear.complaints == ["CA1 has said nothing for 0.001 min: it is given up"]
        clients = [one for one in await writer.client.client_list(_type="pubsub") if one["name"] == writer.prefix]
        while len(clients) > 1:
            clients = [one for one in await writer.client.client_list(_type="pubsub") if one["name"] == writer.prefix]


async def test_a_call_that_was_given_up_and_lives_is_told_when_it_ends(
    redis_url: str, writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "MOST_CALLS", 1)
    teller, other = Teller(), Teller("CA2", "MZ2")
    quiet, last = [teller.started(), teller.turn("one")], [teller.turn("two", 1), teller.ended()]
    await writer.write(*quiet)
    async with following(redis_url, writer) as ear:
        await ear.hears(*quiet)
        first, *rest = other.whole("hello")
        await writer.write(first)
        await ear.hears(first)
        await writer.write(*rest)
        await ear.hears(*rest)
        await let_go("CA2")
        await writer.write(*last)
        await ear.hears(*last)
    assert ear.told == [*quiet, first, *rest, *last]


async def test_what_killed_gateways_left_does_not_take_the_place_of_calls_that_live(
    redis_url: str, writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "MOST_CALLS", 3)
    dead = [Teller(f"CA{number}", f"MZ{number}").started() for number in range(9)]
    under_way = [Teller(f"CB{number}", f"MY{number}") for number in range(2)]
    begun = [teller.started() for teller in under_way]
    await writer.write(*dead, *begun)
    async with following(redis_url, writer) as ear:
        await ear.hears(dead[-1], *begun)
        said = [teller.turn("hello") for teller in under_way]
        await writer.write(*said)
        await ear.hears(*said)
        late = Teller("CC", "MX").whole("good morning")
        await writer.write(*late[:2])
        await ear.hears(*late[:2])
        more = [teller.turn("still here", 1) for teller in under_way]
        await writer.write(*more, late[2])
        await ear.hears(*more, late[2])
    assert ear.complaints == ["more than 3 calls at once: the oldest that say nothing are not shown"]


async def test_calls_that_speak_keep_their_place(
    redis_url: str, writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "MOST_CALLS", 1)
    speaking, refused = Teller().whole("hello"), Teller("CA2", "MZ2").whole("me too")
    await writer.write(speaking[0])
    async with following(redis_url, writer) as ear:
        await ear.hears(speaking[0])
        await writer.write(speaking[1])
        await ear.hears(speaking[1])
        await writer.write(*refused[:2])
        await ear.until(lambda: bool(ear.complaints))
        await writer.write(speaking[2])
        await ear.hears(speaking[2])
        await let_go("CA1")
        await writer.write(refused[2])
        await ear.hears(*refused)
    assert ear.complaints == ["more than 1 calls at once: CA2 is not shown"]
    assert ear.told == [*speaking, *refused]


async def test_a_call_goes_on_with_another_stream_and_is_told_once(redis_url: str, writer: Writer) -> None:
    one, two = Teller(stream_id="MZ1").whole("first"), Teller(stream_id="MZ2").whole("second")
    await writer.write(*one[:2])
    async with following(redis_url, writer) as ear:
        await ear.hears(one[0])
        await writer.write(one[2])
        await ear.hears(one[2])
        await let_go("CA1")
        await writer.write(*two)
        await ear.hears(two[2])
    assert ear.told == [*one, *two]


async def test_it_remembers_so_many_calls(redis_url: str, writer: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow, "REMEMBERED", 1)
    one, two = Teller("CA1", "MZ1").whole("one"), Teller("CA2", "MZ2").whole("two")
    async with Transcripts(redis_url, writer.prefix) as transcripts, asyncio.timeout(PATIENCE):
        ear = Ear()
        calls = AllCalls(transcripts, ear.tell, ear.complain, linger=0)
        await writer.write(one[0], two[0])
        async with asyncio.TaskGroup() as group:
            task = group.create_task(calls.follow())
            await ear.hears(one[0], two[0])
            await writer.write(*one[1:], *two[1:])
            await ear.hears(*one, *two)
            await let_go("CA1")
            await let_go("CA2")
            task.cancel()
        assert len(calls._told) == 1


async def test_a_redis_that_goes_ends_it(redis_url: str, writer: Writer) -> None:
    await writer.client.set(f"{writer.prefix}:calls", "not a stream")
    async with Transcripts(redis_url, writer.prefix) as transcripts:
        with pytest.raises(RedisError):
            await AllCalls(transcripts, Ear().tell, Ear().complain, linger=0).follow()
