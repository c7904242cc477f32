"""One AssemblyAI session: its connection, its machine, its time and what it costs.

A session is opened for one track, takes chunks while it is ready, and ends exactly once with a verdict. It is billed
from the upgrade to the close, so every way out of it closes the socket, and the polite one says Terminate first.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from gateway.metrics import Metrics
from gateway.protocol.timeline import SessionClock
from gateway.protocol.transcription import Begin, Heartbeat, Message, State, TranscriptionSession, Unknown
from gateway.protocol.verdicts import DROPPED, FAULT, LOST, NO_BEGIN, UNANSWERED, UNREACHABLE, Verdict, judge
from gateway.upstream import Connector, Refused, Socket

_ENDED = (State.TERMINATED, State.FAILED)
"""The service has said its last word; what is left is to close."""


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """How long a session may take for what, in seconds."""

    begin: float = 10.0
    """From the decision to connect to Begin. The service was measured at 1.2 s from far away."""

    ping_every: float = 5.0
    pong_within: float = 5.0
    heartbeat_within: float = 16.0
    """From one Heartbeat to the next, where the session sends any: it does about every 5 s."""

    terminate: float = 10.0
    """From Terminate, or from the service's last word, to the close. The service was measured at up to 1.2 s."""


@dataclass(frozen=True, slots=True)
class _Ping:
    """One that waits for its answer: what it holds, when it went, and how much audio went before it."""

    payload: bytes
    at: float
    sent: int


class SessionOwner(Protocol):
    """What a session tells its track. Called synchronously."""

    def began(self, session: "Session", begin: Begin) -> None:
        """The session takes audio now."""

    def heard(self, session: "Session", message: Message | Unknown, raw: bytes) -> None:
        """A message other than Begin."""

    def ready_again(self, session: "Session") -> None:
        """Audio may be written again."""

    def failed(self, error: Exception) -> None:
        """One of the above raised. The session has said Terminate already and tells nothing more."""


