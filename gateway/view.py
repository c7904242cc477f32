"""Events on a terminal: who says what, and short notes of whatever else happens.

Events go into a `Board`. It holds the newest rows, so that a partial is replaced in place; rows that are settled leave
it to be printed for good. `on_screen` and `as_text` draw rows for a terminal and for a pipe, `Tally` adds a call up.
Nothing here reads or waits; `tail` does.

Whatever is shown comes from outside, so what would steer a terminal is taken out of it.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import TypeVar

from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from gateway import events
from gateway.client import TurnKey, fold, turn_key
from gateway.events import AnyEvent
from gateway.wording import Weight, note, outcome, speaker

MOST_ROWS = 200
"""Rows that the board holds; beyond it the oldest leaves, though its turn may still change."""

REMEMBERED = 1000
"""Turns, streams and calls that are known to have been shown; the oldest are forgotten first."""

NARROW = 60
"""Columns; on fewer the time is left out."""

_JOINERS = "\u200c\u200d"
_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


class Tone(Enum):
    """How a row looks: the styles of its name and of its text."""

    CALLER = ("bold cyan", "")
    AGENT = ("bold green", "")
    PLAIN = ("dim", "dim")
    WARNING = ("yellow", "yellow")
    ERROR = ("red", "red")

    def __init__(self, name: str, text: str) -> None:
        self.name_style = name
        self.text_style = text


_TONES = {Weight.PLAIN: Tone.PLAIN, Weight.WARNING: Tone.WARNING, Weight.ERROR: Tone.ERROR}


@dataclass(slots=True)
class Row:
    """One line of the picture.

    Attributes:
        seconds: since the call's first stream began; None where that is not known.
        who: a speaker; empty for a note.
        open: a partial, whose words may still change.
        again: it replaces what was printed before.
    """

    call_id: str
    seconds: float | None
    who: str
    text: str
    tone: Tone
    open: bool = False
    again: bool = False
    key: TurnKey | None = None


def clean(text: str) -> str:
    """The text without what would steer a terminal, on one line."""
    return "".join(char if char.isprintable() or char in _JOINERS else " " for char in text)


class Board:
    """The rows of one call or many."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self._clocks = _Clocks()
        self._printed: dict[TurnKey, str] = {}

    def take(self, event: AnyEvent) -> None:
        """Takes an event in: a new row, or a change of one, or nothing."""
        self._clocks.heed(event)
        if isinstance(event, events.Turn):
            self._turn(event)
            return
        said = note(event)
        if said is not None:
            text, weight = said
            self.rows.append(Row(event.call_id, self._note_seconds(event), "", clean(text), _TONES[weight]))
        if isinstance(event, events.StreamEnded):
            self._close(event.stream_id)

    def settle(self, keep: int) -> list[Row]:
        """Takes out the oldest rows that change no more, until `keep` are left, or only such as may change."""
        leaving = []
        for row in tuple(self.rows):
            if len(self.rows) <= keep:
                break
            if not row.open or len(self.rows) > MOST_ROWS:
                self.rows.remove(row)
                leaving.append(row)
                if row.key is not None:
                    _remember(self._printed, row.key, row.text)
        return leaving

    def _note_seconds(self, event: AnyEvent) -> float | None:
        if isinstance(event, events.StreamEnded):
            # It is told when the last turn has come, which is later than the end itself.
            return None
        return self._clocks.seconds(event, event.from_ms if isinstance(event, events.Gap) else None)

    def _turn(self, event: events.Turn) -> None:
        key, text = turn_key(event), clean(event.text)
        row = next((row for row in self.rows if row.key == key), None)
        if row is None:
            self._new_turn(event, key, text)
        elif event.final and not text:
            self.rows.remove(row)
        else:
            row.text, row.open = text, not event.final
            row.seconds = self._clocks.seconds(event, event.start_ms) if event.start_ms is not None else row.seconds

    def _new_turn(self, event: events.Turn, key: TurnKey, text: str) -> None:
        printed = self._printed.get(key)
        if text == (printed or ""):
            return
        tone = Tone.AGENT if event.track == "outbound" else Tone.CALLER
        seconds = self._clocks.seconds(event, event.start_ms)
        row = Row(event.call_id, seconds, clean(speaker(event.track)), text or "(taken back)", tone, key=key)
        row.open, row.again = not event.final, printed is not None
        self.rows.append(row)

    def _close(self, stream_id: str) -> None:
        """What is still open of a stream that has ended will not change."""
        for row in self.rows:
            if row.key is not None and row.key[0] == stream_id:
                row.open = False


class _Clocks:
    """Where an event lies in its call."""

    def __init__(self) -> None:
        self._calls: dict[str, datetime] = {}
        self._streams: dict[str, datetime] = {}

    def heed(self, event: AnyEvent) -> None:
        """Takes note of a stream's beginning."""
        if isinstance(event, events.StreamStarted) and (started := _time(event.started_at)):
            _remember(self._streams, event.stream_id, started)
            if event.call_id not in self._calls:
                _remember(self._calls, event.call_id, started)

    def seconds(self, event: AnyEvent, at_ms: int | None) -> float | None:
        """Seconds since the call's first stream began, of a place on the stream's timeline, or else of the event."""
        call, stream = self._calls.get(event.call_id), self._streams.get(event.stream_id)
        if at_ms is not None and (call is None or stream is None):
            return at_ms / 1000
        if call is None:
            return None
        if at_ms is not None and stream is not None:
            return (stream - call).total_seconds() + at_ms / 1000
        made = _time(event.at)
        return None if made is None else max((made - call).total_seconds(), 0.0)


