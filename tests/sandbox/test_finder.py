"""Known audio is found again, to the byte."""

from __future__ import annotations

import random
import tracemalloc
from pathlib import Path

import pytest

from gateway.sandbox import recordings, tones
from gateway.sandbox.finder import Finder, Library
from gateway.sandbox.recordings import Recording, Word

VOICE = recordings.load(Path(__file__).parent.parent / "data" / "speech-8k.wav")[0]
LIBRARY = Library([VOICE])


def found(audio: bytes, library: Library = LIBRARY, *, size: int = 160) -> list[Word]:
    finder = Finder(library)
    words: list[Word] = []
    for at in range(0, len(audio), size):
        words += finder.feed(audio[at : at + size])
    return words + finder.finish()


def mostly_in(start_ms: int, end_ms: int) -> list[str]:
    """Texts of the words of which 60 % or more lie in a part of the recording."""
    return [
        word.text
        for word in VOICE.words
        if min(end_ms, word.end_ms) - max(start_ms, word.start_ms) >= 0.6 * (word.end_ms - word.start_ms)
    ]


def texts(words: list[Word]) -> list[str]:
    return [word.text for word in words]


@pytest.mark.parametrize("size", [1, 37, 160, 401, 10**6])
def test_a_whole_recording_gives_its_words_with_their_times(size: int) -> None:
    assert found(VOICE.audio, size=size) == list(VOICE.words)


def test_a_word_is_given_as_soon_as_its_end_has_passed() -> None:
    finder = Finder(LIBRARY)
    end = VOICE.words[0].end_ms * 8

    assert finder.feed(VOICE.audio[: end - 1]) == []
    assert finder.word_start_ms == 1000
    assert finder.feed(VOICE.audio[end - 1 : end]) == [VOICE.words[0]]
    assert finder.position == (VOICE, VOICE.words[0].end_ms)


@pytest.mark.parametrize("lead", [0, 1, 5, 8003])
@pytest.mark.parametrize("start", [0, 13, 40001])
def test_any_part_at_any_alignment_is_found(lead: int, start: int) -> None:
    words = found(b"\xff" * lead + VOICE.audio[start:])

    assert texts(words) == mostly_in(start // 8, VOICE.duration_ms)
    assert words[-1].end_ms == (VOICE.words[-1].end_ms * 8 - start + lead) // 8


@pytest.mark.parametrize("cut_ms", [1500, 4000, 8500, 11000, 16789])
@pytest.mark.parametrize("filling", [0, 1000, 3000])
def test_a_hole_loses_exactly_the_words_in_it(cut_ms: int, filling: int) -> None:
    audio = VOICE.audio[: cut_ms * 8] + tones.silence(filling) + VOICE.audio[(cut_ms + 1000) * 8 :]

    before, after = mostly_in(0, cut_ms), mostly_in(cut_ms + 1000, VOICE.duration_ms)
    assert texts(found(audio)) == before + after


@pytest.mark.parametrize("to_ms", [3000, 6200, 12345, 19000])
def test_a_repeat_gives_its_words_again(to_ms: int) -> None:
    audio = VOICE.audio[: to_ms * 8] + VOICE.audio[(to_ms - 1000) * 8 :]

    assert texts(found(audio)) == mostly_in(0, to_ms) + mostly_in(to_ms - 1000, VOICE.duration_ms)


def test_a_short_loss_inside_a_word_does_not_lose_the_word() -> None:
    word = VOICE.words[3]
    cut = (word.start_ms + 100) * 8
    audio = VOICE.audio[:cut] + VOICE.audio[cut + 320 :]

    assert texts(found(audio)) == texts(list(VOICE.words))


def test_a_flipped_byte_loses_nothing() -> None:
    audio = bytearray(VOICE.audio)
    for at in range(9000, len(audio), 8000):
        audio[at] ^= 0x55

    assert texts(found(bytes(audio))) == texts(list(VOICE.words))


@pytest.mark.parametrize("byte", [0x00, 0x7F, 0x80, 0xFF])
def test_constant_audio_is_no_place(byte: int) -> None:
    finder = Finder(LIBRARY)
    finder.feed(bytes([byte]) * 80000)

    assert finder.position is None


def test_silence_that_lasts_longer_than_recorded_does_not_lead_astray() -> None:
    audio = VOICE.audio[: 9000 * 8] + tones.silence(5000) + VOICE.audio[9000 * 8 :]
    words = found(audio)

    assert texts(words) == texts(list(VOICE.words))
    assert words[-1].end_ms == VOICE.words[-1].end_ms + 5000


def test_the_two_zeros_of_mulaw_are_one() -> None:
    assert found(VOICE.audio.replace(b"\xff", b"\x7f")) == list(VOICE.words)


def test_other_audio_is_not_known() -> None:
    noise = random.Random(5).randbytes(16000)
    finder = Finder(LIBRARY)

    assert finder.feed(noise) == []
    assert not finder.knows(0, 2000)


def test_what_is_known_is_known_from_its_first_loud_moment_to_its_last_byte() -> None:
    finder = Finder(LIBRARY)
    finder.feed(VOICE.audio[: 4000 * 8] + tones.silence(500))

    assert finder.knows(1000, 4000)
    assert not finder.knows(1000, 4400)


def test_recordings_that_sound_the_same_are_told_apart_when_they_differ() -> None:
    one, one_words = tones.speak_words(["yes", "no", "hello", "yes", "no", "order"])
    two, two_words = tones.speak_words(["yes", "no", "number"])
    library = Library([Recording("one", one, one_words), Recording("two", two, two_words)])

    assert found(one, library) == list(one_words)
    assert found(two, library) == list(two_words)
    assert texts(found(one[900 * 8 :] + two, library)) == ["yes", "no", "order", "yes", "no", "number"]


def test_the_same_recording_twice_gives_its_words_once() -> None:
    assert found(VOICE.audio, Library([VOICE, VOICE])) == list(VOICE.words)


def test_a_recording_over_and_over_gives_its_words_over_and_over() -> None:
    assert texts(found(VOICE.audio * 3)) == texts(list(VOICE.words)) * 3


def test_without_recordings_nothing_is_found() -> None:
    assert found(VOICE.audio, Library([])) == []


def test_the_index_of_a_stereo_recording_is_small() -> None:
    other = Recording("outbound", VOICE.audio[::-1], ())
    tracemalloc.start()
    library = Library([VOICE, other])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert len(library.recordings) == 2
    assert peak < 15_000_000
