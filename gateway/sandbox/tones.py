"""Synthetic speech: every word is a pair of tones, so that words survive as audio.

It works as DTMF does, with a larger vocabulary: a word is 240 ms of one low and one high tone, then 60 ms
of silence. All tones are multiples of 50 Hz, so in a window of 20 ms any two of them are orthogonal
whatever their phase, and one correlation per tone is enough to tell them apart.
"""

from __future__ import annotations

import audioop
import math
from array import array
from collections.abc import Callable, Sequence
from functools import cache
from itertools import pairwise
from typing import Final

from gateway.sandbox.recordings import Word

_WORDS_SPOKEN: Final = """
zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen
seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred thousand hello
hi yes no please thanks thank you i we it he she they me my your our the a an this that and or but not is
are was am be do have has can will would like want need know think say tell ask speak hear talk order
account number name address phone email date day week month today tomorrow morning time call card bill
payment price dollars book cancel change check send find open close help agent support question problem
wait hold what when where who why how to from of on in at for with about here there now new good right
okay sorry bye again
"""

VOCABULARY: Final[tuple[str, ...]] = tuple(_WORDS_SPOKEN.split())
"""The words that can be spoken. The place of a word decides its tones, so new words go to the end."""

WORD_MS: Final = 240
GAP_MS: Final = 60

_LOW: Final = tuple(range(450, 1551, 100))
_HIGH: Final = tuple(range(1700, 3351, 150))
_PLACES: Final = {word: divmod(place, len(_HIGH)) for place, word in enumerate(VOCABULARY)}
_WORDS: Final = {pair: word for word, pair in _PLACES.items()}
_AMPLITUDE: Final = 7000
_FADE: Final = 40  # samples, 5 ms

_HOP: Final = 80  # bytes, 10 ms
_WINDOW: Final = 160  # bytes, 20 ms
_QUIET: Final = 100  # rms of 16-bit samples
_PURE: Final = 0.8  # least share of the energy that lies in the two tones
_TWIST: Final = 0.15  # least share of the energy that lies in the weaker of the two
_HOLE: Final = 3  # hops without the tones, inside a word, that do not end it (between words there are six)
_LEAST_MS: Final = WORD_MS // 2
_SCALE: Final = 10_000

_Pair = tuple[int, int]


def silence(ms: int) -> bytes:
    """Mu-law silence of ``ms`` milliseconds."""
    return b"\xff" * (ms * 8)


def speak(text: str) -> bytes:
    """Speak a text.

    Args:
        text: Words of `VOCABULARY`; case and ``.,;:!?`` do not matter.

    Returns:
        8 kHz mu-law, 300 ms a word, the silence behind the last word included.

    Raises:
        ValueError: A word is not in `VOCABULARY`.
    """
    return speak_words(text.split())[0]


def speak_words(words: Sequence[str]) -> tuple[bytes, tuple[Word, ...]]:
    """Speak words and say when each one sounds.

    Args:
        words: As in `speak`.

    Returns:
        The audio, as in `speak`, and the words with their times in it.

    Raises:
        ValueError: A word is not in `VOCABULARY`.
    """
    clean = [word.strip(".,;:!?").lower() for word in words]
    spoken = b"".join(_spoken(word) for word in clean)
    starts = range(0, len(clean) * (WORD_MS + GAP_MS), WORD_MS + GAP_MS)
    return spoken, tuple(Word(text, start, start + WORD_MS) for text, start in zip(clean, starts, strict=True))


@cache
def _spoken(word: str) -> bytes:
    if word not in _PLACES:
        raise ValueError(f"{word!r} cannot be spoken as tones; `turngate call --words` prints what can")
    low, high = _PLACES[word]
    length = WORD_MS * 8
    samples = array("h")
    for at in range(length):
        fade = min(1.0, (at + 1) / _FADE, (length - at) / _FADE)
        turn = 2 * math.pi * at / 8000
        samples.append(round(_AMPLITUDE * fade * (math.sin(turn * _LOW[low]) + math.sin(turn * _HIGH[high]))))
    return audioop.lin2ulaw(samples.tobytes(), 2) + silence(GAP_MS)


