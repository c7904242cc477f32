"""AssemblyAI v3 in memory: a `Connector` whose sessions behave as told, and note every breach of the protocol."""

import asyncio
import json
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from gateway.upstream import CLOSE_SECONDS, Listener, Refused

CANARY = "supercalifragilistic"
"""Is in everything that is said; it may be nowhere else than in the events."""


@dataclass(frozen=True, slots=True)
class Manner:
    """How a session behaves; times in seconds, None is never."""

    connects: float | None = 0.1
    refuses: int | None = None
    unreachable: bool = False
    begins: float | None = 0.1
    terminates: float | None = 0.2
    """From Terminate to Termination."""

    figures: tuple[float, float] | None = (1.5, 2.5)
    """Seconds of audio and of session in Termination; without them there is none, only the close."""

    closes: float | None = 0.0
    """From Termination to the close."""

    echoes: float | None = 0.05
    """From our close to its answer."""

    pongs: float | None = 0.05
    drains: float | None = None
    """After each chunk the socket is not writable for so long."""


class FakeSession:
    """One connection, seen from the service."""

    def __init__(self, id: str, listener: Listener, manner: Manner, breaches: list[str]) -> None:  # noqa: A002
        self.id = id
        self.chunks: list[bytes] = []
        self.texts: list[str] = []
        self.pings: list[int] = []
        """For each ping, how much audio was sent before it."""

        self.is_open = True
        self.close_asked = False
        self.began = False
        self.aborted = False
        self._listener: Listener | None = listener
        self._manner = manner
        self._breaches = breaches
        self._loop = asyncio.get_running_loop()
        self._takes = True
        listener.connected(self)
        self._later(manner.begins, self.begin)

    # upstream.Socket

    def send_audio(self, chunk: bytes) -> None:
        self._expect(not self.is_over and not self.close_asked, "audio on a closing socket")
        self._expect(self.began, "audio before Begin")
        self._expect(self._takes, "audio while the socket is not writable")
        self._expect(not self.texts, "audio after Terminate")
        self._expect(400 <= len(chunk) <= 8000, f"a chunk of {len(chunk)} bytes")
        if not self.is_open:
            return
        self.chunks.append(chunk)
        if self._manner.drains is not None:
            self.takes(yes=False)
            self._later(self._manner.drains, lambda: self.takes(yes=True))

    def send_text(self, message: bytes) -> None:
        self._expect(not self.is_over and not self.close_asked, "a message on a closing socket")
        kind = json.loads(message)["type"]
        if kind == "Terminate":
            self._expect("Terminate" not in self.texts, "Terminate, twice")
            self.texts.append(kind)
            self._later(self._manner.terminates, self.terminate)

    def ping(self, payload: bytes) -> None:
        self.pings.append(len(self.audio))
        self._later(self._manner.pongs, partial(self.pong, payload))

    def close(self) -> None:
        if self.is_open and not self.close_asked:
            self.close_asked = True
            self._later(self._manner.echoes, self.close_with)
            self._later(CLOSE_SECONDS, self.abort)

    def abort(self) -> None:
        if self.is_open:
            self.aborted = True
            self.break_off()

    # what the service does

    @property
    def audio(self) -> bytes:
        return b"".join(self.chunks)

    @property
    def is_over(self) -> bool:
        """The gateway knows that the connection is gone. What it writes before it knows is lost."""
        return self._listener is None

    def begin(self, **fields: Any) -> None:
        self.began = True
        self.say("Begin", **{"id": self.id, "expires_at": 1_800_000_000, **fields})

    def turn(self, order: int, text: str = CANARY, *, final: bool = True, start: int = 0, end: int = 100) -> None:
        words = [{"text": word, "start": start, "end": end, "word_is_final": True} for word in text.split()]
        self.say("Turn", turn_order=order, end_of_turn=final, transcript=text, words=words, turn_is_formatted=False)

    def error(self, code: int, text: str) -> None:
        self.say("Error", error_code=code, error=text)

    def terminate(self) -> None:
        figures = self._manner.figures
        if figures is not None:
            self.say("Termination", audio_duration_seconds=figures[0], session_duration_seconds=figures[1])
        self._later(self._manner.closes, self.close_with)

    def say(self, kind: str, **fields: Any) -> None:
        self.say_raw(json.dumps({**fields, "canary": CANARY, "type": kind}).encode())

    def say_raw(self, message: bytes) -> None:
        if self.is_open and self._listener is not None:
            self._listener.message(message)

    def pong(self, payload: bytes = b"") -> None:
        if self.is_open and self._listener is not None:
            self._listener.pong(payload)

    def takes(self, *, yes: bool) -> None:
        """Whether what is sent drains."""
        self._takes = yes
        if self.is_open and self._listener is not None:
            self._listener.writable(yes=yes)

    def close_with(self, code: int | None = 1000) -> None:
        if self.is_open:
            self.is_open = False
            # What the service was seen to write in the close, whatever the Error said.
            reason = "See Error message for details" if code and code != 1000 else ""
            self._loop.call_soon(self._gone, code, reason)

    def break_off(self) -> None:
        """The connection breaks, without a close."""
        self.close_with(None)

    def _gone(self, code: int | None, reason: str) -> None:
        listener, self._listener = self._listener, None
        assert listener is not None
        listener.disconnected(code, reason)

    def _later(self, seconds: float | None, what: Callable[[], object]) -> None:
        if seconds is not None:
            self._loop.call_later(seconds, what)

    def _expect(self, lawful: bool, breach: str) -> None:
        if not lawful:
            self._breaches.append(breach)


class Service:
    """The `Connector`. `manner` is how sessions behave, unless `next` has said so for the coming ones."""

    def __init__(self) -> None:
        self.manner = Manner()
        self.attempts = 0
        self.sessions: list[FakeSession] = []
        self.breaches: list[str] = []
        self._next: deque[Manner] = deque()

    def next(self, **changes: Any) -> None:
        """How one coming session behaves."""
        self._next.append(replace(self.manner, **changes))

    def always(self, **changes: Any) -> None:
        """How all coming sessions behave."""
        self.manner = replace(self.manner, **changes)

    @property
    def session(self) -> FakeSession:
        """The latest."""
        return self.sessions[-1]

    async def connect(self, listener: Listener) -> None:
        self.attempts += 1
        manner = self._next.popleft() if self._next else self.manner
        if manner.connects is None:
            await asyncio.get_running_loop().create_future()
        await asyncio.sleep(manner.connects or 0)
        if manner.refuses is not None:
            raise Refused(manner.refuses)
        if manner.unreachable:
            raise ConnectionRefusedError
        self.sessions.append(FakeSession(f"session-{len(self.sessions) + 1}", listener, manner, self.breaches))
