"""AssemblyAI Universal-Streaming v3: its messages and one session's machine.

Messages of the service are read leniently: a field that is missing, null or odd takes its default, unknown fields are
passed over and a type that we don't know is handed on as it is, because the service grows. `type` is the last key of a
Turn on the wire, so nothing may depend on the order of keys ("Message sequence" in the vendor's documents).

What the end of a session means is judged in `verdicts`.
"""

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Annotated, Any, get_args

import msgspec

from gateway.protocol.lenient import NOT_READABLE, convert, load
from gateway.protocol.parameters import Value
from gateway.protocol.verdicts import DONE, Verdict, judge

Milliseconds = Annotated[float, msgspec.Meta(ge=-(2.0**40), le=2.0**40)]
"""Of session time. The bounds are no call's: they keep a number that can't be a time out of the arithmetic."""

Number = Annotated[int, msgspec.Meta(ge=-(2**53), le=2**53)]
"""A whole number that every reader of JSON can hold."""


class Message(msgspec.Struct, tag_field="type", frozen=True, gc=False):
    """A message of the service."""


class Configuration(msgspec.Struct, frozen=True, gc=False):
    """What the service says that it opened."""

    model: str = ""
    speaker_labels: bool | None = None


class Begin(Message, tag="Begin", frozen=True):
    """The session is open, and billed, until `expires_at` (Unix seconds) at most."""

    id: str = ""
    expires_at: Annotated[float, msgspec.Meta(ge=0, le=2.0**53)] = 0
    configuration: Configuration = msgspec.field(default_factory=Configuration)


class Word(msgspec.Struct, frozen=True, gc=False):
    """A word; `start` and `end` in ms of session time, None where the service gave none."""

    text: str = ""
    start: Milliseconds | None = None
    end: Milliseconds | None = None


class Turn(Message, tag="Turn", frozen=True):
    """What is known of one turn so far. It replaces what came before with the same `turn_order`.

    Without a `turn_order` there is nothing that it could replace, so that alone is required. A `transcript` that is
    missing is None, which is not the same as an empty one: that one takes back what was shown.
    """

    turn_order: Number
    turn_is_formatted: bool = False
    end_of_turn: bool = False
    transcript: str | None = None
    words: tuple[Word, ...] = ()


class SpeechStarted(Message, tag="SpeechStarted", frozen=True, gc=False):
    """Speech began at `timestamp` (ms of session time)."""

    timestamp: Milliseconds = 0


class Revision(msgspec.Struct, frozen=True):
    """Words of an earlier turn, with other speakers."""

    turn_order: Number
    words: tuple[Word, ...] = ()


class SpeakerRevision(Message, tag="SpeakerRevision", frozen=True):
    """Speakers of earlier turns are known better now. `revisions` are kept raw: they are published as they came."""

    revisions: tuple[msgspec.Raw, ...] = ()


class LLMGatewayResponse(Message, tag="LLMGatewayResponse", frozen=True, gc=False):
    """A language model's answer to a turn."""

    turn_order: Number | None = None


class Heartbeat(Message, tag="Heartbeat", frozen=True, gc=False):
    """The session is alive (asked for with `session_heartbeat`)."""


class Silence(Message, tag="Silence", frozen=True, gc=False):
    """Nobody spoke from `start_ms` to `end_ms` of session time (asked for with `acknowledge_silence`)."""

    start_ms: Milliseconds = 0
    end_ms: Milliseconds = 0


class Warn(Message, tag="Warning", frozen=True, gc=False):
    """Something is wrong, the session goes on."""

    warning_code: Number | None = None
    warning: str = ""


class Error(Message, tag="Error", frozen=True, gc=False):
    """Something is wrong, the session ends. The close that follows bears the same code and says less."""

    error_code: Number | None = None
    error: str = ""


class Termination(Message, tag="Termination", frozen=True, gc=False):
    """The session has ended as asked. Seconds as the service counts them, and bills."""

    audio_duration_seconds: float | None = None
    session_duration_seconds: float | None = None


class Unknown(msgspec.Struct, frozen=True, gc=False):
    """A message of a type that we don't know, or one that can't be read. It is handed on as it came.

    Where it is no JSON (RFC 8259) nothing that is JSON can hold it: then `json` is false.
    """

    json: bool = True


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
_KINDS: Mapping[str, type[Message]] = {kind.__struct_config__.tag: kind for kind in get_args(_Known)}
_decode: Callable[[bytes], Message] = msgspec.json.Decoder(_Known).decode
_decode_revision = msgspec.json.Decoder(Revision).decode


def unexpected(kind: type[Message]) -> str:
    """What a message is counted as that came out of order."""
    return f"unexpected_{kind.__name__.lower()}"


UNKNOWN_MESSAGE = "unknown_message"
DISORDERS = (UNKNOWN_MESSAGE, *map(unexpected, _KINDS.values()))
"""Every kind of disorder in what the service sends. It is counted, and nothing else becomes of it."""


def decode(message: bytes) -> Message | Unknown:
    """What a text message of the service means. It never raises: what can't be read is `Unknown`."""
    try:
        # Parts that are passed over are not looked at, and yet the whole is published.
        str(message, "utf-8")
        return _decode(message)
    except NOT_READABLE:
        return _decode_leniently(message)


def _decode_leniently(message: bytes) -> Message | Unknown:
    try:
        read = load(message)
    except NOT_READABLE:
        return Unknown(json=False)
    if not isinstance(read, dict):
        return Unknown()
    name = read.get("type")
    if name is None and isinstance(read.get("error"), str):
        # The form of an error without a type, as the vendor's own client still understands it.
        return convert(read, Error) or Unknown()
    kind = _KINDS.get(name) if isinstance(name, str) else None
    return (convert(read, kind) if kind else None) or Unknown()


def decode_revision(raw: msgspec.Raw) -> Revision | None:
    """One entry of a `SpeakerRevision`, or None where it can't be read."""
    try:
        return _decode_revision(raw)
    except msgspec.ValidationError:
        return convert(load(bytes(raw)), Revision)


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
        count: told the kind of each message that came out of order, one of `DISORDERS`.
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
            self._count(unexpected(type(event)))
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

    def verdict(self, code: int | None, reason: str) -> Verdict:
        """What it means that the socket closed with `code` and `reason` now (None: it broke without a close)."""
        if self.state is State.TERMINATED:
            return DONE
        if self.error is not None:
            return judge(self.error.error_code or code, self.error.error)
        return judge(code, reason)
