"""Turns of the U3 family: whole-turn partials that change their mind, formatted throughout, one final."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.sandbox.emulator import turns
from gateway.sandbox.emulator.choices import IdleForce
from gateway.sandbox.emulator.knobs import Knobs
from gateway.sandbox.emulator.messages import SpeechStarted, Turn
from gateway.sandbox.recordings import Word


class U3Turns:
    """The U3 profile.

    A partial holds the whole turn so far, with the newest word guessed and put right in the next one, so an earlier
    word changes. A final's edges are padded: its first word starts early, its last one ends late.
    """

    def __init__(self, settings: turns.Settings, knobs: Knobs) -> None:
        self.settings = settings
        self._knobs = knobs
        self._order = 0
        self._words: list[Word] = []
        self._shown = 0
        self._started = False
        self._cut_ms = 0

    def advance(self, words: Sequence[Word], at_ms: int, silence_ms: int) -> list[Turn | SpeechStarted]:
        """See `Turns.advance`."""
        self._words += words
        if not self._words:
            return []
        if turns.ends(self._words, silence_ms, self.settings):
            return self._final(at_ms)
        return self._partial(silence_ms) if self._partial_is_due(at_ms) else []

    def force(self, words: Sequence[Word], at_ms: int) -> list[Turn | SpeechStarted]:
        """See `Turns.force`: a word in flight belongs to the next turn."""
        self._words += words
        if self._words or self._knobs.force_when_idle is IdleForce.EMPTY_FINAL:
            return self._final(at_ms)
        return []

    def finish(self, words: Sequence[Word], at_ms: int) -> list[Turn | SpeechStarted]:
        """See `Turns.finish`."""
        self._words += words
        return self._final(at_ms) if self._words else []

    def _partial_is_due(self, at_ms: int) -> bool:
        if not self.settings.partials or self._shown == len(self._words):
            return False
        if self._shown:
            return self.settings.continuous
        return at_ms >= self._words[0].start_ms + self.settings.first_partial_ms

    def _partial(self, silence_ms: int) -> list[Turn | SpeechStarted]:
        self._shown = len(self._words)
        texts = turns.formatted([word.text for word in self._words], closed=False)
        if self._knobs.u3_revise:
            texts[-1] = guessed(texts[-1])
        held = min(1.0, silence_ms / max(1, self.settings.max_silence_ms))
        partial = Turn(
            turn_order=self._order,
            turn_is_formatted=True,
            end_of_turn=False,
            transcript=" ".join(texts),
            end_of_turn_confidence=round(held, 2) if self._knobs.u3_rising_confidence else 0.0,
            words=tuple(
                turns.turn_word(text, word.start_ms, word.end_ms, final=False)
                for word, text in zip(self._words, texts, strict=True)
            ),
        )
        return [*self._speech_started(), partial]

    def _final(self, at_ms: int) -> list[Turn | SpeechStarted]:
        texts = turns.formatted([word.text for word in self._words], closed=True)
        transcript = " ".join(texts)
        final = Turn(
            turn_order=self._order,
            turn_is_formatted=True,
            end_of_turn=True,
            transcript=transcript,
            end_of_turn_confidence=1.0,
            words=tuple(
                turns.turn_word(text, start, end, final=True)
                for text, (start, end) in zip(texts, self._padded(), strict=True)
            ),
            utterance=transcript,
        )
        done = [*self._speech_started(), final]
        self._order += 1
        self._words = []
        self._shown = 0
        self._started = False
        self._cut_ms = at_ms
        return done

    def _padded(self) -> list[tuple[int, int]]:
        """The words' times with the edges moved outwards, the first not before the last cut."""
        times = [(word.start_ms, word.end_ms) for word in self._words]
        if times:
            start, end = times[0]
            times[0] = (min(start, max(self._cut_ms, start - self._knobs.u3_pad_start_ms)), end)
            start, end = times[-1]
            times[-1] = (start, end + self._knobs.u3_pad_end_ms)
        return times

    def _speech_started(self) -> list[Turn | SpeechStarted]:
        if self._started or not self._words:
            return []
        self._started = True
        return [SpeechStarted(timestamp=self._words[0].start_ms, confidence=0.98)]


def guessed(text: str) -> str:
    """A word as it sounds before it is certain: without its last letter, if it has enough of them."""
    letters = text.rstrip(".,;:!?")
    return letters[:-1] if len(letters) > 3 else letters
