"""gateway.sandbox.caller.options: what the texts of the command line mean."""

from pathlib import Path

import pytest

from gateway.sandbox import recordings, tones, wav
from gateway.sandbox.caller import Burst, Call, Digit, Ending, Gap, Repeat
from gateway.sandbox.caller.options import (
    CONVERSATION,
    Sides,
    audio_of,
    digits_of,
    ending_of,
    faults_of,
    never_happening,
    pairs_of,
)

LEFT, RIGHT = b"\x10" * 800, b"\x20" * 800


@pytest.fixture
def stereo(tmp_path: Path) -> Path:
    wav.write_mulaw(tmp_path / "stereo.wav", (LEFT, RIGHT))
    return tmp_path / "stereo.wav"


@pytest.fixture
def mono(tmp_path: Path) -> Path:
    wav.write_mulaw(tmp_path / "mono.wav", (LEFT,))
    return tmp_path / "mono.wav"


def test_a_stereo_file_is_the_caller_and_the_called(stereo: Path) -> None:
    assert audio_of(stereo, None, 0, Sides.INBOUND) == (LEFT, b"")
    assert audio_of(stereo, None, 0, Sides.OUTBOUND) == (b"", RIGHT)
    assert audio_of(stereo, None, 0, Sides.BOTH) == (LEFT, RIGHT)


def test_a_mono_file_is_the_one_track_there_is(mono: Path) -> None:
    assert audio_of(mono, None, 0, Sides.INBOUND) == (LEFT, b"")
    assert audio_of(mono, None, 0, Sides.OUTBOUND) == (b"", LEFT)
    with pytest.raises(ValueError, match="stereo"):
        audio_of(mono, None, 0, Sides.BOTH)


def test_words_and_silence_come_after_the_file(mono: Path) -> None:
    words = tones.speak("one two")
    assert audio_of(mono, "one two", 0.5, Sides.INBOUND) == (LEFT + words + b"\xff" * 4000, b"")
    assert audio_of(None, "one two", 0, Sides.OUTBOUND) == (b"", words)
    inbound, outbound = audio_of(None, "one two", 0, Sides.BOTH)
    assert (inbound, outbound) == (words, b"\xff" * len(words))


def test_without_a_file_and_words_the_conversation_is_played() -> None:
    left, right = wav.read(CONVERSATION).tracks
    assert audio_of(None, None, 0, Sides.BOTH) == (left, right)


def test_what_cannot_be_read_or_said_is_told(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"nothing\.wav"):
        audio_of(tmp_path / "nothing.wav", None, 0, Sides.INBOUND)
    with pytest.raises(ValueError, match="xyzzy"):
        audio_of(None, "xyzzy", 0, Sides.INBOUND)


@pytest.mark.parametrize("say", ["", "   "])
def test_words_that_are_none_are_told(say: str, mono: Path) -> None:
    with pytest.raises(ValueError, match="--say takes words"):
        audio_of(mono, say, 0, Sides.INBOUND)


def test_a_fault_after_the_audio_is_told() -> None:
    faults = (Gap(0.1, 1), Gap(5, 1), Burst(0.3, 1), Repeat(0.2), Repeat(9))
    assert never_happening(Call(url="ws://x", inbound=tones.speak("one"), faults=faults)) == [
        "--gap at 5 s never happens: the audio lasts 0.3 s",
        "--burst at 0.3 s never happens: the audio lasts 0.3 s",
        "--repeat at 9 s never happens: the audio lasts 0.3 s",
    ]


def test_pairs_are_names_and_values() -> None:
    assert pairs_of("--parameter", ["a=b", "c=d=e", "f="]) == {"a": "b", "c": "d=e", "f": ""}
    assert pairs_of("--parameter", None) == {}
    with pytest.raises(ValueError, match="--parameter takes NAME=VALUE"):
        pairs_of("--parameter", ["a"])


def test_digits_have_a_moment() -> None:
    assert digits_of(["1.5:5", "2:#"]) == (Digit(1.5, "5"), Digit(2.0, "#"))


@pytest.mark.parametrize("wrong", ["5", "1.5:", "1.5:55", "x:5", "-1:5", "nan:5", "1:e"])
def test_what_is_no_digit_with_a_moment_is_told(wrong: str) -> None:
    with pytest.raises(ValueError, match="--dtmf takes AT:DIGIT"):
        digits_of([wrong])


def test_faults_have_a_moment_and_a_length() -> None:
    assert faults_of(["2.0:0.5"], ["3:0.4"], [1.0]) == (Gap(2.0, 0.5), Burst(3.0, 0.4), Repeat(1.0))
    assert faults_of(None, None, None) == ()
    with pytest.raises(ValueError, match="--gap takes AT:SECONDS"):
        faults_of(["2.0"], None, None)


def test_a_call_ends_in_one_way() -> None:
    assert ending_of(no_stop=False, reset=False, vanish=None) is Ending.STOP
    assert ending_of(no_stop=True, reset=False, vanish=None) is Ending.CLOSE
    assert ending_of(no_stop=False, reset=True, vanish=None) is Ending.RESET
    assert ending_of(no_stop=False, reset=False, vanish=0.0) is Ending.VANISH
    with pytest.raises(ValueError, match="ends once"):
        ending_of(no_stop=True, reset=True, vanish=None)


def test_the_conversation_has_its_words() -> None:
    assert [recording.name for recording in recordings.load(CONVERSATION)] == ["inbound", "outbound"]
