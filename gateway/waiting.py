"""What waits for Redis: in order, and bounded in bytes. No I/O.

The rule of overflow: what is live-only goes first, then the oldest durable events. What is being written stays, and so
does the newest event.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum

OVERHEAD = 200
"""What an entry costs beside its event's bytes."""


class Kind(Enum):
    """What is to be done."""

    STORE = "store"
    """Store a durable event in its history, and tell the channel."""

    TELL = "tell"
    """Tell the channel of a live-only event."""

    RENEW = "renew"
    """Begin the life of a history anew: no event."""


@dataclass(slots=True)
class Entry:
    """One thing to be done in Redis."""

    kind: Kind
    key: str
    seconds: int
    """The life of the history from then on."""

    made: float
    """When, by the monotonic clock."""

    id: str = ""
    data: bytes = b""
    length: int = 0
    """The greatest length of the history, in events."""

    size: int = field(init=False)

    def __post_init__(self) -> None:
        self.size = len(self.data) + OVERHEAD


class Waiting:
    """See the module's docstring.

    Args:
        limit: bytes that may wait.
    """

    def __init__(self, limit: int) -> None:
        self.bytes = 0
        self.in_flight: list[Entry] = []
        """What was begun and is not done: it goes before all else."""

        self._limit = limit
        self._queue: deque[Entry] = deque()
        self._passing = 0
        """How many of the queue are not durable."""

    def __len__(self) -> int:
        return len(self.in_flight) + len(self._queue)

    def put(self, entry: Entry) -> int:
        """Takes an entry in. Returns how many events were given up for want of room; this may be one of them."""
        passing = entry.kind is not Kind.STORE
        # The last eighth is for durable events: a flood of live-only ones does not push them out one by one.
        if passing and self.bytes + entry.size > self._limit - self._limit // 8:
            return count_events([entry])
        self._queue.append(entry)
        self.bytes += entry.size
        self._passing += passing
        return self._make_room() if self.bytes > self._limit else 0

    def begin(self, most: int) -> list[Entry]:
        """The next entries, `most` at the most, which are in flight from now on; or those that are already."""
        if not self.in_flight:
            queue = self._queue
            self.in_flight = [queue.popleft() for _ in range(min(len(queue), most))]
            self._passing -= sum(entry.kind is not Kind.STORE for entry in self.in_flight)
        return self.in_flight[:most]

    def done(self, count: int) -> None:
        """The first so many of those in flight are through, one way or the other."""
        self.bytes -= sum(entry.size for entry in self.in_flight[:count])
        del self.in_flight[:count]

    def _make_room(self) -> int:
        gone: list[Entry] = []
        if self._passing:
            gone = [entry for entry in self._queue if entry.kind is not Kind.STORE]
            self._queue = deque(entry for entry in self._queue if entry.kind is Kind.STORE)
            self._passing = 0
            self.bytes -= sum(entry.size for entry in gone)
        while self.bytes > self._limit and len(self._queue) > 1:
            entry = self._queue.popleft()
            self.bytes -= entry.size
            gone.append(entry)
        return count_events(gone)

    def events(self) -> int:
        """How many events wait."""
        return count_events(self.in_flight) + count_events(self._queue)


def count_events(entries: Iterable[Entry]) -> int:
    """How many of them are events."""
    return sum(entry.kind is not Kind.RENEW for entry in entries)