class Session:
    """See the module's docstring. `ready` says whether audio may be sent now; it is all that the audio path looks at.

    Args:
        clock: where this session's audio lies on its track.
        owner: the track.
        now: the monotonic clock, in seconds.
    """

    def __init__(
        self,
        clock: SessionClock,
        owner: SessionOwner,
        metrics: Metrics,
        now: Callable[[], float],
        limits: SessionLimits,
    ) -> None:
        self.clock = clock
        self.id = ""
        self.begun = False
        self.ready = False
        self.sent = 0
        self.confirmed = 0
        """Bytes of it that have certainly arrived: what was sent before a ping that has been answered."""

        self.asked_to_end = False
        """Terminate was said: whatever ends the session now, it was meant to end."""

        self.started_at = now()
        """The decision to connect; from `opened_at` on it is billed."""

        self.opened_at: float | None = None
        self.closed_at: float | None = None
        self._owner = owner
        self._metrics = metrics
        self._now = now
        self._limits = limits
        self._machine = TranscriptionSession(self._count)
        self._socket: Socket | None = None
        self._writable = True
        self._last_ping = 0.0
        self._pings = 0
        self._ping: _Ping | None = None
        self._heartbeat_at: float | None = None
        self._close_by: float | None = None
        self._broken: Verdict | None = None
        self._began = asyncio.Event()
        self._closed = asyncio.Event()
        self._close: tuple[int | None, str] = (None, "")

    # its life, in the track's task

    async def live(self, connector: Connector) -> Verdict:
        """Opens the session and stays until it is over. Returns what its end means; the socket is gone by then."""
        try:
            return await self._live(connector)
        finally:
            self.ready = False
            if self._socket is not None and not self._closed.is_set():
                self._socket.abort()
            # What was still on its way in is not heard any more: the track has closed its account.
            self._closed.set()
            if self.opened_at is not None:
                self.closed_at = self._now()
                self._metrics.sessions_active.dec()
                self._metrics.session_duration.observe(self.closed_at - self.opened_at)

    async def _live(self, connector: Connector) -> Verdict:
        try:
            async with asyncio.timeout(self._limits.begin):
                await connector.connect(self)
                await self._began.wait()
        except Refused as refused:
            self._close = (refused.status, "")
            return judge(refused.status, "")
        except TimeoutError:
            if self._socket is None:
                return UNREACHABLE
            return self._broken or (self._machine.verdict(None, "") if self._machine.error else NO_BEGIN)
        except OSError:
            return UNREACHABLE
        if not self._closed.is_set():
            self._metrics.connect_seconds.observe(self._now() - self.started_at)
        await self._closed.wait()
        return self._broken or self._machine.verdict(*self._close)

    def tick(self, now: float) -> None:
        """Keeps the connection honest: pings, looks for the answer, and does not wait for ever for the close."""
        socket = self._socket
        if socket is None or self._closed.is_set():
            return
        if self._close_by is not None and now >= self._close_by:
            self._close_by = None
            if self._machine.state is State.TERMINATING:
                self._broken = self._broken or UNANSWERED
            socket.abort()
        elif self._machine.state not in _ENDED:
            self._look_for_life(socket, now)

    def _look_for_life(self, socket: Socket, now: float) -> None:
        limits, ping = self._limits, self._ping
        unanswered = ping is not None and now - ping.at >= limits.pong_within
        silent = self._heartbeat_at is not None and now - self._heartbeat_at >= limits.heartbeat_within
        if unanswered or silent:
            self._broken = self._broken or LOST
            socket.abort()
        elif ping is None and now - self._last_ping >= limits.ping_every:
            self._last_ping = now
            self._pings += 1
            self._ping = _Ping(b"%d" % self._pings, now, self.sent)
            socket.ping(self._ping.payload)

    # audio and verbs

    def send(self, chunk: bytes, real: int | None = None) -> None:
        """Sends one lawful chunk, of which `real` bytes are the track's audio and the rest is padding."""
        assert self._socket is not None, "ready implies a socket"
        self._socket.send_audio(chunk)
        self.sent += len(chunk) if real is None else real

    def terminate(self) -> None:
        """Asks for the end: the last turns and Termination come, then the close. Said once."""
        message = self._machine.terminate()
        if message is not None and self._socket is not None:
            self.ready = False
            self.asked_to_end = True
            self._close_by = self._now() + self._limits.terminate
            self._socket.send_text(message)

    def send_text(self, message: bytes) -> None:
        """Sends a message of `protocol.transcription` (ForceEndpoint, UpdateConfiguration, KeepAlive) while live."""
        if self._machine.takes_audio and self._socket is not None:
            self._socket.send_text(message)

    def abort(self) -> None:
        """Drops the connection, if there is one, because nothing more is waited for."""
        if self._socket is not None:
            self._broken = self._broken or DROPPED
            self._socket.abort()

    @property
    def billed_seconds(self) -> float:
        """How long the socket has been open, by our clock."""
        if self.opened_at is None:
            return 0.0
        return (self._now() if self.closed_at is None else self.closed_at) - self.opened_at

    @property
    def termination(self) -> tuple[float | None, float | None]:
        """The service's own figures, in seconds: audio and session; None where it gave none."""
        end = self._machine.termination
        return (end.audio_duration_seconds, end.session_duration_seconds) if end else (None, None)

    @property
    def said(self) -> tuple[int | None, str]:
        """The code and text that the service ended it with: the Error's where there was one, else the close's.

        Where it was not the service that ended it, None and nothing.
        """
        if self._broken is not None:
            return None, ""
        error = self._machine.error
        if error is not None:
            return error.error_code or self._close[0], error.error
        return self._close

    # what the connection says (upstream.Listener)

    def connected(self, socket: Socket) -> None:
        """See `upstream.Listener`. From here on it is billed."""
        self._socket = socket
        self.opened_at = self._last_ping = self._now()
        self._metrics.sessions_active.inc()

    def message(self, data: bytes) -> None:
        """See `upstream.Listener`."""
        if not self._closed.is_set():
            self._guarded(self._take_in, data)

    def _take_in(self, data: bytes) -> None:
        silenced = self._broken is not None or self._machine.state in _ENDED
        event = self._machine.receive(data)
        self.ready = self._writable and self._machine.takes_audio
        if self._machine.state in _ENDED:
            self._hang_up()
        if event is None or silenced:
            return
        if isinstance(event, Heartbeat):
            self._heartbeat_at = self._now()
        if isinstance(event, Begin):
            self.id, self.begun = event.id, True
            self._began.set()
            self._owner.began(self, event)
        else:
            self._owner.heard(self, event, data)

    def _hang_up(self) -> None:
        """The service closes by itself; where it does not, the money stops here."""
        assert self._socket is not None, "a message came by it"
        if self._close_by is None:
            self._close_by = self._now() + self._limits.terminate
        self._socket.close()

    def _guarded(self, take: Callable[..., None], *arguments: object) -> None:
        """The boundary towards the connection, whose other doings are not to suffer from a fault of ours."""
        try:
            take(*arguments)
        except Exception as error:  # noqa: BLE001 - the stream ends with it, in order; no other stream notices
            self._broken = FAULT
            self.terminate()
            self._owner.failed(error)

    def pong(self, payload: bytes) -> None:
        """See `upstream.Listener`. One that answers no ping, which a peer may send (RFC 6455, 5.5.3), says nothing."""
        ping = self._ping
        if ping is not None and payload == ping.payload:
            self._ping = None
            self.confirmed = ping.sent

    def writable(self, *, yes: bool) -> None:
        """See `upstream.Listener`."""
        self._writable = yes
        self.ready = yes and self._machine.takes_audio
        if self.ready:
            self._guarded(self._owner.ready_again, self)

    def disconnected(self, code: int | None, reason: str) -> None:
        """See `upstream.Listener`."""
        self.ready = False
        self._close = (code, reason)
        self._closed.set()
        self._began.set()

    def _count(self, kind: str) -> None:
        self._metrics.upstream_disorder.labels(kind).inc()
