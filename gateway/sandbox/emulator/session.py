"""One session of AssemblyAI v3, sans-I/O: frames and the time go in, actions with their due times come out."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from enum import Enum, auto
from typing import Any

from gateway.sandbox.emulator import messages
from gateway.sandbox.emulator.agenda import Abort, Action, Agenda, Close, Freeze, Send, StopReading
from gateway.sandbox.emulator.choices import Ending, Fault, Moment
from gateway.sandbox.emulator.credentials import Refused
from gateway.sandbox.emulator.inbox import Inbox
from gateway.sandbox.emulator.intake import Intake, violation
from gateway.sandbox.emulator.knobs import Knobs
from gateway.sandbox.emulator.messages import Message, Turn
from gateway.sandbox.emulator.record import AUDIO_SECONDS, EmulatedSession
from gateway.sandbox.emulator.refused import fail
from gateway.sandbox.emulator.speech import Ear, Speech
from gateway.sandbox.emulator.validation import InvalidInputError, Parameters, client_message
from gateway.sandbox.recordings import Word


class _Phase(Enum):
    OPEN = auto()
    """Frames are taken."""
    ENDING = auto()
    """Terminate came: what came before is still processed, what comes is ignored."""
    OVER = auto()
    """Nothing is processed any more."""


class Session:
    """An admitted session.

    Args:
        record: what is remembered of it.
        parameters: its checked parameters.
        ear: what hears its words.
        knobs: how it behaves.
        seconds: how long it may last.
        now: the time, in seconds of the clock that every other call uses too.
        unix_now: the same moment in Unix seconds.
    """

    def __init__(
        self,
        record: EmulatedSession,
        parameters: Parameters,
        ear: Ear,
        knobs: Knobs,
        *,
        seconds: float,
        now: float,
        unix_now: float,
    ) -> None:
        self._record = record
        self._parameters = parameters
        self._knobs = knobs
        self._speech = Speech(ear, parameters, knobs)
        self._agenda = Agenda(latency=knobs.latency, jitter=knobs.jitter, seed=record.id)
        self._inbox = Inbox(rate=knobs.max_rate, most_ms=knobs.max_backlog_seconds * 1000)
        tolerance_ms = 0 if knobs.strict else knobs.short_tolerance_ms
        self._intake = Intake(parameters.encoding, parameters.sample_rate, tolerance_ms=tolerance_ms)
        self._received_ms = 0.0
        self._phase = _Phase.OPEN
        self._requests: dict[str, Callable[[dict[str, Any], float], None]] = {
            "ForceEndpoint": self._force,
            "UpdateConfiguration": self._update,
            "Terminate": self._terminate,
        }
        self._fault = knobs.fault
        self._begun = now
        self._expires = self._inactive = self._beat = math.inf
        record.audio_limit = AUDIO_SECONDS * self._intake.bytes_per_second if knobs.keep_audio else 0
        self._open(now, unix_now, seconds)

    def receive_text(self, text: str, now: float) -> None:
        """A text frame came."""
        if self._phase is not _Phase.OPEN:
            return
        self._record.heard_text(text)
        self._touch(now)
        try:
            message = client_message(text)
        except InvalidInputError as error:
            self._fail(now, 3006, str(error))
            return
        if message["type"] == "KeepAlive":
            return
        if message["type"] == "Terminate":
            self._record.terminated = True
            self._phase = _Phase.ENDING
        if self._inbox.put(now, message):
            self._work(now)
        else:
            self._fail(now, 3007, "Audio Transmission Rate Exceeded")

    def receive_binary(self, frame: bytes, now: float) -> None:
        """A binary frame came."""
        if self._phase is not _Phase.OPEN:
            return
        self._record.heard_audio(frame)
        self._touch(now)
        ms = self._intake.duration_ms(len(frame))
        refused = self._intake.admit(len(frame))
        if refused is None and not self._inbox.put(now, frame, ms):
            refused = "Audio Transmission Rate Exceeded"
        if refused is not None:
            self._fail(now, 3007, refused)
            return
        self._received_ms += ms
        self._work(now)
        if self._received_ms >= self._knobs.fault_after_ms:
            self._strike(now, Moment.AUDIO)

    def tick(self, now: float) -> list[Action]:
        """Let time pass; returns what is to be done now, in order."""
        self._work(now)
        if self._phase is _Phase.OPEN:
            self._timers(now)
        return self._agenda.take(now)

    def due(self) -> float:
        """When `tick` has something to do next; `math.inf` for never."""
        due = min(self._agenda.due(), self._inbox.due())
        return due if self._phase is not _Phase.OPEN else min(due, self._expires, self._inactive, self._beat)

    def _open(self, now: float, unix_now: float, seconds: float) -> None:
        self._strike(now, Moment.CONNECT)
        if self._knobs.begin_never:
            self._agenda.hold(math.inf)
        if self._phase is not _Phase.OPEN:
            return
        seconds = min(seconds, self._knobs.session_seconds)
        begun = now + self._knobs.begin_delay
        begin = messages.Begin(
            id=self._record.id,
            expires_at=int(unix_now + self._knobs.begin_delay + seconds),
            configuration=_configuration(self._parameters),
        )
        self._say(now, begin, delay=self._knobs.begin_delay)
        self._begun = begun
        self._expires = begun + seconds
        self._schedule_heartbeat(begun)
        self._touch(begun)
        if self._knobs.unknown_events:
            self._say(now, messages.Unknown())
        if self._knobs.warning_text:
            self._say(now, messages.Warning_(warning_code=self._knobs.warning_code, warning=self._knobs.warning_text))
        self._strike(now, Moment.BEGIN)

    def _touch(self, now: float) -> None:
        timeout = self._parameters.get("inactivity_timeout", None)
        self._inactive = math.inf if timeout is None else now + timeout

    def _schedule_heartbeat(self, now: float) -> None:
        wanted = self._parameters.get("session_heartbeat", False)
        self._beat = now + self._knobs.heartbeat_seconds if wanted else math.inf

    def _work(self, now: float) -> None:
        for item in self._inbox.take(now):
            if isinstance(item, bytes):
                self._hear(item, now)
            else:
                self._requests[item["type"]](item, now)

    def _hear(self, frame: bytes, now: float) -> None:
        for piece, mark in self._intake.steps(frame):
            self._heard(now, self._speech.hear(piece, mark=mark))

    def _heard(self, now: float, heard: tuple[Sequence[Word], list[Message]], *, delay: float = 0.0) -> None:
        words, said = heard
        if words:
            self._record.heard_words(words)
        for message in said:
            self._say(now, message, delay=delay)
            if isinstance(message, Turn) and message.end_of_turn:
                self._disturb(now, message)

    def _disturb(self, now: float, final: Turn) -> None:
        """What knobs put behind a final."""
        if self._knobs.duplicate_finals:
            self._say(now, final)
        if self._knobs.partial_after_final:
            self._say(now, messages.as_partial(final))
        if self._knobs.unknown_events:
            self._say(now, messages.Unknown())

    def _force(self, _message: dict[str, Any], now: float) -> None:
        self._heard(now, self._speech.force(), delay=self._knobs.force_delay)

    def _update(self, message: dict[str, Any], now: float) -> None:
        try:
            self._parameters = self._parameters.updated(message)
        except InvalidInputError as error:
            self._fail(now, 3006, str(error))
            return
        self._speech.update(self._parameters)
        if "session_heartbeat" in message:
            self._schedule_heartbeat(now)

    def _terminate(self, _message: dict[str, Any], now: float) -> None:
        if self._knobs.refuse_short_last and self._intake.last_short_ms is not None:
            self._fail(now, 3007, violation(self._intake.last_short_ms))
            return
        self._phase = _Phase.OVER
        ending = self._knobs.ending
        if ending is Ending.SILENT:
            return
        if ending is Ending.DROP:
            self._agenda.add(now, Abort())
            return
        self._heard(now, self._speech.finish())
        if ending is not Ending.NO_TERMINATION:
            self._say(now, self._termination(now + self._knobs.terminate_delay), delay=self._knobs.terminate_delay)
        if ending is not Ending.NO_CLOSE:
            self._agenda.add(now, Close(1000, "Session Ended"))

    def _termination(self, now: float) -> messages.Termination:
        return messages.Termination(
            audio_duration_seconds=round(self._received_ms / 1000),
            session_duration_seconds=max(1, math.ceil(now - self._begun)),
        )

    def _timers(self, now: float) -> None:
        if now >= self._expires:
            self._fail(now, 3008, self._knobs.expired_text)
        elif now >= self._inactive:
            seconds = self._parameters.get("inactivity_timeout", 0)
            reason = f"No messages received for {seconds} seconds"
            self._fail(now, 3006, f"Session terminated due to inactivity: {reason}")
        elif now >= self._beat:
            self._heartbeat(now)

    def _heartbeat(self, now: float) -> None:
        duration_ms = (now - self._begun) * 1000
        self._say(
            now,
            messages.Heartbeat(
                total_audio_received_ms=round(self._received_ms),
                total_duration_ms=round(duration_ms),
                realtime_factor=round(self._speech.heard_ms / duration_ms, 3),
                max_speech_probability=0.98 if self._speech.spoke else 0.01,
            ),
        )
        self._speech.spoke = False
        self._beat += self._knobs.heartbeat_seconds

    def _say(self, now: float, message: Message, *, delay: float = 0.0) -> None:
        text = messages.encode(message, unknown_fields=self._knobs.unknown_fields)
        self._agenda.add(now, Send(text), delay=delay + self._format_delay(message))

    def _format_delay(self, message: Message) -> float:
        late = isinstance(message, Turn) and message.end_of_turn and message.turn_is_formatted
        return self._knobs.format_delay if late and not self._parameters.u3 else 0.0

    def _fail(self, now: float, code: int, text: str) -> None:
        self._phase = _Phase.OVER
        self._inbox.clear()
        fail(self._agenda, self._knobs, Refused(code, text), now)

    def _strike(self, now: float, moment: Moment) -> None:
        """Let the fault happen, if this is its moment and it has not happened yet."""
        fault, knobs = self._fault, self._knobs
        if fault is Fault.NONE or moment is not knobs.fault_at:
            return
        self._fault = Fault.NONE
        match fault:
            case Fault.ERROR:
                self._fail(now, knobs.fault_code, knobs.fault_text)
            case Fault.STALL:
                self._agenda.hold(now + (knobs.fault_seconds or math.inf))
            case Fault.SLOW_READER:
                self._agenda.add(now, StopReading(knobs.fault_seconds))
            case Fault.HALF_OPEN:
                self._phase = _Phase.OVER
                self._agenda.add(now, Freeze())
            case _:
                self._phase = _Phase.OVER
                self._agenda.add(now, Abort() if fault is Fault.DROP else Close(knobs.fault_code, ""))


def _configuration(parameters: Parameters) -> messages.Configuration:
    return messages.Configuration(
        model=parameters.model,
        mode=parameters.get("mode", "balanced") if parameters.u3 else None,
        speaker_labels=parameters.get("speaker_labels", False),
        redact_pii=parameters.get("redact_pii", False),
        filter_profanity=parameters.get("filter_profanity", False),
        domain=parameters.get("domain", None),
        voice_focus=parameters.get("voice_focus", None),
    )
