"""Twilio's dialect: whole conversations from tests/protocol/vectors, and what is refused.

Each line of a vector is `{"carrier": message}` with `event` (what it means; left out: nothing) and `counts` (the
harmless disorder that it is).
"""

import json
from base64 import b64decode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import CarrierError, Outcome
from gateway.protocol import media_stream
from gateway.protocol.dialects import DIALECTS
from gateway.protocol.dialects.twilio import TWILIO
from gateway.protocol.media_stream import Event, Media, Started, Unknown
from tests.protocol.conversation import STOP, Carrier, media, start

VECTORS = sorted((Path(__file__).parent.parent / "vectors").glob("*.jsonl"))

Write = Callable[[dict[str, Any]], bytes]


def as_it_is(message: dict[str, Any]) -> bytes:
    return json.dumps(message).encode()


def in_utf8(message: dict[str, Any]) -> bytes:
    return json.dumps(message, ensure_ascii=False).encode()


def spread_out(message: dict[str, Any]) -> bytes:
    return json.dumps(message, indent=4).encode() + b"\r\n"


def turned_round(message: dict[str, Any]) -> bytes:
    return json.dumps(dict(reversed(message.items()))).encode()


def with_more(message: dict[str, Any]) -> bytes:
    inner = {key: {**value, "new": [{}]} if isinstance(value, dict) else value for key, value in message.items()}
    return json.dumps({"new": {"event": "media"}, **inner}).encode()


def event_of(vector: dict[str, Any]) -> Event | None:
    """What a line says that its message means."""
    if "event" not in vector:
        return None
    ((name, fields),) = vector["event"].items()
    if "payload" in fields:
        fields["payload"] = b64decode(fields["payload"])
    if "tracks" in fields:
        fields["tracks"] = tuple(fields["tracks"])
    event: Event = getattr(media_stream, name)(**fields)
    return event


@pytest.mark.parametrize("write", [as_it_is, in_utf8, spread_out, turned_round, with_more])
@pytest.mark.parametrize("path", VECTORS, ids=lambda path: path.stem)
def test_a_whole_conversation_means_what_it_says_however_it_is_written(path: Path, write: Write) -> None:
    carrier = Carrier()
    for line in path.read_text().splitlines():
        vector = json.loads(line)
        message = carrier >> write(vector["carrier"]) << event_of(vector)
        message.counts(*([vector["counts"]] if "counts" in vector else []))


def test_the_dialect_is_known_by_its_name() -> None:
    assert DIALECTS["twilio"] is TWILIO


# Counters


@pytest.mark.parametrize(
    ("counter", "number"),
    [
        ("1", 1),
        ("007", 7),
        (1, 1),
        (1.0, 1),
        (1.9, 1),
        ("9" * 18, 10**18 - 1),
        (10**18 - 1, 10**18 - 1),
        ("9" * 19, None),
        (10**18, None),
        (1e300, None),
        ("1" * 60_000, None),
        (-1, None),
        ("-1", None),
        ("+1", None),
        (" 1", None),
        ("1.0", None),
        ("1e3", None),
        ("٣", None),
        ("²", None),
        ("", None),
        (None, None),
    ],
    ids=lambda value: repr(value)[:24],
)
def test_a_counter_is_read_where_it_can_be_one(counter: object, number: int | None) -> None:
    frame = TWILIO.decode(json.dumps(media(counter, counter)).encode())
    assert isinstance(frame, Media)
    assert (frame.sequence, frame.timestamp_ms) == (number, number)


# Start


def started(**changes: Any) -> Started:
    event = TWILIO.decode(json.dumps(start(**changes)).encode())
    assert isinstance(event, Started)
    return event


def test_the_inner_stream_id_goes_before_the_outer_one() -> None:
    assert started(streamSid="MZ2").stream_id == "MZ2"
    assert started(streamSid=None).stream_id == "MZ1"
    assert TWILIO.decode(b'{"event":"start","start":{"callSid":"CA1"}}') == Started(
        "CA1", "", ("inbound",), "audio/x-mulaw", 8000, 1, {}
    )


@pytest.mark.parametrize(
    ("tracks", "read"),
    [
        (["inbound", "outbound"], ("inbound", "outbound")),
        (["inbound_track", "outbound_track"], ("inbound", "outbound")),
        (["both", "outbound"], ("outbound",)),
        ([], ()),
    ],
)
def test_tracks_have_two_names(tracks: list[str], read: tuple[str, ...]) -> None:
    assert started(tracks=tracks).tracks == read


@pytest.mark.parametrize(
    ("form", "read"),
    [
        ({"encoding": "audio/x-mulaw", "sampleRate": "8000", "channels": "1"}, ("audio/x-mulaw", 8000, 1)),
        ({"encoding": "audio/x-l16", "sampleRate": 16000.0, "channels": 2}, ("audio/x-l16", 16000, 2)),
        ({"encoding": "", "sampleRate": "8k", "channels": -1}, ("", 0, 0)),
        ({"encoding": None}, ("audio/x-mulaw", 8000, 1)),
        ({}, ("audio/x-mulaw", 8000, 1)),
    ],
)
def test_what_is_not_said_of_the_format_is_twilios_and_what_can_not_be_read_is_not(
    form: dict[str, Any], read: tuple[str, int, int]
) -> None:
    event = started(mediaFormat=form)
    assert (event.encoding, event.sample_rate, event.channels) == read


