"""AssemblyAI Universal-Streaming v3: its messages, one session's machine, and what an end of it means.

Messages of the service are read leniently: every field has a default, unknown fields are passed over and a type that we
don't know is handed on as it is, because the service grows. `type` is the last key of a Turn on the wire, so nothing may
depend on the order of keys. Numbers and codes: "Message sequence", "Common session errors and closures" of the vendor's
documents; where those disagree with what was measured, the row says so.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

import msgspec

from gateway.errors import Outcome
from gateway.protocol.parameters import Value


class Message(msgspec.Struct, tag_field="type", frozen=True, gc=False):
    """A message of the service."""


class Configuration(msgspec.Struct, frozen=True, gc=False):
    """What the service says that it opened."""

    model: str = ""
    speaker_labels: bool | None = None


class Begin(Message, tag="Begin", frozen=True):
    """The session is open, and billed, until `expires_at` (Unix seconds) at most."""

    id: str = ""
    expires_at: int | float = 0
    configuration: Configuration = msgspec.field(default_factory=Configuration)


class Word(msgspec.Struct, frozen=True, gc=False):
    """A word; `start` and `end` in ms of session time."""

    text: str = ""
    start: int | float = 0
    end: int | float = 0


class Turn(Message, tag="Turn", frozen=True):
    """What is known of one turn so far. It replaces what came before with the same `turn_order`."""

    turn_order: int = 0
    turn_is_formatted: bool = False
    end_of_turn: bool = False
    transcript: str = ""
    words: tuple[Word, ...] = ()


class SpeechStarted(Message, tag="SpeechStarted", frozen=True, gc=False):
    """Speech began at `timestamp` (ms of session time)."""

    timestamp: int | float = 0


class Revision(msgspec.Struct, frozen=True):
    """Words of an earlier turn, with other speakers."""

    turn_order: int = 0
    words: tuple[Word, ...] = ()


class SpeakerRevision(Message, tag="SpeakerRevision", frozen=True):
    """Speakers of earlier turns are known better now. `revisions` are kept raw: they are published as they came."""

    revisions: tuple[msgspec.Raw, ...] = ()


class LLMGatewayResponse(Message, tag="LLMGatewayResponse", frozen=True, gc=False):
    """A language model's answer to a turn."""

    turn_order: int = 0


class Heartbeat(Message, tag="Heartbeat", frozen=True, gc=False):
    """The session is alive (asked for with `session_heartbeat`)."""


class Silence(Message, tag="Silence", frozen=True, gc=False):
    """Nobody spoke from `start_ms` to `end_ms` of session time (asked for with `acknowledge_silence`)."""

    start_ms: int | float = 0
    end_ms: int | float = 0


class Warn(Message, tag="Warning", frozen=True, gc=False):
    """Something is wrong, the session goes on."""

    warning_code: int | None = None
    warning: str = ""


class Error(Message, tag="Error", frozen=True, gc=False):
    """Something is wrong, the session ends. The close that follows bears the same code and says less."""

    error_code: int | None = None
    error: str = ""


class Termination(Message, tag="Termination", frozen=True, gc=False):
    """The session has ended as asked. Seconds as the service counts them, and bills."""

    audio_duration_seconds: float | None = None
    session_duration_seconds: float | None = None


class Unknown(msgspec.Struct, frozen=True, gc=False):
    """A message of a type that we don't know, or one that can't be read. It is handed on as it came."""


_Known = (
    Begin
    | Turn
    | SpeechStarted
    | SpeakerRevision
    | LLMGatewayResponse
    | Heartbeat
    | Silence
    | Warn
    | Error
    | Termination
)
_decoder: msgspec.json.Decoder[_Known] = msgspec.json.Decoder(_Known)
_decode_revision = msgspec.json.Decoder(Revision).decode


class _Legacy(msgspec.Struct, gc=False):
    error: str


_decode_legacy = msgspec.json.Decoder(_Legacy).decode


def decode(message: bytes) -> Message | Unknown:
    """What a text message of the service means. It never raises: what can't be read is `Unknown`."""
    try:
        return _decoder.decode(message)
    except msgspec.DecodeError:
        pass
    try:
        # The form of an error without a type, as the vendor's own client still understands it.
        return Error(error=_decode_legacy(message).error)
    except msgspec.DecodeError:
        return Unknown()


def decode_revision(raw: msgspec.Raw) -> Revision | None:
    """One entry of a `SpeakerRevision`, or None where it can't be read."""
    try:
        return _decode_revision(raw)
    except msgspec.DecodeError:
        return None


