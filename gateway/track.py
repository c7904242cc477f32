"""One track of a stream: its audio on its way up, and its sessions in a row.

`feed` is the audio path: it places a frame on the timeline, puts it into the backlog, and sends what makes a chunk, all
in one call. `run` is the task beside it, which opens a session when there is audio and stays with it until it is over.
They meet at the backlog and nowhere else, so nothing that `run` waits for holds `feed` up.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from gateway.losses import Losses
from gateway.metrics import Metrics
from gateway.protocol.audio import Backlog, ChunkRule
from gateway.protocol.media_stream import Disorder
from gateway.protocol.timeline import Gap, SessionClock, TrackClock
from gateway.protocol.transcription import Begin, Message, Unknown
from gateway.protocol.verdicts import DONE, DROPPED, Retry, Verdict
from gateway.session import Session, SessionLimits
from gateway.transcript import Publisher, Transcript
from gateway.upstream import Connector

FRAME = 160
"""Bytes of 20 ms of mu-law. Carriers send one or several; anything else is odd, and counted."""


@dataclass(frozen=True, slots=True)
class TrackOptions:
    """How tracks are transcribed."""

    rule: ChunkRule = field(default_factory=ChunkRule.mulaw)
    jitter_ms: int = 60
    idle_seconds: float = 15.0
    """Without audio for so long, the session is closed; the next audio opens another. It is billed while open."""

    finish_seconds: float = 20.0
    """How long, after the last audio has come, what waits may take to go up."""

    session: SessionLimits = field(default_factory=SessionLimits)


class TrackOwner(Publisher, Protocol):
    """What a track tells its stream."""

    def lost(self, verdict: Verdict) -> None:
        """There is no session for this track any more, and there will be none: the stream finishes all its tracks."""

    def failed(self, error: Exception) -> None:
        """A fault of ours befell the track's session, which ends in order."""


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
        self.billed_seconds = 0.0
        self._owner = owner
        self._transcript = Transcript(name, owner, metrics)
        self.turns = self._transcript.turns
        self._connector = connector
        self._metrics = metrics
        self._now = now
        self._options = options
        self._clock = TrackClock(jitter_ms=options.jitter_ms)
        self._losses = Losses(name, owner, metrics, self._clock)
        self._backlog = Backlog(options.rule)
        self._session: Session | None = None
        self._sessions = 0
        self._audio = asyncio.Event()
        self._finishing = False
        self._finish_by = 0.0
        self._last_audio = 0.0
        self._count_frames = metrics.frames.labels(name)
        self._count_bytes = metrics.bytes.labels(name)
        self._counted = (0, 0)

    # the audio path

    def feed(self, payload: bytes, timestamp_ms: int | None) -> None:
        """Takes in one frame and sends what is ready to go. Nothing in here waits."""
        self.frames += 1
        size = len(payload)
        if size % FRAME or not size:
            self._metrics.disorder.labels(Disorder.ODD_LENGTH).inc()
        placed = self._clock.place(size, timestamp_ms)
        if placed:
            self._misplaced(placed)
        dropped = self._backlog.append(payload)
        if dropped:
            self._overflowed(dropped)
        session = self._session
        if session is None:
            self._audio.set()
            return
        # As in `_send_chunks`: fifty times a second, a call less.
        while session.ready and (chunk := self._backlog.take()) is not None:
            session.send(chunk)

    def finish(self) -> None:
        """No more audio will come: the tail goes up, then Terminate. Called once."""
        self._finishing = True
        self._finish_by = self._now() + self._options.finish_seconds
        self._audio.set()
        if self._session is not None:
            self._finish_session(self._session)

    def abandon(self) -> None:
        """Drops the session at once."""
        self._finishing = True
        self._audio.set()
        if self._session is not None:
            self._session.abort()

    def close(self) -> None:
        """The track's task is over: what never went up by then was not heard."""
        self._count()
        self._drop_backlog([])

    def tick(self, now: float) -> None:
        """Once a second or so: liveness of the session, and its end where no audio comes."""
        if self._count():
            self._last_audio = now
        session = self._session
        if session is None:
            return
        if session.ready and now - self._last_audio >= self._options.idle_seconds:
            self._finish_session(session)
        elif self._finishing and now >= self._finish_by and not session.asked_to_end:
            session.abort()
        session.tick(now)

    def _count(self) -> bool:
        """Hands over to the metrics what has come since the last time; says whether audio has: a frame may be empty."""
        frames, size = self._counted
        self._counted = (self.frames, self._clock.received)
        self._count_frames.inc(self.frames - frames)
        self._count_bytes.inc(self._clock.received - size)
        return self._clock.received != size

    @property
    def lost_ms(self) -> int:
        """How much audio lies in gaps, in milliseconds."""
        return self._losses.lost_ms

    @property
    def received_bytes(self) -> int:
        """How much audio came."""
        return self._clock.received

    # the task beside it

    async def run(self) -> None:
        """Opens a session whenever there is audio and none is open; ends when no more will come, or no session will."""
        while await self._wanted():
            session, verdict = await self._hold_session()
            if self._finishing or _is_harmless(session, verdict):
                continue
            # Reconnecting goes here: by `verdict.retry`, replaying what the backlog has kept. Until then a session that
            # is lost ends the stream, with what was not heard declared as a gap.
            self._owner.lost(verdict)

    async def _wanted(self) -> bool:
        while not self._backlog:
            if self._finishing:
                return False
            self._audio.clear()
            await self._audio.wait()
        return True

    async def _hold_session(self) -> tuple[Session, Verdict]:
        clock = SessionClock(self._clock, self._backlog.start)
        session = Session(clock, self, self._metrics, self._now, self._options.session)
        self._session = session
        self._sessions += 1
        self._last_audio = session.started_at
        verdict = DROPPED
        try:
            verdict = await session.live(self._connector)
        finally:
            self._session = None
            self.billed_seconds += session.billed_seconds
            self._metrics.sessions_ended.labels(verdict.reason).inc()
            self._settle(session, verdict)
        return session, verdict

    def _settle(self, session: Session, verdict: Verdict) -> None:
        """Accounts for a session that is over."""
        self._transcript.close_turns(session)
        if verdict is not DONE:
            self._transcript.failed(session, verdict)
            unheard = session.clock.pieces(session.confirmed, session.sent)
            if _is_harmless(session, verdict):
                self._losses.unheard(unheard)
            else:
                self._drop_backlog(unheard)
        self._transcript.ended(session)

    def _finish_session(self, session: Session) -> None:
        """Sends what is left, then Terminate. A session that takes nothing now gets both when it does."""
        self._send_chunks(session)
        if not session.ready:
            return
        tail, real = self._backlog.take_tail()
        if tail:
            session.send(tail, real)
        session.terminate()

    def _send_chunks(self, session: Session) -> None:
        while session.ready and (chunk := self._backlog.take()) is not None:
            session.send(chunk)

    # what the session says (session.SessionOwner)

    def began(self, session: Session, begin: Begin) -> None:
        """See `session.SessionOwner`."""
        self._transcript.began(begin, connect_seconds=self._now() - session.started_at, attempt=self._sessions)
        self.ready_again(session)

    def ready_again(self, session: Session) -> None:
        """See `session.SessionOwner`."""
        if not session.ready:
            return
        self._losses.end_overflow(self._backlog.start)
        if self._finishing:
            self._finish_session(session)
        else:
            self._send_chunks(session)

    def heard(self, session: Session, message: Message | Unknown, raw: bytes) -> None:
        """See `session.SessionOwner`."""
        self._transcript.heard(session, message, raw)

    def failed(self, error: Exception) -> None:
        """See `session.SessionOwner`."""
        self._owner.failed(error)

    # what was lost

    def _misplaced(self, placed: Gap | int) -> None:
        if isinstance(placed, Gap):
            self._losses.declare(placed, "carrier")
        else:
            self._metrics.disorder.labels(Disorder.ODD_TIMESTAMP).inc()

    def _overflowed(self, dropped: int) -> None:
        position = self._backlog.start
        self._losses.overflowed(position - dropped)
        session = self._session
        if session is not None:
            session.clock.sent(session.sent, position)
            if session.ready:
                # One frame was larger than the backlog; what is left of it goes up at once.
                self._losses.end_overflow(position)

    def _drop_backlog(self, unheard: list[tuple[int, int]]) -> None:
        """There will be no session for what still waits: it was not heard either."""
        start = self._backlog.start
        self._losses.end_overflow(start)
        self._losses.unheard([*unheard, (start, self._clock.received)])
        self._backlog.clear()


def _is_harmless(session: Session, verdict: Verdict) -> bool:
    """Whether the end of a session is no loss: it was meant to end, or it was closed for want of audio."""
    if session.asked_to_end:
        return verdict.retry is not Retry.NO
    # One that took no audio and yet was closed for want of it would be opened again without end.
    return verdict.retry is Retry.ON_DEMAND and session.sent > 0