def test_parameters_are_texts_and_at_most_a_hundred() -> None:
    parameters = {f"p{n}": "x" * n for n in range(100)}
    assert started(customParameters=parameters).parameters == parameters
    with pytest.raises(CarrierError, match="length <= 100"):
        started(customParameters=parameters | {"one": "more"})


# Digits


@pytest.mark.parametrize("digit", [*"0123456789*#ABCDabcd", 0, 9])
def test_a_key_is_a_digit(digit: str | int) -> None:
    event = TWILIO.decode(json.dumps({"event": "dtmf", "dtmf": {"digit": digit}}).encode())
    assert event == media_stream.Dtmf("inbound", str(digit).upper())


@pytest.mark.parametrize("digit", ["", "12", "E", "•", "\n", " ", "w" * 60_000, -1, 10], ids=lambda v: repr(v)[:9])
def test_what_is_no_key_is_odd_but_harmless(digit: str | int) -> None:
    assert TWILIO.decode(json.dumps({"event": "dtmf", "dtmf": {"digit": digit}}).encode()) == Unknown()


# What is refused

DEEP = b"[" * 30_000 + b"]" * 30_000

REFUSED = {
    b"": "not JSON",
    b"hello": "not JSON",
    b"{": "not JSON",
    b'{"event":"stop"}x': "not JSON",
    b"\xef\xbb\xbf" + json.dumps(STOP).encode(): "not JSON",
    b'{"event":"\xff"}': "not JSON",
    b'{"event":"\\ud800"}': "not JSON",
    b'{"event":"news","x":' + DEEP + b"}": "nested too deep",
    b'{"event":"news","x":NaN}': "not JSON",
    b"null": "no object with a text field 'event'",
    b"[]": "no object with a text field 'event'",
    DEEP: "no object with a text field 'event'",
    b"{}": "no object with a text field 'event'",
    b'{"event":null}': "no object with a text field 'event'",
    b'{"event":5}': "no object with a text field 'event'",
    b'{"event":"media"}': "a 'media' message is malformed: Object missing required field `media`",
    b'{"event":"media","media":{}}': "a 'media' message is malformed: Object missing required field `payload`",
    b'{"event":"start"}': "a 'start' message is malformed",
    b'{"event":"start","start":{"streamSid":"MZ1"}}': "missing required field `callSid`",
    b'{"event":"dtmf","dtmf":{}}': "missing required field `digit`",
    b'{"event":"dtmf","dtmf":{"digit":true}}': "a 'dtmf' message is malformed",
    b'{"event":"connected","sequenceNumber":1e400}': "a 'connected' message is malformed: Number out of range",
    b'{"event":"connected","sequenceNumber":' + b"9" * 5000 + b"}": "Integer value out of range",
    b'{"event":"media","media":{"payload":"/w==","track":"\xff"}}': "a 'media' message is malformed: it can't be read",
    b'{"event":"media","media":{"payload":"/w=="},"x":' + DEEP + b"}": "nested too deep",
}


@pytest.mark.parametrize(("message", "why"), REFUSED.items(), ids=lambda value: repr(value[:60]))
def test_what_is_no_message_is_refused_with_a_reason(message: bytes, why: str) -> None:
    with pytest.raises(CarrierError) as caught:
        TWILIO.decode(message)
    assert caught.value.outcome is Outcome.PROTOCOL_ERROR
    assert why in caught.value.detail
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    "message",
    [
        media("2", "0", track=5),
        media("2", "0", track=["inbound"]),
        media(True, "0"),
        media("2", {}),
        media("2", "0", payload=None),
        media("2", "0", payload=[]),
        start(callSid=None),
        start(callSid=5),
        start(tracks="inbound"),
        start(tracks=[None]),
        start(mediaFormat=[]),
        start(mediaFormat={"encoding": 1}),
        start(customParameters={"a": 1}),
        start(customParameters=["a"]),
    ],
    ids=str,
)
def test_a_field_of_the_wrong_type_is_refused_by_its_name(message: dict[str, Any]) -> None:
    with pytest.raises(CarrierError, match=rf"a '{message['event']}' message is malformed: .* - at `\$\.") as caught:
        TWILIO.decode(json.dumps(message).encode())
    assert caught.value.outcome is Outcome.PROTOCOL_ERROR


@pytest.mark.parametrize("payload", ["a", "//8", "//8==", "/ /8=", "__8=", "//8=//8=", "=", "====", "\n//8=", "é==="])
def test_a_payload_that_is_not_base64_is_refused(payload: str) -> None:
    with pytest.raises(CarrierError, match=r"Invalid base64 encoded string - at `\$\.media\.payload`"):
        TWILIO.decode(json.dumps(media("2", "0", payload)).encode())


@pytest.mark.parametrize(
    "message",
    [
        media("5551234567", "0", track=5),
        start(customParameters={"5551234567": 5551234567}),
        {"event": "5551234567", "sequenceNumber": {}, "media": []} | {"event": "media"},
        {"event": "dtmf", "dtmf": {"digit": ["5551234567"]}},
    ],
    ids=str,
)
def test_a_reason_never_repeats_what_was_sent(message: dict[str, Any]) -> None:
    with pytest.raises(CarrierError) as caught:
        TWILIO.decode(json.dumps(message).encode())
    assert "555" not in caught.value.detail
    assert len(caught.value.detail) <= 120, "a close frame holds 123 bytes"
