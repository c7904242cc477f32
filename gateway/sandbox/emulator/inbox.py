"""What a session still has to process, in order of arrival, and no faster than it may."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from typing import Any

REQUESTS = 10_000

Item = bytes | dict[str, Any]
"""A frame of audio, or a client's message."""


class Inbox:
    """Items wait here when a rate is set, as the service throttles what comes faster than life.

    Args:
        rate: times real time; 0 for no limit.
        most_ms: audio that may wait.
    """

    def __init__(self, *, rate: float, most_ms: float) -> None:
        self._rate = rate
        self._most_ms = most_ms
        self._items: deque[tuple[Item, float]] = deque()
        self._waiting_ms = 0.0
        self._free = -math.inf

    def put(self, now: float, item: Item, ms: float = 0.0) -> bool:
        """Append an item that plays `ms`; False, and nothing appended, when too much is waiting already."""
        if self._waiting_ms + ms > self._most_ms or len(self._items) >= REQUESTS:
            return False
        if not self._items:
            self._free = max(self._free, now)
        self._items.append((item, ms))
        self._waiting_ms += ms
        return True

    def due(self) -> float:
        """When the next item may be processed; `math.inf` when there is none."""
        return self._free if self._items else math.inf

    def take(self, now: float) -> Iterator[Item]:
        """Remove and yield what may be processed now."""
        while self._items and self._free <= now:
            item, ms = self._items.popleft()
            self._waiting_ms -= ms
            if self._rate:
                self._free += ms / 1000 / self._rate
            yield item

    def clear(self) -> None:
        """Forget everything."""
        self._items.clear()
        self._waiting_ms = 0.0
