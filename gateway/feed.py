"""One key of Redis as a subscriber sees it: the channel, and the history of the same name.

All feeds hang on one `Link`: the connections to Redis, and that they are given up together. Then whoever waits for
Redis is freed by a `LeftError`, in its own task.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.asyncio.retry import Retry
from redis.exceptions import TimeoutError as RedisTimeoutError

from gateway.order import Message

PAGE = 500
"""Stored events that are read at once."""

_SECONDS = 5.0
_CONNECTIONS = 10_000
_LAST_LOOK_SECONDS = 0.05


def connect(url: str, retry: Retry) -> Redis:
    """A client for subscribers, which connects when it is used.

    Raises:
        ValueError: the URL can't be read.
    """
    # Without the client's own time-out: on Python 3.11 its asyncio.wait_for may swallow a cancellation. And it tries
    # nothing again unless it is told to. Each subscription holds a connection.
    return Redis.from_url(
        url, socket_timeout=None, socket_connect_timeout=_SECONDS, max_connections=_CONNECTIONS, retry=retry
    )


@asynccontextmanager
async def in_time(what: str) -> AsyncIterator[None]:
    """Bounds how long Redis may take; `what` is for the error.

    Raises:
        redis.exceptions.TimeoutError: it took longer.
    """
    try:
        async with asyncio.timeout(_SECONDS):
            yield
    except TimeoutError:
        raise RedisTimeoutError(f"{what} took longer than {_SECONDS:g} s") from None


class LeftError(Exception):
    """The link was given up: there is nothing more to wait for."""


class Link:
    """What feeds share. It is theirs until `leave`."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis
        self._left = False
        self._feeds: set[Feed] = set()
        self._waits: set[asyncio.Timeout] = set()
        self._nobody_waits = asyncio.Event()

    @asynccontextmanager
    async def feed(self, key: str) -> AsyncIterator["Feed"]:
        """A feed that is subscribed to, though not yet confirmed."""
        feed = Feed(self, key)
        self._feeds.add(feed)
        try:
            await feed.subscribe()
            yield feed
        finally:
            await feed.close()
            self._feeds.discard(feed)

    @asynccontextmanager
    async def wait(self) -> AsyncIterator[None]:
        """What is done inside waits for Redis, and ends when the link is given up.

        Raises:
            LeftError: it was, before or meanwhile.
        """
        if self._left:
            raise LeftError
        waiting = asyncio.timeout(None)
        try:
            async with waiting:
                self._waits.add(waiting)
                try:
                    yield
                finally:
                    self._waits.discard(waiting)
                    if not self._waits:
                        self._nobody_waits.set()
        except TimeoutError:
            if not waiting.expired():
                raise
            raise LeftError from None

    async def leave(self) -> None:
        """Gives the link up: frees whoever waits, and closes the feeds."""
        self._left = True
        now = asyncio.get_running_loop().time()
        for waiting in self._waits:
            waiting.reschedule(now)
        while self._waits:
            self._nobody_waits.clear()
            await self._nobody_waits.wait()
        for feed in tuple(self._feeds):
            await feed.close()


class Feed:
    """A channel and its history.

    Attributes:
        has_more: the last page was not the last one.
    """

    def __init__(self, link: Link, key: str) -> None:
        self._link = link
        self._key = key
        self._pubsub: PubSub = link.redis.pubsub()
        self._read_to = "-"
        self.has_more = True

    async def subscribe(self) -> None:
        """Asks for the channel; `next` tells when that is confirmed."""
        async with self._link.wait(), in_time("subscribing"):
            await self._pubsub.subscribe(self._key)

    async def close(self) -> None:
        """Closes its connection; may be repeated."""
        await self._pubsub.aclose()  # type: ignore[no-untyped-call]  # redis has no annotation there

    async def next(self, patience: float | None) -> Message | None:
        """The next event of the channel.

        None: nothing came in `patience` seconds (None: for ever), or a subscription was confirmed, for the first time
        or again after a lost connection. Either way, there may be news in the history.
        """
        # Without any patience, what has arrived already would not be read.
        timeout = None if patience is None else max(patience, _LAST_LOOK_SECONDS)
        while True:
            async with self._link.wait():
                received = await self._pubsub.get_message(timeout=timeout)
            if received is None or received["type"] == "subscribe":
                return None
            if received["type"] == "message" and (message := Message.read(received["data"], live=True)):
                return message

    async def page(self) -> list[Message]:
        """The next events of the history, `PAGE` entries at most."""
        async with self._link.wait(), in_time("reading the history"):
            entries: Any = await self._link.redis.xrange(self._key, min=self._read_to, count=PAGE)
        self.has_more = len(entries) == PAGE
        if entries:
            self._read_to = f"({entries[-1][0].decode()}"
        found = (Message.read(fields.get(b"event", b""), live=False) for _, fields in entries)
        return [message for message in found if message is not None]

    async def rest(self) -> list[Message]:
        """Everything that the history holds and that was not read yet."""
        found = await self.page()
        while self.has_more:
            found += await self.page()
        return found

    async def skip(self) -> None:
        """Leaves out what the history holds by now."""
        async with self._link.wait(), in_time("reading the history"):
            newest: Any = await self._link.redis.xrevrange(self._key, count=1)
        if newest:
            self._read_to = f"({newest[0][0].decode()}"
