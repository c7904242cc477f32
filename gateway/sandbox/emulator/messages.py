"""What the service sends: exact JSON shapes (AssemblyAI v3, "Message sequence" and live captures).

The order of the fields is the order on the wire: `type` comes first everywhere but in `Turn`, where it comes last.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET, Struct, UnsetType


class Configuration(Struct, frozen=True, kw_only=True):
    """What Begin tells of the session: these eight keys, and no turn, encoding or rate setting."""

    model: str
    mode: str | None = None
    api_version: str = "2025-05-12"
    speaker_labels: bool = False
    redact_pii: bool = False
    filter_profanity: bool = False
    domain: str | None = None
    voice_focus: str | None = None


class Begin(Struct, frozen=True, kw_only=True):
    """The session is open; `expires_at` is in Unix seconds."""

    type: str = "Begin"
    id: str
    expires_at: int
    configuration: Configuration


class TurnWord(Struct, frozen=True, kw_only=True):
    """One word of a Turn; times in ms of the session's audio clock."""

    start: int
    end: int
    text: str
    confidence: float
    word_is_final: bool
    speaker: str | UnsetType = UNSET


class Turn(Struct, frozen=True, kw_only=True):
    """One state of one turn; later messages with the same `turn_order` replace it."""

    turn_order: int
    turn_is_formatted: bool
    end_of_turn: bool
    transcript: str
    end_of_turn_confidence: float
    words: tuple[TurnWord, ...]
    utterance: str = ""
    language_code: str | UnsetType | None = UNSET
    language_confidence: float | UnsetType | None = UNSET
    speaker_label: str | UnsetType = UNSET
    type: str = "Turn"


class SpeechStarted(Struct, frozen=True, kw_only=True):
    """U3 models: right before the first message of a turn; `timestamp` in ms of the audio clock."""

    type: str = "SpeechStarted"
    timestamp: int
    confidence: float


class Revision(Struct, frozen=True, kw_only=True):
    """One earlier turn with its new speaker label."""

    turn_order: int
    speaker_label: str
    words: tuple[TurnWord, ...]


class SpeakerRevision(Struct, frozen=True, kw_only=True):
    """Speaker labels of earlier turns, corrected."""

    type: str = "SpeakerRevision"
    revisions: tuple[Revision, ...]


class LLMGatewayResponse(Struct, frozen=True, kw_only=True):
    """A language model's answer to a final turn; `data` is a chat completion."""

    type: str = "LLMGatewayResponse"
    turn_order: int
    transcript: str
    data: dict[str, Any]


class Heartbeat(Struct, frozen=True, kw_only=True):
    """Sign of life with `session_heartbeat`."""

    type: str = "Heartbeat"
    total_audio_received_ms: int
    total_duration_ms: int
    realtime_factor: float
    max_speech_probability: float


class Silence(Struct, frozen=True, kw_only=True):
    """Audio without speech, with `acknowledge_silence`; ms of the audio clock."""

    type: str = "Silence"
    start_ms: int
    end_ms: int


class Warning_(Struct, frozen=True, kw_only=True):  # noqa: N801 - `Warning` is a builtin
    """Something to know that does not end the session."""

    type: str = "Warning"
    warning_code: int
    warning: str


class Error(Struct, frozen=True, kw_only=True):
    """The last message of a failed session; a close with the same code follows."""

    type: str = "Error"
    error_code: int
    error: str


class Termination(Struct, frozen=True, kw_only=True):
    """The last message of a good session; durations in whole seconds."""

    type: str = "Termination"
    audio_duration_seconds: int
    session_duration_seconds: int


class Unknown(Struct, frozen=True, kw_only=True):
    """An event that no client knows yet."""

    type: str = "EmulatorSurprise"
    detail: str = "clients ignore what they do not know"


Message = (
    Begin
    | Turn
    | SpeechStarted
    | SpeakerRevision
    | LLMGatewayResponse
    | Heartbeat
    | Silence
    | Warning_
    | Error
    | Termination
    | Unknown
)


def as_partial(final: Turn) -> Turn:
    """The same turn as if it were not over."""
    return msgspec.structs.replace(final, end_of_turn=False, utterance="")


def encode(message: Message, *, unknown_fields: bool = False) -> str:
    """The text frame for a message.

    Args:
        message: what to send.
        unknown_fields: put fields before its own that no client knows.
    """
    if not unknown_fields:
        return msgspec.json.encode(message).decode()
    extra: dict[str, Any] = {"emulator_extra": {"nested": [1, None, "x"]}, "emulator_flag": True}
    return msgspec.json.encode(extra | msgspec.to_builtins(message)).decode()
