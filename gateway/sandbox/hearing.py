"""What one emulated session hears: words and silence, from the audio alone.

Words come from three ears, the surest first: a known recording gives its own words, tone speech gives the
words that it spells, and any other speech gives a placeholder at the pace at which people speak.
"""

from __future__ import annotations

import audioop
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final

from gateway.sandbox.detector import BLOCK_MS, SpeechEnded, VoiceDetector
from gateway.sandbox.finder import Finder, Library
from gateway.sandbox.recordings import Recording, Word
from gateway.sandbox.tones import GAP_MS, ToneDecoder

MUMBLE: Final = "mumble"
"""The text of a word that was heard but not understood."""

ENCODINGS: Final = ("pcm_mulaw", "pcm_s16le")
"""Encodings that a session may declare."""

_RATE: Final = 8000
_STEP: Final = 320  # bytes, 40 ms: long audio is heard in such steps, so that it is heard as short audio is
_HANGOVER_MS: Final = 80  # longer than the gap between tone words, shorter than the shortest pause that ends a turn
_MUMBLE_MS: Final = 400
_LEAST_MUMBLE_MS: Final = 200
_DOUBT_MS: Final = 250  # speech this young may yet turn out to be tone speech
_MOST_WORDS: Final = 4096


class _Intake:
    """Whatever was declared, as 8 kHz mu-law."""

    def __init__(self, encoding: str, sample_rate: int) -> None:
        if encoding not in ENCODINGS:
            raise ValueError(f"encoding {encoding!r} cannot be heard; expected one of {', '.join(ENCODINGS)}")
        if not 1000 <= sample_rate <= 192_000:
            raise ValueError(f"a sample rate of {sample_rate} Hz cannot be heard; expected 1000 to 192000")
        self._linear = encoding == "pcm_s16le"
        self._rate = sample_rate
        self._rest = b""
        self._state: Any = None

    def take(self, audio: bytes) -> bytes:
        if not self._linear and self._rate == _RATE:
            return audio
        audio = self._rest + audio
        whole = len(audio) - (len(audio) % 2 if self._linear else 0)
        audio, self._rest = audio[:whole], audio[whole:]
        linear = audio if self._linear else audioop.ulaw2lin(audio, 2)
        if self._rate != _RATE:
            linear, self._state = audioop.ratecv(linear, 2, 1, self._rate, _RATE, self._state)
        return bytes(audioop.lin2ulaw(linear, 2))


class _Mumbler:
    """Makes a placeholder of every 400 ms of speech that nobody understood."""

    def __init__(self) -> None:
        self._at_ms = 0  # speech before it was dealt with
        self._since_ms = 0
        self._ms = 0
        self._found: list[Word] = []

    def speech(self, start_ms: int, end_ms: int, understood: Callable[[int, int], bool]) -> None:
        """There was speech from ``start_ms`` to ``end_ms``; what was dealt with before is left out."""
        for at_ms in range(max(start_ms, self._at_ms), end_ms - BLOCK_MS + 1, BLOCK_MS):
            self._at_ms = at_ms + BLOCK_MS
            if understood(at_ms, self._at_ms):
                self.pause(at_ms)
                continue
            if not self._ms:
                self._since_ms = at_ms
            self._ms += BLOCK_MS
            if self._ms >= _MUMBLE_MS:
                self.pause(self._at_ms)

    def pause(self, at_ms: int) -> None:
        """The speech that was not understood ended; what is left of it is a word if it was long enough."""
        if self._ms >= _LEAST_MUMBLE_MS:
            self._found.append(Word(MUMBLE, self._since_ms, at_ms))
        self._ms = 0

    def take(self) -> list[Word]:
        """Remove and return the placeholders that were made."""
        found, self._found = self._found, []
        return found


