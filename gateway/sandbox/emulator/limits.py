"""How many sessions an account may start and hold."""

from __future__ import annotations

from collections import deque

MINUTE = 60.0


class Limits:
    """Counts sessions; time is an argument, in seconds of any one clock."""

    def __init__(self) -> None:
        self._starts: deque[float] = deque(maxlen=1_000_000)
        self._freed: deque[float] = deque(maxlen=1_000_000)
        self._open = 0

    def start(self, now: float, *, max_concurrent: int, per_minute: int, release: float) -> bool:
        """Try to start a session.

        Args:
            now: the time.
            max_concurrent: sessions open at once; 0 for no limit.
            per_minute: sessions that start within any 60 seconds; 0 for no limit.
            release: seconds for which a session that ended still counts as open.

        Returns:
            Whether it may start; then `end` must be called once.
        """
        while self._starts and self._starts[0] <= now - MINUTE:
            self._starts.popleft()
        while self._freed and self._freed[0] <= now - release:
            self._freed.popleft()
        if per_minute and len(self._starts) >= per_minute:
            return False
        if max_concurrent and self._open + len(self._freed) >= max_concurrent:
            return False
        self._starts.append(now)
        self._open += 1
        return True

    def end(self, now: float) -> None:
        """A session that was started has ended."""
        self._open -= 1
        self._freed.append(now)
