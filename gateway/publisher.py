"""The outbox: events on their way to Redis.

`publish` never waits. A task writes at once when it is idle, and while a write is under way it gathers what comes, so
that batches grow only under load. Redis may be away at the start or in the middle: the outbox holds events, in order,
bounded in bytes, and delivers them when it is back.

The rule of overflow: live-only events go first, then the oldest durable ones; each is counted. A durable event is
written by one script on one key (drop a repeat, XADD, EXPIRE, PUBLISH), so a write that is tried again stores nothing
twice.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from gateway import events
from gateway.metrics import Metrics
from gateway.write import WRITE, passes

OVERHEAD = 200
"""What an event that waits costs beside its own bytes."""

BATCH = 256
"""Events in one write. It bounds how long a write takes, and so how stale its timeout is."""

LOOK_BACK = 2 * BATCH
"""Entries of a history that are looked through for a repeat: a whole batch of one call's, and as many of others'."""

ANNOUNCED = (events.StreamStarted, events.StreamEnded)
"""What the channel of all calls carries too."""


@dataclass(frozen=True, slots=True)
class OutboxOptions:
    """How events are kept, and for how long."""

    prefix: str = "turngate"
    limit_bytes: int = 32 * 2**20
    history_seconds: int = 3600
    """The life of a call's history after its last stream has ended."""

    living_seconds: int = 25 * 3600
    """Its life while a stream is alive; each write begins it anew. Longer than any stream."""

    history_events: int = 100_000
    """How many events a call's history holds, about: the oldest go first."""

    calls_events: int = 10_000
    """The same for the channel of all calls."""

    retry_seconds: float = 0.2
    longest_retry_seconds: float = 2.0


class _Entry:
    """An event that waits."""

    __slots__ = ("data", "durable", "id", "key", "length", "made", "seconds", "size")

    def __init__(
        self, key: str, event_id: str, data: bytes, made: float, *, length: int, seconds: int, durable: bool
    ) -> None:
        self.key = key
        self.id = event_id
        self.data = data
        self.made = made
        self.length = length
        self.seconds = seconds
        self.durable = durable
        self.size = len(data) + OVERHEAD


