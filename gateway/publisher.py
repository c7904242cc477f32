"""The outbox: events on their way to Redis.

`publish` never waits. A task writes at once when it is idle, and while a write is under way it gathers what comes, so
that batches grow only under load. Redis may be away at the start or in the middle: the outbox holds events, in order,
bounded in bytes (`waiting` has the rule of overflow; what goes is counted), and delivers them when it is back.

A durable event is written by one script on one key (drop a repeat, XADD, EXPIRE, PUBLISH), so a write that is tried
again stores nothing twice.

How long a history lives: each event begins `living_seconds` anew, `stream.ended` the shorter `history_seconds`. Another
stream of the call may be alive then, here or with another replica, and say nothing durable for hours. So each replica
begins the long life anew for the calls that have a stream with it, several times within `history_seconds`: while any
stream of a call lives, its history does. A renewal stands in line like an event, so it never follows the `stream.ended`
that it must not undo.
"""

import asyncio
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
from msgspec import UNSET
from redis.asyncio import Redis
from redis.exceptions import RedisError

from gateway import events
from gateway.metrics import Metrics
from gateway.redis_write import WRITE, is_transient
from gateway.waiting import Entry, Kind, Waiting, count_events

BATCH = 256
"""Events in one write. It bounds how long a write takes, and so how stale its timeout is."""

LOOK_BACK = 2 * BATCH
"""Entries of a history that are looked through for a repeat: a whole batch of one call's, and as many of others'."""

TRIES = 3
"""How often an event is written, by itself, before it is given up, where that raises what nobody foresaw."""

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

    @property
    def renew_seconds(self) -> float:
        """From one renewal of the histories of living calls to the next."""
        return min(self.history_seconds / 4, 600.0)


