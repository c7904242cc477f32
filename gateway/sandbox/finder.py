"""Finds known recordings in a stream of audio, byte for byte, and reads their words off it.

Audio that came through a carrier and the gateway unharmed is the recording's own mu-law, so equality is
enough: no correlation, and every hole, repeat and jump is seen to the byte.
"""

from __future__ import annotations

import audioop
from array import array
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from typing import Final

from gateway.sandbox.recordings import Recording, Word

_WINDOW: Final = 40  # bytes, 5 ms: enough of a voice to be unique
_GRID: Final = 8  # a window of a recording is indexed at every such byte; a stream is tried at as many in a row
_STEP: Final = 80  # bytes between two places of a stream that are looked up
_LEAST_PEAK: Final = 256  # of 16-bit samples: a window that is quieter names no place
_MOST_PLACES: Final = 64  # a window that occurs more often names no place
_HISTORY: Final = 3200  # bytes kept of unknown audio, to find where known audio began
_STRETCHES: Final = 64
_HEARD_SHARE: Final = 0.6  # of a word, for it to be heard
_HOLE: Final = 640  # bytes of other audio after which a word in pieces is over
_ONE_ZERO: Final = bytes(
    0xFF if byte == 0x7F else byte for byte in range(256)
)  # G.711 has two zeros; encoders write 0xFF


@dataclass(frozen=True, slots=True)
class _Guess:
    """Byte ``n`` of the stream may be byte ``n + shift`` of a recording."""

    recording: int
    shift: int


class Library:
    """Recordings, indexed by windows of their audio; immutable, so all sessions share one.

    Args:
        recordings: What can be heard.
    """

    def __init__(self, recordings: Sequence[Recording]) -> None:
        self.recordings: Final = tuple(recordings)
        self._audio = tuple(recording.audio.translate(_ONE_ZERO) for recording in self.recordings)
        self._starts = list(accumulate((len(audio) for audio in self._audio), initial=0))
        hashes, places = array("q"), array("q")
        for start, audio in zip(self._starts, self._audio, strict=False):
            for at in _loud_windows(audio):
                hashes.append(hash(audio[at : at + _WINDOW]))
                places.append(start + at)
        order = array("l", sorted(range(len(hashes)), key=hashes.__getitem__))
        self._hashes = array("q", (hashes[at] for at in order))
        self._places = array("q", (places[at] for at in order))

    @staticmethod
    @lru_cache(maxsize=8)
    def of(recordings: tuple[Recording, ...]) -> Library:
        """The one library of these recordings."""
        return Library(recordings)

    def find(self, window: bytes) -> list[tuple[int, int]]:
        """Where a window occurs, as recording and byte in it; nowhere when it occurs too often to tell."""
        key = hash(window)
        first = bisect_left(self._hashes, key)
        last = bisect_right(self._hashes, key, lo=first, hi=min(len(self._hashes), first + _MOST_PLACES + 1))
        if last - first > _MOST_PLACES:
            return []
        found = []
        for tape in self._places[first:last]:
            recording = bisect_right(self._starts, tape) - 1
            place = tape - self._starts[recording]
            if self._audio[recording].startswith(window, place):
                found.append((recording, place))
        return found

    def match(self, recording: int, place: int, audio: bytes) -> int:
        """How many bytes of ``audio`` are those of the recording from ``place`` on."""
        known = self._audio[recording][place : place + len(audio)]
        return _same(known, audio[: len(known)])

    def match_back(self, recording: int, place: int, audio: bytes) -> int:
        """How many bytes at the end of ``audio`` are those of the recording before ``place``."""
        known = self._audio[recording][max(0, place - len(audio)) : place][::-1]
        return _same(known, audio[::-1][: len(known)])


def _loud_windows(audio: bytes) -> Iterator[int]:
    linear = audioop.ulaw2lin(audio, 2)
    for at in range(0, len(audio) - _WINDOW + 1, _GRID):
        if audioop.max(linear[at * 2 : (at + _WINDOW) * 2], 2) >= _LEAST_PEAK:
            yield at


def _same(one: bytes, other: bytes) -> int:
    """Length of the common beginning of two strings of the same length, by halving."""
    if one == other:
        return len(one)
    same, different = 0, len(one)
    while different - same > 1:
        middle = (same + different) // 2
        if one[same:middle] == other[same:middle]:
            same = middle
        else:
            different = middle
    return same


