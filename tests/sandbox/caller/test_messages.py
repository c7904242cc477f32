"""gateway.sandbox.caller.messages: what is sent is what Twilio documents, type by type."""

import json
from typing import Any

import pytest

from gateway.sandbox.caller import Call, Track
from gateway.sandbox.caller.messages import Messages

CALL = Call(
    url="ws://x",
    inbound=b"a",
    outbound=b"b",
    call_sid="CA1",
    stream_sid="MZ1",
    account_sid="AC1",
    parameters={"FirstName": "Jane"},
)


def test_connected_has_neither_a_sid_nor_a_number() -> None:
    assert json.loads(Messages(CALL).connected()) == {"event": "connected", "protocol": "Call", "version": "1.0.0"}


def test_start_says_what_the_stream_is() -> None:
    assert json.loads(Messages(CALL).start()) == {
        "event": "start",
        "sequenceNumber": "1",
        "streamSid": "MZ1",
        "start": {
            "accountSid": "AC1",
            "streamSid": "MZ1",
            "callSid": "CA1",
            "tracks": ["inbound", "outbound"],
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
            "customParameters": {"FirstName": "Jane"},
        },
    }


def test_media_counts_in_strings() -> None:
    messages = Messages(CALL)
    messages.start()
    assert json.loads(messages.media(b"\xff\x7f", track=Track.INBOUND, timestamp_ms=5)) == {
        "event": "media",
        "sequenceNumber": "2",
        "streamSid": "MZ1",
        "media": {"track": "inbound", "chunk": "1", "timestamp": "5", "payload": "/38="},
    }


def test_chunks_count_over_both_tracks_and_sequence_numbers_over_everything() -> None:
    messages = Messages(CALL)
    sent: list[dict[str, Any]] = [
        json.loads(text)
        for text in (
            messages.start(),
            messages.media(b"a", track=Track.OUTBOUND, timestamp_ms=5),
            messages.media(b"b", track=Track.INBOUND, timestamp_ms=5),
            messages.dtmf("5"),
            messages.stop(),
        )
    ]
    assert [message["sequenceNumber"] for message in sent] == ["1", "2", "3", "4", "5"]
    assert [message["media"]["chunk"] for message in sent if "media" in message] == ["1", "2"]


@pytest.mark.parametrize(
    ("message", "body"),
    [
        (Messages(CALL).dtmf("#"), {"dtmf": {"track": "inbound_track", "digit": "#"}}),
        (Messages(CALL).mark("end"), {"mark": {"name": "end"}}),
        (Messages(CALL).stop(), {"stop": {"accountSid": "AC1", "callSid": "CA1"}}),
    ],
)
def test_the_other_messages_carry_their_own_body(message: str, body: dict[str, object]) -> None:
    (event,) = body
    assert json.loads(message) == {"event": event, "sequenceNumber": "1", "streamSid": "MZ1"} | body


def test_a_usual_frame_is_a_message_of_the_usual_size() -> None:
    messages = Messages(Call(url="ws://x"))
    assert 350 < len(messages.media(b"\xff" * 160, track=Track.INBOUND, timestamp_ms=20)) < 400