class Outbox:
    """See the module's docstring.

    Args:
        redis: a client that does not repeat by itself (`redis_write.redis_client`).
        now: the monotonic clock, in seconds.
    """

    def __init__(self, redis: Redis, metrics: Metrics, options: OutboxOptions, now: Callable[[], float]) -> None:
        self._redis = redis
        self._metrics = metrics
        self._options = options
        self._now = now
        self._waiting = Waiting(options.limit_bytes)
        self._living: dict[str, tuple[str, float]] = {}
        """The streams that live here: the key of each one's call, and since when."""

        self._wake = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()
        self._sha = ""
        self._up: bool | None = None
        self._one_by_one = False
        """A batch raised what nobody foresaw: of its events, the one at fault is looked for."""

        self._tries = 0
        self._doubtful = False
        """The connections are."""

        self._told: set[type[Exception]] = set()
        self._log = structlog.get_logger("gateway.outbox")
        metrics.outbox_bytes.set_function(lambda: self._waiting.bytes)

    def publish(self, event: events.Event) -> None:
        """Takes an event. Never waits; what there is no room for is counted."""
        data = events.encode(event)
        options = self._options
        made = self._now()
        key = f"{options.prefix}:call:{event.call_id}"
        ended = isinstance(event, events.StreamEnded)
        seconds = options.history_seconds if ended else options.living_seconds
        kind = Kind.STORE if event.part is UNSET else Kind.TELL
        self._put(Entry(kind, key, seconds, made, event.id, data, options.history_events))
        if isinstance(event, ANNOUNCED):
            owner = event.id.rpartition(":")[0]
            if ended:
                self._living.pop(owner, None)
            else:
                self._living[owner] = key, made
            calls = f"{options.prefix}:calls"
            self._put(Entry(kind, calls, options.living_seconds, made, event.id, data, options.calls_events))

    async def run(self) -> None:
        """Writes until it is cancelled. It begins by looking whether Redis is there."""
        pause = 0.0
        task = asyncio.current_task()
        # On Python 3.11 asyncio.wait_for, which the client uses, may swallow a cancellation; the request for it stays.
        while task is None or not task.cancelling():
            if self._sha and not self._waiting:
                self._wake.clear()
                await self._wake.wait()
            try:
                error = await self._write()
            except Exception as fault:  # noqa: BLE001 - the boundary: one event that can't be written is not to stop all
                self._fault(error := fault)
            if error is None:
                pause = 0.0
                continue
            # The first time, at once: while the outbox was idle the connection may have been cut, or the script lost.
            if pause:
                self._away(error)
                # There is nothing to wait for but time.
                await asyncio.sleep(pause)
            pause = min(max(2 * pause, self._options.retry_seconds), self._options.longest_retry_seconds)

    async def renew(self) -> None:
        """Renews the histories of the calls that have a stream here, again and again until it is cancelled."""
        while True:
            await asyncio.sleep(self._options.renew_seconds)
            self.renew_now()

    def renew_now(self) -> None:
        """Puts a renewal of each living call's history in line. Not while Redis is away: they would pile up."""
        if self._up is False:
            return
        now, seconds = self._now(), self._options.living_seconds
        # A stream that never said that it ended is not remembered for ever.
        self._living = {owner: known for owner, known in self._living.items() if now - known[1] < seconds}
        for key in {key for key, _ in self._living.values()}:
            self._put(Entry(Kind.RENEW, key, seconds, now))

    async def flush(self, seconds: float) -> int:
        """Waits until all has been written, for so long at most. Returns how many events were left, and counts them."""
        try:
            async with asyncio.timeout(seconds):
                await self._empty.wait()
        except TimeoutError:
            left = self._waiting.events()
            self._metrics.dropped.labels("unsent").inc(left)
            self._log.error("events were not delivered", events=left)
            return left
        return 0

    async def close(self) -> None:
        """Closes the connections. A server that hangs is not waited for: the client has its own bound for that."""
        with suppress(RedisError, OSError):
            await self._redis.aclose()

    def _put(self, entry: Entry) -> None:
        if given_up := self._waiting.put(entry):
            self._metrics.dropped.labels("overflow").inc(given_up)
        if self._waiting:
            self._empty.clear()
            self._wake.set()

    async def _write(self) -> Exception | None:
        """Writes what is next. Returns None, or why Redis did not take it: then it stays, and goes before all else."""
        repeat = bool(self._waiting.in_flight)
        self._one_by_one = self._one_by_one and repeat
        batch = self._waiting.begin(1 if self._one_by_one else BATCH)
        try:
            if self._doubtful:
                # Answers to what went wrong may be on their way yet: they are not to be taken for others.
                await self._redis.connection_pool.disconnect()
                self._doubtful = False
            if not self._sha:
                self._sha = str(await self._redis.script_load(WRITE))
            answers = await self._send(batch, LOOK_BACK if repeat else 0)
        except (RedisError, OSError) as error:
            # No answer to an event, so nothing about an event.
            self._sha = ""
            return error
        return self._settle(batch, answers)

    async def _send(self, batch: list[Entry], look_back: int) -> list[Any]:
        async with self._redis.pipeline(transaction=False) as pipe:
            for entry in batch:
                if entry.kind is Kind.STORE:
                    arguments = (entry.id, entry.data, entry.length, entry.seconds, look_back)
                    pipe.execute_command("EVALSHA", self._sha, 1, entry.key, *arguments)
                elif entry.kind is Kind.TELL:
                    pipe.execute_command("PUBLISH", entry.key, entry.data)
                else:
                    pipe.execute_command("EXPIRE", entry.key, entry.seconds)
            return list(await pipe.execute(raise_on_error=False))

    def _settle(self, batch: list[Entry], answers: list[Any]) -> Exception | None:
        """Takes the answers: from the first event that may still succeed on, all are tried again, so order holds."""
        again = next((i for i, answer in enumerate(answers) if is_transient(answer)), len(answers))
        now = self._now()
        refused = []
        for entry, answer in zip(batch[:again], answers, strict=False):
            if isinstance(answer, RedisError):
                refused.append((entry, answer))
            elif entry.kind is not Kind.RENEW:
                self._metrics.published.inc()
                self._metrics.publish_seconds.observe(now - entry.made)
        if refused:
            count = count_events(entry for entry, _ in refused)
            self._metrics.dropped.labels("refused").inc(count)
            self._log.error("redis refused events", events=count, error=type(refused[0][1]).__name__)
        self._done(again)
        if again < len(answers):
            self._sha = ""
            return answers[again]  # type: ignore[no-any-return]  # `is_transient` saw to it
        self._back()
        return None

    def _done(self, count: int) -> None:
        self._waiting.done(count)
        self._tries = 0
        if not self._waiting:
            self._empty.set()

    def _fault(self, error: Exception) -> None:
        """What nobody foresaw: nobody can say what Redis has got by now.

        So what is in flight is written again, one by one, in order. The one with which it happens again and again is
        given up: it is not to hold up the others for ever.
        """
        self._metrics.outbox_faults.inc()
        if type(error) not in self._told:
            self._told.add(type(error))
            self._log.error("the outbox failed", error=type(error).__name__, places=_places(error))
        blamed = self._one_by_one and bool(self._sha)
        self._one_by_one, self._doubtful, self._sha = True, True, ""
        if not blamed:
            return
        self._tries += 1
        if self._tries >= TRIES:
            entry = self._waiting.in_flight[0]
            self._metrics.dropped.labels("refused").inc(count_events([entry]))
            self._log.error("an event can't be written; it is given up", id=entry.id, error=type(error).__name__)
            self._done(1)

    def _away(self, error: Exception) -> None:
        if self._up is not False and isinstance(error, RedisError | OSError):
            self._up = False
            self._metrics.redis_up.set(0)
            self._log.error("redis is away; events wait", error=type(error).__name__)

    def _back(self) -> None:
        if self._up is not True:
            self._up = True
            self._metrics.redis_up.set(1)
            self._log.info("redis takes events")
            self.renew_now()


def _places(error: Exception) -> list[str]:
    """Where an error arose, the innermost last. Not its message: that may hold what was said."""
    return [f"{Path(frame.filename).name}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)[-4:]]