class ToneDecoder:
    """Finds tone words in a stream of 8 kHz mu-law, cut up in any way.

    A word is heard when at least half of it is there; one that is held for twice its length counts twice.
    Anything that is not two pure tones of the vocabulary, a real voice for one, is no word. State is
    bounded: one run of tones and 20 ms of audio.
    """

    def __init__(self) -> None:
        self._rest = b""
        self._at = 0  # bytes of audio before the rest
        self._pair: _Pair | None = None
        self._start = 0  # of the run of self._pair, in bytes
        self._end = 0
        self._found: list[Word] = []

    @property
    def running_since_ms(self) -> int | None:
        """Since when tones have been sounding that may become a word; None if none are."""
        return None if self._pair is None else self._start // 8

    def feed(self, audio: bytes) -> list[Word]:
        """Take in audio.

        Args:
            audio: 8 kHz mu-law, any length.

        Returns:
            The words that were completed, up to 60 ms after each ended, timed by the bytes fed so far.
        """
        rest = self._rest + audio
        linear = audioop.ulaw2lin(rest, 2)
        ends = len(rest) - _WINDOW + 1
        for place in range(0, ends, _HOP):
            self._window(linear[place * 2 : (place + _WINDOW) * 2], self._at + place)
        used = max(0, ends + _HOP - 1) // _HOP * _HOP
        self._rest, self._at = rest[used:], self._at + used
        return self._take()

    def finish(self) -> list[Word]:
        """No more audio comes: the word under way, if half of it was heard."""
        self._close()
        return self._take()

    def _take(self) -> list[Word]:
        found, self._found = self._found, []
        return found

    def _window(self, linear: bytes, at: int) -> None:
        pair = _pair(linear, self._pair)
        if pair is not None and pair != self._pair:
            self._close()
            self._pair, self._start = pair, at
        if pair is not None:
            self._end = at + _WINDOW
        elif self._pair is not None and at - self._end > (_HOLE - 2) * _HOP:
            self._close()

    def _close(self) -> None:
        """End the run of tones; it is a word, or several, if it was long enough."""
        pair, self._pair = self._pair, None
        length_ms = (self._end - self._start) // 8
        if pair is None or length_ms < _LEAST_MS or pair not in _WORDS:
            return
        count = max(1, round(length_ms / WORD_MS))
        edges = [self._start // 8 + length_ms * part // count for part in range(count + 1)]
        self._found += [Word(_WORDS[pair], start, end) for start, end in pairwise(edges)]


def _reference(tone: int, wave: Callable[[float], float]) -> bytes:
    turn = 2 * math.pi * tone / 8000
    return array("h", (round(_SCALE * wave(turn * at)) for at in range(_WINDOW))).tobytes()


_REFERENCES: Final = {tone: (_reference(tone, math.cos), _reference(tone, math.sin)) for tone in (*_LOW, *_HIGH)}


def _energy(linear: bytes, tone: int) -> float:
    """Mean square of one tone in a window: `audioop.findfactor` is a correlation, written in C."""
    cosine, sine = _REFERENCES[tone]
    real, imaginary = audioop.findfactor(linear, cosine), audioop.findfactor(linear, sine)
    return float(real * real + imaginary * imaginary) * _SCALE * _SCALE / 2


def _pair(linear: bytes, expected: _Pair | None) -> _Pair | None:
    """The two tones that a window consists of; the pair that sounded before is tried first, being cheap."""
    total = audioop.rms(linear, 2) ** 2
    if total < _QUIET * _QUIET:
        return None
    if expected is not None and _pure(total, _energy(linear, _LOW[expected[0]]), _energy(linear, _HIGH[expected[1]])):
        return expected
    low, low_at = max((_energy(linear, tone), at) for at, tone in enumerate(_LOW))
    if low < _TWIST * total:
        return None
    high, high_at = max((_energy(linear, tone), at) for at, tone in enumerate(_HIGH))
    return (low_at, high_at) if _pure(total, low, high) else None


def _pure(total: float, low: float, high: float) -> bool:
    return low + high >= _PURE * total and min(low, high) >= _TWIST * total
