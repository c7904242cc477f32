"""What a subscriber needs: a call's whole transcript, however late it comes.

    async with Transcripts("redis://127.0.0.1:6379/0") as transcripts:
        async for event in transcripts.call("CA…"):
            print(event)

First comes what was said before, then what is said now: each event once, in order for each stream, without a gap. That
takes this order: subscribe, wait for Redis's confirmation, read the history, then take what comes, leaving out what was
read. The history is read again where a number is missing, and whenever a subscription is confirmed anew: then the
connection was lost.

It needs redis and msgspec, and of this package only `feed`, `order` and `events`.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing, suppress
from typing import Any, Self
from weakref import WeakSet

from redis.asyncio.retry import Retry
from redis.backoff import ExponentialWithJitterBackoff, NoBackoff

from gateway import events
from gateway.events import AnyEvent
from gateway.feed import Feed, LeftError, Link, connect, in_time
from gateway.order import Lanes, Life, Message, Place

__all__ = ["LINGER_SECONDS", "AnyEvent", "Message", "Transcripts", "TurnKey", "fold", "turn_key"]

LINGER_SECONDS = 3.0
"""How long a call may be without a stream before it is over: a call can have several streams in a row."""

REMEMBERED = 20_000
"""Ids of the channel of all calls that are known to be repeats; the oldest go first. More than the channel stores."""

TurnKey = tuple[str, str, int]
"""Which turn: `stream_id`, `track`, `turn`."""


def turn_key(event: events.Turn) -> TurnKey:
    """Which turn an event is about."""
    return event.stream_id, event.track, event.turn


def fold(told: Iterable[AnyEvent], turns: dict[TurnKey, events.Turn] | None = None) -> dict[TurnKey, events.Turn]:
    """The transcript as it stands: each turn as it was told last, in the order in which they began.

    A final turn without text is taken back, and is left out.

    Args:
        told: events, in the order in which they came.
        turns: a transcript to go on with; it is changed.
    """
    turns = {} if turns is None else turns
    for event in told:
        if isinstance(event, events.Turn):
            if event.final and not event.text:
                turns.pop(turn_key(event), None)
            else:
                turns[turn_key(event)] = event
    return turns


class Transcripts:
    """Subscribes to calls. An async context manager.

    Leaving it ends every subscription, also one that another task reads: there the loop is over, as if the call were.

    Args:
        url: where Redis is: `redis://`, `rediss://` or `unix://`.
        prefix: what keys and channels begin with (the gateway's `TURNGATE_REDIS_PREFIX`).

    Attributes:
        missed: durable events that neither the channel nor the history had: the history was cut or lost meanwhile.

    Raises:
        ValueError: the URL can't be read.
        redis.exceptions.RedisError: on entering: Redis is not there, or refuses us. While following: it went away for
            longer than some attempts to connect, about ten seconds.
    """

    def __init__(self, url: str, prefix: str = "turngate") -> None:
        self.missed = 0
        self._prefix = prefix
        self._url = url
        # A server that starts anew, or a failover, takes some seconds.
        self._link = Link(connect(url, Retry(ExponentialWithJitterBackoff(base=0.05, cap=2.0), 10)))
        self._open: WeakSet[AsyncGenerator[Any, None]] = WeakSet()

    async def __aenter__(self) -> Self:
        # The first attempt is the only one: whoever starts wants to know at once.
        async with in_time("the first answer"), connect(self._url, Retry(NoBackoff(), 0)) as first:
            await first.ping()
        return self

    async def __aexit__(self, *_: object) -> None:
        try:
            await self._link.leave()
            for subscription in tuple(self._open):
                # One that runs is its reader's: it comes to its own end.
                if not subscription.ag_running:  # type: ignore[attr-defined]  # the abstract class lacks it
                    await subscription.aclose()
        finally:
            await self._link.redis.aclose()

    def call(self, call_id: str, *, linger: float | None = LINGER_SECONDS) -> AsyncGenerator[AnyEvent, None]:
        """A call's events: the history, then live.

        Events of a type that this library does not know are left out (`messages` has them).

        Args:
            call_id: the carrier's; the call need not have begun.
            linger: it ends when no stream of the call has lived for so many seconds; None: never.
        """
        return self._tracked(self._events(call_id, linger))

    def messages(self, call_id: str, *, linger: float | None = LINGER_SECONDS) -> AsyncGenerator[Message, None]:
        """The same as `call`, as they came."""
        return self._tracked(self._messages(call_id, linger))

    def calls(self, *, under_way: bool = False) -> AsyncGenerator[AnyEvent, None]:
        """`stream.started` and `stream.ended` of all calls from now on.

        Args:
            under_way: begin with `stream.started` of the streams that have not ended yet.
        """
        return self._tracked(self._calls(under_way=under_way))

    def _tracked(self, subscription: AsyncGenerator[Any, None]) -> AsyncGenerator[Any, None]:
        tracked = _until_left(subscription)
        self._open.add(tracked)
        return tracked

    async def _events(self, call_id: str, linger: float | None) -> AsyncGenerator[AnyEvent, None]:
        async with aclosing(self._messages(call_id, linger)) as messages:
            async for message in messages:
                if (event := message.event) is not None:
                    yield event

    async def _messages(self, call_id: str, linger: float | None) -> AsyncGenerator[Message, None]:
        now = asyncio.get_running_loop().time
        life = Life(linger)
        async with self._link.feed(f"{self._prefix}:call:{call_id}") as feed:
            follower = _Follower(feed)
            while True:
                left = life.seconds_left(now())
                batch = await follower.some(left)
                self.missed, follower.missed = self.missed + follower.missed, 0
                for message in batch:
                    life.heed(message, now())
                    yield message
                if left == 0 and follower.idle and not batch:
                    return

    async def _calls(self, *, under_way: bool) -> AsyncGenerator[AnyEvent, None]:
        async with self._link.feed(f"{self._prefix}:calls") as feed:
            await feed.next(None)
            fresh: list[Message] = []
            seen: dict[str, None] = {}
            if under_way:
                before = await feed.rest()
                seen.update((message.id, None) for message in before)
                ended = {message.stream_id for message in before if message.type == "stream.ended"}
                fresh = [message for message in before if message.stream_id not in ended]
            else:
                await feed.skip()
            while True:
                for message in fresh:
                    if (event := message.event) is not None:
                        yield event
                incoming = await feed.next(None)
                fresh = [m for m in ([incoming] if incoming else await feed.rest()) if m.id not in seen]
                seen.update((message.id, None) for message in fresh)
                while len(seen) > REMEMBERED:
                    del seen[next(iter(seen))]


async def _until_left(subscription: AsyncGenerator[Any, None]) -> AsyncGenerator[Any, None]:
    with suppress(LeftError):
        async with aclosing(subscription) as told:
            async for one in told:
                yield one


class _Follower:
    """One call, in order: the channel, and the history wherever that alone is not enough.

    Attributes:
        idle: nothing came in time, and the history had nothing new.
        missed: events that were passed over since it was last set to 0.
    """

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._lanes = Lanes()
        self._looking = False
        self._held: Message | None = None
        self.idle = False
        self.missed = 0

    async def some(self, patience: float | None) -> list[Message]:
        """The next few messages; none if nothing came within `patience` seconds (None: for ever)."""
        if not self._looking:
            incoming = await self._feed.next(patience)
            if incoming is not None and self._lanes.place(incoming) is not Place.AHEAD:
                self.idle = False
                return self._deliver([incoming])
            self._held, self._looking = incoming, True
        page = await self._feed.page()
        self._looking = self._feed.has_more
        self.idle = self._held is None and not self._looking
        if self._held is not None and not self._looking:
            page.append(self._held)
            self._held = None
        return self._deliver(page)

    def _deliver(self, batch: list[Message]) -> list[Message]:
        fresh = []
        for message in batch:
            if self._lanes.place(message) is not Place.SEEN:
                self.missed += self._lanes.deliver(message)
                fresh.append(message)
        return fresh
