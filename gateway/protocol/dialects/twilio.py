"""Twilio Media Streams (Twilio, "Media Streams: WebSocket messages").

Counters are strings in Twilio's messages and integers in some of its imitators': both are read. A counter that is no
number at all is odd, not wrong. Fields that we do not use are not looked at, so new ones do no harm.
"""

from typing import Annotated

import msgspec

from gateway.errors import CarrierError, Outcome
from gateway.protocol.media_stream import Connected, Dtmf, Event, Mark, Media, Started, Stopped, Unknown

Counter = str | int | None

_TRACKS = {"inbound_track": "inbound", "outbound_track": "outbound"}
"""`dtmf.track` has a suffix that `media.track` has not."""

MAX_PARAMETERS = 100
"""Twilio's own bound is 99 (REST: Parameter1 to Parameter99)."""


class _Format(msgspec.Struct, gc=False):
    encoding: str = "audio/x-mulaw"
    sample_rate: int = msgspec.field(name="sampleRate", default=8000)
    channels: int = 1


class _Start(msgspec.Struct):
    call_id: str = msgspec.field(name="callSid")
    stream_id: str | None = msgspec.field(name="streamSid", default=None)
    tracks: list[str] = msgspec.field(default_factory=lambda: ["inbound"])
    media_format: _Format = msgspec.field(name="mediaFormat", default_factory=_Format)
    parameters: Annotated[dict[str, str], msgspec.Meta(max_length=MAX_PARAMETERS)] = msgspec.field(
        name="customParameters", default_factory=dict
    )


class _Media(msgspec.Struct, gc=False):
    payload: bytes
    track: str = "inbound"
    timestamp: Counter = None


class _Dtmf(msgspec.Struct, gc=False):
    digit: Annotated[str, msgspec.Meta(min_length=1, max_length=1)]
    track: str = "inbound"


class _Mark(msgspec.Struct, gc=False):
    name: str = ""


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
    mark: _Mark = msgspec.field(default_factory=_Mark)


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
    if counter is None or isinstance(counter, int):
        return counter
    # At most 18 digits: int() of a text as long as a message would take time that a stranger chooses.
    return int(counter) if len(counter) <= 18 and counter.isascii() and counter.isdigit() else None


def _track(name: str) -> str:
    return _TRACKS.get(name, name)


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
        except msgspec.DecodeError as error:
            return _unknown(message, error)
        if type(known) is _MediaMessage:
            media = known.media
            return Media(media.track, media.payload, _number(known.sequence), _number(media.timestamp))
        return _rare(known)


def _rare(message: _Message) -> Event:
    match message:
        case _StartMessage(start=start):
            form = start.media_format
            return Started(
                call_id=start.call_id,
                stream_id=start.stream_id or message.stream_id or "",
                tracks=tuple(_track(name) for name in start.tracks),
                encoding=form.encoding,
                sample_rate=form.sample_rate,
                channels=form.channels,
                parameters=start.parameters,
            )
        case _DtmfMessage(dtmf=dtmf):
            return Dtmf(_track(dtmf.track), dtmf.digit)
        case _MarkMessage(mark=mark):
            return Mark(mark.name)
        case _StopMessage():
            return Stopped()
        case _:
            return Connected()


def _unknown(message: bytes, error: msgspec.DecodeError) -> Unknown:
    """An event of a name that we don't know is harmless; anything else that could not be read is the carrier's fault."""
    try:
        name = _decode_envelope(message).event
    except msgspec.ValidationError:
        raise CarrierError(Outcome.PROTOCOL_ERROR, "a message is no object with a text field 'event'") from None
    except msgspec.DecodeError:
        raise CarrierError(Outcome.PROTOCOL_ERROR, "a message is not JSON") from None
    if name not in _KNOWN:
        return Unknown()
    # msgspec names the field and the types, never the value, so its text may be shown.
    raise CarrierError(Outcome.PROTOCOL_ERROR, f"a '{name}' message is malformed: {error}") from None


TWILIO = Twilio()
