"""Where somebody speaks, by level alone."""

from __future__ import annotations

import audioop
import json
import random
from array import array
from pathlib import Path

import pytest

from gateway.sandbox import tones, wav
from gateway.sandbox.detector import SpeechEnded, SpeechStarted, VoiceDetector

DATA = Path(__file__).parent.parent / "data"


def spans(audio: bytes, *, size: int = 160, hangover_ms: int = 200) -> list[tuple[int, int | None]]:
    detector = VoiceDetector(hangover_ms=hangover_ms)
    found: list[tuple[int, int | None]] = []
    for at in range(0, len(audio), size):
        for event in detector.feed(audio[at : at + size]):
            match event:
                case SpeechStarted(at_ms):
                    found.append((at_ms, None))
                case SpeechEnded(at_ms):
                    found[-1] = (found[-1][0], at_ms)
    return found


def noise(rms: int, ms: int) -> bytes:
    dice = random.Random(rms)
    return bytes(audioop.lin2ulaw(array("h", (round(dice.gauss(0, rms)) for _ in range(ms * 8))).tobytes(), 2))


@pytest.mark.parametrize("size", [1, 37, 160, 400, 8000, 10**6])
def test_a_real_voice_is_found_within_250_ms_of_its_utterances(size: int) -> None:
    audio = wav.read(DATA / "speech-8k.wav").tracks[0]
    utterances = json.loads((DATA / "speech-8k.json").read_text())["utterances"]
    found = spans(audio, size=size, hangover_ms=1000)

    assert len(found) == len(utterances) == 5
    for (start_ms, end_ms), utterance in zip(found, utterances, strict=True):
        assert end_ms is not None
        assert abs(start_ms - utterance["start_ms"]) <= 250
        assert abs(end_ms - utterance["end_ms"]) <= 250


def test_a_pause_longer_than_the_hangover_ends_speech() -> None:
    audio = tones.silence(100) + tones.speak("yes no") + tones.silence(60) + tones.speak("hello") + tones.silence(300)

    assert spans(audio, hangover_ms=200) == [(100, 1000)]
    assert spans(audio, hangover_ms=80) == [(100, 640), (760, 1000)]
    assert spans(audio, hangover_ms=30) == [(100, 340), (400, 640), (760, 1000)]


def test_the_end_is_known_before_it_is_reported() -> None:
    detector = VoiceDetector(hangover_ms=200)
    detector.feed(tones.speak("yes"))

    assert detector.speech_start_ms == 0
    assert detector.speech_end_ms == 240


@pytest.mark.parametrize("audio", [b"\xff" * 80000, b"\x7f" * 80000, noise(10, 5000), noise(35, 5000)])
def test_silence_and_low_noise_are_not_speech(audio: bytes) -> None:
    assert spans(audio) == []


def test_a_steady_noise_is_learned_and_a_voice_over_it_is_heard() -> None:
    voice = wav.read(DATA / "speech-8k.wav").tracks[0][: 9000 * 8]
    mixed = audioop.add(audioop.ulaw2lin(voice, 2), audioop.ulaw2lin(noise(80, 9000), 2), 2)
    found = spans(audioop.lin2ulaw(mixed, 2), hangover_ms=1000)

    assert len(found) == 1
    assert abs(found[0][0] - 1000) <= 250


def test_a_click_is_not_speech() -> None:
    assert spans(tones.silence(500) + b"\x00" * 80 + tones.silence(500)) == []


def test_what_is_loud_for_long_is_still_heard() -> None:
    assert spans(b"\x00" * 8000 * 60) == [(0, None)]
