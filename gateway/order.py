"""One call's events in order, without I/O: how an event fits behind what was delivered, and when a call is over."""

from dataclasses import dataclass, field
from enum import Enum

import msgspec

from gateway import events
from gateway.events import AnyEvent

Position = tuple[int, int]
"""Where an event lies in its stream: `seq`, then `part` (0 for a durable event)."""


class _Envelope(msgspec.Struct):
    """What every event has, of whatever type."""

    id: str
    call_id: str
    stream_id: str
    seq: int
    type: str
    part: int = 0


@dataclass(frozen=True, slots=True)
class Message:
    """One event as it came.

    Attributes:
        data: its JSON, byte for byte.
        live: it came over the channel, not out of the history.
    """

    data: bytes = field(repr=False)
    live: bool
    _envelope: _Envelope = field(repr=False)

    @classmethod
    def read(cls, data: bytes, *, live: bool) -> "Message | None":
        """The message in `data`; None for what is no event at all, since anybody may publish to a channel."""
        try:
            return cls(data, live, msgspec.json.decode(data, type=_Envelope))
        except (ValueError, RecursionError):  # no JSON, no UTF-8, or nested too deep
            return None

    @property
    def id(self) -> str:
        """The event's id."""
        return self._envelope.id

    @property
    def call_id(self) -> str:
        """The call that it is of."""
        return self._envelope.call_id

    @property
    def stream_id(self) -> str:
        """The stream that it is of."""
        return self._envelope.stream_id

    @property
    def type(self) -> str:
        """The event's type."""
        return self._envelope.type

    @property
    def position(self) -> Position:
        """Where it lies in its lane."""
        return self._envelope.seq, self._envelope.part

    @property
    def durable(self) -> bool:
        """Whether it is numbered by `seq` and stored."""
        return not self._envelope.part

    @property
    def lane(self) -> str:
        """Stream and epoch: the numbering that `seq` belongs to."""
        return self.id.rsplit(":", 2 if self._envelope.part else 1)[0]

    @property
    def event(self) -> AnyEvent | None:
        """The event, typed; None where its type is newer than this library."""
        try:
            event: AnyEvent = events.decode(self.data)
        except (ValueError, RecursionError):
            return None
        return event


class Place(Enum):
    """How an event fits behind what was delivered."""

    NEXT = "next"
    SEEN = "seen"
    AHEAD = "ahead"
    """Something durable before it is missing."""


class Lanes:
    """How far each numbering of a call has been delivered."""

    def __init__(self) -> None:
        self._reached: dict[str, Position] = {}

    def place(self, message: Message) -> Place:
        """How it fits."""
        seq, part = message.position
        reached = self._reached.get(message.lane, (0, 0))
        if (seq, part) <= reached:
            return Place.SEEN
        return Place.NEXT if seq == reached[0] + (part == 0) else Place.AHEAD

    def deliver(self, message: Message) -> int:
        """Notes that it was delivered. Returns how many durable events were passed over."""
        seq, part = message.position
        before = self._reached.get(message.lane)
        self._reached[message.lane] = (seq, part)
        # A history may have lost its beginning to its length; that is its rule, not a loss.
        return 0 if before is None else max(seq - before[0] - (part == 0), 0)


class Life:
    """Whether a call is over: none of its streams has lived for `linger` seconds. None: it never is."""

    def __init__(self, linger: float | None) -> None:
        self._linger = linger
        self._living: set[str] = set()
        self._ended: set[str] = set()
        self._over_at: float | None = None

    def heed(self, message: Message, now: float) -> None:
        """Takes note of a delivered event. `now` in seconds of any steady clock."""
        stream = message.stream_id
        if message.type == "stream.ended":
            self._living.discard(stream)
            self._ended.add(stream)
            if not self._living and self._linger is not None:
                self._over_at = now + self._linger
        elif stream not in self._ended and message.type != "stream.status":
            self._living.add(stream)
            self._over_at = None

    def seconds_left(self, now: float) -> float | None:
        """How long to wait for more; None while there is no end to be seen."""
        return None if self._over_at is None else max(self._over_at - now, 0.0)
