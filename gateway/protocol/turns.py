"""Which turn a message belongs to, over several sessions of one track.

The service numbers turns from 0 in each session; a track's turns go on counting. A turn is replaced by the next message
with its number, so partials, late formatting, revised speakers and retractions are all one rule. What comes twice is
said once. The two model families differ and neither is asked for (Universal-Streaming v3, "Turn object"):

- Universal-Streaming: `transcript` holds the finished words only, and with `format_turns` a final may come twice, the
  second time formatted. After Terminate an empty final of a new turn may come.
- Universal-3: partials replace each other whole, and their words change.
"""

from dataclasses import dataclass, replace

from gateway.protocol.transcription import Revision, Turn, Word

REMEMBERED = 32
"""How many turns of a session are kept to recognise what comes late; the oldest go first."""

REMEMBERED_WITH_SPEAKERS = 4096
"""The same where speakers may be revised at the session's end, which concerns all its turns."""


@dataclass(frozen=True, slots=True)
class TurnUpdate:
    """What to publish of a turn: its number in the track, the text to show, session times in ms (None: not known)."""

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

    __slots__ = ("_forgotten", "_known", "_remembered", "count", "finals")

    def __init__(self) -> None:
        self._known: dict[int, _Known] = {}
        self._forgotten: int | None = None
        self._remembered = REMEMBERED
        self.count = 0
        self.finals = 0
        """How many are final, and have not been taken back."""

    def begin_session(self, *, speakers: bool = False) -> None:
        """A new session begins, and the service counts from 0 again."""
        self._known.clear()
        self._forgotten = None
        self._remembered = REMEMBERED_WITH_SPEAKERS if speakers else REMEMBERED

    def update(self, turn: Turn) -> TurnUpdate | None:
        """What a Turn message changes; None where it changes nothing that may be shown."""
        text = shown_text(turn)
        known = self._known.get(turn.turn_order)
        if known is None:
            return self._first(turn, text) if text and not self._is_late(turn.turn_order) else None
        update = _update(known.number, turn, text)
        return self._show(known, update) if _says_more(update, known.shown) else None

    def revise(self, revision: Revision) -> TurnUpdate | None:
        """What a speaker revision changes: who spoke, not what was said, so the turn is said once more as it was.

        A turn that is still open will be said again by itself, and one that was taken back is not brought back.
        """
        known = self._known.get(revision.turn_order)
        if known is None or not known.shown.final or not known.shown.text:
            return None
        before = known.shown
        start, end = _span(revision.words)
        if start is None:
            start, end = before.start_ms, before.end_ms
        return self._show(known, replace(before, start_ms=start, end_ms=end))

    def number(self, turn_order: int | None) -> int | None:
        """The track's number of a turn of this session, where something of it was shown and it is remembered."""
        known = None if turn_order is None else self._known.get(turn_order)
        return known.number if known else None

    def close(self) -> list[TurnUpdate]:
        """The session is gone: what was shown of turns that are still open is all there will be, so it is final."""
        updates = []
        for known in self._known.values():
            shown = known.shown
            if not shown.final:
                updates.append(self._show(known, replace(shown, final=True)))
        return updates

    def _first(self, turn: Turn, text: str) -> TurnUpdate:
        number = self.count
        self.count += 1
        update = _update(number, turn, text)
        self._known[turn.turn_order] = _Known(number, update)
        self.finals += _stands(update)
        if len(self._known) > self._remembered:
            oldest = next(iter(self._known))
            del self._known[oldest]
            self._forgotten = oldest if self._forgotten is None else max(self._forgotten, oldest)
        return update

    def _is_late(self, turn_order: int) -> bool:
        """Whether it may be a turn that is forgotten: said again, it would get another number."""
        return self._forgotten is not None and turn_order <= self._forgotten

    def _show(self, known: _Known, update: TurnUpdate) -> TurnUpdate:
        self.finals += _stands(update) - _stands(known.shown)
        known.shown = update
        return update


def shown_text(turn: Turn) -> str:
    """The text to show: the transcript; while a turn is open, its words where they say more than the transcript.

    Universal-Streaming lacks the word that is being spoken. Universal-3 has everything in it, and formatted, which its
    words need not be. What says more is told by letters: not every language has spaces.
    """
    transcript = turn.transcript
    if transcript is not None and (turn.end_of_turn or (transcript and turn.turn_is_formatted)):
        return transcript
    words = " ".join(word.text for word in turn.words)
    return words if transcript is None or _letters(words) > _letters(transcript) else transcript


def _letters(text: str) -> int:
    return len(text) - text.count(" ")


def _stands(update: TurnUpdate) -> bool:
    return update.final and update.text != ""


def _says_more(update: TurnUpdate, before: TurnUpdate) -> bool:
    """Whether a message changes what was shown. A final is replaced by a final only, and keeps its formatting."""
    if not before.final:
        return update != before
    if not update.final or (before.formatted and not update.formatted):
        return False
    return (update.text, update.formatted) != (before.text, before.formatted)


def _update(number: int, turn: Turn, text: str) -> TurnUpdate:
    start, end = _span(turn.words)
    return TurnUpdate(number, turn.end_of_turn, turn.turn_is_formatted, text, start, end)


def _span(words: tuple[Word, ...]) -> tuple[int | None, int | None]:
    start, end = (words[0].start, words[-1].end) if words else (None, None)
    if start is None or end is None:
        return None, None
    begin = max(int(start), 0)
    return begin, max(int(end), begin)
