"""An energy voice-activity detector: where in a stream of mu-law somebody speaks."""

from __future__ import annotations

import audioop
from dataclasses import dataclass
from typing import Final

BLOCK_MS: Final = 10
_BLOCK: Final = BLOCK_MS * 8  # bytes

_OVER_FLOOR: Final = 3.0  # speech is this many times louder than the floor
_FIRST_FLOOR: Final = 40.0  # rms of 16-bit samples
_LEAST_FLOOR: Final = 20.0  # so an rms below 60 is never speech
_MOST_FLOOR: Final = 300.0  # so an rms above 900 always is: what is loud for long is still heard
_FALL: Final = 0.2  # share of the way to a lower level, per block
_RISE: Final = 1.002  # per block: by 22 % in a second
_ONSET: Final = 3  # surplus of loud blocks over quiet ones that makes speech: a click is none


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    """Somebody began to speak at this time of the audio clock."""

    at_ms: int


@dataclass(frozen=True, slots=True)
class SpeechEnded:
    """Speech ended at this time of the audio clock; reported once the hangover has passed."""

    at_ms: int


class VoiceDetector:
    """Follows the level of 8 kHz mu-law in blocks of 10 ms, against a noise floor that it learns.

    Args:
        hangover_ms: A pause this long, or shorter, does not end speech.
    """

    def __init__(self, *, hangover_ms: int = 200) -> None:
        self._hangover_ms = hangover_ms
        self._rest = b""
        self._blocks_ms = 0
        self._floor = _FIRST_FLOOR
        self._onset_ms = 0
        self._loud = 0
        self._started_ms: int | None = None
        self._ended_ms = 0

    @property
    def speech_start_ms(self) -> int | None:
        """When the speech that is going on began; None while there is none."""
        return self._started_ms

    @property
    def speech_end_ms(self) -> int:
        """Until when speech was heard last, the hangover not counted; 0 before any."""
        return self._ended_ms

    def feed(self, audio: bytes) -> list[SpeechStarted | SpeechEnded]:
        """Take in audio.

        Args:
            audio: 8 kHz mu-law, any length.

        Returns:
            What began and ended, in order.
        """
        rest = self._rest + audio
        linear = audioop.ulaw2lin(rest, 2)
        whole = len(rest) // _BLOCK * _BLOCK
        self._rest = rest[whole:]
        events: list[SpeechStarted | SpeechEnded] = []
        for place in range(0, whole * 2, _BLOCK * 2):
            event = self._block(audioop.rms(linear[place : place + _BLOCK * 2], 2))
            if event is not None:
                events.append(event)
        return events

    def _block(self, level: int) -> SpeechStarted | SpeechEnded | None:
        loud = level >= self._floor * _OVER_FLOOR
        if level < self._floor:
            self._floor = max(self._floor + (level - self._floor) * _FALL, _LEAST_FLOOR)
        else:
            self._floor = min(self._floor * _RISE, _MOST_FLOOR)
        at_ms = self._blocks_ms
        self._blocks_ms += BLOCK_MS
        return self._silent(at_ms, loud=loud) if self._started_ms is None else self._spoken(at_ms, loud=loud)

    def _silent(self, at_ms: int, *, loud: bool) -> SpeechStarted | None:
        if not loud:
            self._loud = max(0, self._loud - 1)
            return None
        if not self._loud:
            self._onset_ms = at_ms
        self._loud += 1
        if self._loud < _ONSET:
            return None
        self._started_ms, self._ended_ms, self._loud = self._onset_ms, self._blocks_ms, 0
        return SpeechStarted(self._onset_ms)

    def _spoken(self, at_ms: int, *, loud: bool) -> SpeechEnded | None:
        if loud:
            self._ended_ms = self._blocks_ms
        elif self._blocks_ms - self._ended_ms > self._hangover_ms:
            self._started_ms = None
            return SpeechEnded(self._ended_ms)
        return None
