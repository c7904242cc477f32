"""The session's parameters: what the service refuses with 3006, and what it ignores.

Sources: AssemblyAI v3 parameter reference; ranges, the model list and `Invalid '<name>': …` from live captures.
The text behind the colon is ours.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

_Ms = Annotated[int, Meta(ge=0, le=86_400_000)]
_Share = Annotated[float, Meta(ge=0, le=1)]
_Text = Annotated[str, Meta(max_length=1750)]
_Language = Annotated[str, Meta(pattern="^[a-z]{2,3}$|^multi$")]

Model = Literal[
    "universal-streaming-english",
    "universal-streaming-multilingual",
    "whisper-rt",
    "u3-rt-pro",
    "u3-rt-pro-beta-1",
    "u3-rt-agent",
    "universal-3-5-pro",
    "universal-3-6-pro",
    "universal-3-6",
    "universal-3-7-preview",
    "_universal-3-5-notetaker",
]

AT_START: dict[str, Any] = {
    "speech_model": Model,
    "encoding": Literal["pcm_s16le", "pcm_mulaw", "opus", "ogg_opus", "aac"],
    "sample_rate": Annotated[int, Meta(ge=8000, le=96_000)],
    "mode": Literal["min_latency", "balanced", "max_accuracy"],
    "previous_context_n_turns": Annotated[int, Meta(ge=0, le=100)],
    "include_partial_turns": bool,
    "language_detection": bool,
    "language_code": str,
    "language": str,
    "domain": Literal["medical-v1"],
    "inactivity_timeout": Annotated[int, Meta(ge=5, le=3600)],
    "speaker_labels": bool,
    "max_speakers": Annotated[int, Meta(ge=1, le=10)],
    "speaker_labels_revision_interval_ms": Annotated[int, Meta(ge=0, le=86_400_000)],
    "voice_focus": Literal["near-field", "far-field"],
    "voice_focus_threshold": _Share,
    "redact_pii": bool,
    "redact_pii_policies": list[str],
    "redact_pii_sub": Literal["hash", "entity_name"],
    "llm_gateway": dict[str, Any],
    "webhook_url": str,
    "webhook_auth_header_name": str,
    "webhook_auth_header_value": str,
}
"""Parameters that only the query can set: name to type with range."""

AT_ANY_TIME: dict[str, Any] = {
    "end_of_turn_confidence_threshold": _Share,
    "min_turn_silence": _Ms,
    "max_turn_silence": _Ms,
    "vad_threshold": _Share,
    "format_turns": bool,
    "keyterms_prompt": Annotated[list[str], Meta(max_length=100)],
    "filter_profanity": bool,
    "prompt": _Text,
    "agent_context": _Text,
    "interruption_delay": Annotated[int, Meta(ge=0, le=1000)],
    "turn_left_pad_ms": int,
    "language_codes": Annotated[list[_Language], Meta(max_length=10)],
    "continuous_partials": bool,
    "session_heartbeat": bool,
    "acknowledge_silence": bool,
}
"""Parameters that the query and UpdateConfiguration can set."""

_ALIASES = {
    "min_end_of_turn_silence_when_confident": "min_turn_silence",
    "noise_suppression_model": "voice_focus",
    "noise_suppression_threshold": "voice_focus_threshold",
}
_STRUCTURED = {"keyterms_prompt", "language_codes", "redact_pii_policies", "llm_gateway"}
_ONLY_U3 = ("prompt", "mode")

CLIENT_TYPES = ("Terminate", "ForceEndpoint", "KeepAlive", "UpdateConfiguration")
"""What a client's text frame may be; audio in JSON is none of it."""


class InvalidInputError(ValueError):
    """What the client sent is refused with Error 3006 and this text."""


def invalid(name: str, why: str) -> InvalidInputError:
    """The refusal of one parameter."""
    return InvalidInputError(f"User Input Validation Error: Invalid '{name}': {why}")


