"""A session hears recordings, tone speech and voices, on its own audio clock."""

from __future__ import annotations

import audioop
import random
from itertools import pairwise
from pathlib import Path

import pytest

from gateway.sandbox import recordings, tones
from gateway.sandbox.hearing import MUMBLE, Hearing
from gateway.sandbox.recordings import Word
from gateway.sandbox.tones import silence, speak, speak_words

VOICE = recordings.load(Path(__file__).parent.parent / "data" / "speech-8k.wav")[0]
UTTERANCES = ((1000, 8100), (9600, 12590), (14090, 19390), (20890, 26940), (28440, 31730))


def hear(hearing: Hearing, audio: bytes, *, size: int = 160) -> tuple[Word, ...]:
    for at in range(0, len(audio), size):
        hearing.hear(audio[at : at + size])
    return hearing.take()


def texts(words: tuple[Word, ...]) -> list[str]:
    return [word.text for word in words]


def mostly_in(start_ms: int, end_ms: int) -> list[str]:
    return [
        word.text
        for word in VOICE.words
        if min(end_ms, word.end_ms) - max(start_ms, word.start_ms) >= 0.6 * (word.end_ms - word.start_ms)
    ]


@pytest.mark.parametrize("size", [1, 77, 160, 480, 7999, 10**6])
def test_a_recording_gives_its_words_and_nothing_else(size: int) -> None:
    assert hear(Hearing([VOICE]), VOICE.audio, size=size) == VOICE.words


@pytest.mark.parametrize("size", [77, 480, 10**6])
def test_tone_speech_gives_its_words_and_nothing_else(size: int) -> None:
    audio, words = speak_words(tones.VOCABULARY)

    assert hear(Hearing([VOICE]), audio, size=size) == words


def test_a_hole_in_the_audio_is_a_hole_in_the_words() -> None:
    audio = VOICE.audio[: 4000 * 8] + VOICE.audio[5000 * 8 :]

    assert texts(hear(Hearing([VOICE]), audio)) == mostly_in(0, 4000) + mostly_in(5000, 33000)


def test_a_repeat_in_the_audio_is_a_repeat_in_the_words() -> None:
    audio = VOICE.audio[: 5000 * 8] + VOICE.audio[4000 * 8 :]

    assert texts(hear(Hearing([VOICE]), audio)) == mostly_in(0, 5000) + mostly_in(4000, 33000)


def test_holes_and_repeats_show_in_tone_speech_too() -> None:
    audio = speak("zero one two three four five")
    word = len(audio) // 6

    assert texts(hear(Hearing(), audio[:word] + audio[2 * word :])) == ["zero", "two", "three", "four", "five"]
    assert texts(hear(Hearing(), audio[: 2 * word] + audio[word:])) == [
        "zero", "one", "one", "two", "three", "four", "five",
    ]  # fmt: skip


def test_a_voice_that_is_not_known_gives_placeholders_inside_its_utterances_only() -> None:
    words = hear(Hearing(), VOICE.audio)

    assert set(texts(words)) == {MUMBLE}
    assert all(any(start - 20 <= w.start_ms and w.end_ms <= end + 20 for start, end in UTTERANCES) for w in words)
    spoken_ms = sum(end - start for start, end in UTTERANCES)
    assert len(words) == pytest.approx(spoken_ms / 400, rel=0.1)
    assert all(before.end_ms <= after.start_ms for before, after in pairwise(words))


def test_recording_tones_and_voice_may_follow_each_other() -> None:
    stranger = audioop.lin2ulaw(audioop.mul(audioop.ulaw2lin(VOICE.audio, 2), 2, 0.7), 2)[14000 * 8 : 16000 * 8]
    pause = silence(500)
    audio = VOICE.audio[: 9000 * 8] + speak("yes please") + pause + stranger + pause + speak("bye")
    words = texts(hear(Hearing([VOICE]), audio))
    mumbled = words.count(MUMBLE)

    assert words == [*mostly_in(0, 9000), "yes", "please", *[MUMBLE] * mumbled, "bye"]
    assert mumbled in (4, 5)


@pytest.mark.parametrize("byte", [0xFF, 0x7F])
def test_silence_is_silence(byte: int) -> None:
    hearing = Hearing([VOICE])

    assert hear(hearing, bytes([byte]) * 16000) == ()
    assert hearing.speech_start_ms is None
    assert hearing.silence_ms == hearing.heard_ms == 2000


def test_low_noise_is_silence() -> None:
    dice = random.Random(11)
    noise = bytes(dice.choice(b"\xfc\xfd\xfe\xff\x7c\x7d\x7e\x7f") for _ in range(40000))
    hearing = Hearing([VOICE])

    assert hear(hearing, noise) == ()
    assert hearing.silence_ms == 5000


