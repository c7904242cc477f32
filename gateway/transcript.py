"""What a track's sessions say, as events of its stream: turns on its timeline, and all the rest that is told.

What becomes of each kind of message is a table. Error and Termination are not in it: they are told when the session is
over, by the track, which knows what they mean for it.
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import msgspec

from gateway import events
from gateway.metrics import Metrics
from gateway.protocol import transcription
from gateway.protocol.transcription import Message, Unknown
from gateway.protocol.turns import Turns, TurnUpdate
from gateway.session import Session

MAX_TEXT = 500
"""Characters of what the service says of a warning or an error that are passed on."""


class Publisher(Protocol):
    """What takes the events."""

    def publish(self, kind: type[events.Event], /, *, durable: bool = True, **fields: object) -> None:
        """Publishes an event of the stream."""


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

    def close(self, session: Session) -> None:
        """The session is over: the turns that are still open will not get any better."""
        for update in self.turns.close():
            self._publish_turn(session, update, b"null")

    def _turn(self, session: Session, message: transcription.Turn, raw: bytes) -> None:
        update = self.turns.update(message)
        if update is not None:
            self._publish_turn(session, update, raw)
            session.confirm(update)

    def _speech_started(self, session: Session, message: transcription.SpeechStarted, _: bytes) -> None:
        at = session.clock.start_ms(int(message.timestamp))
        self._owner.publish(events.SpeechStarted, durable=False, track=self._track, at_ms=at)

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
        self._owner.publish(events.Silence, durable=False, track=self._track, assemblyai=msgspec.Raw(raw))

    def _heartbeat(self, _: Session, __: transcription.Heartbeat, raw: bytes) -> None:
        self._owner.publish(events.Heartbeat, durable=False, track=self._track, assemblyai=msgspec.Raw(raw))

    def _unknown(self, _: Session, message: Unknown, raw: bytes) -> None:
        self._metrics.upstream_disorder.labels("unknown_message").inc()
        if message.json:
            self._owner.publish(events.Upstream, durable=False, track=self._track, assemblyai=msgspec.Raw(raw))

    def _publish_turn(self, session: Session, update: TurnUpdate, raw: bytes) -> None:
        start = end = offset = None
        if update.start_ms is not None and update.end_ms is not None:
            start = session.clock.start_ms(update.start_ms)
            end = max(start, session.clock.end_ms(update.end_ms))
            offset = start - update.start_ms
        self._owner.publish(
            events.Turn,
            durable=update.final,
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
