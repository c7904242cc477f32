"""What a subscriber saw of a call whose words are known, and whether it is right."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from difflib import SequenceMatcher

from gateway import events
from gateway.client import Message
from gateway.events import AnyEvent
from gateway.view import Tally
from gateway.wording import outcome, speaker

ENOUGH = 0.5
"""The share of a recording's words that must agree where a service really listens to synthetic voices."""

Words = Mapping[str, Sequence[str]]
"""The words of each track, in order."""


@dataclass(slots=True)
class Evidence:
    """What came, in the order in which it came.

    Attributes:
        delays: seconds from the making of each live event (`at`, cut to the millisecond before) to its receipt.
    """

    tally: Tally = field(default_factory=Tally)
    seqs: list[int] = field(default_factory=list)
    delays: list[float] = field(default_factory=list)
    ended: events.StreamEnded | None = None

    def take(self, message: Message, event: AnyEvent, received: datetime) -> None:
        """Adds an event. `received` by the wall clock that the gateway's `at` comes from."""
        self.tally.take(event)
        if message.durable:
            self.seqs.append(event.seq)
        if message.live:
            self.delays.append((received - datetime.fromisoformat(event.at)).total_seconds())
        if isinstance(event, events.StreamEnded):
            self.ended = event

    def words(self) -> dict[str, list[str]]:
        """What was said on each track, by the turns as they stand."""
        said: dict[str, list[str]] = {}
        for (_, track, _), turn in sorted(self.tally.turns.items()):
            said.setdefault(track, []).extend(_bare(turn.text))
        return said

    def latency(self) -> str:
        """The delays in words."""
        if not self.delays:
            return "not measured: nothing came live"
        median, worst = statistics.median(self.delays) * 1000, max(self.delays) * 1000
        of = f"{len(self.delays)} event{'s' * (len(self.delays) != 1)}"
        return f"{median:.1f} ms in the middle, {worst:.1f} ms at worst, of {of}"


def faults_of(evidence: Evidence, expected: Words, *, exact: bool) -> list[str]:
    """What is not as it should be, in sentences; none if all is.

    Args:
        evidence: what came.
        expected: what was said.
        exact: every word counts; otherwise `ENOUGH` of them.
    """
    return [*_order(evidence), *_end(evidence), *_transcript(evidence.words(), expected, exact=exact)]


def agreement(said: Sequence[str], expected: Sequence[str]) -> float:
    """The share of the expected words that came, in their order."""
    matcher = SequenceMatcher(None, expected, said, autojunk=False)
    return sum(block.size for block in matcher.get_matching_blocks()) / max(len(expected), 1)


def _order(evidence: Evidence) -> list[str]:
    seqs = evidence.seqs
    if seqs == list(range(1, len(seqs) + 1)):
        return []
    return [f"durable events are not numbered 1, 2, 3 … without a hole, but {seqs}"]


def _end(evidence: Evidence) -> list[str]:
    ended = evidence.ended
    if ended is None:
        return ["the stream never ended (there was no stream.ended)"]
    faults = []
    if (ended.result, ended.reason) != ("completed", "stopped"):
        faults.append(f"the stream ended as {outcome(ended)}, not completed (stopped)")
    if evidence.seqs and ended.last_seq != evidence.seqs[-1]:
        faults.append(f"stream.ended says that its last event is {ended.last_seq}, but {evidence.seqs[-1]} came")
    return faults


def _transcript(said: Words, expected: Words, *, exact: bool) -> list[str]:
    faults = []
    for track, words in expected.items():
        came = said.get(track, [])
        share = agreement(came, words)
        if exact and list(came) != list(words):
            faults.append(f"the {speaker(track)}'s words differ: {_difference(came, words)}")
        elif share < ENOUGH:
            faults.append(f"only {share:.0%} of the {speaker(track)}'s words agree")
    return faults


def _difference(came: Sequence[str], words: Sequence[str]) -> str:
    matcher = SequenceMatcher(None, words, came, autojunk=False)
    return "; ".join(
        f"“{' '.join(words[a:b])}” came as “{' '.join(came[c:d])}”"
        for kind, a, b, c, d in matcher.get_opcodes()
        if kind != "equal"
    )


def _bare(text: str) -> list[str]:
    return [bare for word in text.lower().split() if (bare := word.strip(".,;:!?\"'()-"))]