def test_speech_and_silence_are_timed_by_the_audio() -> None:
    hearing = Hearing()
    hearing.hear(silence(500))
    assert (hearing.speech_start_ms, hearing.silence_ms) == (None, 500)

    hearing.hear(speak("hello")[: 200 * 8])
    assert (hearing.speech_start_ms, hearing.silence_ms) == (500, 0)

    hearing.hear(speak("hello")[200 * 8 :] + silence(340))
    assert (hearing.speech_start_ms, hearing.silence_ms) == (None, 400)
    assert hearing.heard_ms == 1140
    assert hearing.take() == (Word("hello", 500, 740),)


def test_the_gap_between_tone_words_is_no_pause() -> None:
    hearing = Hearing()
    longest = 0
    audio = speak("one two three four")[: -60 * 8]
    for at in range(0, len(audio), 80):
        hearing.hear(audio[at : at + 80])
        longest = max(longest, hearing.silence_ms if at > 800 else 0)

    assert longest <= 60


def test_a_known_word_is_never_silence_however_quiet_it_is() -> None:
    hearing = Hearing([VOICE])
    for at in range(0, 8100 * 8, 400):
        hearing.hear(VOICE.audio[at : at + 400])
        if 1250 <= hearing.heard_ms <= 8100:
            assert hearing.silence_ms == 0


def test_words_are_taken_once_and_up_to_a_time() -> None:
    hearing = Hearing()
    hearing.hear(speak("one two three"))

    assert texts(hearing.take(until_ms=600)) == ["one", "two"]
    assert texts(hearing.take()) == ["three"]
    assert hearing.take() == ()


def test_words_that_nobody_takes_are_bounded() -> None:
    hearing = Hearing()
    hearing.words += [Word("old", 0, 0)] * 5000
    hearing.hear(speak("new"))

    assert len(hearing.words) == 4096
    assert hearing.words[-1].text == "new"


def test_the_end_of_the_audio_ends_the_word_under_way() -> None:
    for known, audio, last in (
        ([VOICE], VOICE.audio[: 1200 * 8], "and"),
        ([], speak("thanks")[: 200 * 8], "thanks"),
        ([], VOICE.audio[: 1300 * 8], MUMBLE),
    ):
        hearing = Hearing(known)
        assert hear(hearing, audio) == ()
        hearing.finish()
        assert texts(hearing.take()) == [last]


@pytest.mark.parametrize(("rate", "size"), [(8000, 321), (16000, 641), (48000, 1921)])
def test_linear_audio_of_any_rate_is_heard_when_it_is_declared(rate: int, size: int) -> None:
    audio, words = speak_words(["check", "my", "account"])
    linear = audioop.ratecv(audioop.ulaw2lin(audio, 2), 2, 1, 8000, rate, None)[0]
    hearing = Hearing(encoding="pcm_s16le", sample_rate=rate)

    assert texts(hear(hearing, linear, size=size)) == texts(words)
    assert hearing.heard_ms in (899, 900)


def test_linear_audio_at_8_khz_is_still_the_recording() -> None:
    hearing = Hearing([VOICE], encoding="pcm_s16le")

    assert hear(hearing, audioop.ulaw2lin(VOICE.audio, 2), size=1601) == VOICE.words


@pytest.mark.parametrize(
    ("encoding", "rate", "heard_ms"),
    [("pcm_s16le", 8000, 5000), ("pcm_mulaw", 16000, 5000), ("pcm_s16le", 16000, 2500)],
)
def test_a_wrong_declaration_gives_bad_text_and_no_error(encoding: str, rate: int, heard_ms: int) -> None:
    hearing = Hearing([VOICE], encoding=encoding, sample_rate=rate)
    words = hear(hearing, VOICE.audio[: 10000 * 8])

    assert set(texts(words)) <= {MUMBLE}
    assert hearing.heard_ms == pytest.approx(heard_ms, abs=1)


def test_linear_audio_declared_as_mulaw_is_one_long_mumble() -> None:
    words = hear(Hearing([VOICE]), audioop.ulaw2lin(VOICE.audio[: 5000 * 8], 2))

    assert set(texts(words)) == {MUMBLE}


def test_zero_bytes_are_loud() -> None:
    hearing = Hearing([VOICE])

    assert set(texts(hear(hearing, bytes(16000)))) == {MUMBLE}
    assert hearing.silence_ms == 0


@pytest.mark.parametrize(("encoding", "rate"), [("opus", 8000), ("pcm_mulaw", 0), ("pcm_s16le", 10**6)])
def test_what_cannot_be_decoded_is_refused_at_once(encoding: str, rate: int) -> None:
    with pytest.raises(ValueError, match="cannot be heard"):
        Hearing(encoding=encoding, sample_rate=rate)
