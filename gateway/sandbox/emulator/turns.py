"""From words to Turn messages: what both families of models share.

Sans-I/O: words and positions of the session's audio clock go in, messages come out. Wall time plays no part: when audio
stops, nothing ends (AssemblyAI v3, "Turn detection", and live captures).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from gateway.sandbox.emulator.knobs import Knobs
from gateway.sandbox.emulator.messages import SpeechStarted, Turn, TurnWord
from gateway.sandbox.emulator.validation import Parameters
from gateway.sandbox.recordings import Word

ENDS_SENTENCE = (".", "?", "!")
SURE = 0.85
UNSURE = 0.2


@dataclass(frozen=True, slots=True)
class Settings:
    """What shapes turns; made anew from the parameters after every UpdateConfiguration.

    Attributes:
        min_silence_ms: silence that ends a turn which sounds complete.
        max_silence_ms: silence that ends any turn.
        threshold: confidence from which a turn sounds complete.
        formatted: `format_turns`.
        partials: whether partials are sent at all.
        continuous: whether more than one partial is sent for a turn (U3).
        first_partial_ms: speech before the first partial (U3).
    """

    min_silence_ms: int
    max_silence_ms: int
    threshold: float
    formatted: bool
    partials: bool
    continuous: bool
    first_partial_ms: int


def settings(parameters: Parameters, knobs: Knobs) -> Settings:
    """The settings that a session's parameters and the knobs make together."""
    least, most = (
        (knobs.u3_min_turn_silence_ms, knobs.u3_max_turn_silence_ms)
        if parameters.u3
        else (knobs.us_min_turn_silence_ms, knobs.us_max_turn_silence_ms)
    )
    least = parameters.get("min_turn_silence", least)
    hurry = 2 if parameters.get("mode", "balanced") == "min_latency" else 1
    redacted = parameters.get("redact_pii", False)
    return Settings(
        min_silence_ms=least,
        max_silence_ms=max(least, parameters.get("max_turn_silence", most)),
        threshold=parameters.get("end_of_turn_confidence_threshold", 0.4),
        formatted=parameters.get("format_turns", False),
        partials=parameters.get("include_partial_turns", not redacted) and not redacted,
        continuous=parameters.get("continuous_partials", not parameters.get("speaker_labels", False)),
        first_partial_ms=knobs.u3_first_partial_ms // hurry,
    )


class Turns(Protocol):
    """One session's turns. Every method returns the messages to send, in order."""

    settings: Settings

    def advance(self, words: Sequence[Word], at_ms: int, silence_ms: int) -> list[Turn | SpeechStarted]:
        """The audio clock moved.

        Args:
            words: words that became complete.
            at_ms: the clock.
            silence_ms: how long it has been silent up to now; 0 while somebody speaks.
        """

    def force(self, words: Sequence[Word], at_ms: int) -> list[Turn | SpeechStarted]:
        """ForceEndpoint: end the turn here, with these words that became complete."""

    def finish(self, words: Sequence[Word], at_ms: int) -> list[Turn | SpeechStarted]:
        """Terminate: end the turn, with these words, and say whatever comes last."""


def bare(text: str) -> str:
    """A word as unformatted text has it: lower case, without punctuation."""
    return text.lower().strip(".,;:!?") or text


def formatted(texts: Sequence[str], *, closed: bool) -> list[str]:
    """Words as formatted text has them: a capital first and, when the turn is `closed`, a full stop last."""
    words = list(texts)
    if words:
        words[0] = words[0][:1].upper() + words[0][1:]
        if closed and not words[-1].endswith(ENDS_SENTENCE):
            words[-1] = words[-1].rstrip(",;:") + "."
    return words


def confidence(words: Sequence[Word]) -> float:
    """How complete the words sound: only punctuation tells."""
    return SURE if words and words[-1].text.endswith(ENDS_SENTENCE) else UNSURE


def ends(words: Sequence[Word], silence_ms: int, rules: Settings) -> bool:
    """Whether so much silence behind these words ends the turn."""
    complete = confidence(words) >= rules.threshold
    return silence_ms >= (rules.min_silence_ms if complete else rules.max_silence_ms)


def word_confidence(text: str) -> float:
    """A word's confidence: arbitrary, and the same each time."""
    return round(0.9 + (sum(text.encode()) % 10) / 100, 2)


def turn_word(text: str, start_ms: int, end_ms: int, *, final: bool) -> TurnWord:
    """One word of a message."""
    return TurnWord(start=start_ms, end=end_ms, text=text, confidence=word_confidence(text), word_is_final=final)
