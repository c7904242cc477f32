"""What the emulator remembers of its sessions."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.sandbox.recordings import Word

AUDIO_SECONDS = 600
"""Audio kept of one session: the first ten minutes, then no more."""
AUDIO_BYTES = 256 * 1024 * 1024
"""Audio kept of all ended sessions together; beyond it the oldest loses its audio."""
SESSIONS = 1000
"""Sessions remembered; beyond it the oldest ended one is forgotten."""
CHUNKS = 20_000
TEXTS = 1000
WORDS = 20_000


@dataclass(slots=True, eq=False)
class EmulatedSession:
    """One accepted socket, as the emulator saw it.

    Attributes:
        id: as in Begin.
        parameters: the query as given.
        headers: Authorization, when it was given.
        chunk_sizes: bytes of each binary frame, the first 20,000.
        texts: the client's text frames, the first 1,000.
        words: what was heard, the first 20,000.
        terminated: the client sent Terminate.
        is_open: the socket is open, so the session is billed.
        close_code: how it was closed, by either side; 1006 without a close frame.
        started: on the caller's clock, seconds.
        seconds: how long the socket was open; 0 while it is.
    """

    id: str
    parameters: Mapping[str, str]
    headers: Mapping[str, str] = field(repr=False)
    started: float
    audio_limit: int = 0
    chunk_sizes: list[int] = field(default_factory=list, repr=False)
    texts: list[str] = field(default_factory=list, repr=False)
    words: list[Word] = field(default_factory=list, repr=False)
    audio_bytes: int = 0
    terminated: bool = False
    is_open: bool = True
    close_code: int | None = None
    seconds: float = 0.0
    _audio: bytearray = field(default_factory=bytearray, repr=False)

    @property
    def audio(self) -> bytes:
        """A copy of the audio that was kept."""
        return bytes(self._audio)

    @property
    def audio_kept_bytes(self) -> int:
        """How much audio was kept."""
        return len(self._audio)

    def forget_audio(self) -> None:
        """Give its memory back."""
        self._audio = bytearray()

    def heard_audio(self, frame: bytes) -> None:
        """Note a binary frame."""
        self.audio_bytes += len(frame)
        if len(self.chunk_sizes) < CHUNKS:
            self.chunk_sizes.append(len(frame))
        room = self.audio_limit - len(self._audio)
        if room > 0:
            self._audio += frame[:room]

    def heard_text(self, text: str) -> None:
        """Note a text frame."""
        if len(self.texts) < TEXTS:
            self.texts.append(text)

    def heard_words(self, words: Iterable[Word]) -> None:
        """Note words that became complete."""
        if len(self.words) < WORDS:
            self.words.extend(words)

    def closed(self, code: int, now: float) -> None:
        """Note the end of the socket; only the first one counts."""
        if self.is_open:
            self.is_open = False
            self.close_code = code
            self.seconds = now - self.started

    @property
    def billed_seconds(self) -> int:
        """Whole seconds of an ended session, as the service counts them."""
        return max(1, math.ceil(self.seconds)) if not self.is_open else 0

    def as_json(self) -> dict[str, Any]:
        """The session for the control endpoint, without its audio and its credentials."""
        return {
            "id": self.id,
            "parameters": {name: value for name, value in self.parameters.items() if name != "token"},
            "is_open": self.is_open,
            "terminated": self.terminated,
            "close_code": self.close_code,
            "seconds": round(self.seconds, 3),
            "audio_bytes": self.audio_bytes,
            "audio_kept_bytes": self.audio_kept_bytes,
            "chunks": len(self.chunk_sizes),
            "texts": self.texts,
            "words": [word.text for word in self.words],
        }


class Records:
    """The sessions, in order of arrival, bounded as stated above."""

    def __init__(self) -> None:
        self.sessions: list[EmulatedSession] = []

    def add(self, session: EmulatedSession) -> None:
        """Remember a session that arrived."""
        self.sessions.append(session)
        self._forget()

    @property
    def open_count(self) -> int:
        """Sockets open now."""
        return sum(session.is_open for session in self.sessions)

    def _forget(self) -> None:
        excess = len(self.sessions) - SESSIONS
        if excess > 0:
            ended = [session for session in self.sessions if not session.is_open][:excess]
            for session in ended:
                self.sessions.remove(session)
        kept = 0
        for session in reversed(self.sessions):
            kept += session.audio_kept_bytes
            if kept > AUDIO_BYTES and not session.is_open:
                session.forget_audio()