def client_message(text: str) -> dict[str, Any]:
    """Read a client's text frame: an object whose `type` the service knows.

    Raises:
        InvalidInputError: it is anything else.
    """
    try:
        message = json.loads(text)
    except ValueError as error:
        raise InvalidInputError(f"User Input Validation Error: Invalid JSON: {error}") from error
    kind = message.get("type") if isinstance(message, dict) else type(message).__name__
    if kind not in CLIENT_TYPES:
        raise InvalidInputError(f"User Input Validation Error: Invalid Message Type: {kind}")
    return dict(message)


def is_u3(model: str) -> bool:
    """Whether a model belongs to the U3 family, which differs in its turns, not in its messages."""
    return not model.startswith(("universal-streaming", "whisper"))


@dataclass(frozen=True, slots=True)
class Parameters:
    """A session's checked parameters.

    Attributes:
        model: the speech model, given or default.
        values: what the client set, by the service's current names, in Python types.
    """

    model: str
    values: Mapping[str, Any] = field(default_factory=dict)

    def get(self, name: str, default: Any) -> Any:
        """A parameter's value, or `default` when the client did not set it."""
        return self.values.get(name, default)

    @property
    def encoding(self) -> str:
        """The declared encoding."""
        return str(self.get("encoding", "pcm_s16le"))

    @property
    def sample_rate(self) -> int:
        """The declared rate in Hz; 16 kHz when there is none."""
        return int(self.get("sample_rate", 16_000))

    @property
    def u3(self) -> bool:
        """Whether the model belongs to the U3 family."""
        return is_u3(self.model)

    def updated(self, message: Mapping[str, Any]) -> Parameters:
        """The parameters after an UpdateConfiguration; fields that are unknown or fixed at the start are ignored.

        Raises:
            InvalidInputError: a value is refused.
        """
        values = dict(self.values)
        for given, value in message.items():
            name = _ALIASES.get(given, given)
            if name in AT_ANY_TIME:
                values[name] = _convert(name, value, AT_ANY_TIME[name], strict=True)
        return _checked(replace(self, values=values))


def parse(query: Iterable[tuple[str, str]], *, default_model: str) -> Parameters:
    """Check a session's query.

    Args:
        query: names and values, decoded, in order; unknown names are ignored without a trace.
        default_model: the model when none is given; `refuse` for none.

    Raises:
        InvalidInputError: a value is refused.
    """
    values: dict[str, Any] = {}
    kinds = AT_START | AT_ANY_TIME
    for given, text in query:
        name = _ALIASES.get(given, given)
        if name not in kinds:
            continue
        if name in _STRUCTURED:
            if name in values:
                raise invalid(name, "Invalid JSON array")
            values[name] = _convert(name, _json(name, text), kinds[name], strict=True)
        else:
            values[name] = _convert(name, text, kinds[name], strict=False)
    model = values.get("speech_model", default_model)
    if model == "refuse":
        raise invalid("speech_model", "Field required")
    return _checked(Parameters(model, values))


def _json(name: str, text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise invalid(name, "Invalid JSON array") from error


def _convert(name: str, value: Any, kind: Any, *, strict: bool) -> Any:
    try:
        return msgspec.convert(value, kind, strict=strict)
    except msgspec.ValidationError as error:
        allowed = getattr(kind, "__args__", ()) if getattr(kind, "__origin__", None) is Literal else ()
        why = f"Input should be {', '.join(map(repr, allowed))}" if allowed else str(error)
        raise invalid(name, why) from error


def _checked(parameters: Parameters) -> Parameters:
    """Refuse what is only wrong in combination."""
    if not parameters.u3:
        for name in _ONLY_U3:
            if name in parameters.values:
                raise invalid(name, f"not supported by the model '{parameters.model}'")
    languages = parameters.get("language_codes", [])
    if "multi" in languages and len(languages) > 1:
        raise invalid("language_codes", "'multi' must stand alone")
    return parameters
