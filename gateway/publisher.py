"""The outbox: events on their way to Redis.

`publish` never waits. A task writes at once when it is idle, and while a write is under way it gathers what comes, so
that batches grow only under load. Redis may be away at the start or in the middle: the outbox holds events, in order,
bounded in bytes, and delivers them when it is back.

The rule of overflow: live-only events go first, then the oldest durable ones; each is counted. A durable event is written
by one script on one key (drop a repeat, XADD, EXPIRE, PUBLISH), so a write that is tried again stores nothing twice.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import structlog
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    BusyLoadingError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
)
from redis.exceptions import (
    ConnectionError as RedisConnectionError,
)
from redis.exceptions import (
    TimeoutError as RedisTimeoutError,
)

from gateway import events
from gateway.metrics import Metrics

WRITE = """
local key = KEYS[1]
if ARGV[5] == '1' then
  local recent = redis.call('XREVRANGE', key, '+', '-', 'COUNT', 200)
  for _, entry in ipairs(recent) do
    if entry[2][2] == ARGV[1] then return 0 end
  end
end
redis.call('XADD', key, 'MAXLEN', '~', ARGV[3], '*', 'id', ARGV[1], 'event', ARGV[2])
redis.call('EXPIRE', key, ARGV[4])
redis.call('PUBLISH', key, ARGV[2])
return 1
"""
"""Keys: the call's. Arguments: the event's id, the event, the greatest length of the history, its life in seconds, and
whether this may be a repeat: only then is the history's end looked through for the id.
"""

TRANSIENT = (RedisConnectionError, RedisTimeoutError, BusyLoadingError, ReadOnlyError, OutOfMemoryError, OSError)
"""What passes: the write is tried again until it succeeds. Any other answer is about the event, which is given up."""

OVERHEAD = 200
"""What an event that waits costs beside its own bytes."""

BATCH = 256
"""Events in one write. It bounds how long a write takes, and so how stale its timeout is."""

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

    __slots__ = ("data", "durable", "id", "key", "made", "seconds", "size")

    def __init__(self, key: str, event: events.Event, data: bytes, seconds: int, made: float, *, durable: bool) -> None:
        self.key = key
        self.id = event.id
        self.data = data
        self.seconds = seconds
        self.made = made
        self.durable = durable
        self.size = len(data) + OVERHEAD


def redis_client(url: str) -> Redis:
    """A client for the outbox: short time-outs, and no repeats of its own, because ours know what may be repeated.

    Raises:
        ValueError: the URL can't be read.
    """
    return Redis.from_url(url, socket_timeout=2.0, socket_connect_timeout=2.0, retry=Retry(NoBackoff(), 0))


class Outbox:
    """See the module's docstring.

    Args:
        redis: a client that does not repeat by itself (`redis_client`).
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
        self._live_bytes = 0
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
        seconds = options.history_seconds if ended else options.living_seconds
        key = f"{options.prefix}:call:{event.call_id}"
        self._put(_Entry(key, event, data, seconds, made, durable=durable))
        if isinstance(event, ANNOUNCED):
            self._put(_Entry(f"{options.prefix}:calls", event, data, options.living_seconds, made, durable=True))

    async def run(self) -> None:
        """Writes until it is cancelled."""
        pause = self._options.retry_seconds
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._in_flight or self._queue:
                if await self._write():
                    pause = self._options.retry_seconds
                else:
                    # Redis is away; there is nothing to wait for but time.
                    await asyncio.sleep(pause)
                    pause = min(2 * pause, self._options.longest_retry_seconds)
            self._empty.set()

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

    def _put(self, entry: _Entry) -> None:
        limit = self._options.limit_bytes
        # The last eighth is for durable events: a flood of live-only ones does not push them out one by one.
        if not entry.durable and self._bytes + entry.size > limit - limit // 8:
            self._metrics.dropped.labels("overflow").inc()
            return
        self._queue.append(entry)
        self._account(entry, 1)
        if self._bytes > limit:
            self._make_room(limit)
        self._empty.clear()
        self._wake.set()

    def _make_room(self, limit: int) -> None:
        before = len(self._queue)
        if self._live_bytes:
            for entry in self._queue:
                if not entry.durable:
                    self._account(entry, -1)
            self._queue = deque(entry for entry in self._queue if entry.durable)
        while self._bytes > limit and len(self._queue) > 1:
            self._account(self._queue.popleft(), -1)
        self._metrics.dropped.labels("overflow").inc(before - len(self._queue))

    def _account(self, entry: _Entry, sign: int) -> None:
        self._bytes += sign * entry.size
        if not entry.durable:
            self._live_bytes += sign * entry.size

    async def _write(self) -> bool:
        """Writes a batch. Returns whether Redis took it; if not, it stays, to be tried again before all else."""
        repeat = bool(self._in_flight)
        if not repeat:
            queue = self._queue
            self._in_flight = [queue.popleft() for _ in range(min(len(queue), BATCH))]
        try:
            if not self._sha:
                self._sha = str(await self._redis.script_load(WRITE))
            answers = await self._send(self._in_flight, repeat=repeat)
        except TRANSIENT as error:
            self._away(error)
            return False
        return self._settle(answers)

    async def _send(self, batch: list[_Entry], *, repeat: bool) -> list[Any]:
        options = self._options
        async with self._redis.pipeline(transaction=False) as pipe:
            for entry in batch:
                if entry.durable:
                    length = options.calls_events if entry.key.endswith(":calls") else options.history_events
                    arguments = (entry.id, entry.data, length, entry.seconds, int(repeat))
                    pipe.execute_command("EVALSHA", self._sha, 1, entry.key, *arguments)
                else:
                    pipe.execute_command("PUBLISH", entry.key, entry.data)
            return list(await pipe.execute(raise_on_error=False))

    def _settle(self, answers: list[Any]) -> bool:
        """Takes the answers: from the first event that may still succeed on, all are tried again, so order holds."""
        now = self._now()
        for index, (entry, answer) in enumerate(zip(self._in_flight, answers, strict=True)):
            if isinstance(answer, NoScriptError):
                self._sha = ""
            if isinstance(answer, (*TRANSIENT, NoScriptError)):
                self._away(answer)
                self._in_flight = self._in_flight[index:]
                return False
            self._account(entry, -1)
            if isinstance(answer, RedisError):
                self._metrics.dropped.labels("refused").inc()
                self._log.error("redis refused an event", error=type(answer).__name__, event_id=entry.id)
            else:
                self._metrics.published.inc()
                self._metrics.publish_seconds.observe(now - entry.made)
        self._in_flight = []
        self._back()
        return True

    def _away(self, error: Exception) -> None:
        self._sha = ""
        if self._up is not False:
            self._up = False
            self._metrics.redis_up.set(0)
            self._log.error("redis is away; events wait", error=type(error).__name__)

    def _back(self) -> None:
        if self._up is not True:
            self._up = True
            self._metrics.redis_up.set(1)
            self._log.info("redis takes events")
