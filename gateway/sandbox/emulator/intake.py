"""Audio as it arrives: how long a frame is, and whether the service would take it.

AssemblyAI v3 takes binary frames of 50 to 1000 ms and ends the session with 3007 otherwise: at once when a frame is too
long, after about a second of them when they are too short (live captures).
"""

from __future__ import annotations

from collections.abc import Iterator

LEAST_MS = 50
MOST_MS = 1000
STEP_MS = 50

_SAMPLE_BYTES = {"pcm_mulaw": 1, "pcm_s16le": 2}


def violation(ms: float) -> str:
    """The service's text for a frame of a forbidden length."""
    return f"Input Duration Error: Input Duration Violation: {ms:g} ms. Expected between 50 and 1000 ms"


class Intake:
    """Measures and admits frames.

    Args:
        encoding: as declared in the query. For the compressed ones durations are unknown and nothing is refused.
        sample_rate: as declared, Hz.
        tolerance_ms: too short audio, in all, that passes before it is refused.
    """

    def __init__(self, encoding: str, sample_rate: int, *, tolerance_ms: int) -> None:
        self._frame = _SAMPLE_BYTES.get(encoding, 0)
        self._rate = sample_rate
        self._tolerance_ms = tolerance_ms
        self._short_ms = 0.0
        self._samples = 0
        self.last_short_ms: float | None = None

    @property
    def bytes_per_second(self) -> int:
        """How many bytes a second takes; a generous guess for compressed audio."""
        return (self._frame or 2) * self._rate

    def duration_ms(self, size: int) -> float:
        """How long `size` bytes play; 0 for compressed audio."""
        return size * 1000 / (self._frame * self._rate) if self._frame else 0.0

    def admit(self, size: int) -> str | None:
        """Judge a frame of `size` bytes; returns the text of the Error 3007, or None when it is taken."""
        self.last_short_ms = None
        if not self._frame:
            return None
        ms = self.duration_ms(size)
        if ms > MOST_MS:
            return violation(ms)
        if ms < LEAST_MS:
            self.last_short_ms = ms
            self._short_ms += ms
            if self._short_ms >= self._tolerance_ms:
                return violation(ms)
        return None

    def steps(self, audio: bytes) -> Iterator[tuple[bytes, bool]]:
        """Cut audio at every 50 ms of the audio clock, so that what is made of it does not depend on the frames.

        Yields:
            A piece, and whether it ends on such a mark; nothing for compressed audio.
        """
        start = 0 if self._frame else len(audio)
        while start < len(audio):
            mark = self._next_mark()
            end = min(len(audio), start + (mark - self._samples) * self._frame)
            self._samples += (end - start) // self._frame
            yield audio[start:end], self._samples >= mark
            start = end

    def _next_mark(self) -> int:
        """The first mark behind the samples so far, in samples."""
        step = self._rate * STEP_MS
        return -(-(self._samples * 1000 // step + 1) * step // 1000)
