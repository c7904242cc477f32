"""What the carrier plays to the caller on a bidirectional stream, and when a mark comes back.

Twilio buffers the server's audio and plays it in order. A mark comes back when the audio queued before it has
been played, at once if there is none, and also when `clear` empties the buffer (Twilio, "Media Streams:
WebSocket messages"). Times are seconds of call time; only lengths are kept, never the audio.
"""

from collections import deque

from gateway.sandbox.caller.plan import BYTES_PER_SECOND

MAX_MARKS = 1000
"""Marks waiting at once; the oldest comes back early beyond that."""


class Playout:
    """The carrier's play-out buffer of one stream."""

    def __init__(self) -> None:
        self._ends = 0.0
        self._marks: deque[tuple[float, str]] = deque()

    def media(self, size: int, now: float) -> None:
        """Queues `size` bytes of audio."""
        self._ends = max(self._ends, now) + size / BYTES_PER_SECOND

    def mark(self, name: str, now: float) -> None:
        """Queues a mark behind the audio that is queued now."""
        self._marks.append((max(self._ends, now), name))
        if len(self._marks) > MAX_MARKS:
            self._marks[0] = (now, self._marks[0][1])

    def clear(self, now: float) -> None:
        """Empties the buffer: every mark comes back now."""
        self._ends = now
        self._marks = deque((now, name) for _, name in self._marks)

    def next_due(self) -> float | None:
        """When the next mark comes back; None while there is none."""
        return self._marks[0][0] if self._marks else None

    def pop_due(self, now: float) -> list[str]:
        """Takes the marks that come back by `now`, oldest first."""
        names = []
        while self._marks and self._marks[0][0] <= now:
            names.append(self._marks.popleft()[1])
        return names
