"""The demo's recorded conversation: two voices that take turns, each word where the JSON says."""

import audioop
from itertools import pairwise

import pytest

from gateway.sandbox.caller.options import CONVERSATION
from gateway.sandbox.recordings import Recording, Word, load

SILENCE = 0xFF


@pytest.fixture(scope="module")
def tracks() -> tuple[Recording, ...]:
    return load(CONVERSATION)


def utterances(recording: Recording) -> list[list[Word]]:
    """Words with less than a second between them belong together."""
    found = [[recording.words[0]]]
    for before, word in pairwise(recording.words):
        if word.start_ms - before.end_ms < 1000:
            found[-1].append(word)
        else:
            found.append([word])
    return found


def test_it_is_small_and_half_a_minute_long(tracks: tuple[Recording, ...]) -> None:
    assert [track.name for track in tracks] == ["inbound", "outbound"]
    assert CONVERSATION.stat().st_size < 560_000
    assert all(25_000 <= track.duration_ms <= 35_000 for track in tracks)


def test_every_word_sounds_where_it_is_said_to(tracks: tuple[Recording, ...]) -> None:
    for track in tracks:
        for word in track.words:
            sound = audioop.ulaw2lin(track.audio[word.start_ms * 8 : word.end_ms * 8], 2)
            assert audioop.rms(sound, 2) > 500, word


def test_words_are_plain_and_in_order(tracks: tuple[Recording, ...]) -> None:
    for track in tracks:
        assert all(word.text.isalpha() and word.text.islower() for word in track.words)
        assert all(before.end_ms <= word.start_ms for before, word in pairwise(track.words))


def test_one_is_silent_while_the_other_speaks(tracks: tuple[Recording, ...]) -> None:
    inbound, outbound = (track.audio for track in tracks)
    assert all(SILENCE in pair for pair in zip(inbound, outbound, strict=True))


def test_pauses_are_long_between_utterances_and_short_within(tracks: tuple[Recording, ...]) -> None:
    for track in tracks:
        spoken = utterances(track)
        assert len(spoken) == 5
        assert all(later[0].start_ms - earlier[-1].end_ms >= 1500 for earlier, later in pairwise(spoken))
        inside = [later.start_ms - earlier.end_ms for words in spoken for earlier, later in pairwise(words)]
        assert max(inside) <= 300


def test_speakers_leave_each_other_time(tracks: tuple[Recording, ...]) -> None:
    spoken = sorted((words for track in tracks for words in utterances(track)), key=lambda words: words[0].start_ms)
    assert spoken[0][0].start_ms >= 500
    assert all(later[0].start_ms - earlier[-1].end_ms >= 300 for earlier, later in pairwise(spoken))
    assert tracks[0].duration_ms - spoken[-1][-1].end_ms >= 1000