def _time(text: str) -> datetime | None:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return at if at.tzinfo else None


def _remember(known: dict[_Key, _Value], key: _Key, value: _Value) -> None:
    known[key] = value
    while len(known) > REMEMBERED:
        del known[next(iter(known))]


def short(call_id: str) -> str:
    """Enough of a call's id to tell calls apart on a screen."""
    return clean(call_id if len(call_id) <= 10 else f"{call_id[:2]}…{call_id[-6:]}")


def _clock(seconds: float | None) -> str:
    if seconds is None:
        return ""
    minutes, left = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{left:02}" if minutes >= 60 else f"{minutes}:{left:02}"


def on_screen(rows: Iterable[Row], width: int, *, label: bool) -> Table:
    """Rows for a terminal: columns, with long texts wrapped within theirs.

    Args:
        rows: from the top down.
        width: of the terminal, in columns.
        label: say which call each row is of.
    """
    grid = Table.grid(padding=(0, 2, 0, 0), expand=True)
    if timed := width >= NARROW:
        grid.add_column(width=7, justify="right", style="dim", no_wrap=True)
    if label:
        grid.add_column(width=10, style="magenta dim", no_wrap=True)
    grid.add_column(width=6, no_wrap=True)
    grid.add_column(ratio=1, overflow="fold")
    for row in rows:
        said = Text(row.text, style="dim" if row.open else row.tone.text_style)
        said.append(" …" if row.open else "", style="dim")
        said.append(" (corrected)" if row.again else "", style="dim")
        cells = [Text(row.who or "·", style=row.tone.name_style), said]
        before = [_clock(row.seconds)] if timed else []
        grid.add_row(*before, *([short(row.call_id)] if label else []), *cells)
    return grid


def as_text(row: Row, *, label: bool) -> str:
    """A row for a pipe: one line, however long, without a control code."""
    which = f"{clean(row.call_id)} " if label else ""
    who = f"{row.who}: " if row.who else "- "
    return f"{which}{_clock(row.seconds):>7} {who}{row.text}{' (corrected)' if row.again else ''}"


@dataclass(slots=True)
class Tally:
    """What a call adds up to."""

    turns: dict[TurnKey, events.Turn] = field(default_factory=dict)
    audio: dict[str, float] = field(default_factory=dict)
    billed_seconds: float = 0.0
    sessions: int = 0
    lost_ms: int = 0
    results: list[str] = field(default_factory=list)

    def take(self, event: AnyEvent) -> None:
        """Adds an event."""
        if isinstance(event, events.Turn):
            fold([event], self.turns)
        elif isinstance(event, events.SessionEnded):
            heard = event.audio_seconds or 0.0
            self.audio[event.track] = self.audio.get(event.track, 0.0) + heard
            self.billed_seconds += event.billed_seconds
            self.sessions += 1
        elif isinstance(event, events.Gap):
            self.lost_ms += event.lost_ms
        elif isinstance(event, events.StreamEnded):
            self.results.append(outcome(event))

    def facts(self) -> list[tuple[str, str]]:
        """Names and values, for people."""
        counts: dict[str, int] = {}
        for _, track, _ in self.turns:
            counts[track] = counts.get(track, 0) + 1
        words = sum(len(turn.text.split()) for turn in self.turns.values())
        facts = [
            ("turns", f"{len(self.turns)}{_each(counts)}, {words} word{'s' * (words != 1)}"),
            ("audio", f"{sum(self.audio.values()):.1f} s{_each(self.audio)}"),
            ("billed", f"{self.billed_seconds:.1f} s in {self.sessions} session{'s' * (self.sessions != 1)}"),
            ("result", clean(", ".join(self.results)) or "not ended"),
        ]
        if self.lost_ms:
            facts.insert(2, ("lost", f"{self.lost_ms / 1000:.1f} s of audio"))
        return facts


def _each(amounts: dict[str, int] | dict[str, float]) -> str:
    if len(amounts) < 2:
        return ""
    each = (f"{speaker(track)} {amount:.4g}" for track, amount in sorted(amounts.items()))
    return clean(f" ({', '.join(each)})")


def panel(title: str, facts: Iterable[tuple[str, str]]) -> Panel:
    """A summary for a terminal."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="dim")
    grid.add_column(overflow="fold")
    for name, value in facts:
        grid.add_row(name, Text(value))
    return Panel(grid, title=Text(title), title_align="left", border_style="dim", expand=False, padding=(0, 1))


def lines(title: str, facts: Iterable[tuple[str, str]]) -> str:
    """A summary for a pipe."""
    return "\n".join((title, *(f"  {name}: {value}" for name, value in facts)))
