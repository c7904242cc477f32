"""gateway.sandbox.caller.inbox: what a server may send, and what Twilio would say to it."""

import json

import pytest

from gateway.sandbox.caller import Call, Received, StreamKind
from gateway.sandbox.caller.inbox import Inbox

MEDIA = {"event": "media", "streamSid": "MZ1", "media": {"payload": "////"}}
MARK = {"event": "mark", "streamSid": "MZ1", "mark": {"name": "end"}}
CLEAR = {"event": "clear", "streamSid": "MZ1"}


def inbox(kind: StreamKind = StreamKind.CONNECT) -> Inbox:
    return Inbox(Call(url="ws://x", stream_sid="MZ1", kind=kind))


def test_what_may_come_is_counted_and_played() -> None:
    box = inbox()
    for message in (MEDIA, MEDIA, MARK, CLEAR):
        box.receive(json.dumps(message), 1.0)
    assert box.received == Received(media=2, mark=1, clear=1, audio_bytes=6)
    assert box.violations == ()
    assert box.playout.pop_due(1.0) == ["end"]


@pytest.mark.parametrize("message", [json.dumps(MEDIA), "hello", b"hello"])
def test_anything_on_a_unidirectional_stream_is_an_error(message: str | bytes) -> None:
    box = inbox(StreamKind.START)
    box.receive(message, 0.0)
    assert [violation.code for violation in box.violations] == [31924]
    assert box.playout.next_due() is None


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (b"\xff\xff", 31950),
        ("not JSON", 31951),
        ("[]", 31951),
        (json.dumps(MEDIA | {"event": "hello"}), 31951),
        (json.dumps(MEDIA | {"streamSid": "MZ2"}), 31951),
        (json.dumps(MEDIA | {"sequenceNumber": "4"}), 31951),
        (json.dumps(MEDIA | {"media": {"payload": "not base64!"}}), 31951),
        (json.dumps(MEDIA | {"media": {}}), 31951),
        (json.dumps({"event": "clear"}), 31951),
    ],
)
def test_what_twilio_does_not_understand_is_told(message: str | bytes, code: int) -> None:
    box = inbox()
    box.receive(message, 0.0)
    assert [violation.code for violation in box.violations] == [code]
    assert box.received == Received(other=1)


def test_a_rule_broken_again_is_counted_under_its_first_reason() -> None:
    box = inbox()
    box.receive("{}", 0.0)
    box.receive("not JSON", 0.0)
    (violation,) = box.violations
    assert violation.count == 2
    assert "event" in violation.message
