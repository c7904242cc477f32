"""Turns of Universal-Streaming (English, Multilingual): word by word, never taken back, unformatted."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.sandbox.emulator import turns
from gateway.sandbox.emulator.choices import Formatting, IdleForce
from gateway.sandbox.emulator.knobs import Knobs
from gateway.sandbox.emulator.messages import SpeechStarted, Turn
from gateway.sandbox.recordings import Word


class UniversalTurns:
    """The US profile.

    Each new word is shown at once; every word but the newest is final, and `transcript` holds the final ones. A pause
    makes all of them final and fills `utterance`, which is then empty on the closing message.
    """

    def __init__(self, settings: turns.Settings, knobs: Knobs) -> None:
        self.settings = settings
        self._knobs = knobs
        self._order = 0
        self._words: list[Word] = []
        self._uttered = 0
        self._deaf_until_ms = 0

    def advance(self, words: Sequence[Word], at_ms: int, silence_ms: int) -> list[Turn | SpeechStarted]:
        """See `Turns.advance`."""
        new = self._take_in(words)
        if not self._words:
            return []
        if turns.ends(self._words, silence_ms, self.settings):
            return self._final()
        if not self.settings.partials:
            return []
        if silence_ms >= self.settings.min_silence_ms and self._uttered < len(self._words):
            return [self._pause()]
        return [self._partial()] if new else []

    def force(self, words: Sequence[Word], at_ms: int) -> list[Turn | SpeechStarted]:
        """See `Turns.force`."""
        self._take_in(words)
        if self._knobs.us_force_drops_tail:
            self._deaf_until_ms = at_ms
        if self._words or self._knobs.force_when_idle is IdleForce.EMPTY_FINAL:
            return self._final()
        return []

    def finish(self, words: Sequence[Word], at_ms: int) -> list[Turn | SpeechStarted]:
        """See `Turns.finish`: an empty final comes last, with a number of its own (live captures)."""
        self._take_in(words)
        pending = self._final() if self._words else []
        return [*pending, *self._final()]

    def _take_in(self, words: Sequence[Word]) -> list[Word]:
        new = [word for word in words if word.start_ms >= self._deaf_until_ms]
        self._words += new
        return new

    def _partial(self) -> Turn:
        return self._turn(final_words=len(self._words) - 1, formatted=self._always_formatted)

    def _pause(self) -> Turn:
        said = self._uttered
        self._uttered = len(self._words)
        return self._turn(final_words=len(self._words), said_from=said, formatted=self._always_formatted)

    def _final(self) -> list[Turn | SpeechStarted]:
        wants = self._knobs.formatting if self.settings.formatted and self._words else None
        done: list[Turn | SpeechStarted] = []
        count = len(self._words)
        if wants in {None, Formatting.DOUBLE}:
            done.append(self._turn(final_words=count, said_from=self._uttered, ended=True))
        if wants is not None:
            said = count if wants is Formatting.DOUBLE else self._uttered
            done.append(self._turn(final_words=count, said_from=said, ended=True, formatted=True))
        self._order += 1
        self._words = []
        self._uttered = 0
        return done

    @property
    def _always_formatted(self) -> bool:
        return self.settings.formatted and self._knobs.formatting is Formatting.ALL

    def _turn(
        self, *, final_words: int, said_from: int | None = None, ended: bool = False, formatted: bool = False
    ) -> Turn:
        """A message about all words so far; `utterance` holds those from `said_from` on."""
        texts = [word.text for word in self._words]
        texts = turns.formatted(texts, closed=ended) if formatted else [turns.bare(text) for text in texts]
        return Turn(
            turn_order=self._order,
            turn_is_formatted=formatted,
            end_of_turn=ended,
            transcript=" ".join(texts[:final_words]),
            end_of_turn_confidence=turns.confidence(self._words) if self._words else turns.SURE,
            words=tuple(
                turns.turn_word(text, word.start_ms, word.end_ms, final=place < final_words)
                for place, (word, text) in enumerate(zip(self._words, texts, strict=True))
            ),
            utterance="" if said_from is None else " ".join(texts[said_from:]),
        )
