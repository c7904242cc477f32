"""The clock's eye on one carrier: what takes too long, and what comes too fast. Time is an argument; it does no I/O."""

from dataclasses import dataclass

from gateway.errors import Outcome

AUDIO_A_SECOND = 8000
"""Bytes of a track's mu-law in real time."""

MESSAGES_A_SECOND = 100
"""Messages in real time: two tracks of 20 ms frames. Marks, digits and pings are so rare that they need no room."""


@dataclass(frozen=True, slots=True)
class CarrierLimits:
    """What a carrier may take, in seconds, and how fast it may send."""

    start: float = 10.0
    ping_every: float = 20.0
    silent: float = 60.0
    """Nothing at all, not even a pong."""

    pace: float = 4.0
    """Times real time. What comes faster for `pace_seconds` in a row is too fast: a track's audio, or messages of any
    kind (`AUDIO_A_SECOND`, `MESSAGES_A_SECOND`).
    """

    pace_seconds: int = 5
    longest: float = 86400.0


@dataclass(frozen=True, slots=True)
class Breach:
    """A limit was passed: how the stream ends, and a sentence that says why."""

    outcome: Outcome
    detail: str


class Watch:
    """Looks at one carrier about once a second.

    Args:
        opened_at: when its socket was opened, in seconds of the monotonic clock.
    """

    __slots__ = ("_audio", "_fast_since", "_heard_at", "_limits", "_looked_at", "_messages", "_opened_at", "_pinged_at")

    def __init__(self, limits: CarrierLimits, opened_at: float) -> None:
        self._limits = limits
        self._opened_at = self._heard_at = self._pinged_at = self._looked_at = opened_at
        self._fast_since: float | None = None
        self._messages = 0
        self._audio = 0

    def ping_due(self, now: float) -> bool:
        """Whether it is time to ask the carrier whether it is there. Says so once, then not again for a while."""
        due = now - self._pinged_at >= self._limits.ping_every
        if due:
            self._pinged_at = now
        return due

    def look(self, now: float, *, messages: int, audio: int, started: bool) -> Breach | None:
        """Which limit is passed by now, if any.

        Args:
            now: the monotonic clock, in seconds.
            messages: how many messages have come so far, pongs among them.
            audio: bytes of mu-law that have come so far, of the track that has most.
            started: whether a valid start has come.
        """
        limits = self._limits
        came, self._messages = messages - self._messages, messages
        if came:
            self._heard_at = now
        too_fast = self._too_fast(now, came, audio)
        if not started and now - self._opened_at >= limits.start:
            return Breach(Outcome.HANDSHAKE_TIMEOUT, f"no start came within {limits.start:g} seconds")
        if now - self._heard_at >= limits.silent:
            return Breach(Outcome.TIMEOUT, f"nothing came for {limits.silent:g} seconds, not even a pong")
        if now - self._opened_at >= limits.longest:
            return Breach(Outcome.LIMIT, f"the stream has lasted {limits.longest:g} seconds")
        if too_fast:
            return Breach(Outcome.TOO_FAST, f"audio or messages came faster than {limits.pace:g} times real time")
        return None

    def _too_fast(self, now: float, messages: int, audio: int) -> bool:
        came = max(messages / MESSAGES_A_SECOND, (audio - self._audio) / AUDIO_A_SECOND)
        if came <= (now - self._looked_at) * self._limits.pace:
            self._fast_since = None
        elif self._fast_since is None:
            self._fast_since = self._looked_at
        self._looked_at, self._audio = now, audio
        return self._fast_since is not None and now - self._fast_since >= self._limits.pace_seconds
