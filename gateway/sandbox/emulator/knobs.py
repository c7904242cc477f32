"""Every knob of the emulator, declared once.

The declaration below is the only place where a knob is named: the command line's flags, the control endpoint's checks
and the table in the documentation are made from it. A knob whose real counterpart nobody has captured is marked
`unconfirmed`: a test that depends on its value proves nothing about AssemblyAI.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass, field, fields, replace
from enum import StrEnum
from typing import Annotated, Any, get_args, get_type_hints

import msgspec
from msgspec import Meta

from gateway.sandbox.emulator.choices import Ending, Fault, Formatting, IdleForce, Moment, Refusal

_FAULT = {"fault": True}
_UNCONFIRMED = {"unconfirmed": True}
_UNCONFIRMED_FAULT = {"fault": True, "unconfirmed": True}

Seconds = Annotated[float, Meta(ge=0, le=86_400)]
Millis = Annotated[int, Meta(ge=0, le=86_400_000)]
Count = Annotated[int, Meta(ge=0, le=1_000_000)]
HttpStatus = Annotated[int, Meta(ge=0, le=599)]
CloseCode = Annotated[int, Meta(ge=1000, le=4999)]
LimitCode = Annotated[int, Meta(ge=1008, le=3009)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Knobs:
    """How the emulator behaves; the defaults are the service's good days, without its waiting times.

    Raises:
        ValueError: a value is of the wrong type or out of its range; the text names the knob.
    """

    keys: Annotated[
        tuple[str, ...], Meta(description="Valid API keys; none: every key that does not contain 'invalid'.")
    ] = field(default=(), repr=False)
    default_model: Annotated[
        str,
        Meta(description="Model when `speech_model` is absent; `refuse` answers 3006.", extra=_UNCONFIRMED),
    ] = "universal-3-5-pro"
    keep_audio: Annotated[bool, Meta(description="Keep the first 10 minutes of every session's audio.")] = True

    accept_delay: Annotated[Seconds, Meta(description="Wait before the 101 (measured: 0.6).")] = 0.0
    begin_delay: Annotated[Seconds, Meta(description="Wait between 101 and Begin (measured: 0.65).")] = 0.0
    error_delay: Annotated[Seconds, Meta(description="Wait before an Error (measured: 0.01; 0.95 for 3006).")] = 0.0
    close_delay: Annotated[Seconds, Meta(description="Wait between Error and close (measured: 0.18).")] = 0.0
    force_delay: Annotated[Seconds, Meta(description="Wait before a forced final (measured: 0.27).")] = 0.0
    format_delay: Annotated[Seconds, Meta(description="Wait before the second, formatted final.")] = 0.0
    terminate_delay: Annotated[Seconds, Meta(description="Wait before Termination (measured: 0.5 to 1.2).")] = 0.0
    latency: Annotated[Seconds, Meta(description="Added to every message to the client.")] = 0.0
    jitter: Annotated[Seconds, Meta(description="Up to this much more, at random; order is kept.")] = 0.0

    strict: Annotated[bool, Meta(description="Refuse the first frame shorter than 50 ms.")] = False
    short_tolerance_ms: Annotated[
        Millis, Meta(description="Too short audio that passes before 3007 (measured: 977).")
    ] = 977
    refuse_short_last: Annotated[
        bool, Meta(description="Refuse a short frame right before Terminate.", extra=_UNCONFIRMED)
    ] = False
    max_rate: Annotated[
        float, Meta(ge=0, le=1000, description="Times real time that audio is processed; 0: at once.")
    ] = 0.0
    max_backlog_seconds: Annotated[
        Seconds, Meta(description="Audio that may wait to be processed; more is 3007.", extra=_UNCONFIRMED)
    ] = 300.0

    us_min_turn_silence_ms: Annotated[Millis, Meta(description="US: `min_turn_silence` when absent.")] = 400
    us_max_turn_silence_ms: Annotated[Millis, Meta(description="US: `max_turn_silence` when absent.")] = 1280
    u3_min_turn_silence_ms: Annotated[
        Millis, Meta(description="U3: `min_turn_silence` when absent.", extra=_UNCONFIRMED)
    ] = 400
    u3_max_turn_silence_ms: Annotated[
        Millis, Meta(description="U3: `max_turn_silence` when absent.", extra=_UNCONFIRMED)
    ] = 1000
    u3_first_partial_ms: Annotated[
        Millis, Meta(description="U3: speech before the first partial (halved by `min_latency`).")
    ] = 1170
    u3_revise: Annotated[bool, Meta(description="U3: partials guess the newest word and correct it later.")] = True
    u3_pad_start_ms: Annotated[Millis, Meta(description="U3: a final's first word starts this early.")] = 1000
    u3_pad_end_ms: Annotated[Millis, Meta(description="U3: a final's last word ends this late.")] = 300
    u3_rising_confidence: Annotated[
        bool, Meta(description="U3: confidence climbs over partials of a held turn.", extra=_UNCONFIRMED)
    ] = False
    formatting: Annotated[Formatting, Meta(description="US: what `format_turns=true` does.", extra=_UNCONFIRMED)] = (
        Formatting.DOUBLE
    )
    us_force_drops_tail: Annotated[
        bool, Meta(description="US: ForceEndpoint loses the word in flight.", extra=_UNCONFIRMED)
    ] = False
    force_when_idle: Annotated[
        IdleForce, Meta(description="ForceEndpoint with nothing pending.", extra=_UNCONFIRMED)
    ] = IdleForce.NOTHING
    null_language: Annotated[
        bool, Meta(description="Send `language_code: null` on the empty final after Terminate.")
    ] = False
    heartbeat_seconds: Annotated[
        float, Meta(ge=0.001, le=3600, description="Time between Heartbeats, when they are asked for.")
    ] = 5.0
    silence_overlap_ms: Annotated[Millis, Meta(description="How far a Silence reaches back into speech.")] = 0
    llm_access: Annotated[bool, Meta(description="The account may use `llm_gateway`; else it is ignored.")] = True

    session_seconds: Annotated[
        float, Meta(gt=0, le=86_400, description="Longest session; then Error and close 3008.")
    ] = 10_800.0
    expired_text: Annotated[str, Meta(description="Text of the Error 3008.", extra=_UNCONFIRMED)] = (
        "Session Expired: Maximum session duration exceeded"
    )
    max_concurrent: Annotated[Count, Meta(description="Sessions open at once; 0: no limit.", extra=_UNCONFIRMED)] = 0
    sessions_per_minute: Annotated[Count, Meta(description="Sessions that may start in 60 s; 0: no limit.")] = 0
    slot_release_seconds: Annotated[
        Seconds, Meta(description="A closed session counts as open for this long.", extra=_UNCONFIRMED)
    ] = 0.0
    limit_code: Annotated[LimitCode, Meta(description="Code of the limits: 1008 or 3009.", extra=_UNCONFIRMED)] = 1008
    token_single_use: Annotated[
        bool, Meta(description="A temporary token opens one session only.", extra=_UNCONFIRMED)
    ] = False
    token_status: Annotated[
        HttpStatus, Meta(description="Status of every answer of /v3/token, e.g. 401 or 429; 0: normal.")
    ] = 0

    fault_sessions: Annotated[
        Count, Meta(description="Faults hit the first n sessions since the knobs were set; 0: all.")
    ] = 0
    http_status: Annotated[
        HttpStatus, Meta(description="Refuse the upgrade with this status; 0: never.", extra=_UNCONFIRMED_FAULT)
    ] = 0
    refuse: Annotated[Refusal, Meta(description="Refuse the session after the 101.", extra=_FAULT)] = Refusal.NONE
    begin_never: Annotated[bool, Meta(description="Accept, then never send anything.", extra=_FAULT)] = False
    fault: Annotated[Fault, Meta(description="What goes wrong in the session.", extra=_FAULT)] = Fault.NONE
    fault_at: Annotated[
        Moment, Meta(description="When: before Begin, right after it, or at `fault_after_ms`.", extra=_FAULT)
    ] = Moment.AUDIO
    fault_after_ms: Annotated[Millis, Meta(description="Audio received before the fault.", extra=_FAULT)] = 1000
    fault_seconds: Annotated[
        Seconds, Meta(description="`stall` and `slow-reader` end after this; 0: never.", extra=_FAULT)
    ] = 0.0
    fault_code: Annotated[CloseCode, Meta(description="Code of `error` and `close`.", extra=_FAULT)] = 3005
    fault_text: Annotated[str, Meta(description="Text of `error`.", extra=_FAULT)] = (
        "Session Cancelled: An error occurred"
    )
    ending: Annotated[Ending, Meta(description="How Terminate is answered.", extra=_FAULT)] = Ending.NORMAL
    duplicate_finals: Annotated[bool, Meta(description="Send every final twice.", extra=_FAULT)] = False
    partial_after_final: Annotated[bool, Meta(description="Send a partial behind every final.", extra=_FAULT)] = False
    unknown_events: Annotated[
        bool, Meta(description="Send an event of an unknown type after Begin and every final.", extra=_FAULT)
    ] = False
    unknown_fields: Annotated[bool, Meta(description="Put unknown fields into every message.", extra=_FAULT)] = False
    warning_text: Annotated[str, Meta(description="Send this Warning after Begin; empty: none.", extra=_FAULT)] = ""
    warning_code: Annotated[Count, Meta(description="Code of that Warning.", extra=_UNCONFIRMED_FAULT)] = 3001

    def __post_init__(self) -> None:
        for knob in declared():
            try:
                value = msgspec.convert(getattr(self, knob.name), knob.annotation)
            except msgspec.ValidationError as error:
                raise ValueError(f"knob {knob.name}: {error}") from error
            object.__setattr__(self, knob.name, value)
        for name in ("http_status", "token_status"):
            if 0 < getattr(self, name) < 200:
                raise ValueError(f"knob {name}: Expected 0, or a status from 200 to 599")

    def healthy(self) -> Knobs:
        """The same knobs with every fault at its default: for sessions behind the first `fault_sessions`."""
        return replace(self, **{knob.name: knob.default for knob in declared() if knob.fault})


@dataclass(frozen=True, slots=True)
class Knob:
    """One row of the declaration.

    Attributes:
        name: field of `Knobs`.
        annotation: its type with its range.
        kind: its bare type: bool, int, float, str, an enum or `tuple[str, ...]`.
        default: value when it is not set.
        doc: one sentence.
        unconfirmed: nobody has captured what the service does.
        fault: part of what `fault_sessions` limits.
    """

    name: str
    annotation: Any
    kind: Any
    default: Any
    doc: str
    unconfirmed: bool
    fault: bool

    @property
    def flag(self) -> str:
        """The command line's spelling."""
        return "--" + ("key" if self.name == "keys" else self.name.replace("_", "-"))

    @property
    def values(self) -> str:
        """What it takes, for people: a type, or the values of an enum."""
        if isinstance(self.kind, type) and issubclass(self.kind, StrEnum):
            return " ".join(member.value for member in self.kind)
        return {bool: "switch", int: "integer", float: "number"}.get(self.kind, "text")

    @property
    def default_text(self) -> str:
        """The default, for people."""
        if isinstance(self.default, bool):
            return "on" if self.default else "off"
        if isinstance(self.default, float):
            return f"{self.default:g}"
        return str(self.default) if self.default not in ((), "") else "none"