class Outbox:
    """See the module's docstring.

    Args:
        redis: a client that does not repeat by itself (`write.redis_client`).
        now: the monotonic clock, in seconds.
    """

    def __init__(self, redis: Redis, metrics: Metrics, options: OutboxOptions, now: Callable[[], float]) -> None:
        self._redis = redis
        self._metrics = metrics
        self._options = options
        self._now = now
        self._queue: deque[_Entry] = deque()
        self._in_flight: list[_Entry] = []
        self._bytes = 0
        self._live = 0
        self._wake = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()
        self._sha = ""
        self._up: bool | None = None
        self._log = structlog.get_logger("gateway.outbox")
        metrics.outbox_bytes.set_function(lambda: self._bytes)

    def publish(self, event: events.Event, *, durable: bool) -> None:
        """Takes an event. Never waits; what there is no room for is counted."""
        data = events.encode(event)
        options = self._options
        made = self._now()
        ended = isinstance(event, events.StreamEnded)
        key = f"{options.prefix}:call:{event.call_id}"
        seconds = options.history_seconds if ended else options.living_seconds
        length = options.history_events
        self._put(_Entry(key, event.id, data, made, length=length, seconds=seconds, durable=durable))
        if isinstance(event, ANNOUNCED):
            key, seconds, length = f"{options.prefix}:calls", options.living_seconds, options.calls_events
            self._put(_Entry(key, event.id, data, made, length=length, seconds=seconds, durable=True))

    async def run(self) -> None:
        """Writes until it is cancelled. It begins by looking whether Redis is there."""
        pause = 0.0
        task = asyncio.current_task()
        # On Python 3.11 asyncio.wait_for, which the client uses, may swallow a cancellation; the request for it stays.
        while task is None or not task.cancelling():
            if self._sha and not self._in_flight and not self._queue:
                self._wake.clear()
                await self._wake.wait()
            error = await self._write()
            if error is None:
                pause = 0.0
                continue
            # The first time, at once: while the outbox was idle the connection may have been cut, or the script lost.
            if pause:
                self._away(error)
                # There is nothing to wait for but time.
                await asyncio.sleep(pause)
            pause = min(max(2 * pause, self._options.retry_seconds), self._options.longest_retry_seconds)

    async def flush(self, seconds: float) -> int:
        """Waits until all has been written, for so long at most. Returns how many events were left, and counts them."""
        try:
            async with asyncio.timeout(seconds):
                await self._empty.wait()
        except TimeoutError:
            left = len(self._in_flight) + len(self._queue)
            self._metrics.dropped.labels("unsent").inc(left)
            self._log.error("events were not delivered", events=left)
            return left
        return 0

    async def close(self) -> None:
        """Closes the connection. A server that hangs is left alone after `TIMEOUT`."""
        with suppress(RedisError, OSError):
            await self._redis.aclose()

    def _put(self, entry: _Entry) -> None:
        limit = self._options.limit_bytes
        # The last eighth is for durable events: a flood of live-only ones does not push them out one by one.
        if not entry.durable and self._bytes + entry.size > limit - limit // 8:
            self._metrics.dropped.labels("overflow").inc()
            return
        self._queue.append(entry)
        self._bytes += entry.size
        self._live += not entry.durable
        if self._bytes > limit:
            self._make_room(limit)
        self._empty.clear()
        self._wake.set()

    def _make_room(self, limit: int) -> None:
        """Drops what waits, by the rule of overflow. What is being written, and the newest event, stay."""
        before = len(self._queue)
        if self._live:
            self._bytes -= sum(entry.size for entry in self._queue if not entry.durable)
            self._queue = deque(entry for entry in self._queue if entry.durable)
            self._live = 0
        while self._bytes > limit and len(self._queue) > 1:
            self._bytes -= self._queue.popleft().size
        self._metrics.dropped.labels("overflow").inc(before - len(self._queue))

    async def _write(self) -> Exception | None:
        """Writes a batch. Returns None, or why Redis did not take it: then it stays, and goes before all else."""
        repeat = bool(self._in_flight)
        if not repeat:
            queue = self._queue
            self._in_flight = [queue.popleft() for _ in range(min(len(queue), BATCH))]
            self._live -= sum(not entry.durable for entry in self._in_flight)
        try:
            if not self._sha:
                self._sha = str(await self._redis.script_load(WRITE))
            answers = await self._send(self._in_flight, LOOK_BACK if repeat else 0)
        except (RedisError, OSError) as error:
            # No answer to an event, so nothing about an event.
            self._sha = ""
            return error
        return self._settle(answers)

    async def _send(self, batch: list[_Entry], look_back: int) -> list[Any]:
        async with self._redis.pipeline(transaction=False) as pipe:
            for entry in batch:
                if entry.durable:
                    arguments = (entry.id, entry.data, entry.length, entry.seconds, look_back)
                    pipe.execute_command("EVALSHA", self._sha, 1, entry.key, *arguments)
                else:
                    pipe.execute_command("PUBLISH", entry.key, entry.data)
            return list(await pipe.execute(raise_on_error=False))

    def _settle(self, answers: list[Any]) -> Exception | None:
        """Takes the answers: from the first event that may still succeed on, all are tried again, so order holds."""
        batch, now = self._in_flight, self._now()
        again = next((i for i, answer in enumerate(answers) if passes(answer)), len(batch))
        refused = [answer for answer in answers[:again] if isinstance(answer, RedisError)]
        for entry, answer in zip(batch[:again], answers, strict=False):
            self._bytes -= entry.size
            if not isinstance(answer, RedisError):
                self._metrics.publish_seconds.observe(now - entry.made)
        self._metrics.published.inc(again - len(refused))
        if refused:
            self._metrics.dropped.labels("refused").inc(len(refused))
            self._log.error("redis refused events", events=len(refused), error=type(refused[0]).__name__)
        self._in_flight = batch[again:]
        if self._in_flight:
            self._sha = ""
            return answers[again]  # type: ignore[no-any-return]  # `passes` saw to it
        if not self._queue:
            self._empty.set()
        self._back()
        return None

    def _away(self, error: Exception) -> None:
        if self._up is not False:
            self._up = False
            self._metrics.redis_up.set(0)
            self._log.error("redis is away; events wait", error=type(error).__name__)

    def _back(self) -> None:
        if self._up is not True:
            self._up = True
            self._metrics.redis_up.set(1)
            self._log.info("redis takes events")