TERMINATE = b'{"type":"Terminate"}'
FORCE_ENDPOINT = b'{"type":"ForceEndpoint"}'
KEEP_ALIVE = b'{"type":"KeepAlive"}'


def update_configuration(fields: Mapping[str, Value]) -> bytes:
    """The message that changes a session's configuration. Lists are JSON lists here, and an empty one clears."""
    return msgspec.json.encode({**fields, "type": "UpdateConfiguration"})


class State(Enum):
    """Where a session is in its life."""

    OPENING = "waiting for Begin"
    LIVE = "live"
    TERMINATING = "waiting for Termination"
    TERMINATED = "terminated"
    FAILED = "failed"


_CONTENT: tuple[type[Message], ...] = (
    Turn,
    SpeechStarted,
    SpeakerRevision,
    LLMGatewayResponse,
    Heartbeat,
    Silence,
    Warn,
)

TRANSITIONS: Mapping[State, Mapping[type[Message], State]] = {
    State.OPENING: {Begin: State.LIVE, Warn: State.OPENING, Error: State.FAILED},
    # A Termination that was not asked for is an end before its time.
    State.LIVE: {**dict.fromkeys(_CONTENT, State.LIVE), Error: State.FAILED, Termination: State.FAILED},
    State.TERMINATING: {
        **dict.fromkeys(_CONTENT, State.TERMINATING),
        Error: State.FAILED,
        Termination: State.TERMINATED,
    },
    State.TERMINATED: {},
    State.FAILED: {},
}
"""What the service may send when, and the state that follows. Anything else is passed over and counted."""


class TranscriptionSession:
    """AssemblyAI's side of one session, from the 101 to the close.

    Args:
        count: told the kind of each message that came out of order (`unexpected_turn`, …).
    """

    __slots__ = ("_count", "error", "state", "termination")

    def __init__(self, count: Callable[[str], Any]) -> None:
        self._count = count
        self.state = State.OPENING
        self.error: Error | None = None
        self.termination: Termination | None = None

    def receive(self, message: bytes) -> Message | Unknown | None:
        """Takes in one text message. Returns what it means, or None where it came out of order."""
        event = decode(message)
        if isinstance(event, Unknown):
            return event
        following = TRANSITIONS[self.state].get(type(event))
        if following is None:
            self._count(f"unexpected_{type(event).__name__.lower()}")
            return None
        self.state = following
        if isinstance(event, Error):
            self.error = event
        elif isinstance(event, Termination):
            self.termination = event
        return event

    @property
    def takes_audio(self) -> bool:
        """Whether audio may be sent: after Begin, before Terminate."""
        return self.state is State.LIVE

    def terminate(self) -> bytes | None:
        """The message that ends the session, or None where it is not live: it is said once, or not at all."""
        if self.state is not State.LIVE:
            return None
        self.state = State.TERMINATING
        return TERMINATE

    def verdict(self, code: int | None, reason: str) -> "Verdict":
        """What it means that the socket closed with `code` and `reason` now (None: it broke without a close)."""
        if self.state is State.TERMINATED:
            return DONE
        if self.error is not None:
            return judge(self.error.error_code or code, self.error.error)
        if self.state is State.OPENING and code is None:
            return judge(None, "no Begin")
        return judge(code, reason)


class Retry(Enum):
    """Whether another session may help."""

    NO = "no"
    SOON = "soon"
    BACKOFF = "backoff"
    """The service asked for fewer or slower starts."""

    ON_DEMAND = "on_demand"
    """Nothing is wrong: another one opens with the next audio."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the end of a session means: a label for metrics, what it makes of the stream where nothing helps, and in
    plain words what happened and what to do.
    """

    reason: str
    outcome: Outcome
    retry: Retry
    advice: str


DONE = Verdict("terminated", Outcome.STOPPED, Retry.ON_DEMAND, "The session ended as asked.")

