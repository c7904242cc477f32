"""AssemblyAI's parameters and the URL they make (Universal-Streaming v3, "Streaming WebSocket": query parameters).

Scalars are written as they are, booleans in lower case, lists and objects as one JSON text each: a repeated parameter
is refused by the service. A misspelt name is ignored by it without a word, so names can be checked here.
"""

import re
from collections.abc import Mapping
from urllib.parse import quote, urlencode, urlsplit, urlunsplit

import msgspec

Value = str | int | float | bool | list[str] | dict[str, object]

DEFAULT_PATH = "/v3/ws"

KNOWN = frozenset(
    (
        "acknowledge_silence",
        "agent_context",
        "continuous_partials",
        "domain",
        "encoding",
        "end_of_turn_confidence_threshold",
        "filter_profanity",
        "format_turns",
        "inactivity_timeout",
        "include_partial_turns",
        "interruption_delay",
        "keyterms",  # the self-hosted stack's name for keyterms_prompt
        "keyterms_prompt",
        "language",
        "language_code",
        "language_codes",
        "language_detection",
        "llm_gateway",
        "max_speakers",
        "max_turn_silence",
        "min_end_of_turn_silence_when_confident",
        "min_turn_silence",
        "mode",
        "previous_context_n_turns",
        "prompt",
        "redact_pii",
        "redact_pii_policies",
        "redact_pii_sub",
        "sample_rate",
        "session_heartbeat",
        "speaker_labels",
        "speaker_labels_revision_interval_ms",
        "speech_model",
        "token",
        "turn_left_pad_ms",
        "vad_threshold",
        "voice_focus",
        "voice_focus_threshold",
        "webhook_auth_header_name",
        "webhook_auth_header_value",
        "webhook_url",
    )
)
"""The query parameters that v3 documents."""


class Parameters(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a session is opened with. None leaves a parameter to the service's default.

    `more` holds any further parameters by their names at the service.
    """

    speech_model: str
    format_turns: bool | None = None
    inactivity_timeout: int | None = None
    more: dict[str, Value] = msgspec.field(default_factory=dict)

    def query(self, *, encoding: str = "pcm_mulaw", sample_rate: int = 8000) -> dict[str, str]:
        """The query parameters, as texts. The encoding and rate (Hz) are the stream's own and can't be overridden."""
        named: dict[str, Value | None] = {
            "speech_model": self.speech_model,
            "format_turns": self.format_turns,
            "inactivity_timeout": self.inactivity_timeout,
        }
        values = {**named, **self.more, "sample_rate": sample_rate, "encoding": encoding}
        return {name: _text(value) for name, value in values.items() if value is not None}

    def unknown(self) -> list[str]:
        """Names that no document of the service has: misspelt, most likely, and then without any effect."""
        return sorted(self.more.keys() - KNOWN)


def _text(value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | dict):
        return msgspec.json.encode(value).decode()
    return str(value)


def session_url(base: str, query: Mapping[str, str]) -> str:
    """The URL of a session.

    Args:
        base: scheme and host, and a path where it is not `/v3/ws`. A lone `/` is a path too: the self-hosted stack
            listens there.
        query: the parameters, not yet encoded.
    """
    parts = urlsplit(base)
    return urlunsplit((parts.scheme, parts.netloc, parts.path or DEFAULT_PATH, urlencode(query, quote_via=quote), ""))


def is_base_url(url: str) -> bool:
    """Whether `url` is a WebSocket's, with a host that a name server could know, and holds no query and no password."""
    try:
        parts = urlsplit(url)
        # It raises where the port is none, or the host has no name that DNS could have.
        _ = parts.port, (parts.hostname or "").encode("idna")
    except ValueError:
        return False
    host = re.fullmatch(r"[\w.:-]+", parts.hostname or "")
    return bool(parts.scheme in ("ws", "wss") and host and not (parts.query or parts.fragment or "@" in parts.netloc))
