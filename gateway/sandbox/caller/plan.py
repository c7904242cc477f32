"""What call to place: the audio, who it is, how it goes wrong, and how it ends. Data only."""

import math
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Self

BYTES_PER_SECOND = 8000
"""8 kHz mu-law, one byte a sample."""

FRAME_BYTES = 160
"""20 ms, what Twilio sends in practice; its documents give no frame length."""

SILENCE = b"\xff"
"""Mu-law for zero, as an encoder makes it."""


class Track(StrEnum):
    """Whose audio, as `media.track` names it."""

    INBOUND = "inbound"
    OUTBOUND = "outbound"


class StreamKind(StrEnum):
    """The TwiML verb that opened the stream (Twilio, "TwiML Stream")."""

    START = "start"
    """Unidirectional: whatever the server sends is error 31924, and no digits are reported."""
    CONNECT = "connect"
    """Bidirectional: inbound track only, with digits; the server may send media, mark and clear."""


class Ending(StrEnum):
    """How the carrier leaves once the plan has been played."""

    STOP = "stop"
    """`stop`, then the closing handshake with 1000: an ordinary end."""
    CLOSE = "close"
    """The closing handshake with 1000, without a `stop`."""
    RESET = "reset"
    """A TCP reset, as when a host dies with its connections."""
    VANISH = "vanish"
    """Silent death: nothing more is sent, nothing is read or answered, nothing is closed."""


@dataclass(frozen=True, slots=True)
class Gap:
    """Audio lost on the way to the server: not sent at all; media timestamps jump. Seconds of call time."""

    at: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Burst:
    """Audio delivered late: held, then all at once; media timestamps do not jump. Seconds of call time."""

    at: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Repeat:
    """The first media message from `at` on goes out twice, the same bytes both times."""

    at: float


@dataclass(frozen=True, slots=True)
class Raw:
    """Something outside the protocol: text as a text message, bytes as a binary one."""

    at: float
    data: str | bytes


@dataclass(frozen=True, slots=True)
class Digit:
    """A key that the caller presses."""

    at: float
    digit: str


Fault = Gap | Burst | Repeat | Raw


def new_call_sid() -> str:
    """A call SID as Twilio forms them: CA and 32 hexadecimal digits."""
    return "CA" + secrets.token_hex(16)


def new_stream_sid() -> str:
    """A stream SID as Twilio forms them: MZ and 32 hexadecimal digits."""
    return "MZ" + secrets.token_hex(16)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """The plan of one call.

    Args:
        url: the WebSocket URL of the server.
        inbound: the caller's audio, 8 kHz mu-law. A track without audio is not in the stream; if neither has
            any, the stream has an inbound track on which nothing comes.
        outbound: what the caller hears.
        auth_token: signs the upgrade as `X-Twilio-Signature`; None sends no signature.
        signed_url: the URL that is signed, when the server's public URL differs from `url`.
        headers: more headers for the upgrade, for servers that want another credential.
        parameters: `start.customParameters`.
        kind: None is CONNECT if there are digits, else START.
        speed: call seconds per second.
        frame_bytes: bytes of audio a message; 8 are 1 ms. A shorter rest at the end is filled with silence.
        faults: what goes wrong on the way.
        vanish_seconds: how long a VANISH ending stays silent at most, in seconds of the clock on the wall.
        patience: seconds to wait for the upgrade, for a server that does not read, for its half of a close.

    Raises:
        ValueError: a plan that no carrier could carry out; the text says why.
    """

    url: str
    inbound: bytes = field(default=b"", repr=False)
    outbound: bytes = field(default=b"", repr=False)
    auth_token: str | None = field(default=None, repr=False)
    signed_url: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    call_sid: str = field(default_factory=new_call_sid)
    stream_sid: str = field(default_factory=new_stream_sid)
    account_sid: str = "AC" + "0" * 32
    parameters: Mapping[str, str] = field(default_factory=dict, repr=False)
    kind: StreamKind | None = None
    speed: float = 1.0
    frame_bytes: int = FRAME_BYTES
    digits: tuple[Digit, ...] = field(default=(), repr=False)
    faults: tuple[Fault, ...] = ()
    ending: Ending = Ending.STOP
    vanish_seconds: float = 90.0
    patience: float = 10.0

    def __post_init__(self) -> None:
        if self.frame_bytes < 1:
            raise ValueError("a frame has at least one byte")
        if not 0 < self.speed < math.inf:
            raise ValueError("the speed is a number greater than zero")
        if self.bidirectional and self.outbound:
            raise ValueError("a <Connect> stream has the inbound track only (Twilio error 31941)")
        if self.digits and not self.bidirectional:
            raise ValueError("Twilio reports digits on <Connect> streams only")

    @property
    def bidirectional(self) -> bool:
        """Whether the server may send anything."""
        kind = self.kind or (StreamKind.CONNECT if self.digits else StreamKind.START)
        return kind is StreamKind.CONNECT

    @property
    def tracks(self) -> tuple[Track, ...]:
        """The tracks of the stream, as `start` announces them."""
        found = [t for t, audio in ((Track.INBOUND, self.inbound), (Track.OUTBOUND, self.outbound)) if audio]
        return tuple(found) or (Track.INBOUND,)

    @property
    def seconds(self) -> float:
        """How long the plan lasts in call time, its ending not counted."""
        audio = max(len(self.inbound), len(self.outbound))
        frames = -(-audio // self.frame_bytes)
        events = [item.at for item in (*self.digits, *self.faults) if isinstance(item, Digit | Raw)]
        return max(frames * self.frame_bytes / BYTES_PER_SECOND, *events, 0.0)

    def renewed(self) -> Self:
        """The same plan as another call: new call and stream SIDs."""
        return replace(self, call_sid=new_call_sid(), stream_sid=new_stream_sid())