_UNAUTHORIZED = Verdict(
    "unauthorized",
    Outcome.UNAUTHORIZED,
    Retry.NO,
    "AssemblyAI refused the API key: check ASSEMBLYAI_API_KEY, and that the key belongs to this host's region.",
)
_ACCOUNT = Verdict(
    "account",
    Outcome.UNAUTHORIZED,
    Retry.NO,
    "AssemblyAI refused the account: check its balance and plan in AssemblyAI's dashboard.",
)
_EXPIRED_TOKEN = Verdict(
    "unauthorized",
    Outcome.UNAUTHORIZED,
    Retry.NO,
    "The temporary token has expired: mint a new one, or use an API key.",
)
_LIMIT = Verdict(
    "limit",
    Outcome.UNAVAILABLE,
    Retry.BACKOFF,
    "AssemblyAI's limit of new sessions per minute is reached: start fewer, or have the limit raised.",
)
_PARAMETER = Verdict(
    "invalid_parameter",
    Outcome.INVALID_PARAMETER,
    Retry.NO,
    "AssemblyAI refused a parameter or a message: correct the setting that it names.",
)
_INACTIVE = Verdict("inactive", Outcome.UNAVAILABLE, Retry.ON_DEMAND, "AssemblyAI closed a session that was silent.")
_RATE = Verdict("rate", Outcome.UNAVAILABLE, Retry.BACKOFF, "AssemblyAI took the audio to come faster than real time.")
_DURATION = Verdict(
    "chunk_duration",
    Outcome.INTERNAL,
    Retry.NO,
    "AssemblyAI refused the duration of a message: this is a fault of the gateway, please report it.",
)
_EXPIRED = Verdict("expired", Outcome.UNAVAILABLE, Retry.SOON, "The session reached AssemblyAI's limit of its length.")
_SERVER = Verdict("server", Outcome.UNAVAILABLE, Retry.SOON, "AssemblyAI had an error of its own.")
_LOST = Verdict("lost", Outcome.UNAVAILABLE, Retry.SOON, "The connection to AssemblyAI was lost.")
_CLOSED = Verdict("closed", Outcome.UNAVAILABLE, Retry.SOON, "AssemblyAI closed the session without Termination.")
_NO_BEGIN = Verdict("no_begin", Outcome.UNAVAILABLE, Retry.SOON, "AssemblyAI did not begin the session in time.")
_UNREACHABLE = Verdict(
    "unreachable", Outcome.UNAVAILABLE, Retry.SOON, "AssemblyAI could not be reached: check the network and the host."
)
_WRONG_URL = Verdict(
    "wrong_url",
    Outcome.INVALID_PARAMETER,
    Retry.NO,
    "The host does not speak v3 at this path: check TURNGATE_ASSEMBLYAI_URL.",
)
_UNKNOWN = Verdict("unknown", Outcome.UNAVAILABLE, Retry.SOON, "AssemblyAI ended the session for a reason that is new.")

VERDICTS: tuple[tuple[int | None, str, Verdict], ...] = (
    # Two meanings share 1008, and the newer documents give the limit 3009: both are read.
    (1008, "too many concurrent sessions", _LIMIT),
    (1008, "signature has expired", _EXPIRED_TOKEN),
    (1008, "", _UNAUTHORIZED),
    (3009, "", _LIMIT),
    (4029, "", _RATE),
    (4102, "", _LIMIT),
    (429, "", _LIMIT),
    (3006, "inactivity", _INACTIVE),
    (3006, "", _PARAMETER),
    (4031, "", _INACTIVE),
    (3007, "transmission rate", _RATE),
    (3007, "", _DURATION),
    (3008, "", _EXPIRED),
    (4008, "", _EXPIRED),
    (3005, "", _SERVER),
    (1011, "", _SERVER),
    (1013, "", _SERVER),
    (500, "", _SERVER),
    (502, "", _SERVER),
    (503, "", _SERVER),
    (504, "", _SERVER),
    (4001, "", _UNAUTHORIZED),
    (401, "", _UNAUTHORIZED),
    (403, "", _UNAUTHORIZED),
    (4002, "", _ACCOUNT),
    (4003, "", _ACCOUNT),
    (402, "", _ACCOUNT),
    (400, "", _PARAMETER),
    (4000, "", _PARAMETER),
    (4101, "", _PARAMETER),
    (404, "", _WRONG_URL),
    (410, "", _WRONG_URL),
    (1000, "", _CLOSED),
    (1001, "", _CLOSED),
    (None, "no begin", _NO_BEGIN),
    (None, "unreachable", _UNREACHABLE),
    (None, "", _LOST),
    (1006, "", _LOST),
)
"""Code, a part of the text (lower case), verdict; the first row that fits counts.

Codes under 1000 are HTTP statuses at the handshake. The 4xxx are of the older protocol: the vendor's clients still list
them, no capture of v3 has them.
"""


def judge(code: int | None, text: str) -> Verdict:
    """The verdict on a session that ended with `code` and `text`; an unknown one may be tried again, within bounds."""
    lowered = text.lower()
    for row_code, part, verdict in VERDICTS:
        if row_code == code and part in lowered:
            return verdict
    if code is not None and 400 <= code < 500:
        return _PARAMETER
    return _UNKNOWN
