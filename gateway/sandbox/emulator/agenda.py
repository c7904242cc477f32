"""What a session is about to do to its socket, and when."""

from __future__ import annotations

import math
import random
from collections import deque
from dataclasses import dataclass

LONGEST = 10_000
"""Actions that may wait; beyond it the oldest is dropped. Only a stall that nobody ends gets there."""


@dataclass(frozen=True, slots=True)
class Send:
    """Send a text frame."""

    text: str


@dataclass(frozen=True, slots=True)
class Close:
    """Close the WebSocket."""

    code: int
    reason: str


@dataclass(frozen=True, slots=True)
class Abort:
    """Drop the TCP connection without a close frame."""


@dataclass(frozen=True, slots=True)
class StopReading:
    """Read nothing from the socket for `seconds`; 0: never again."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Freeze:
    """Throw away whatever comes, answer nothing, not even a ping or a close; leave TCP open."""


Action = Send | Close | Abort | StopReading | Freeze


class Agenda:
    """Actions in order: none overtakes an earlier one, however long that one waits.

    Args:
        latency: seconds added to every `Send`.
        jitter: up to this many seconds more, at random.
        seed: makes the dice repeatable.
    """

    def __init__(self, *, latency: float = 0.0, jitter: float = 0.0, seed: str = "") -> None:
        self._latency = latency
        self._jitter = jitter
        self._dice = random.Random(seed)
        self._waiting: deque[tuple[float, Action]] = deque(maxlen=LONGEST)
        self._last = -math.inf

    def add(self, now: float, action: Action, *, delay: float = 0.0) -> float:
        """Put an action at the end, due `delay` seconds from now or with the one before it; returns when."""
        due = now + delay
        if isinstance(action, Send) and (self._latency or self._jitter):
            due += self._latency + self._dice.uniform(0.0, self._jitter)
        self._last = max(self._last, due)
        self._waiting.append((self._last, action))
        return self._last

    def hold(self, until: float) -> None:
        """Let nothing that is added from now on be due before `until` (`math.inf`: for ever)."""
        self._last = max(self._last, until)

    def clear(self) -> None:
        """Forget what has not been done yet."""
        self._waiting.clear()

    def due(self) -> float:
        """When the next action is due; `math.inf` when none is."""
        return self._waiting[0][0] if self._waiting else math.inf

    def take(self, now: float) -> list[Action]:
        """Remove and return what is due."""
        taken: list[Action] = []
        while self._waiting and self._waiting[0][0] <= now:
            taken.append(self._waiting.popleft()[1])
        return taken
