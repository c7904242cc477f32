"""gateway.sandbox.caller.plan: a plan that no carrier could carry out cannot be made."""

import re

import pytest

from gateway.sandbox.caller import Burst, Call, Digit, Gap, Raw, StreamKind, Track

URL = "ws://127.0.0.1:8080/media/twilio"


def test_the_tracks_are_those_that_have_audio() -> None:
    assert Call(url=URL, inbound=b"a").tracks == (Track.INBOUND,)
    assert Call(url=URL, outbound=b"a").tracks == (Track.OUTBOUND,)
    assert Call(url=URL, inbound=b"a", outbound=b"b").tracks == (Track.INBOUND, Track.OUTBOUND)


def test_a_call_without_audio_has_an_inbound_track() -> None:
    assert Call(url=URL).tracks == (Track.INBOUND,)
    assert Call(url=URL).seconds == 0


def test_sids_are_made_as_twilio_makes_them() -> None:
    one, other = Call(url=URL), Call(url=URL)
    assert re.fullmatch("CA[0-9a-f]{32}", one.call_sid)
    assert re.fullmatch("MZ[0-9a-f]{32}", one.stream_sid)
    assert one.call_sid != other.call_sid


def test_a_renewed_call_differs_in_its_sids_only() -> None:
    call = Call(url=URL, inbound=b"a", parameters={"a": "b"})
    again = call.renewed()
    assert (again.call_sid, again.stream_sid) != (call.call_sid, call.stream_sid)
    assert (again.inbound, again.parameters) == (call.inbound, call.parameters)


def test_a_plan_lasts_as_long_as_its_audio_in_whole_frames_or_its_last_event() -> None:
    assert Call(url=URL, inbound=bytes(161)).seconds == 0.04
    assert Call(url=URL, inbound=bytes(160), outbound=bytes(8000)).seconds == 1.0
    assert Call(url=URL, inbound=bytes(160), faults=(Raw(2.5, "x"), Gap(9, 9), Burst(9, 9))).seconds == 2.5


def test_digits_make_a_stream_bidirectional() -> None:
    assert not Call(url=URL).bidirectional
    assert Call(url=URL, digits=(Digit(0, "5"),)).bidirectional
    assert Call(url=URL, kind=StreamKind.CONNECT).bidirectional


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"frame_bytes": 0}, "at least one byte"),
        ({"speed": 0}, "greater than zero"),
        ({"speed": float("nan")}, "greater than zero"),
        ({"outbound": b"a", "kind": StreamKind.CONNECT}, "31941"),
        ({"outbound": b"a", "digits": (Digit(0, "5"),)}, "31941"),
        ({"digits": (Digit(0, "5"),), "kind": StreamKind.START}, "<Connect>"),
    ],
)
def test_what_twilio_cannot_do_cannot_be_planned(wrong: dict[str, object], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Call(url=URL, **wrong)  # type: ignore[arg-type]


def test_neither_token_nor_audio_nor_digits_show() -> None:
    call = Call(
        url=URL, auth_token="hush", inbound=b"secret", parameters={"t": "hush"}, headers={"h": "hush"},
        digits=(Digit(0, "7"),),
    )  # fmt: skip
    assert "hush" not in repr(call)
    assert "secret" not in repr(call)
    assert "'7'" not in repr(call)
