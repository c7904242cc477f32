"""What Turngate publishes: one JSON object per event, described by the JSON Schema beside this module.

The types below are the contract with subscribers; `turngate.schema.json` is made from them (`make schema`) and a test
holds the two together. Times on the stream's own timeline end in `_ms`; `at` is when the gateway made the event.

Durable events are numbered by `seq` without holes, and stored. A live-only event carries the last durable `seq` and its
own `part`, and is ordered between them: a missing `seq` is a loss, a missing `part` is not.

Fields may be added to any type at any time, and readers pass over what they don't know. Anything else is a new `v`.
"""

import inspect
import sys
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Final, Literal

import msgspec

VERSION: Final = 1

Track = Annotated[str, msgspec.Meta(description="inbound or outbound, seen from the carrier.")]
Moment = Annotated[str, msgspec.Meta(extra_json_schema={"format": "date-time"})]
Sequence = Annotated[int, msgspec.Meta(ge=0)]
Cause = Literal["carrier", "overflow", "upstream", "paused"]


class Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", gc=False):
    """Common to all events. `id` is stream, epoch, `seq` and, for a live-only event, `part`: repeats are dropped by it.

    The epoch names the incarnation of the stream's owner: two owners never write the same id.
    """

    durable: ClassVar[bool] = True
    """Whether events of the type are numbered and stored. `is_durable` knows the exception."""

    v: Literal[1] = VERSION
    id: str
    call_id: str
    stream_id: str
    seq: Sequence
    part: Sequence | msgspec.UnsetType = msgspec.UNSET
    at: Moment


class StreamStarted(Event, tag="stream.started", frozen=True, kw_only=True):
    """A stream began. `started_at` anchors its timeline to the wall clock."""

    dialect: str
    profile: str
    tracks: list[Track]
    encoding: str
    parameters: dict[str, str]
    from_: str | None = msgspec.field(name="from", default=None)
    to: str | None = None
    started_at: Moment


class SessionStarted(Event, tag="session.started", frozen=True, kw_only=True):
    """AssemblyAI opened a session for a track. `expires_at` in Unix seconds."""

    track: Track
    session_id: str
    model: str
    expires_at: int
    connect_ms: int
    attempt: int


class SpeechStarted(Event, tag="speech.started", frozen=True, kw_only=True):
    """Somebody began to speak."""

    durable: ClassVar[bool] = False

    track: Track
    at_ms: int


class Turn(Event, tag="turn", frozen=True, kw_only=True):
    """A turn as it is known now. It replaces what came before with the same stream, track and turn."""

    track: Track
    turn: int
    final: bool
    formatted: bool
    text: str
    start_ms: int | None
    end_ms: int | None
    offset_ms: int | None
    assemblyai: msgspec.Raw


class Gap(Event, tag="gap", frozen=True, kw_only=True):
    """Audio that never was transcribed, and why."""

    track: Track
    from_ms: int
    to_ms: int
    lost_ms: int
    cause: Cause


class SessionInterrupted(Event, tag="session.interrupted", frozen=True, kw_only=True):
    """A session was lost before its time."""

    track: Track
    reason: str
    code: int | None


class SessionResumed(Event, tag="session.resumed", frozen=True, kw_only=True):
    """A new session has taken the place of a lost one."""

    track: Track
    outage_ms: int
    replayed_ms: int
    behind_ms: int


class SessionWarning(Event, tag="session.warning", frozen=True, kw_only=True):
    """AssemblyAI warned of something; the session goes on."""

    track: Track
    code: int | None
    message: str


class SessionError(Event, tag="session.error", frozen=True, kw_only=True):
    """A session failed, in plain words: what the service said and what to do."""

    track: Track
    code: int | None
    message: str


class Dtmf(Event, tag="dtmf", frozen=True, kw_only=True):
    """A key was pressed. The digit is masked unless the settings allow it."""

    digit: str
    track: Track


class LLMResponse(Event, tag="llm.response", frozen=True, kw_only=True):
    """A language model's answer to a turn, as AssemblyAI's LLM gateway gave it."""

    track: Track
    turn: int | None
    data: msgspec.Raw


class Silence(Event, tag="silence", frozen=True, kw_only=True):
    """AssemblyAI acknowledged silence."""

    durable: ClassVar[bool] = False

    track: Track
    assemblyai: msgspec.Raw


class Heartbeat(Event, tag="heartbeat", frozen=True, kw_only=True):
    """AssemblyAI's session is alive."""

    durable: ClassVar[bool] = False

    track: Track
    assemblyai: msgspec.Raw


class Upstream(Event, tag="upstream", frozen=True, kw_only=True):
    """A message of AssemblyAI's of a type that this gateway does not know yet."""

    durable: ClassVar[bool] = False

    track: Track
    assemblyai: msgspec.Raw


class Control(Event, tag="control", frozen=True, kw_only=True):
    """Somebody asked for something to be done to a live stream, and what became of it."""

    request_id: str
    action: str
    accepted: bool
    message: str


class StreamStatus(Event, tag="stream.status", frozen=True, kw_only=True):
    """The carrier's own word on the stream."""

    status: str
    code: int | None
    message: str


class SessionEnded(Event, tag="session.ended", frozen=True, kw_only=True):
    """A session is closed, and no longer billed.

    `audio_seconds` and `session_seconds` are AssemblyAI's, null where it gave none; `billed_seconds` is by our clock.
    """

    track: Track
    session_id: str
    audio_seconds: float | None
    session_seconds: float | None
    billed_seconds: float


class StreamEnded(Event, tag="stream.ended", frozen=True, kw_only=True):
    """The last event of a stream. Null figures: nobody was left to count them."""

    result: str
    reason: str
    duration_seconds: float | None
    frames: int | None
    turns: int | None
    lost_ms: int | None
    billed_seconds: float | None
    last_seq: int | None


AnyEvent = (
    StreamStarted
    | SessionStarted
    | SpeechStarted
    | Turn
    | Gap
    | SessionInterrupted
    | SessionResumed
    | SessionWarning
    | SessionError
    | Dtmf
    | LLMResponse
    | Silence
    | Heartbeat
    | Upstream
    | Control
    | StreamStatus
    | SessionEnded
    | StreamEnded
)


def is_durable(kind: type[Event], fields: Mapping[str, Any]) -> bool:
    """Whether such an event is numbered and stored. All of a type are, or none; of turns, the final ones."""
    return bool(fields["final"]) if kind is Turn else kind.durable


encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(AnyEvent).decode


def schema() -> bytes:
    """The JSON Schema of all events, as it is written to the package."""
    made = msgspec.json.schema(AnyEvent)
    for definition in made["$defs"].values():
        # Python 3.13 takes the indentation out of docstrings, the older ones do not.
        definition["description"] = inspect.cleandoc(definition["description"])
    named = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Turngate event",
        "description": f"One event as published to Redis, version {VERSION}.",
        **made,
    }
    return msgspec.json.format(msgspec.json.encode(named, order="deterministic"), indent=1) + b"\n"


if __name__ == "__main__":
    sys.stdout.buffer.write(schema())
