"""Where audio lies: from bytes of a track to the stream's timeline, and from session time to bytes of a track.

Both maps are straight lines of slope one, broken where something was left out: audio that the carrier lost, audio that
overflowed, a session that began in the middle of a stream. A `Segments` holds the breaks of one such map; two of them
in a row turn the times of AssemblyAI's words (session time) into `start_ms` and `end_ms` (the carrier's clock).

Positions are counted in bytes of the track's encoding, because audio is: milliseconds would round odd frame sizes.
"""

from bisect import bisect_right
from dataclasses import dataclass
from itertools import pairwise

LATEST_MS = 24 * 3600 * 1000
"""The latest time stamp that is one: Twilio's longest call has 24 hours. Later ones are of another clock."""

MOST_BREAKS = 4096
"""How many breaks a map remembers."""


class Segments:
    """A map of slope one with breaks, from positions to positions, both in bytes.

    Marks are made in ascending order of `x`. Its size is the number of breaks, not the length of the audio; of more
    breaks than a call can have in good faith, the oldest are forgotten.
    """

    __slots__ = ("_x", "_y")

    def __init__(self) -> None:
        self._x: list[int] = []
        self._y: list[int] = []

    def mark(self, x: int, y: int) -> None:
        """From `x` on, positions map to `y` and onwards; a mark at the place of the last one replaces it."""
        if self._x and self._x[-1] == x:
            self._y[-1] = y
        elif not self._x or self._y[-1] - self._x[-1] != y - x:
            self._x.append(x)
            self._y.append(y)
            if len(self._x) > MOST_BREAKS:
                del self._x[0], self._y[0]

    def at(self, x: int) -> int:
        """Where the byte at `x` lies. Before the first mark, the first mark's place; without a mark, `x` itself."""
        if not self._x:
            return x
        i = max(bisect_right(self._x, x) - 1, 0)
        return self._y[i] + max(x - self._x[i], 0)

    def at_end(self, x: int) -> int:
        """Where audio that ends before `x` ends: the same as `at`, but for a break at `x` itself it stays before it."""
        return self.at(x - 1) + 1 if x > 0 else self.at(x)

    def pieces(self, start: int, end: int) -> list[tuple[int, int]]:
        """Where the bytes from `start` to `end` lie, as ranges (from, to) that no break goes through."""
        cuts = [start, *(x for x in self._x if start < x < end), end]
        return [(self.at(a), self.at_end(b)) for a, b in pairwise(cuts) if a < b]


@dataclass(frozen=True, slots=True)
class Gap:
    """Audio that is missing: from and to on the stream's timeline, and how much of it, all in milliseconds."""

    from_ms: int
    to_ms: int
    lost_ms: int


class TrackClock:
    """Places the frames of one track on the stream's timeline by the carrier's own time stamps.

    Frames carry the time at which their audio begins, in milliseconds from the start of the stream (Twilio, "WebSocket
    messages": `media.timestamp`). A jump forward of more than the jitter is audio that the carrier lost. Late delivery
    shows no jump, so it is not a loss, whatever the wall clock says. Small losses add up until they pass the jitter,
    and then they are told in one.

    Args:
        bytes_per_ms: of the track's encoding (8 for mu-law at 8 kHz).
        jitter_ms: how far time stamps may lie off before that means something.
    """

    __slots__ = ("_expected", "_jitter", "_next", "bytes_per_ms", "received", "timeline")

    def __init__(self, *, bytes_per_ms: int = 8, jitter_ms: int = 60) -> None:
        self.bytes_per_ms = bytes_per_ms
        self.received = 0
        self.timeline = Segments()
        self._jitter = jitter_ms * bytes_per_ms
        # Where the next frame would lie on the timeline, and where by the stamps: the two part when those run backward.
        self._next = 0
        self._expected: int | None = None

    def place(self, size: int, timestamp_ms: int | None) -> Gap | int:
        """Takes in a frame of `size` bytes.

        Returns:
            0 where it follows the one before; a `Gap` where audio was lost before it; any other number where its time
            stamp is odd, the bytes that it lies off: it has run backward, or far out of any call's time. The audio then
            counts as following, and a loss shows again once the stamps have caught up with it.
        """
        expected = self._expected
        if expected is None:
            expected = self._first(timestamp_ms)
        stamp = expected if timestamp_ms is None else timestamp_ms * self.bytes_per_ms
        found: Gap | int = 0
        if stamp - self._next > self._jitter:
            if stamp > LATEST_MS * self.bytes_per_ms:
                found, stamp = stamp - self._next, expected
            else:
                found = self._lost(stamp)
        elif expected - stamp > self._jitter:
            found = stamp - expected
        self._expected = stamp + size
        self._next += size
        self.received += size
        return found

    def _first(self, timestamp_ms: int | None) -> int:
        if timestamp_ms is not None and timestamp_ms <= LATEST_MS:
            self._next = timestamp_ms * self.bytes_per_ms
        self.timeline.mark(0, self._next)
        return self._next

    def _lost(self, stamp: int) -> Gap:
        lost_ms = (stamp - self._next) // self.bytes_per_ms
        to_ms = stamp // self.bytes_per_ms
        self._next = stamp
        self.timeline.mark(self.received, stamp)
        return Gap(to_ms - lost_ms, to_ms, lost_ms)

    def ms_at(self, position: int) -> int:
        """The stream's time at which the byte at `position` of the track lies."""
        return self.timeline.at(position) // self.bytes_per_ms

    def ms_at_end(self, position: int) -> int:
        """The stream's time at which the audio before `position` of the track ends."""
        return self.timeline.at_end(position) // self.bytes_per_ms


class SessionClock:
    """Places the audio of one session on its track: session time is what was sent, a track's position what was heard.

    Args:
        track: the clock of the track that the session listens to.
        start: the track's position of the session's first byte.
    """

    __slots__ = ("_sent", "_track")

    def __init__(self, track: TrackClock, start: int) -> None:
        self._track = track
        self._sent = Segments()
        self._sent.mark(0, start)

    def sent(self, offset: int, position: int) -> None:
        """The session's byte at `offset` is the track's byte at `position` (called where audio was left out)."""
        self._sent.mark(offset, position)

    def start_ms(self, session_ms: int) -> int:
        """Session time to the stream's time, for the beginning of a word."""
        return self._track.ms_at(self._sent.at(session_ms * self._track.bytes_per_ms))

    def end_ms(self, session_ms: int) -> int:
        """Session time to the stream's time, for the end of a word."""
        return self._track.ms_at_end(self._sent.at_end(session_ms * self._track.bytes_per_ms))

    def pieces(self, start: int, end: int) -> list[tuple[int, int]]:
        """The ranges of the track's positions that the session's bytes from `start` to `end` are."""
        return self._sent.pieces(start, end)