class _Reader:
    """Reads words off the pieces of recordings that were heard, each word once enough of it was."""

    def __init__(self, recordings: Sequence[Recording]) -> None:
        self._words = tuple(tuple((w.text, w.start_ms * 8, w.end_ms * 8) for w in rec.words) for rec in recordings)
        self._ends = tuple([end for _, _, end in words] for words in self._words)
        self._place = (0, 0)
        self._word: tuple[int, int] | None = None  # recording and number of the word under way
        self._heard = self._first = self._last = 0
        self._emitted = 0
        self._found: list[Word] = []

    @property
    def word_since(self) -> int | None:
        """Where in the stream the word under way began; None between words."""
        return None if self._word is None else self._first

    def played(self, recording: int, start: int, end: int, at: int) -> None:
        """Bytes ``start`` to ``end`` of a recording were heard, from byte ``at`` of the stream on."""
        if (recording, start) < self._place or recording != self._place[0]:
            self.finish()
        self._place = (recording, end)
        words = self._words[recording]
        for number in range(bisect_right(self._ends[recording], start), len(words)):
            _, begins, ends = words[number]
            if begins >= end:
                break
            self._take((recording, number), max(start, begins) - start + at, min(end, ends) - start + at)
            if ends <= end:
                self.finish()

    def _take(self, word: tuple[int, int], first: int, last: int) -> None:
        if word != self._word:
            self.finish()
            self._word, self._heard, self._first = word, 0, first
        self._heard += last - first
        self._last = last

    def finish(self) -> None:
        """The word under way is over: it was heard if most of it was."""
        word, self._word = self._word, None
        if word is None or self._last <= self._emitted:
            return
        text, begins, ends = self._words[word[0]][word[1]]
        if self._heard >= _HEARD_SHARE * (ends - begins):
            self._found.append(Word(text, self._first // 8, self._last // 8))
            self._emitted = self._last

    def take(self) -> list[Word]:
        """Remove and return the words that were found."""
        found, self._found = self._found, []
        return found

    def forget(self) -> None:
        """What was reported since the last word is to be reported anew."""
        self._word = None
        self._place = (0, 0)

    def wait(self, at: int) -> None:
        """The stream has come to byte ``at`` without more of any recording."""
        if self._word is not None and at - self._last > _HOLE:
            self.finish()


class Finder:
    """Follows known recordings in one stream of 8 kHz mu-law, cut up in any way.

    While it follows, it only compares the next bytes. On a difference it looks the audio up again. Where
    several places of the recordings sound the same it follows them all, the likeliest in front, until they
    differ. Silence names no place.

    Args:
        library: What can be heard.
    """

    def __init__(self, library: Library) -> None:
        self._library = library
        self._reader = _Reader(library.recordings)
        self._buffer = b""
        self._base = 0  # byte of the stream at which the buffer begins
        self._at = 0  # next byte to compare, or to look up
        self._since = 0  # where the audio that is followed, or that is not known, began
        self._guesses: list[_Guess] = []
        self._expected = (0, 0)
        self._known: deque[tuple[int, int]] = deque(maxlen=_STRETCHES)

    @property
    def position(self) -> tuple[Recording, int] | None:
        """The recording that is being heard and how many ms of it have been; None while none is."""
        if not self._guesses:
            return None
        guess = self._guesses[0]
        return self._library.recordings[guess.recording], (self._at + guess.shift) // 8

    @property
    def word_start_ms(self) -> int | None:
        """When the word that is being heard began; None between words and outside recordings."""
        since = self._reader.word_since
        return since // 8 if since is not None and self._guesses else None

    def knows(self, start_ms: int, end_ms: int) -> bool:
        """Whether this part of the stream, of the last seconds, came whole from one recording."""
        if self._guesses and self._since <= start_ms * 8 and end_ms * 8 <= self._at:
            return True
        return any(start <= start_ms * 8 and end_ms * 8 <= end for start, end in self._known)

    def feed(self, audio: bytes) -> list[Word]:
        """Take in audio.

        Args:
            audio: 8 kHz mu-law, any length.

        Returns:
            The words that were completed: at least 60 % of each was heard. Times are the stream's.
        """
        if not self._library.recordings:
            return []
        self._buffer += audio.translate(_ONE_ZERO)
        end = self._base + len(self._buffer)
        going = True
        while going and self._at < end:
            going = self._follow() if self._guesses else self._search(end)
        keep_from = self._at if self._guesses else max(self._since, end - _HISTORY)
        self._buffer, self._base = self._buffer[keep_from - self._base :], keep_from
        if not self._guesses:
            self._reader.wait(end)
        return self._reader.take()

    def finish(self) -> list[Word]:
        """No more audio comes: the word under way, if most of it was heard."""
        self._reader.finish()
        return self._reader.take()

    def _follow(self) -> bool:
        """Compare what there is; drop the guesses that fail first."""
        rest = self._buffer[self._at - self._base :]
        leader = self._guesses[0]
        lengths = [self._library.match(guess.recording, self._at + guess.shift, rest) for guess in self._guesses]
        best = max(lengths)
        self._guesses = [guess for guess, length in zip(self._guesses, lengths, strict=True) if length == best]
        guess = self._guesses[0]
        start = self._at
        if guess != leader:
            self._reader.forget()
            start = self._since
        self._at += best
        self._reader.played(guess.recording, start + guess.shift, self._at + guess.shift, start)
        if best < len(rest):
            self._expected = (guess.recording, self._at + guess.shift)
            self._known.append((self._since, self._at))
            self._guesses, self._since = [], self._at
        return True

    def _search(self, end: int) -> bool:
        """Look the audio up, place after place; False when there is too little left of it."""
        while self._at + _GRID + _WINDOW <= end:
            place = self._at - self._base
            stretch = self._buffer[place : place + _GRID + _WINDOW]
            if audioop.max(audioop.ulaw2lin(stretch, 2), 2) >= _LEAST_PEAK:
                for offset in range(_GRID):
                    found = self._library.find(stretch[offset : offset + _WINDOW])
                    if found:
                        self._lock(self._at + offset, found)
                        return True
            self._at += _STEP
        return False

    def _lock(self, at: int, found: list[tuple[int, int]]) -> None:
        """Follow the places that fit what went before best, the one nearest to where we were in front."""
        before = self._buffer[self._since - self._base if self._since > self._base else 0 : at - self._base]
        backs = [self._library.match_back(recording, place, before) for recording, place in found]
        best = max(backs)
        fitting = [place for place, back in zip(found, backs, strict=True) if back == best]
        recording, expected = self._expected
        fitting.sort(key=lambda place: (place[0] != recording, abs(place[1] - expected)))
        self._guesses = [_Guess(recording, place - at) for recording, place in fitting]
        self._at = self._since = at - best
