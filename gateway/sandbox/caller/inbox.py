"""What the server sends to the carrier: counted, checked against Twilio's rules, and played.

No asyncio and no clock here. Twilio's rules: nothing at all may come on a unidirectional stream (error
31924); messages are text (31950); a message is media, mark or clear with exactly the documented fields and
this stream's SID (31951).
"""

import msgspec

from gateway.sandbox.caller.plan import Call
from gateway.sandbox.caller.playout import Playout
from gateway.sandbox.caller.report import Received, Violation


class _Audio(msgspec.Struct, forbid_unknown_fields=True):
    payload: bytes  # msgspec decodes the base64, and refuses what is not.


class _Name(msgspec.Struct, forbid_unknown_fields=True):
    name: str


class _Message(
    msgspec.Struct, tag_field="event", tag=str.lower, rename="camel", forbid_unknown_fields=True, kw_only=True
):
    stream_sid: str


class Media(_Message):
    """Audio to play to the caller."""

    media: _Audio


class Mark(_Message):
    """A mark to send back once the audio before it has been played."""

    mark: _Name


class Clear(_Message):
    """The audio that waits is not to be played."""


_decoder = msgspec.json.Decoder(Media | Mark | Clear)


class Inbox:
    """The server's side of one stream.

    Attributes:
        playout: the play-out buffer; what it owes is for the line to send.
        pings: WebSocket pings that the server sent; the line counts them.
    """

    def __init__(self, call: Call) -> None:
        self._call = call
        self._counts = {"media": 0, "mark": 0, "clear": 0, "other": 0}
        self._audio_bytes = 0
        self._violations: dict[int, Violation] = {}
        self.playout = Playout()
        self.pings = 0

    @property
    def received(self) -> Received:
        """What has come so far."""
        return Received(**self._counts, audio_bytes=self._audio_bytes, pings=self.pings)

    @property
    def violations(self) -> tuple[Violation, ...]:
        """The rules that were broken, each once with its first reason and a count, as Twilio logs them."""
        return tuple(self._violations.values())

    def receive(self, message: str | bytes, now: float) -> None:
        """Takes one WebSocket message at `now` (seconds of call time)."""
        parsed = _parse(message, self._call.stream_sid)
        self._count(parsed)
        if not self._call.bidirectional:
            self.violated(31924, "sent a message on a unidirectional (<Start>) stream")
        elif isinstance(parsed, Violation):
            self.violated(parsed.code, parsed.message)
        else:
            self._play(parsed, now)

    def violated(self, code: int, message: str) -> None:
        """Notes that the server broke the rule `code`."""
        seen = self._violations.get(code)
        count = seen.count + 1 if seen else 1
        self._violations[code] = Violation(code, seen.message if seen else message, count)

    def _count(self, parsed: Media | Mark | Clear | Violation) -> None:
        self._counts["other" if isinstance(parsed, Violation) else type(parsed).__name__.lower()] += 1
        if isinstance(parsed, Media):
            self._audio_bytes += len(parsed.media.payload)

    def _play(self, message: Media | Mark | Clear, now: float) -> None:
        match message:
            case Media():
                self.playout.media(len(message.media.payload), now)
            case Mark():
                self.playout.mark(message.mark.name, now)
            case Clear():
                self.playout.clear(now)


def _parse(message: str | bytes, stream_sid: str) -> Media | Mark | Clear | Violation:
    if isinstance(message, bytes):
        return Violation(31950, "sent a binary message; Twilio takes text only")
    try:
        parsed: Media | Mark | Clear = _decoder.decode(message)
    except msgspec.DecodeError as error:  # Also a ValidationError: both say what is wrong and where.
        return Violation(31951, f"sent a message that is not media, mark or clear: {error}")
    if parsed.stream_sid != stream_sid:
        return Violation(31951, "sent a message with another streamSid")
    return parsed
