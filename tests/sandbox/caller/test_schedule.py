"""gateway.sandbox.caller.schedule: frames come at their time, and faults are where they were asked for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.sandbox.caller import Burst, Call, Digit, Gap, Raw, Repeat, Track
from gateway.sandbox.caller.plan import Fault
from gateway.sandbox.caller.schedule import Frame, Step, steps

SECOND = b"\x01" * 8000


def planned(inbound: bytes = SECOND, *faults: Fault, **more: object) -> list[Step]:
    return list(steps(Call(url="ws://x", inbound=inbound, faults=faults, **more)))  # type: ignore[arg-type]


def frames(plan: list[Step]) -> list[tuple[float, Frame]]:
    return [(step.due, step.what) for step in plan if isinstance(step.what, Frame)]


def test_a_second_is_fifty_frames_at_multiples_of_20_ms() -> None:
    found = frames(planned())
    assert [due for due, _ in found] == pytest.approx([n * 0.02 for n in range(50)])
    assert [frame.timestamp_ms for _, frame in found] == [n * 20 for n in range(50)]
    assert {len(frame.payload) for _, frame in found} == {160}


def test_frames_do_not_drift_in_an_hour() -> None:
    last = frames(planned(bytes(8000 * 3600)))[-1]
    assert last == (3599.98, Frame(Track.INBOUND, 3_599_980, bytes(160)))


def test_both_tracks_go_frame_by_frame_and_the_shorter_goes_on_in_silence() -> None:
    found = [frame for _, frame in frames(planned(b"i" * 320, outbound=b"o" * 100))]
    assert found == [
        Frame(Track.INBOUND, 0, b"i" * 160),
        Frame(Track.OUTBOUND, 0, b"o" * 100 + b"\xff" * 60),
        Frame(Track.INBOUND, 20, b"i" * 160),
        Frame(Track.OUTBOUND, 20, b"\xff" * 160),
    ]


def test_an_odd_frame_length_keeps_its_own_time() -> None:
    found = frames(planned(bytes(300), frame_bytes=100))
    assert [due for due, _ in found] == pytest.approx([0, 0.0125, 0.025])
    assert [frame.timestamp_ms for _, frame in found] == [0, 12, 25]


def test_a_gap_loses_audio_and_lets_timestamps_jump() -> None:
    stamps = [frame.timestamp_ms for _, frame in frames(planned(SECOND, Gap(0.1, 0.5)))]
    assert stamps == [0, 20, 40, 60, 80, *range(600, 1000, 20)]


def test_a_burst_holds_everything_and_keeps_the_order() -> None:
    plan = planned(SECOND, Burst(0.1, 0.4), Raw(0.3, "x"))
    held = [step.due for step in plan if step.due == 0.5]
    assert len(held) == 22  # 20 frames, the one that is due then anyway, and what else was to go out meanwhile
    assert [step.due for step in plan] == sorted(step.due for step in plan)
    assert [frame.timestamp_ms for _, frame in frames(plan)] == [n * 20 for n in range(50)]


def test_a_repeat_sends_the_next_message_twice() -> None:
    found = [frame for _, frame in frames(planned(SECOND, Repeat(0.05), outbound=SECOND))]
    assert [(frame.track, frame.timestamp_ms) for frame in found if frame.copies == 2] == [(Track.INBOUND, 60)]


def test_digits_and_raw_messages_stand_between_the_frames_in_order_of_time() -> None:
    plan = planned(bytes(480), Raw(0.03, b"\x00"), digits=(Digit(0.03, "5"), Digit(0.01, "4"), Digit(9, "#")))
    assert [step.what for step in plan if not isinstance(step.what, Frame)] == [
        Digit(0.01, "4"),
        Digit(0.03, "5"),
        Raw(0.03, b"\x00"),
        Digit(9, "#"),
    ]
    assert [step.due for step in plan] == pytest.approx([0, 0.01, 0.02, 0.03, 0.03, 0.04, 9])


def test_no_audio_is_no_frame() -> None:
    assert planned(b"") == []


@given(
    audio=st.binary(max_size=4000),
    frame_bytes=st.integers(1, 500),
    bursts=st.lists(st.builds(Burst, st.floats(0, 1), st.floats(0, 1)), max_size=3),
)
def test_all_audio_goes_out_in_order_whatever_holds_it(audio: bytes, frame_bytes: int, bursts: list[Burst]) -> None:
    plan = planned(audio, *bursts, frame_bytes=frame_bytes)
    sent = b"".join(frame.payload for _, frame in frames(plan))
    assert sent[: len(audio)] == audio
    assert len(sent) - len(audio) < frame_bytes
    assert [step.due for step in plan] == sorted(step.due for step in plan)
