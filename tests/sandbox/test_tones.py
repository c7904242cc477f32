"""Words become tones and tones become words."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from gateway.sandbox import tones, wav
from gateway.sandbox.recordings import Word
from gateway.sandbox.tones import ToneDecoder, silence, speak, speak_words

VOICE = Path(__file__).parent.parent / "data" / "speech-8k.wav"
PITCH_MS = tones.WORD_MS + tones.GAP_MS


def heard(audio: bytes, *, sizes: tuple[int, ...] = (160,)) -> list[Word]:
    decoder = ToneDecoder()
    words: list[Word] = []
    at = turn = 0
    while at < len(audio):
        size = sizes[turn % len(sizes)]
        words += decoder.feed(audio[at : at + size])
        at, turn = at + size, turn + 1
    return words


def texts(words: list[Word]) -> str:
    return " ".join(word.text for word in words)


def test_the_vocabulary_has_more_than_100_words_and_no_word_twice() -> None:
    assert len(tones.VOCABULARY) > 100
    assert len(set(tones.VOCABULARY)) == len(tones.VOCABULARY)


@pytest.mark.parametrize("sizes", [(160,), (1,), (7, 333, 79), (400,), (10**6,)], ids=str)
def test_every_word_comes_back_with_its_times(sizes: tuple[int, ...]) -> None:
    audio, spoken = speak_words(tones.VOCABULARY)

    assert heard(audio, sizes=sizes) == list(spoken)


@pytest.mark.parametrize("shift", [1, 3, 39, 79, 81, 159])
def test_the_alignment_of_the_audio_does_not_matter(shift: int) -> None:
    audio, spoken = speak_words(["please", "cancel", "order", "seven"])
    words = heard(b"\xff" * shift + audio)

    assert texts(words) == "please cancel order seven"
    for word, original in zip(words, spoken, strict=True):
        assert abs(word.start_ms - shift // 8 - original.start_ms) <= 10
        assert abs(word.end_ms - shift // 8 - original.end_ms) <= 10


def test_case_and_punctuation_are_not_spoken() -> None:
    assert speak("Hello, World".replace("World", "NUMBER") + " two!") == speak("hello number two")


def test_a_word_outside_the_vocabulary_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"'xylophone' .*--words"):
        speak("hello xylophone")


def test_the_same_word_twice_is_two_words() -> None:
    assert texts(heard(speak("one one one"))) == "one one one"


def test_a_hole_in_the_audio_is_a_hole_in_the_words() -> None:
    audio = speak("zero one two three four five")
    hole = audio[: 2 * PITCH_MS * 8] + audio[4 * PITCH_MS * 8 :]

    assert texts(heard(hole)) == "zero one four five"


def test_a_repeat_gives_the_words_twice() -> None:
    audio = speak("zero one two three")
    repeated = audio[: 3 * PITCH_MS * 8] + audio[PITCH_MS * 8 :]

    assert texts(heard(repeated)) == "zero one two one two three"


@pytest.mark.parametrize(("kept_ms", "words"), [(100, "yes no"), (160, "yes account no")])
def test_a_word_is_heard_when_more_than_half_of_it_is_there(kept_ms: int, words: str) -> None:
    audio = speak("yes") + speak("account")[: kept_ms * 8] + silence(100) + speak("no")

    assert texts(heard(audio)) == words


def test_a_lost_frame_inside_a_word_does_not_lose_the_word() -> None:
    audio = speak("yes account no")
    cut = (PITCH_MS + 100) * 8

    assert texts(heard(audio[:cut] + audio[cut + 160 :])) == "yes account no"
    assert texts(heard(audio[:cut] + silence(10) + audio[cut + 80 :])) == "yes account no"


def test_a_quiet_line_with_noise_keeps_the_words() -> None:
    dice = random.Random(7)
    audio = bytearray(speak("call me tomorrow morning"))
    audio[:] = [byte if byte < 0xFC and not 0x7C <= byte <= 0x7F else 0xFC + dice.randrange(4) for byte in audio]

    assert texts(heard(bytes(audio))) == "call me tomorrow morning"


def test_the_last_word_needs_no_more_than_its_own_gap() -> None:
    assert texts(heard(speak("bye"))) == "bye"


def test_a_word_that_is_cut_off_by_the_end_is_given_by_finish() -> None:
    decoder = ToneDecoder()

    assert decoder.feed(speak("bye")[: 200 * 8]) == []
    assert decoder.running_since_ms == 0
    assert decoder.finish() == [Word("bye", 0, 200)]


def test_a_real_voice_is_no_tone_speech() -> None:
    assert heard(wav.read(VOICE).tracks[0]) == []


@pytest.mark.parametrize("byte", [0x00, 0x7F, 0x80, 0xFF])
def test_a_constant_is_no_tone_speech(byte: int) -> None:
    assert heard(bytes([byte]) * 16000) == []


def test_noise_is_no_tone_speech() -> None:
    assert heard(random.Random(3).randbytes(40000)) == []
