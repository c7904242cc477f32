"""What a track's sessions say, as events of its stream: turns on its timeline, and all the rest that is told.

What becomes of each kind of message is a table. Error and Termination are not in it: they are told when the session is
over, and the track knows what they mean for it.
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import msgspec

from gateway import events
from gateway.metrics import Metrics
from gateway.protocol import transcription
from gateway.protocol.transcription import Begin, Message, Unknown
from gateway.protocol.turns import Turns, TurnUpdate
from gateway.protocol.verdicts import Verdict
from gateway.session import Session

MAX_TEXT = 500
"""Characters of what the service says of a warning or an error that are passed on."""


class Publisher(Protocol):
    """What takes the events."""

    def publish(self, kind: type[events.Event], /, **fields: Any) -> None:
        """Publishes an event of the stream, with the fields of its type beyond those that all have."""


class Transcript:
    """See the module's docstring.

    Args:
        track: its name.
        owner: the stream.
    """

    def __init__(self, track: str, owner: Publisher, metrics: Metrics) -> None:
        self.turns = Turns()
        self._track = track
        self._owner = owner
        self._metrics = metrics
        self._table: Mapping[type[Message | Unknown], Callable[[Session, Any, bytes], None]] = {
            transcription.Turn: self._turn,
            transcription.SpeechStarted: self._speech_started,
            transcription.SpeakerRevision: self._speaker_revision,
            transcription.LLMGatewayResponse: self._llm_response,
            transcription.Warn: self._warning,
            transcription.Silence: self._silence,
            transcription.Heartbeat: self._heartbeat,
            Unknown: self._unknown,
        }

    def heard(self, session: Session, message: Message | Unknown, raw: bytes) -> None:
        """Tells a message of the service. Those that only say how a session ends are passed over."""
        tell = self._table.get(type(message))
        if tell is not None:
            tell(session, message, raw)

    def began(self, begin: Begin, *, connect_seconds: float, attempt: int) -> None:
        """Tells that a session takes audio, how long it took to get it, and the how manyth of the track it is."""
        self.turns.begin_session(speakers=bool(begin.configuration.speaker_labels))
        self._owner.publish(
            events.SessionStarted,
            track=self._track,
            session_id=begin.id,
            model=begin.configuration.model,
            expires_at=int(begin.expires_at),
            connect_ms=round(connect_seconds * 1000),
            attempt=attempt,
        )

    def close_turns(self, session: Session) -> None:
        """The session is over: the turns that are still open will not get any better."""
        for update in self.turns.close():
            self._publish_turn(session, update, b"null")

    def failed(self, session: Session, verdict: Verdict) -> None:
        """Tells why a session is over that did not end as asked."""
        code, said = session.said
        text = f"{verdict.advice} AssemblyAI said: {said}" if said else verdict.advice
        self._owner.publish(events.SessionError, track=self._track, code=code, message=text[:MAX_TEXT])

    def ended(self, session: Session) -> None:
        """Tells what a session that is over has cost, if it ever began."""
        if not session.begun:
            return
        audio, seconds = session.termination
        self._owner.publish(
            events.SessionEnded,
            track=self._track,
            session_id=session.id,
            audio_seconds=audio,
            session_seconds=seconds,
            billed_seconds=round(session.billed_seconds, 3),
        )

    def _turn(self, session: Session, message: transcription.Turn, raw: bytes) -> None:
        update = self.turns.update(message)
        if update is not None:
            self._publish_turn(session, update, raw)

    def _speech_started(self, session: Session, message: transcription.SpeechStarted, _: bytes) -> None:
        at = session.clock.start_ms(int(message.timestamp))
        self._owner.publish(events.SpeechStarted, track=self._track, at_ms=at)

    def _speaker_revision(self, session: Session, message: transcription.SpeakerRevision, _: bytes) -> None:
        for raw in message.revisions:
            revision = transcription.decode_revision(raw)
            update = None if revision is None else self.turns.revise(revision)
            if update is not None:
                self._publish_turn(session, update, bytes(raw))

    def _llm_response(self, _: Session, message: transcription.LLMGatewayResponse, raw: bytes) -> None:
        order = message.turn_order
        number = None if order is None else self.turns.number(order)
        self._owner.publish(events.LLMResponse, track=self._track, turn=number, data=msgspec.Raw(raw))

    def _warning(self, _: Session, message: transcription.Warn, __: bytes) -> None:
        text = message.warning[:MAX_TEXT]
        self._owner.publish(events.SessionWarning, track=self._track, code=message.warning_code, message=text)

    def _silence(self, _: Session, __: transcription.Silence, raw: bytes) -> None:
        self._owner.publish(events.Silence, track=self._track, assemblyai=msgspec.Raw(raw))

    def _heartbeat(self, _: Session, __: transcription.Heartbeat, raw: bytes) -> None:
        self._owner.publish(events.Heartbeat, track=self._track, assemblyai=msgspec.Raw(raw))

    def _unknown(self, _: Session, message: Unknown, raw: bytes) -> None:
        self._metrics.upstream_disorder.labels(transcription.UNKNOWN_MESSAGE).inc()
        if message.json:
            self._owner.publish(events.Upstream, track=self._track, assemblyai=msgspec.Raw(raw))

    def _publish_turn(self, session: Session, update: TurnUpdate, raw: bytes) -> None:
        start = end = offset = None
        if update.start_ms is not None and update.end_ms is not None:
            start = session.clock.start_ms(update.start_ms)
            end = max(start, session.clock.end_ms(update.end_ms))
            offset = start - update.start_ms
        self._metrics.turns.labels("true" if update.final else "false").inc()
        self._owner.publish(
            events.Turn,
            track=self._track,
            turn=update.turn,
            final=update.final,
            formatted=update.formatted,
            text=update.text,
            start_ms=start,
            end_ms=end,
            offset_ms=offset,
            assemblyai=msgspec.Raw(raw),
        )
