"""Twilio Media Streams (Twilio, "Media Streams: WebSocket messages").

Counters are strings in Twilio's messages and numbers in some of its imitators': both are read. A counter that can't be
one is odd, not wrong; so is a null where Twilio would leave a field out. Fields that we do not use are not looked at,
so new ones do no harm.
"""

from typing import Annotated

import msgspec

from gateway.errors import CarrierError, Outcome
from gateway.protocol.lenient import NOT_READABLE
from gateway.protocol.media_stream import Connected, Dtmf, Event, Mark, Media, Started, Stopped, Unknown

Counter = str | int | float | None

_TRACKS = {
    "inbound": "inbound",
    "outbound": "outbound",
    "inbound_track": "inbound",
    "outbound_track": "outbound",
}
"""`dtmf.track` has a suffix that `media.track` has not."""

_DIGITS = frozenset("0123456789*#ABCD")
"""The keys that there are (ITU-T Q.23)."""

MAX_PARAMETERS = 100
"""Twilio's own bound is 99 (REST: Parameter1 to Parameter99)."""


class _Format(msgspec.Struct, gc=False):
    encoding: str | None = None
    sample_rate: Counter = msgspec.field(name="sampleRate", default=None)
    channels: Counter = None


class _Start(msgspec.Struct):
    call_id: str = msgspec.field(name="callSid")
    stream_id: str | None = msgspec.field(name="streamSid", default=None)
    tracks: list[str] | None = None
    media_format: _Format | None = msgspec.field(name="mediaFormat", default=None)
    parameters: Annotated[dict[str, str], msgspec.Meta(max_length=MAX_PARAMETERS)] | None = msgspec.field(
        name="customParameters", default=None
    )


class _Media(msgspec.Struct, gc=False):
    payload: bytes
    track: str | None = None
    timestamp: Counter = None


class _Dtmf(msgspec.Struct, gc=False):
    digit: str | int
    track: str | None = None


class _Mark(msgspec.Struct, gc=False):
    name: str | None = None


class _Message(msgspec.Struct, tag_field="event", gc=False):
    sequence: Counter = msgspec.field(name="sequenceNumber", default=None)


class _ConnectedMessage(_Message, tag="connected", gc=False):
    pass


class _StartMessage(_Message, tag="start", kw_only=True):
    start: _Start
    stream_id: str | None = msgspec.field(name="streamSid", default=None)


class _MediaMessage(_Message, tag="media", kw_only=True, gc=False):
    media: _Media


class _DtmfMessage(_Message, tag="dtmf", kw_only=True, gc=False):
    dtmf: _Dtmf


class _MarkMessage(_Message, tag="mark", gc=False):
    mark: _Mark | None = None


class _StopMessage(_Message, tag="stop", gc=False):
    pass


class _Envelope(msgspec.Struct, gc=False):
    event: str


_KNOWN = frozenset(("connected", "start", "media", "dtmf", "mark", "stop"))
_decode = msgspec.json.Decoder(
    _ConnectedMessage | _StartMessage | _MediaMessage | _DtmfMessage | _MarkMessage | _StopMessage
).decode
_decode_envelope = msgspec.json.Decoder(_Envelope).decode


def _number(counter: Counter) -> int | None:
    if type(counter) is str:
        # At most 18 digits: int() of a text as long as a message would take time that a stranger chooses.
        return int(counter) if len(counter) <= 18 and counter.isascii() and counter.isdigit() else None
    return _plain_number(counter)


def _plain_number(counter: Counter) -> int | None:
    if isinstance(counter, int | float) and 0 <= counter < 10**18:
        return int(counter)
    return None


def _size(counter: Counter, default: int) -> int:
    """A number of `mediaFormat`: one that can't be read is none that we take."""
    return default if counter is None else _number(counter) or 0


class Twilio:
    """The codec. It keeps no state: one serves all streams."""

    name = "twilio"
    greets = True

    def decode(self, message: bytes) -> Event:
        """What a text message of Twilio's means.

        Raises:
            CarrierError: `protocol_error`, where it is not JSON, a field is missing or of the wrong type, or the
                payload is not base64.
        """
        try:
            known = _decode(message)
        except NOT_READABLE as error:
            return _unknown(message, error)
        if type(known) is _MediaMessage:
            media = known.media
            return Media(media.track or "inbound", media.payload, _number(known.sequence), _number(media.timestamp))
        return _rare(known)


def _rare(message: _Message) -> Event:
    match message:
        case _StartMessage(start=start):
            form = start.media_format or _Format()
            tracks = ("inbound",) if start.tracks is None else start.tracks
            return Started(
                call_id=start.call_id,
                stream_id=start.stream_id or message.stream_id or "",
                tracks=tuple(_TRACKS[name] for name in tracks if name in _TRACKS),
                encoding="audio/x-mulaw" if form.encoding is None else form.encoding,
                sample_rate=_size(form.sample_rate, 8000),
                channels=_size(form.channels, 1),
                parameters=start.parameters or {},
            )
        case _DtmfMessage(dtmf=dtmf):
            digit = str(dtmf.digit).upper()
            # What is no key is not passed on: it could be as long as a message.
            return Dtmf(_TRACKS.get(dtmf.track or "", "inbound"), digit) if digit in _DIGITS else Unknown()
        case _MarkMessage(mark=mark):
            return Mark((mark and mark.name) or "")
        case _StopMessage():
            return Stopped()
        case _:
            return Connected()


def _unknown(message: bytes, error: Exception) -> Unknown:
    """An event of a name that we don't know is harmless; whatever else can't be read is the carrier's fault."""
    try:
        name = _decode_envelope(message).event
    except msgspec.ValidationError:
        raise CarrierError(Outcome.PROTOCOL_ERROR, "a message is no object with a text field 'event'") from None
    except NOT_READABLE:
        raise CarrierError(Outcome.PROTOCOL_ERROR, "a message is not JSON, or nested too deep") from None
    if name not in _KNOWN:
        return Unknown()
    # msgspec names the field and the types, never the value, so its text may be shown.
    detail = error if isinstance(error, msgspec.ValidationError) else "it can't be read"
    raise CarrierError(Outcome.PROTOCOL_ERROR, f"a '{name}' message is malformed: {detail}") from None


TWILIO = Twilio()
