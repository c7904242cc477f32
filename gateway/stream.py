"""One stream: audio up, events out, one outcome.

`receive` takes the carrier's messages, synchronously, down to the upstream socket. `run` is the stream's task; it lives
until every track is done and says the last word, `stream.ended`. A stream ends once: the first outcome stays, whatever
dies after it, and from then on the tracks say Terminate and wait for their last turns.

It does not know which socket it hangs on nor which upstream its tracks have.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

import structlog

from gateway import events
from gateway.errors import CarrierError, Outcome
from gateway.journal import Journal, Publish
from gateway.metrics import Metrics
from gateway.protocol.media_stream import Dialect, Disorder, Dtmf, Event, Media, MediaStream, Started, Stopped
from gateway.protocol.verdicts import Verdict
from gateway.track import Track, TrackOptions
from gateway.upstream import Connector
from gateway.watch import CarrierLimits, Watch

MASK = "•"
"""Stands for a digit that may not be told: it may be of a card number."""

MAX_PARAMETER = 500
"""Characters of a custom parameter that are passed on; Twilio's own bound for name and value together."""


class Carrier(Protocol):
    """What a stream needs of its carrier's socket."""

    def send_ping(self) -> None:
        """Asks the peer whether it is there."""

    def send_close(self, code: int, reason: str = "") -> None:
        """Closes the socket. After the peer has closed, it does nothing."""


@dataclass(frozen=True, slots=True)
class StreamOptions:
    """How streams are treated."""

    tracks: tuple[str, ...] = ("inbound",)
    show_digits: bool = False
    parameters: frozenset[str] = frozenset()
    """Names of custom parameters that are published."""

    limits: CarrierLimits = field(default_factory=CarrierLimits)
    track: TrackOptions = field(default_factory=TrackOptions)


@dataclass(frozen=True, slots=True)
class Resources:
    """What all streams share."""

    connector: Connector
    publish: Publish
    metrics: Metrics
    now: Callable[[], float]
    """The monotonic clock, in seconds."""

    wall: Callable[[], datetime] = lambda: datetime.now(UTC)
    options: StreamOptions = field(default_factory=StreamOptions)