class Hearing:
    """Turns a session's audio into words, on the session's own audio clock (ms of audio heard so far).

    Args:
        recordings: Speech whose words are known; sessions with the same ones share their index.
        encoding: What the session declared, one of `ENCODINGS`.
        sample_rate: What the session declared, in Hz. Bytes that are not what was declared give bad text,
            not an error.

    Attributes:
        words: The complete words that were heard and not yet taken, in order. Beyond 4096 the oldest are
            dropped.

    Raises:
        ValueError: The encoding or the rate is not one that can be decoded.
    """

    def __init__(
        self, recordings: Sequence[Recording] = (), *, encoding: str = "pcm_mulaw", sample_rate: int = _RATE
    ) -> None:
        self.words: list[Word] = []
        self._intake = _Intake(encoding, sample_rate)
        self._finder = Finder(Library.of(tuple(recordings)))
        self._tones = ToneDecoder()
        self._detector = VoiceDetector(hangover_ms=_HANGOVER_MS)
        self._mumbler = _Mumbler()
        self._toned: deque[Word] = deque(maxlen=16)
        self._heard = 0  # bytes of mu-law
        self._last_word_ms = 0

    def hear(self, audio: bytes) -> None:
        """Take in audio of any length; a word appears at its end or within 100 ms of silence after it."""
        audio = self._intake.take(audio)
        for at in range(0, len(audio), _STEP):
            self._step(audio[at : at + _STEP])

    def finish(self) -> None:
        """No more audio comes: what is being said ends here."""
        toned = self._tones.finish()
        self._toned += toned
        if self._detector.speech_start_ms is not None:
            self._speech_ended(self._detector.speech_start_ms, self._detector.speech_end_ms)
        self._add([*self._finder.finish(), *toned, *self._mumbler.take()])

    @property
    def heard_ms(self) -> int:
        """The audio clock."""
        return self._heard * 1000 // _RATE

    def take(self, until_ms: int | None = None) -> tuple[Word, ...]:
        """Remove and return words.

        Args:
            until_ms: Only those that ended by then; all when None.

        Returns:
            The words, in order.
        """
        count = len(self.words)
        if until_ms is not None:
            count = next((at for at, word in enumerate(self.words) if word.end_ms > until_ms), count)
        taken = tuple(self.words[:count])
        del self.words[:count]
        return taken

    @property
    def speech_start_ms(self) -> int | None:
        """When the speech that is going on began; None while nobody speaks."""
        starts = (self._detector.speech_start_ms, self._finder.word_start_ms)
        return min((start for start in starts if start is not None), default=None)

    @property
    def silence_ms(self) -> int:
        """How long it has been silent at the end of what was heard; 0 inside speech and known words."""
        if self._finder.word_start_ms is not None:
            return 0
        whole_ms = self.heard_ms // BLOCK_MS * BLOCK_MS
        return max(0, whole_ms - max(self._detector.speech_end_ms, self._last_word_ms))

    def _step(self, audio: bytes) -> None:
        start_ms = self.heard_ms
        self._heard += len(audio)
        found = self._finder.feed(audio)
        known = self._finder.knows(start_ms, self.heard_ms)
        # The tone decoder's clock must go on, but what is known need not be decoded; silence costs nothing.
        toned = [
            word
            for word in self._tones.feed(b"\xff" * len(audio) if known else audio)
            if not self._finder.knows(word.start_ms, word.end_ms)
        ]
        self._toned += toned
        self._mumble(audio)
        self._add([*found, *toned, *self._mumbler.take()])

    def _add(self, words: list[Word]) -> None:
        if words:
            words.sort(key=lambda word: word.end_ms)
            self._last_word_ms = max(self._last_word_ms, words[-1].end_ms)
            self.words += words
            del self.words[:-_MOST_WORDS]

    def _mumble(self, audio: bytes) -> None:
        """Give the mumbler the speech that is old enough, or that has ended."""
        before_ms = self._detector.speech_start_ms
        ended = [event for event in self._detector.feed(audio) if isinstance(event, SpeechEnded)]
        start_ms = self._detector.speech_start_ms if before_ms is None else before_ms
        if ended and start_ms is not None:
            self._speech_ended(start_ms, ended[0].at_ms)
        elif start_ms is not None:
            self._mumbler.speech(start_ms, self._detector.speech_end_ms - _DOUBT_MS, self._understood)

    def _speech_ended(self, start_ms: int, end_ms: int) -> None:
        self._mumbler.speech(start_ms, end_ms, self._understood)
        self._mumbler.pause(end_ms)

    def _understood(self, start_ms: int, end_ms: int) -> bool:
        """Whether this speech came from a recording, or is tone speech or the gap beside it."""
        running_ms = self._tones.running_since_ms
        if self._finder.knows(start_ms, end_ms) or (running_ms is not None and running_ms <= start_ms):
            return True
        margin_ms = 2 * GAP_MS
        return any(w.start_ms - margin_ms <= start_ms and end_ms <= w.end_ms + margin_ms for w in self._toned)
