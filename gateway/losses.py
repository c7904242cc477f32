"""What a track lost: every piece of audio that was not certainly heard, declared once as a gap.

Positions are a track's, in bytes. What is certainly heard is decided by the sessions; what is dropped, by the backlog.
"""

from gateway import events
from gateway.metrics import Metrics
from gateway.protocol.timeline import Gap, TrackClock
from gateway.transcript import Publisher


class Losses:
    """See the module's docstring.

    Args:
        track: its name.
        owner: the stream.
        clock: the track's, which places the gaps on the stream's timeline.
    """

    def __init__(self, track: str, owner: Publisher, metrics: Metrics, clock: TrackClock) -> None:
        self.lost_ms = 0
        self._track = track
        self._owner = owner
        self._metrics = metrics
        self._clock = clock
        self._overflow_from: int | None = None

    def declare(self, gap: Gap, cause: events.Cause) -> None:
        """Declares one gap."""
        self.lost_ms += gap.lost_ms
        self._metrics.gaps.labels(cause).inc()
        self._metrics.lost_seconds.labels(cause).inc(gap.lost_ms / 1000)
        self._owner.publish(
            events.Gap, track=self._track, from_ms=gap.from_ms, to_ms=gap.to_ms, lost_ms=gap.lost_ms, cause=cause
        )

    def overflowed(self, start: int) -> None:
        """The backlog drops audio from `start` on, until `end_overflow` says how far."""
        if self._overflow_from is None:
            self._overflow_from = start

    def end_overflow(self, end: int) -> None:
        """Audio goes up again: what overflowed since the last time is one gap, which ends at `end`."""
        if self._overflow_from is not None:
            self._range(self._overflow_from, end, "overflow")
            self._overflow_from = None

    def unheard(self, ranges: list[tuple[int, int]]) -> None:
        """Declares what did not certainly arrive, in one gap where nothing lies between (what overflowed does).

        Args:
            ranges: from and to, ascending; empty ones do no harm.
        """
        begin = end = -1
        for start, stop in ranges:
            if start != end:
                self._range(begin, end, "upstream")
                begin = start
            end = stop
        self._range(begin, end, "upstream")

    def _range(self, start: int, end: int, cause: events.Cause) -> None:
        if end > start:
            clock = self._clock
            lost = (end - start) // clock.bytes_per_ms
            self.declare(Gap(clock.ms_at(start), clock.ms_at_end(end), lost), cause)
