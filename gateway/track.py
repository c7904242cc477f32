"""One track of a stream: its audio on its way up, and its sessions in a row.

`feed` is the audio path: it places a frame on the timeline, puts it into the backlog, and sends what makes a chunk, all
in one call. `run` is the task beside it, which opens a session when there is audio and stays with it until it is over.
They meet at the backlog and nowhere else, so nothing that `run` waits for holds `feed` up.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec

from gateway import events
from gateway.metrics import Metrics
from gateway.protocol import transcription
from gateway.protocol.audio import Backlog, ChunkRule
from gateway.protocol.timeline import Gap, SessionClock, TrackClock
from gateway.protocol.transcription import Begin, Message, Retry, Unknown, Verdict
from gateway.protocol.turns import Turns, TurnUpdate
from gateway.session import Session, SessionLimits
from gateway.upstream import Connector


MAX_TEXT = 500
"""Characters of what the service says of a warning or an error that are passed on."""


@dataclass(frozen=True, slots=True)
class TrackOptions:
    """How tracks are transcribed."""

    rule: ChunkRule = field(default_factory=ChunkRule.mulaw)
    jitter_ms: int = 60
    idle_seconds: float = 15.0
    """Without audio for so long, the session is closed; the next audio opens another. It is billed while open."""

    session: SessionLimits = field(default_factory=SessionLimits)


class TrackOwner(Protocol):
    """What a track tells its stream."""

    def publish(self, kind: type[events.Event], /, *, durable: bool = True, **fields: object) -> None:
        """Publishes an event of the stream."""

    def lost(self, verdict: Verdict) -> None:
        """There is no session for this track any more, and there will be none."""


class Track:
    """See the module's docstring.

    Args:
        name: `inbound` or `outbound`.
        owner: the stream.
        now: the monotonic clock, in seconds.
    """

    def __init__(
        self,
        name: str,
        owner: TrackOwner,
        connector: Connector,
        metrics: Metrics,
        now: Callable[[], float],
        options: TrackOptions,
    ) -> None:
        self.name = name
        self.frames = 0
        self.lost_ms = 0
        self.billed_seconds = 0.0
        self.turns = Turns()
        self._owner = owner
        self._connector = connector
        self._metrics = metrics
        self._now = now
        self._options = options
        self._clock = TrackClock(jitter_ms=options.jitter_ms)
        self._backlog = Backlog(options.rule)
        self._session: Session | None = None
        self._sessions = 0
        self._connecting_since = 0.0
        self._overflow_from: int | None = None
        self._audio = asyncio.Event()
        self._finishing = False
        self._last_audio = 0.0
        self._ticked_frames = 0

    # the audio path

    def feed(self, payload: bytes, timestamp_ms: int | None) -> None:
        """Takes in one frame and sends what is ready to go. Nothing in here waits."""
        self.frames += 1
        placed = self._clock.place(len(payload), timestamp_ms)
        if placed:
            self._misplaced(placed)
        dropped = self._backlog.append(payload)
        if dropped:
            self._overflowed(dropped)
        session = self._session
        if session is None:
            self._audio.set()
            return
        while session.ready and (chunk := self._backlog.take()) is not None:
            session.send(chunk)

    def finish(self) -> None:
        """No more audio will come: the tail goes up, then Terminate. Idempotent."""
        if self._finishing:
            return
        self._finishing = True
        self._audio.set()
        if self._session is not None:
            self._finish_session(self._session)

    def abandon(self) -> None:
        """Drops the session at once."""
        self.finish()
        if self._session is not None:
            self._session.abort()

    def tick(self, now: float) -> None:
        """Once a second or so: liveness of the session, and its end where no audio comes."""
        if self.frames != self._ticked_frames:
            self._ticked_frames = self.frames
            self._last_audio = now
        session = self._session
        if session is None:
            return
        if session.ready and now - self._last_audio >= self._options.idle_seconds:
            self._finish_session(session)
        session.tick(now)

    @property
    def received_bytes(self) -> int:
        """How much audio came."""
        return self._clock.received

    # the task beside it

    async def run(self) -> None:
        """Opens a session whenever there is audio and none is open; ends when no more will come, or no session will."""
        while await self._wanted():
            verdict = await self._hold_session()
            if verdict.retry is Retry.ON_DEMAND or self._finishing:
                continue
            # Reconnecting goes here: by `verdict.retry`, replaying what the backlog has kept. Until then a session that
            # is lost ends the stream, with what was not heard declared as a gap.
            self._owner.lost(verdict)
            self.finish()

    async def _wanted(self) -> bool:
        while not self._backlog:
            if self._finishing:
                return False
            self._audio.clear()
            await self._audio.wait()
        return True

    async def _hold_session(self) -> Verdict:
        clock = SessionClock(self._clock, self._backlog.start)
        session = Session(clock, self, self._metrics, self._now, self._options.session)
        self._session = session
        self._sessions += 1
        self._connecting_since = self._last_audio = self._now()
        verdict = transcription.DONE
        try:
            verdict = await session.live(self._connector)
        finally:
            self._session = None
            self.billed_seconds += session.billed_seconds
            self._metrics.sessions_ended.labels(verdict.reason).inc()
        self._settle(session, verdict)
        return verdict

    def _settle(self, session: Session, verdict: Verdict) -> None:
        """Accounts for a session that is over."""
        for update in self.turns.close():
            self._publish_turn(session, update, b"null")
        if verdict is not transcription.DONE:
            code, said = session.said
            text = f"{verdict.advice} AssemblyAI said: {said}" if said else verdict.advice
            self._owner.publish(events.SessionError, track=self.name, code=code, message=text[:MAX_TEXT])
            self._declare_unheard(session.clock.position_of(session.confirmed))
        if session.id:
            audio, seconds = session.termination
            self._owner.publish(
                events.SessionEnded,
                track=self.name,
                session_id=session.id,
                audio_seconds=audio,
                session_seconds=seconds,
                billed_seconds=round(session.billed_seconds, 3),
            )

    def _finish_session(self, session: Session) -> None:
        """Sends what is left, then Terminate; a session that has not begun yet gets both when it does."""
        if not session.ready:
            return
        while (chunk := self._backlog.take()) is not None:
            session.send(chunk)
        tail, real = self._backlog.take_tail()
        if tail:
            session.send(tail, real)
        session.terminate()

    # what the session says (session.SessionOwner)

    def began(self, session: Session, begin: Begin) -> None:
        """See `session.SessionOwner`."""
        self.turns.begin_session(speakers=bool(begin.configuration.speaker_labels))
        self._owner.publish(
            events.SessionStarted,
            track=self.name,
            session_id=begin.id,
            model=begin.configuration.model,
            expires_at=int(begin.expires_at),
            connect_ms=round((self._now() - self._connecting_since) * 1000),
            attempt=self._sessions,
        )
        self._end_overflow()
        self.ready_again(session)

    def ready_again(self, session: Session) -> None:
        """See `session.SessionOwner`."""
        self._end_overflow()
        while session.ready and (chunk := self._backlog.take()) is not None:
            session.send(chunk)
        if self._finishing:
            self._finish_session(session)

    def heard(self, session: Session, message: Message | Unknown, raw: bytes) -> None:
        """See `session.SessionOwner`. Error and Termination are told when the session is over."""
        handler = _HEARD.get(type(message))
        if handler is not None:
            handler(self, session, message, raw)

    def _turn(self, session: Session, message: transcription.Turn, raw: bytes) -> None:
        update = self.turns.update(message)
        if update is not None:
            self._publish_turn(session, update, raw)
            session.confirm(update)

    def _speech_started(self, session: Session, message: transcription.SpeechStarted, _: bytes) -> None:
        at = session.clock.start_ms(int(message.timestamp))
        self._owner.publish(events.SpeechStarted, durable=False, track=self.name, at_ms=at)

    def _speaker_revision(self, session: Session, message: transcription.SpeakerRevision, _: bytes) -> None:
        for raw in message.revisions:
            revision = transcription.decode_revision(raw)
            update = None if revision is None else self.turns.revise(revision)
            if update is not None:
                self._publish_turn(session, update, bytes(raw))

    def _llm_response(self, _: Session, message: transcription.LLMGatewayResponse, raw: bytes) -> None:
        number = self.turns.number(message.turn_order)
        self._owner.publish(events.LLMResponse, track=self.name, turn=number, data=msgspec.Raw(raw))

    def _warning(self, _: Session, message: transcription.Warn, __: bytes) -> None:
        text = message.warning[:MAX_TEXT]
        self._owner.publish(events.SessionWarning, track=self.name, code=message.warning_code, message=text)

    def _silence(self, _: Session, __: transcription.Silence, raw: bytes) -> None:
        self._owner.publish(events.Silence, durable=False, track=self.name, assemblyai=msgspec.Raw(raw))

    def _heartbeat(self, _: Session, __: transcription.Heartbeat, raw: bytes) -> None:
        self._owner.publish(events.Heartbeat, durable=False, track=self.name, assemblyai=msgspec.Raw(raw))

    def _unknown(self, _: Session, __: Unknown, raw: bytes) -> None:
        self._metrics.upstream_disorder.labels("unknown_message").inc()
        try:
            msgspec.json.decode(raw)
        except msgspec.DecodeError:
            # It is no JSON, so no event could hold it.
            return
        self._owner.publish(events.Upstream, durable=False, track=self.name, assemblyai=msgspec.Raw(raw))

    def _publish_turn(self, session: Session, update: TurnUpdate, raw: bytes) -> None:
        start = end = offset = None
        if update.start_ms is not None and update.end_ms is not None:
            start = session.clock.start_ms(update.start_ms)
            end = session.clock.end_ms(update.end_ms)
            offset = start - update.start_ms
        self._owner.publish(
            events.Turn,
            durable=update.final,
            track=self.name,
            turn=update.turn,
            final=update.final,
            formatted=update.formatted,
            text=update.text,
            start_ms=start,
            end_ms=end,
            offset_ms=offset,
            assemblyai=msgspec.Raw(raw),
        )

    # what was lost

    def _misplaced(self, placed: Gap | int) -> None:
        if isinstance(placed, Gap):
            self._declare(placed, "carrier")
        else:
            self._metrics.disorder.labels("odd_timestamp").inc()

    def _overflowed(self, dropped: int) -> None:
        position = self._backlog.start
        if self._overflow_from is None:
            self._overflow_from = position - dropped
        if self._session is not None:
            self._session.clock.sent(self._session.sent, position)

    def _end_overflow(self) -> None:
        """Declares what overflowed since the last time, in one gap."""
        if self._overflow_from is not None:
            self._declare_range(self._overflow_from, self._backlog.start, "overflow")
            self._overflow_from = None

    def _declare_unheard(self, confirmed: int) -> None:
        """The session is lost: whatever did not certainly arrive was not heard."""
        self._end_overflow()
        self._backlog.take_tail()
        self._declare_range(confirmed, self._clock.received, "upstream")

    def _declare_range(self, start: int, end: int, cause: str) -> None:
        if end > start:
            lost = (end - start) // self._clock.bytes_per_ms
            self._declare(Gap(self._clock.ms_at(start), self._clock.ms_at_end(end), lost), cause)

    def _declare(self, gap: Gap, cause: str) -> None:
        self.lost_ms += gap.lost_ms
        self._metrics.gaps.labels(cause).inc()
        self._metrics.lost_seconds.labels(cause).inc(gap.lost_ms / 1000)
        self._owner.publish(
            events.Gap, track=self.name, from_ms=gap.from_ms, to_ms=gap.to_ms, lost_ms=gap.lost_ms, cause=cause
        )


_HEARD: Mapping[type[Message | Unknown], Callable[[Track, Session, Any, bytes], None]] = {
    transcription.Turn: Track._turn,
    transcription.SpeechStarted: Track._speech_started,
    transcription.SpeakerRevision: Track._speaker_revision,
    transcription.LLMGatewayResponse: Track._llm_response,
    transcription.Warn: Track._warning,
    transcription.Silence: Track._silence,
    transcription.Heartbeat: Track._heartbeat,
    Unknown: Track._unknown,
}
"""What becomes of each message of the service."""
