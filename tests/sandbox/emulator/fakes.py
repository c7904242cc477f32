"""A scripted ear, and a session that is driven without sockets."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from gateway.sandbox.emulator.agenda import Action, Close, Send
from gateway.sandbox.emulator.knobs import Knobs
from gateway.sandbox.emulator.record import EmulatedSession
from gateway.sandbox.emulator.session import Session
from gateway.sandbox.emulator.validation import parse
from gateway.sandbox.recordings import Word

MULAW = {"encoding": "pcm_mulaw", "sample_rate": "8000"}
US = {**MULAW, "speech_model": "universal-streaming-english"}
U3 = {**MULAW, "speech_model": "universal-3-5-pro"}


def script(text: str, start_ms: int = 500, word_ms: int = 300) -> list[Word]:
    """Words of 250 ms, one every `word_ms`."""
    times = range(start_ms, start_ms + word_ms * len(text.split()), word_ms)
    return [Word(word, at, at + 250) for word, at in zip(text.split(), times, strict=True)]


class ScriptedEar:
    """Hears the words of a script when the audio clock (8 kHz mu-law) passes their ends."""

    def __init__(self, words: Sequence[Word] = ()) -> None:
        self._script = list(words)
        self._bytes = 0
        self._last_end_ms = 0
        self.finished = False

    def hear(self, audio: bytes, /) -> None:
        self._bytes += len(audio)

    def finish(self) -> None:
        self.finished = True

    def take(self) -> Sequence[Word]:
        done = [word for word in self._script if word.end_ms <= self.heard_ms]
        self._script = self._script[len(done) :]
        if done:
            self._last_end_ms = done[-1].end_ms
        return done

    @property
    def heard_ms(self) -> int:
        return self._bytes // 8

    @property
    def silence_ms(self) -> int:
        gap = self._script[0].start_ms if self._script else self.heard_ms + 1
        last = max([self._last_end_ms, *(w.end_ms for w in self._script if w.end_ms <= self.heard_ms)])
        return 0 if gap < self.heard_ms else self.heard_ms - last


class Driven:
    """A session with a clock that only the test moves, and everything that it did."""

    def __init__(
        self, query: Mapping[str, str] = U3, words: Sequence[Word] = (), *, seconds: float = 10_800, **knobs: Any
    ) -> None:
        self.now = 100.0
        self.record = EmulatedSession(id="s1", parameters=dict(query), headers={}, started=self.now)
        self.session = Session(
            self.record,
            parse(query.items(), default_model="universal-3-5-pro"),
            ScriptedEar(words),
            Knobs(**knobs),
            seconds=seconds,
            now=self.now,
            unix_now=1_000_000.0,
        )
        self.actions: list[Action] = []
        self.wait(0)

    def wait(self, seconds: float) -> list[Action]:
        """Let time pass, stopping wherever the session has something to do; returns what it did."""
        until = self.now + seconds
        done: list[Action] = []
        while (due := self.session.due()) <= until:
            self.now = max(self.now, due)
            done += self.session.tick(self.now)
        self.now = until
        self.actions += done
        return done

    def audio(self, ms: int, chunk_ms: int = 100) -> list[Action]:
        """Send silence of this length at once."""
        for _ in range(ms // chunk_ms):
            self.session.receive_binary(b"\xff" * (8 * chunk_ms), self.now)
        return self.wait(0)

    def say(self, **message: Any) -> list[Action]:
        """Send a text message."""
        self.session.receive_text(json.dumps(message), self.now)
        return self.wait(0)

    @property
    def messages(self) -> list[dict[str, Any]]:
        """Every message so far."""
        return sent(self.actions)

    @property
    def types(self) -> list[str]:
        return [message["type"] for message in self.messages]

    @property
    def turns(self) -> list[dict[str, Any]]:
        return [message for message in self.messages if message["type"] == "Turn"]

    @property
    def finals(self) -> list[dict[str, Any]]:
        return [turn for turn in self.turns if turn["end_of_turn"]]

    @property
    def close(self) -> Close | None:
        return next((action for action in self.actions if isinstance(action, Close)), None)


def sent(actions: Sequence[Action]) -> list[dict[str, Any]]:
    """The messages among actions."""
    return [json.loads(action.text) for action in actions if isinstance(action, Send)]
