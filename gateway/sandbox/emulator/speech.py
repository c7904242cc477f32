"""From audio to messages: the ear, the turns, and what is asked for besides."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import msgspec

from gateway.sandbox.emulator import turns
from gateway.sandbox.emulator.knobs import Knobs
from gateway.sandbox.emulator.messages import (
    LLMGatewayResponse,
    Message,
    Revision,
    Silence,
    SpeakerRevision,
    SpeechStarted,
    Turn,
)
from gateway.sandbox.emulator.u3_turns import U3Turns
from gateway.sandbox.emulator.us_turns import UniversalTurns
from gateway.sandbox.emulator.validation import Parameters
from gateway.sandbox.recordings import Word

SILENCE_MS = 1000
UNKNOWN_SPEAKER = "UNKNOWN"
SPEAKER = "A"


class Ear(Protocol):
    """What hears the words; `gateway.sandbox.hearing.Hearing` is one."""

    def hear(self, audio: bytes, /) -> None:
        """Take in audio."""

    def finish(self) -> None:
        """No more audio comes."""

    def take(self) -> Sequence[Word]:
        """Remove and return the words that became complete."""

    @property
    def heard_ms(self) -> int:
        """The audio clock."""

    @property
    def silence_ms(self) -> int:
        """How long it has been silent; 0 inside speech."""


class Speech:
    """One session's understanding of what it hears.

    With `speaker_labels` there is one speaker; the first turn is labelled UNKNOWN and revised at the end, so that a
    client meets a revision. With `llm_gateway` the model's answer repeats the turn.
    """

    def __init__(self, ear: Ear, parameters: Parameters, knobs: Knobs) -> None:
        profile = U3Turns if parameters.u3 else UniversalTurns
        self._ear = ear
        self._parameters = parameters
        self._knobs = knobs
        self._turns: turns.Turns = profile(turns.settings(parameters, knobs), knobs)
        self._silence_from_ms = 0
        self._unknown: Turn | None = None
        self.spoke = False

    @property
    def heard_ms(self) -> int:
        """The audio clock."""
        return self._ear.heard_ms

    def update(self, parameters: Parameters) -> None:
        """Take over changed parameters."""
        self._parameters = parameters
        self._turns.settings = turns.settings(parameters, self._knobs)

    def hear(self, audio: bytes, *, mark: bool) -> tuple[Sequence[Word], list[Message]]:
        """Hear a piece of audio.

        Args:
            audio: the piece.
            mark: it ends on a mark of the audio clock, where turns are judged.

        Returns:
            The words that became complete, and the messages to send.
        """
        self._ear.hear(audio)
        if not mark:
            return (), []
        at_ms, silence_ms = self._ear.heard_ms, self._ear.silence_ms
        words = self._ear.take()
        self.spoke = self.spoke or silence_ms == 0
        said = self._dressed(self._turns.advance(words, at_ms, silence_ms))
        return words, said + self._silence(at_ms, silence_ms)

    def force(self) -> tuple[Sequence[Word], list[Message]]:
        """ForceEndpoint; returns as `hear` does."""
        words = self._ear.take()
        return words, self._dressed(self._turns.force(words, self._ear.heard_ms))

    def finish(self) -> tuple[Sequence[Word], list[Message]]:
        """Terminate: everything up to, but without, Termination; returns as `hear` does."""
        self._ear.finish()
        words = self._ear.take()
        last = self._dressed(self._turns.finish(words, self._ear.heard_ms))
        if self._knobs.null_language:
            last = [_without_language(message) for message in last]
        return words, last + self._revision()

    def _silence(self, at_ms: int, silence_ms: int) -> list[Message]:
        if not (self._parameters.u3 and self._parameters.get("acknowledge_silence", False)):
            return []
        self._silence_from_ms = max(self._silence_from_ms, at_ms - silence_ms)
        if at_ms - self._silence_from_ms < SILENCE_MS:
            return []
        start_ms = max(0, self._silence_from_ms - self._knobs.silence_overlap_ms)
        self._silence_from_ms = at_ms
        return [Silence(start_ms=start_ms, end_ms=at_ms)]

    def _dressed(self, messages: Iterable[Turn | SpeechStarted]) -> list[Message]:
        dressed: list[Message] = []
        for message in messages:
            if not (isinstance(message, Turn) and message.end_of_turn and message.words):
                dressed.append(message)
                continue
            final = self._labelled(self._with_language(message))
            dressed.append(final)
            if self._answers(final):
                dressed.append(_answer(final, self._parameters.get("llm_gateway", {})))
        return dressed

    def _answers(self, final: Turn) -> bool:
        return bool(self._parameters.get("llm_gateway", None)) and self._knobs.llm_access

    def _with_language(self, final: Turn) -> Turn:
        if not self._parameters.get("language_detection", False):
            return final
        return msgspec.structs.replace(final, language_code="en", language_confidence=0.99)

    def _labelled(self, final: Turn) -> Turn:
        if not self._parameters.get("speaker_labels", False):
            return final
        first = self._unknown is None or self._unknown.turn_order == final.turn_order
        labelled = _label(final, UNKNOWN_SPEAKER if first else SPEAKER)
        if first:
            self._unknown = labelled
        return labelled

    def _revision(self) -> list[Message]:
        if self._unknown is None:
            return []
        turn = _label(self._unknown, SPEAKER)
        return [
            SpeakerRevision(revisions=(Revision(turn_order=turn.turn_order, speaker_label=SPEAKER, words=turn.words),))
        ]


def _label(turn: Turn, speaker: str) -> Turn:
    words = tuple(msgspec.structs.replace(word, speaker=speaker) for word in turn.words)
    return msgspec.structs.replace(turn, words=words, speaker_label=speaker)


def _without_language(message: Message) -> Message:
    if isinstance(message, Turn) and not message.words:
        return msgspec.structs.replace(message, language_code=None, language_confidence=None)
    return message


def _answer(final: Turn, request: dict[str, Any]) -> LLMGatewayResponse:
    model = str(request.get("model", "emulated"))
    content = f"You said: {final.transcript}"
    return LLMGatewayResponse(
        turn_order=final.turn_order,
        transcript=final.transcript,
        data={
            "id": str(uuid.uuid4()),
            "object": "chat.completion",
            "model": model,
            "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": content}}],
        },
    )


class DeafEar:
    """Hears nothing: for encodings that the service takes and the emulator cannot decode."""

    heard_ms = 0
    silence_ms = 0

    def hear(self, audio: bytes, /) -> None:
        """Ignored."""

    def finish(self) -> None:
        """Ignored."""

    def take(self) -> Sequence[Word]:
        """Nothing, always."""
        return ()
