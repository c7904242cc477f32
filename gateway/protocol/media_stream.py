"""What may follow what in a carrier's media stream.

Every dialect has the same life: an optional greeting, one start, then media and marks and digits in any mix, then a
stop. A dialect's codec turns messages into the events below; this machine holds their order against `TRANSITIONS` and
refuses what can't be worked with. It does not know which dialect it serves, nor what becomes of the audio.

What is odd but harmless is counted by kind and passed over: carriers differ in details that do not matter.
"""

import re
from collections.abc import Callable, Mapping
from enum import Enum, StrEnum
from typing import Any, Protocol

import msgspec

from gateway.errors import CarrierError, Outcome

IDENTIFIER = re.compile(r"[A-Za-z0-9._:@+-]{1,128}")
"""What a call id and a stream id may look like: they become names of Redis channels."""


class Event(msgspec.Struct, frozen=True, gc=False):
    """What a carrier's message means."""


class Connected(Event, frozen=True, gc=False):
    """The carrier's greeting, before anything is known of the call."""


class Started(Event, frozen=True):
    """The stream begins: whose it is and what it carries."""

    call_id: str
    stream_id: str
    tracks: tuple[str, ...]
    encoding: str
    sample_rate: int
    channels: int
    parameters: dict[str, str]


class Media(Event, frozen=True, gc=False):
    """One frame of audio of one track. Counters are None where the carrier sent none, or none that can be read."""

    track: str
    payload: bytes
    sequence: int | None
    timestamp_ms: int | None


class Dtmf(Event, frozen=True, gc=False):
    """A key was pressed."""

    track: str
    digit: str


class Mark(Event, frozen=True, gc=False):
    """Audio that we sent has been played."""

    name: str


class Stopped(Event, frozen=True, gc=False):
    """The carrier has ended the stream."""


class Unknown(Event, frozen=True, gc=False):
    """A well-formed message that the dialect does not know."""


class Dialect(Protocol):
    """One carrier's way to write the events above."""

    name: str
    greets: bool
    """Whether `Connected` comes before `Started`."""

    def decode(self, message: bytes) -> Event:
        """What a text message means. Raises `CarrierError` where it is malformed."""


class State(Enum):
    """Where a stream is in its life."""

    OPENING = "waiting for the greeting"
    GREETED = "waiting for start"
    STREAMING = "streaming"
    STOPPED = "stopped"


class Disorder(StrEnum):
    """The kinds of disorder that are harmless: counted, and passed over. The last three are seen by whoever knows."""

    REPEATED = "repeated"
    UNKNOWN_EVENT = "unknown_event"
    AFTER_STOP = "after_stop"
    ODD_SEQUENCE = "odd_sequence"
    ODD_TIMESTAMP = "odd_timestamp"
    ODD_LENGTH = "odd_length"
    UNWANTED_TRACK = "unwanted_track"


TRANSITIONS: Mapping[State, Mapping[type[Event], State | Outcome | Disorder]] = {
    State.OPENING: {
        Connected: State.GREETED,
        Started: Outcome.HANDSHAKE_INVALID,
        Media: Outcome.HANDSHAKE_INVALID,
        Dtmf: Outcome.HANDSHAKE_INVALID,
        Mark: Outcome.HANDSHAKE_INVALID,
        Stopped: Outcome.HANDSHAKE_INVALID,
        Unknown: Outcome.HANDSHAKE_INVALID,
    },
    State.GREETED: {
        Connected: Disorder.REPEATED,
        Started: State.STREAMING,
        Media: Outcome.HANDSHAKE_INVALID,
        Dtmf: Outcome.HANDSHAKE_INVALID,
        Mark: Outcome.HANDSHAKE_INVALID,
        Stopped: Outcome.HANDSHAKE_INVALID,
        Unknown: Disorder.UNKNOWN_EVENT,
    },
    State.STREAMING: {
        Connected: Disorder.REPEATED,
        Started: Outcome.PROTOCOL_ERROR,
        Media: State.STREAMING,
        Dtmf: State.STREAMING,
        Mark: State.STREAMING,
        Stopped: State.STOPPED,
        Unknown: Disorder.UNKNOWN_EVENT,
    },
    State.STOPPED: dict.fromkeys((Connected, Started, Media, Dtmf, Mark, Stopped, Unknown), Disorder.AFTER_STOP),
}
"""For each state and event: the next state, the outcome that it ends with, or the kind of harmless disorder."""


class MediaStream:
    """The carrier's side of one stream.

    Args:
        dialect: the codec of the route that the carrier came by.
        count: told the kind of each harmless disorder of the messages' order.
    """

    __slots__ = ("_count", "_decode", "_last", "_moving", "state")

    def __init__(self, dialect: Dialect, count: Callable[[Disorder], Any]) -> None:
        self._decode = dialect.decode
        self._count = count
        self._last: Media | None = None
        self._moving = False
        self.state = State.OPENING if dialect.greets else State.GREETED

    def receive(self, message: bytes) -> Event | None:
        """Takes in one text message.

        Returns:
            What it means, or None where there is nothing to do.

        Raises:
            CarrierError: the stream ends with the error's outcome.
        """
        event = self._decode(message)
        kind = type(event)
        if kind is Media and self.state is State.STREAMING:
            return self._media(event)  # type: ignore[arg-type]
        step = TRANSITIONS[self.state][kind]
        if isinstance(step, Disorder):
            self._count(step)
            return None
        if isinstance(step, Outcome):
            raise CarrierError(step, f"'{kind.__name__.lower()}' came while {self.state.value}")
        if kind is Started:
            check_start(event)  # type: ignore[arg-type]
        self.state = step
        return event

    def _media(self, frame: Media) -> Media | None:
        """A counter that does not go up is counted. The very same frame once more, or more often, is passed over.

        Jumps are nothing: with two tracks, or digits in between, other messages take numbers too. A frame is a repeat
        only where everything of it is the same and the counter was moving before: a carrier whose counters stand still
        must not lose its silence for it.
        """
        last, self._last = self._last, frame
        if last is None or frame.sequence is None or last.sequence is None:
            return frame
        if frame.sequence > last.sequence:
            self._moving = True
            return frame
        repeated = self._moving and frame.timestamp_ms is not None and frame == last
        self._moving = repeated
        self._count(Disorder.REPEATED if repeated else Disorder.ODD_SEQUENCE)
        return None if repeated else frame


def check_start(start: Started) -> None:
    """Refuses a stream that can't be worked with: ids that are no names, audio that is not mu-law at 8 kHz, mono.

    Raises:
        CarrierError: with the outcome `unacceptable`.
    """
    for name, value in (("call id", start.call_id), ("stream id", start.stream_id)):
        if not IDENTIFIER.fullmatch(value):
            raise CarrierError(
                Outcome.UNACCEPTABLE,
                f"the {name} is not 1 to 128 of the characters A-Z a-z 0-9 . _ : @ + -",
            )
    if (start.encoding, start.sample_rate, start.channels) != ("audio/x-mulaw", 8000, 1):
        raise CarrierError(
            Outcome.UNACCEPTABLE,
            "the audio is not audio/x-mulaw at 8000 Hz with one channel: set the stream to mu-law",
        )