class Stream:
    """See the module's docstring.

    Args:
        dialect: the carrier's.
        carrier: its socket.
        resources: shared with all streams.
    """

    def __init__(self, dialect: Dialect, carrier: Carrier, resources: Resources) -> None:
        self.outcome: Outcome | None = None
        self.call_id = self.stream_id = ""
        """The carrier's; empty until they are known."""

        self.opened_at = resources.now()
        self.tracks: dict[str, Track] = {}
        self._dialect = dialect
        self._carrier = carrier
        self._resources = resources
        self._options = resources.options
        self._metrics = resources.metrics
        self._journal: Journal | None = None
        self._machine = MediaStream(dialect, self._count)
        self._log = structlog.get_logger("gateway.stream").bind(call_id="", stream_id="")
        self._started = asyncio.Event()
        self._ended = asyncio.Event()
        self._ended_at = 0.0
        self._detail = ""
        self._messages = 0
        self._unwanted = 0
        self._watch = Watch(self._options.limits, self.opened_at)
        self._metrics.streams_active.inc()

    # the carrier's side: wire.Receiver

    def receive(self, message: bytes) -> None:
        """Takes in a text message of the carrier's: for audio, all the way up."""
        self._messages += 1
        if self.outcome is not None:
            return
        try:
            event = self._machine.receive(message)
        except CarrierError as error:
            self.end(error.outcome, error.detail)
            return
        if type(event) is Media:
            track = self.tracks.get(event.track)
            if track is not None:
                track.feed(event.payload, event.timestamp_ms)
            else:
                self._unwanted += len(event.payload)
                self._count(Disorder.UNWANTED_TRACK)
        elif event is not None:
            self._handle(event)

    def receive_binary(self) -> None:
        """See `wire.Receiver`."""
        self.end(Outcome.UNSUPPORTED_DATA, "a binary message came where the dialect has text")

    def receive_violation(self, code: int) -> None:
        """See `wire.Receiver`."""
        if code == Outcome.TOO_BIG.close_code:
            self.end(Outcome.TOO_BIG, "a message is larger than 64 KiB")
        else:
            self.end(Outcome.PROTOCOL_ERROR, "the WebSocket protocol was broken")

    def alive(self) -> None:
        """See `wire.Receiver`."""
        self._messages += 1

    def disconnected(self) -> None:
        """See `wire.Receiver`."""
        self.end(Outcome.HANGUP)

    def fail(self, error: Exception) -> None:
        """Our own fault, at any of the doors to this stream: it ends, and others do not notice.

        One that happens while the stream ends already drops its sessions: being polite has failed.
        """
        ending = self.outcome is not None
        self.failed(error)
        if ending:
            self.abandon()

    def _handle(self, event: Event) -> None:
        if isinstance(event, Started):
            self._start(event)
        elif isinstance(event, Dtmf):
            digit = event.digit if self._options.show_digits else MASK
            self.publish(events.Dtmf, digit=digit, track=event.track)
        elif isinstance(event, Stopped):
            self.end(Outcome.STOPPED)

    def _start(self, start: Started) -> None:
        options, shared = self._options, self._resources
        self.call_id, self.stream_id = start.call_id, start.stream_id
        self._journal = Journal(shared.publish, shared.wall, start.call_id, start.stream_id)
        self._log = self._log.bind(call_id=start.call_id, stream_id=start.stream_id)
        self._metrics.streams_started.labels(self._dialect.name).inc()
        announced = tuple(name for name in options.tracks if name in start.tracks)
        for name in announced:
            self.tracks[name] = Track(name, self, shared.connector, self._metrics, shared.now, options.track)
        parameters = {name: text[:MAX_PARAMETER] for name, text in start.parameters.items()}
        self.publish(
            events.StreamStarted,
            dialect=self._dialect.name,
            profile="default",
            tracks=list(announced),
            encoding=start.encoding,
            parameters={name: text for name, text in parameters.items() if name in options.parameters},
            from_=parameters.get("From"),
            to=parameters.get("To"),
            started_at=self._journal.at(),
        )
        self._log.info("stream started", tracks=list(announced))
        self._started.set()

    # its end

    def end(self, outcome: Outcome, detail: str = "") -> None:
        """Ends the stream, once; the first outcome stays. Never raises.

        Args:
            outcome: how.
            detail: why, in words. It goes to the log and to the carrier, so it holds nothing that was received.
        """
        if self.outcome is not None:
            return
        self.outcome = outcome
        self._ended_at = self._resources.now()
        self._detail = detail
        self._started.set()
        self._ended.set()
        try:
            if outcome.close_code is not None:
                self._carrier.send_close(outcome.close_code, detail or outcome.reason)
            for track in self.tracks.values():
                track.finish()
        except Exception as error:  # noqa: BLE001 - whoever ends streams, often many in a row, is not to suffer from one
            self.fail(error)

    def abandon(self) -> None:
        """Drops the upstream sessions without waiting for their last turns."""
        for track in self.tracks.values():
            track.abandon()

    async def run(self) -> None:
        """The stream's life: its tracks', then `stream.ended`."""
        try:
            await self._started.wait()
            async with asyncio.TaskGroup() as group:
                for track in self.tracks.values():
                    group.create_task(self._run_track(track), name=f"track {self.stream_id} {track.name}")
                # A stream none of whose tracks is wanted lives on, too, until the carrier ends it.
                await self._ended.wait()
        finally:
            self.end(Outcome.INTERNAL, "an internal error")
            self._close_books(self.outcome or Outcome.INTERNAL)

    async def _run_track(self, track: Track) -> None:
        try:
            await track.run()
        except Exception as error:  # noqa: BLE001 - the other track ends in order, with its last turns
            self.failed(error)

    def _close_books(self, outcome: Outcome) -> None:
        duration = self._ended_at - self.opened_at
        self._metrics.streams_active.dec()
        self._metrics.streams_ended.labels(outcome.result, outcome.reason).inc()
        self._metrics.stream_duration.labels(outcome.result).observe(duration)
        tracks = self.tracks.values()
        for track in tracks:
            track.close()
        if self._journal is not None:
            self.publish(
                events.StreamEnded,
                result=str(outcome.result),
                reason=outcome.reason,
                duration_seconds=round(duration, 3),
                frames=sum(track.frames for track in tracks),
                turns=sum(track.turns.finals for track in tracks),
                lost_ms=sum(track.lost_ms for track in tracks),
                billed_seconds=round(sum(track.billed_seconds for track in tracks), 3),
                last_seq=self._journal.seq + 1,
            )
        self._log.info(
            "stream ended",
            result=str(outcome.result),
            reason=outcome.reason,
            detail=self._detail,
            seconds=round(duration, 3),
        )

    # time

    def tick(self, now: float) -> None:
        """Once a second: what has taken too long, what comes too fast, and the counts for the metrics."""
        if self.outcome is None:
            self._look_at_carrier(now)
        for track in self.tracks.values():
            track.tick(now)

    def _look_at_carrier(self, now: float) -> None:
        if self._watch.ping_due(now):
            self._carrier.send_ping()
        # What nobody wants counts as one track more.
        audio = max(self._unwanted, *(track.received_bytes for track in self.tracks.values()), 0)
        breach = self._watch.look(now, messages=self._messages, audio=audio, started=self._journal is not None)
        if breach is not None:
            self.end(breach.outcome, breach.detail)

    def _count(self, kind: Disorder) -> None:
        self._metrics.disorder.labels(kind).inc()

    # what the tracks say: track.TrackOwner

    def lost(self, verdict: Verdict) -> None:
        """See `track.TrackOwner`."""
        self.end(verdict.outcome, verdict.advice)

    def failed(self, error: Exception) -> None:
        """See `track.TrackOwner`."""
        self._log.error("stream failed", exc_info=error)
        self.end(Outcome.INTERNAL, "an internal error")

    def publish(self, kind: type[events.Event], /, **fields: Any) -> None:
        """See `transcript.Publisher`."""
        assert self._journal is not None, "there is nothing to tell before the start"
        self._journal.write(kind, **fields)
