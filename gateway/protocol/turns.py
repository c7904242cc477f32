"""Which turn a message belongs to, over several sessions of one track.

The service numbers turns from 0 in each session; a track's turns go on counting. A turn is replaced by the next message
with its number, so partials, late formatting, revised speakers and retractions are all one rule. What comes twice is
said once. The two model families differ and neither is asked for (Universal-Streaming v3, "Turn object"):

- Universal-Streaming: `transcript` holds the finished words only, and with `format_turns` a final may come twice, the
  second time formatted. After Terminate an empty final of a new turn may come.
- Universal-3: partials replace each other whole, and their words change.
"""

from dataclasses import dataclass

from gateway.protocol.transcription import Revision, Turn, Word

REMEMBERED = 32
"""How many turns of a session are kept to recognise what comes late; the oldest go first."""

REMEMBERED_WITH_SPEAKERS = 4096
"""The same where speakers may be revised at the session's end, which concerns all its turns."""


@dataclass(frozen=True, slots=True)
class TurnUpdate:
    """What to publish of a turn: its number in the track, the text to show, session times in ms (None without words)."""

    turn: int
    final: bool
    formatted: bool
    text: str
    start_ms: int | None
    end_ms: int | None


@dataclass(slots=True)
class _Known:
    """A turn that something was shown of."""

    number: int
    shown: TurnUpdate


class Turns:
    """The turns of one track."""

    __slots__ = ("_known", "_remembered", "count", "finals")

    def __init__(self) -> None:
        self._known: dict[int, _Known] = {}
        self._remembered = REMEMBERED
        self.count = 0
        self.finals = 0

    def begin_session(self, *, speakers: bool = False) -> None:
        """A new session begins, and the service counts from 0 again."""
        self._known.clear()
        self._remembered = REMEMBERED_WITH_SPEAKERS if speakers else REMEMBERED

    def update(self, turn: Turn) -> TurnUpdate | None:
        """What a Turn message changes; None where it changes nothing that may be shown."""
        text = shown_text(turn)
        known = self._known.get(turn.turn_order)
        if known is None:
            return self._first(turn, text) if text else None
        before = known.shown
        if before.final:
            formatting_lost = before.formatted and not turn.turn_is_formatted
            if (
                not turn.end_of_turn
                or formatting_lost
                or (text, turn.turn_is_formatted) == (before.text, before.formatted)
            ):
                return None
        return self._show(known, _update(known.number, turn, text))

    def revise(self, revision: Revision) -> TurnUpdate | None:
        """What a speaker revision changes: the turn is said once more, with the words that it brings."""
        known = self._known.get(revision.turn_order)
        if known is None or not known.shown.final:
            return None
        before = known.shown
        text = " ".join(word.text for word in revision.words) or before.text
        start, end = _span(revision.words)
        if start is None:
            start, end = before.start_ms, before.end_ms
        return self._show(known, TurnUpdate(known.number, True, before.formatted, text, start, end))

    def number(self, turn_order: int) -> int | None:
        """The track's number of a turn of this session, where something of it was shown."""
        known = self._known.get(turn_order)
        return known.number if known else None

    def close(self) -> list[TurnUpdate]:
        """The session is gone: what was shown of turns that are still open is all that there will be, so it is final."""
        updates = []
        for known in self._known.values():
            shown = known.shown
            if not shown.final:
                update = TurnUpdate(shown.turn, True, shown.formatted, shown.text, shown.start_ms, shown.end_ms)
                updates.append(self._show(known, update))
        return updates

    def _first(self, turn: Turn, text: str) -> TurnUpdate:
        number = self.count
        self.count += 1
        update = _update(number, turn, text)
        known = self._known[turn.turn_order] = _Known(number, update)
        while len(self._known) > self._remembered:
            del self._known[next(iter(self._known))]
        return self._show(known, update, first=True)

    def _show(self, known: _Known, update: TurnUpdate, *, first: bool = False) -> TurnUpdate:
        if update.final and (first or not known.shown.final):
            self.finals += 1
        known.shown = update
        return update


def shown_text(turn: Turn) -> str:
    """The text to show: the transcript; while a turn is open, its words where they say more than the transcript."""
    if not turn.end_of_turn and len(turn.transcript.split()) < len(turn.words):
        return " ".join(word.text for word in turn.words)
    return turn.transcript


def _update(number: int, turn: Turn, text: str) -> TurnUpdate:
    start, end = _span(turn.words)
    return TurnUpdate(number, turn.end_of_turn, turn.turn_is_formatted, text, start, end)


def _span(words: tuple[Word, ...]) -> tuple[int | None, int | None]:
    if not words:
        return None, None
    return max(int(words[0].start), 0), max(int(words[-1].end), 0)
