"""A WAV and the words beside it make recordings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.sandbox import recordings, tones, wav
from gateway.sandbox.recordings import Recording, RecordingError, Word
from gateway.sandbox.wav import WavError

VOICE = Path(__file__).parent.parent / "data" / "speech-8k.wav"


def saved(folder: Path, tracks: list[bytes], document: Any) -> Path:
    path = folder / "x.wav"
    wav.write_mulaw(path, tracks)
    path.with_suffix(".json").write_text(document if isinstance(document, str) else json.dumps(document))
    return path


def word(text: str, start_ms: int, end_ms: int) -> dict[str, object]:
    return {"text": text, "start_ms": start_ms, "end_ms": end_ms}


def test_each_channel_becomes_a_recording_with_its_words(tmp_path: Path) -> None:
    one, two = tones.speak("yes no"), tones.speak("hello you")
    document = {
        "tracks": [
            {"name": "inbound", "words": [word("yes", 0, 240), word(" no ", 300, 540)]},
            {"name": "outbound", "words": []},
        ]
    }

    assert recordings.load(saved(tmp_path, [one, two], document)) == (
        Recording("inbound", one, (Word("yes", 0, 240), Word("no", 300, 540))),
        Recording("outbound", two, ()),
    )


def test_the_time_of_an_utterance_is_divided_by_letters(tmp_path: Path) -> None:
    document = {"utterances": [word("I am hungry", 100, 1000), word("so", 1100, 1200)]}
    (recording,) = recordings.load(saved(tmp_path, [tones.silence(1500)], document))

    assert recording.words == (
        Word("I", 100, 200),
        Word("am", 200, 400),
        Word("hungry", 400, 1000),
        Word("so", 1100, 1200),
    )
    assert recording.duration_ms == 1500


def test_the_real_voice_has_seventy_words() -> None:
    (recording,) = recordings.load(VOICE)

    assert len(recording.words) == 70
    assert recording.words[0] == Word("and", 1000, 1226)
    assert recording.words[-1].text == "himself"
    assert recording.words[-1].end_ms == 31730


@pytest.mark.parametrize(
    ("document", "complaint"),
    [
        ("{", "is not the expected JSON"),
        ("[]", "is not the expected JSON"),
        ({"tracks": [{"name": "inbound"}]}, "missing required field `words`"),
        ({}, "neither `tracks`"),
        ({"tracks": []}, r"0 track\(s\), but x\.wav has 1 channel"),
        ({"tracks": [{"name": "a", "words": [word("late", 500, 2000)]}]}, "'late' at 500 to 2000 ms"),
        ({"tracks": [{"name": "a", "words": [word("none", 5, 5)]}]}, "'none' at 5 to 5 ms"),
        ({"tracks": [{"name": "a", "words": [word(" ", 5, 6)]}]}, "is empty"),
        ({"utterances": [word("b", 500, 600), word("a", 100, 200)]}, "overlaps"),
    ],
)
def test_words_that_cannot_be_right_are_refused(tmp_path: Path, document: Any, complaint: str) -> None:
    with pytest.raises(RecordingError, match=complaint):
        recordings.load(saved(tmp_path, [tones.silence(1000)], document))


def test_a_wav_without_words_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path, [tones.silence(20)], {})
    path.with_suffix(".json").unlink()

    with pytest.raises(RecordingError, match=r"x\.json: cannot be read .* the words of x\.wav"):
        recordings.load(path)


def test_words_without_a_wav_are_refused(tmp_path: Path) -> None:
    with pytest.raises(WavError):
        recordings.load(tmp_path / "x.wav")