_declared: list[Knob] = []


def declared() -> list[Knob]:
    """All knobs in the order of their declaration."""
    if not _declared:
        _declared.extend(_read_declaration())
    return _declared


def _read_declaration() -> Iterator[Knob]:
    hints = get_type_hints(Knobs, include_extras=True)
    for item in fields(Knobs):
        kind, *metas = get_args(hints[item.name])
        meta = next(meta for meta in metas if isinstance(meta, Meta) and meta.description)
        extra = meta.extra or {}
        assert item.default is not MISSING
        yield Knob(
            name=item.name,
            annotation=hints[item.name],
            kind=kind,
            default=item.default,
            doc=meta.description or "",
            unconfirmed=bool(extra.get("unconfirmed")),
            fault=bool(extra.get("fault")),
        )


def changed(knobs: Knobs, changes: Mapping[str, object]) -> Knobs:
    """`knobs` with some of them set anew.

    Args:
        knobs: the ones to start from.
        changes: values by name, as JSON gives them. One that is as `as_json` shows it is no change.

    Raises:
        ValueError: an unknown name or a refused value; the text names it.
    """
    known = {knob.name for knob in declared()}
    unknown = sorted(set(changes) - known)
    if unknown:
        raise ValueError(f"no such knob: {', '.join(unknown)}")
    shown = as_json(knobs)
    new = {name: value for name, value in changes.items() if value != shown[name]}
    return replace(knobs, **new)  # type: ignore[arg-type]  # __post_init__ checks the values


def as_json(knobs: Knobs) -> dict[str, object]:
    """The knobs for the control endpoint; keys are counted, not shown."""
    values: dict[str, object] = {knob.name: getattr(knobs, knob.name) for knob in declared()}
    return values | {"keys": f"{len(knobs.keys)} set"}


def markdown_table() -> str:
    """The table of the documentation: one row per knob, unconfirmed ones marked."""
    lines = ["| flag | takes | default | meaning |", "| --- | --- | --- | --- |"]
    for knob in declared():
        doc = f"{knob.doc} *Unconfirmed.*" if knob.unconfirmed else knob.doc
        lines.append(f"| `{knob.flag}` | {knob.values} | {knob.default_text} | {doc} |")
    return "\n".join(lines) + "\n"
