"""Events in plain words: a short sentence for whatever is worth one, without a terminal in mind.

What comes from outside is quoted as it is; whoever prints it cleans it (`view.clean`).
"""

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any

from gateway import events
from gateway.events import AnyEvent

SPEAKERS = {"inbound": "caller", "outbound": "agent"}
"""Who speaks on a track, as the phone call's own side sees it."""

CAUSES = {
    "carrier": "the carrier did not deliver it",
    "overflow": "there was no room to keep it until AssemblyAI took it",
    "upstream": "the connection to AssemblyAI was lost",
    "paused": "transcription was paused",
}


class Weight(Enum):
    """How serious a note is."""

    PLAIN = "plain"
    WARNING = "warning"
    ERROR = "error"


def speaker(track: str) -> str:
    """Who speaks on a track."""
    return SPEAKERS.get(track, track)


def outcome(event: events.StreamEnded) -> str:
    """How a stream ended."""
    return f"{_words(event.result)} ({_words(event.reason)})"


def note(event: AnyEvent) -> tuple[str, Weight] | None:
    """A sentence on the event, and how serious it is; None for what needs no note."""
    known = _NOTES.get(type(event))
    if known is None:
        return None
    say, weight = known
    failed = isinstance(event, events.StreamEnded) and event.result != "completed"
    return say(event), Weight.ERROR if failed else weight


def _started(event: events.StreamStarted) -> str:
    heard = " and ".join(speaker(track) for track in event.tracks) or "nobody"
    return f"a stream began ({event.dialect}), listening to {heard}"


def _ended(event: events.StreamEnded) -> str:
    return f"the stream ended: {outcome(event)}"


def _gap(event: events.Gap) -> str:
    seconds = event.lost_ms / 1000
    return f"{seconds:.1f} s of the {speaker(event.track)}'s audio are missing: {CAUSES[event.cause]}"


def _interrupted(event: events.SessionInterrupted) -> str:
    return f"the {speaker(event.track)}'s transcription is interrupted: {_words(event.reason)}{_code(event.code)}"


def _resumed(event: events.SessionResumed) -> str:
    late = f", {event.behind_ms / 1000:.1f} s behind" if event.behind_ms >= 1000 else ""
    return f"the {speaker(event.track)}'s transcription is back after {event.outage_ms / 1000:.1f} s{late}"


def _warning(event: events.SessionWarning) -> str:
    return f"AssemblyAI warns of the {speaker(event.track)}'s session{_code(event.code)}: {event.message}"


def _error(event: events.SessionError) -> str:
    return f"the {speaker(event.track)}'s session failed{_code(event.code)}: {event.message}"


def _dtmf(event: events.Dtmf) -> str:
    return f"the {speaker(event.track)} pressed {event.digit}"


def _control(event: events.Control) -> str:
    return f"control, {_words(event.action)}: {'done' if event.accepted else 'refused'}{_said(event.message)}"


def _status(event: events.StreamStatus) -> str:
    return f"the carrier reports {_words(event.status)}{_code(event.code)}{_said(event.message)}"


def _words(name: str) -> str:
    return name.replace("_", " ")


def _code(code: int | None) -> str:
    return "" if code is None else f" ({code})"


def _said(message: str) -> str:
    return f": {message}" if message else ""


_NOTES: Mapping[type[AnyEvent], tuple[Callable[[Any], str], Weight]] = {
    events.StreamStarted: (_started, Weight.PLAIN),
    events.StreamEnded: (_ended, Weight.PLAIN),
    events.Gap: (_gap, Weight.WARNING),
    events.SessionInterrupted: (_interrupted, Weight.WARNING),
    events.SessionResumed: (_resumed, Weight.PLAIN),
    events.SessionWarning: (_warning, Weight.WARNING),
    events.SessionError: (_error, Weight.ERROR),
    events.Dtmf: (_dtmf, Weight.PLAIN),
    events.Control: (_control, Weight.PLAIN),
    events.StreamStatus: (_status, Weight.PLAIN),
}
