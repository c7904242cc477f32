"""Every call at once: which are followed, and when one is given up.

A gateway that was killed leaves streams behind that never end. They must neither keep us busy for ever nor take the
place of calls that live.
"""

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import TypeVar

from redis.exceptions import RedisError

from gateway import events
from gateway.client import Message, Transcripts
from gateway.events import AnyEvent
from gateway.order import Lanes, Place
from gateway.view import clean

MOST_CALLS = 100
"""Calls that are followed at once; each holds a connection to Redis. Where there are more, the newest are followed: the
oldest of those gives way that have said nothing while they were followed."""

QUIET_SECONDS = 600.0
"""A call that says nothing for so long is given up: a gateway that was killed does not say that its streams ended."""

REMEMBERED = 10_000
"""Calls of which it is known how far they were told, and that they were given up; the oldest are forgotten first."""

Complain = Callable[[str], None]
"""Takes a sentence for the person who watches."""

_Known = TypeVar("_Known")


@dataclass(slots=True, eq=False)
class _Followed:
    """A call that is followed.

    Attributes:
        announced: its streams that were announced since its history was read from the beginning.
        lanes: how far it was told.
        spoke: something came live.
    """

    announced: set[str]
    lanes: Lanes
    spoke: bool = False
    task: asyncio.Task[None] | None = None


class AllCalls:
    """Every call, each followed by a task of its own from its beginning to its end.

    A call that is over may go on with another stream; then it is followed again, without what was told before. So is
    one that was given up, when one of its streams ends after all.

    Args:
        tell: takes each event, in order for each stream.
        complain: takes what is not followed, and why.
        linger: a call is over when it has had no stream for so many seconds.
    """

    def __init__(
        self, transcripts: Transcripts, tell: Callable[[Message], None], complain: Complain, linger: float
    ) -> None:
        self._transcripts = transcripts
        self._tell = tell
        self._complain = complain
        self._linger = linger
        self._quiet = QUIET_SECONDS + linger
        self._followed: dict[str, _Followed] = {}
        self._told: dict[str, Lanes] = {}
        self._given_up: dict[str, None] = {}
        self._crowded = False

    async def follow(self) -> None:
        """Follows until it is cancelled, or Redis goes."""
        failed: list[Exception] = []
        try:
            async with asyncio.TaskGroup() as group, aclosing(self._transcripts.calls(under_way=True)) as told:
                async for event in told:
                    if isinstance(event, events.StreamStarted) or event.call_id in self._given_up:
                        self._lives(event, group)
        except* (RedisError, OSError) as group_of_errors:
            failed = list(group_of_errors.exceptions)
        if failed:
            raise failed[0]

    def _lives(self, event: AnyEvent, group: asyncio.TaskGroup) -> None:
        call_id = event.call_id
        if (followed := self._followed.get(call_id)) is not None:
            followed.announced.add(event.stream_id)
        elif self._has_room():
            self._given_up.pop(call_id, None)
            lanes = self._told.pop(call_id) if call_id in self._told else Lanes()
            followed = self._followed[call_id] = _Followed({event.stream_id}, lanes)
            followed.task = group.create_task(self._call(call_id, followed), name=f"tail {call_id}")
        else:
            _remember(self._given_up, call_id, None)
            self._complain(f"more than {MOST_CALLS} calls at once: {clean(call_id)} is not shown")

    def _has_room(self) -> bool:
        """Whether one more call can be followed; another may have given way to it."""
        if len(self._followed) < MOST_CALLS:
            return True
        silent = next((call_id for call_id, followed in self._followed.items() if not followed.spoke), None)
        if silent is None:
            return False
        if task := self._followed[silent].task:
            task.cancel()
        self._give_up(silent)
        if not self._crowded:
            # Once, since a gateway that was killed may have left thousands.
            self._crowded = True
            self._complain(f"more than {MOST_CALLS} calls at once: the oldest that say nothing are not shown")
        return True

    async def _call(self, call_id: str, followed: _Followed) -> None:
        patience = asyncio.timeout(self._quiet)
        try:
            async with patience:
                await self._tell_all(call_id, followed, patience)
        except TimeoutError:
            if not patience.expired():
                raise
            self._give_up(call_id)
            self._complain(f"{clean(call_id)} has said nothing for {self._quiet / 60:.4g} min: it is given up")
        else:
            self._let_go(call_id)

    async def _tell_all(self, call_id: str, followed: _Followed, patience: asyncio.Timeout) -> None:
        now = asyncio.get_running_loop().time
        streams: set[str] = set()
        while followed.announced - streams:
            # A stream that is announced from here on, and not seen before the call is over, is worth another look.
            followed.announced = set()
            async with aclosing(self._transcripts.messages(call_id, linger=self._linger)) as told:
                async for message in told:
                    patience.reschedule(now() + self._quiet)
                    streams.add(message.stream_id)
                    self._take(message, followed)

    def _take(self, message: Message, followed: _Followed) -> None:
        followed.spoke |= message.live
        if followed.lanes.place(message) is not Place.SEEN:
            followed.lanes.deliver(message)
            self._tell(message)

    def _give_up(self, call_id: str) -> None:
        self._let_go(call_id)
        _remember(self._given_up, call_id, None)

    def _let_go(self, call_id: str) -> None:
        _remember(self._told, call_id, self._followed.pop(call_id).lanes)


def _remember(known: dict[str, _Known], call_id: str, what: _Known) -> None:
    known[call_id] = what
    while len(known) > REMEMBERED:
        del known[next(iter(known))]
