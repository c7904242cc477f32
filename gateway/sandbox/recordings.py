"""Recordings whose words are known: a WAV with a JSON of word times beside it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import msgspec

from gateway.sandbox import wav

_Kind = TypeVar("_Kind")


@dataclass(frozen=True, slots=True)
class Word:
    """One spoken word and where it lies, in ms from the start of its audio; the end is exclusive."""

    text: str
    start_ms: int
    end_ms: int


@dataclass(frozen=True, slots=True)
class Recording:
    """One channel of known speech.

    Attributes:
        name: What it is called in messages and logs, e.g. ``inbound``.
        audio: 8 kHz mu-law.
        words: The words in it, in order of time.
    """

    name: str
    audio: bytes
    words: tuple[Word, ...]

    @property
    def duration_ms(self) -> int:
        """How long it plays."""
        return len(self.audio) // 8


class RecordingError(ValueError):
    """The JSON beside a WAV is missing, is not what was expected, or does not fit the WAV."""


class _WordTimes(msgspec.Struct):
    text: str
    start_ms: int
    end_ms: int


class _Track(msgspec.Struct):
    name: str
    words: list[_WordTimes]


class _Tracks(msgspec.Struct):
    tracks: list[_Track]


class _Utterances(msgspec.Struct):
    utterances: list[_WordTimes]


def load(path: Path | str) -> tuple[Recording, ...]:
    """Read ``x.wav`` and the ``x.json`` beside it.

    The JSON is ``{"tracks": [{"name": …, "words": [{"text", "start_ms", "end_ms"}, …]}, …]}`` with one
    track per channel, or, for a mono file, ``{"utterances": [{"text", "start_ms", "end_ms"}, …]}``: then
    the time of each utterance is divided among its words in proportion to their letters.

    Args:
        path: The WAV file.

    Returns:
        One recording per channel, in the order of the channels.

    Raises:
        gateway.sandbox.wav.WavError: The WAV is not readable.
        RecordingError: The JSON is not readable or does not fit the WAV.
    """
    path = Path(path)
    channels = wav.read(path).tracks
    beside = path.with_suffix(".json")
    try:
        content = beside.read_bytes()
    except OSError as error:
        raise RecordingError(
            f"{beside}: cannot be read ({error.strerror}); it must hold the words of {path.name}"
        ) from error
    tracks = _tracks(beside, content)
    if len(tracks) != len(channels):
        raise RecordingError(
            f"{beside}: describes {len(tracks)} track(s), but {path.name} has {len(channels)} channel(s); "
            "give one track for each channel, in the order of the channels"
        )
    pairs = zip(tracks, channels, strict=True)
    return tuple(Recording(name, audio, _checked(beside, name, audio, words)) for (name, words), audio in pairs)


def _tracks(path: Path, content: bytes) -> list[tuple[str, tuple[Word, ...]]]:
    known = _decoded(path, content, dict[str, msgspec.Raw])
    if "tracks" in known:
        tracks = _decoded(path, content, _Tracks).tracks
        return [
            (track.name, tuple(Word(w.text.strip(), w.start_ms, w.end_ms) for w in track.words)) for track in tracks
        ]
    if "utterances" in known:
        utterances = _decoded(path, content, _Utterances).utterances
        return [("inbound", tuple(word for utterance in utterances for word in _spread(utterance)))]
    raise RecordingError(f"{path}: has neither `tracks` (one per channel) nor `utterances` (for a mono file)")


def _decoded(path: Path, content: bytes, kind: type[_Kind]) -> _Kind:
    try:
        return msgspec.json.decode(content, type=kind)
    except msgspec.MsgspecError as error:
        raise RecordingError(f"{path}: is not the expected JSON: {error}") from error


def _spread(utterance: _WordTimes) -> Iterator[Word]:
    """Divide an utterance's time among its words in proportion to their letters."""
    texts = utterance.text.split()
    letters = sum(map(len, texts))
    span, before = utterance.end_ms - utterance.start_ms, 0
    for text in texts:
        start = utterance.start_ms + span * before // letters
        before += len(text)
        yield Word(text, start, utterance.start_ms + span * before // letters)


def _checked(path: Path, name: str, audio: bytes, words: tuple[Word, ...]) -> tuple[Word, ...]:
    """Refuse words that are empty, out of order, or outside the audio."""
    before = 0
    for word in words:
        if not (word.text and before <= word.start_ms < word.end_ms <= len(audio) // 8 + 1):
            raise RecordingError(
                f"{path}: track {name}: the word {word.text!r} at {word.start_ms} to {word.end_ms} ms is "
                f"empty, overlaps the word before it, or lies outside the audio (0 to {len(audio) // 8} ms)"
            )
        before = word.end_ms
    return words
