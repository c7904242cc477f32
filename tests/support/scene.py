"""Whole calls through a gateway without a socket: a carrier in memory, virtual time, and what came of it.

A `Scene` ends with its block, and then everything has to be in order: each stream ended once and last, its events
without holes, nothing open upstream, every gauge back at 0, no breach of v3, no exception that nobody caught.
"""

import asyncio
import base64
import json
import random
import re
import traceback
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Self

from prometheus_client import generate_latest
from structlog.testing import capture_logs

from gateway import events
from gateway.errors import Outcome
from gateway.metrics import Metrics
from gateway.protocol.dialects import DIALECTS
from gateway.stream import Resources, Stream, StreamOptions
from gateway.streams import Streams
from tests.support.assemblyai import CANARY, Service
from tests.support.virtual import VirtualLoop

FRAME_MS = 20
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


class Call:
    """One stream, seen from the carrier. Its verbs are what the carrier does."""

    def __init__(self, scene: "Scene", number: int) -> None:
        self.call_id, self.stream_id = f"CA{number}", f"MZ{number}"
        self.closed: tuple[int, str] | None = None
        self.pings = 0
        self.pongs = True
        self.heard: dict[str, bytes] = {}
        self._scene = scene
        self._frames: dict[str, int] = {}
        self._sequence = 0
        self._voice = random.Random(number)
        self.stream: Stream = scene.within(lambda: scene.streams.open(DIALECTS["twilio"], self))

    # stream.Carrier

    def send_ping(self) -> None:
        self.pings += 1
        if self.pongs:
            self.stream.alive()

    def send_close(self, code: int, reason: str = "") -> None:
        assert self.closed is None, "the socket is closed once"
        self.closed = (code, reason)

    # what the carrier does

    def greets(self) -> Self:
        self.sends(event="connected", protocol="Call", version="1.0.0")
        return self

    def starts(self, *tracks: str, **changes: Any) -> Self:
        start = {
            "callSid": self.call_id,
            "streamSid": self.stream_id,
            "tracks": list(tracks or ("inbound",)),
            "customParameters": {"From": "+15550100", "note": CANARY},
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
        }
        self.sends(event="start", streamSid=self.stream_id, start={**start, **changes})
        return self

    def opens(self, *tracks: str) -> Self:
        return self.greets().starts(*tracks)

    def media(self, frames: int = 1, *, size: int = 160, track: str = "inbound", lost_ms: int = 0) -> Self:
        """Sends frames at once; `lost_ms` of audio before them never reached the carrier's sender."""
        self._frames[track] = self._frames.get(track, 0) + lost_ms * 8
        for _ in range(frames):
            # 0xFF is kept for padding.
            payload = self._voice.randbytes(size).replace(b"\xff", b"\xfe")
            self.heard[track] = self.heard.get(track, b"") + payload
            self.frame(payload, track=track, timestamp=str(self._frames[track] // 8))
            self._frames[track] += size
        return self

    def frame(self, payload: bytes, *, track: str = "inbound", timestamp: object = None) -> Self:
        media = {"track": track, "payload": base64.b64encode(payload).decode(), "timestamp": timestamp}
        self.sends(event="media", media=media)
        return self

    def speaks(self, seconds: float, track: str = "inbound") -> Self:
        """Sends frames in real time."""
        for _ in range(round(seconds * 1000 / FRAME_MS)):
            self.media(track=track)
            self._scene.passes(FRAME_MS / 1000)
        return self

    def presses(self, digit: str) -> Self:
        self.sends(event="dtmf", dtmf={"digit": digit, "track": "inbound_track"})
        return self

    def stops(self) -> Self:
        self.sends(event="stop", stop={"callSid": self.call_id})
        return self

    def hangs_up(self) -> Self:
        self.stream.disconnected()
        return self

    def sends(self, **message: Any) -> Self:
        self._sequence += 1
        return self.sends_raw(json.dumps({**message, "sequenceNumber": str(self._sequence)}).encode())

    def sends_raw(self, message: bytes) -> Self:
        # As the wire does it: what raises is the stream's to report.
        try:
            self.stream.receive(message)
        except Exception as error:  # noqa: BLE001 - the same boundary as in `wire`
            self.stream.fail(error)
        return self

    # what came of it

    @property
    def outcome(self) -> Outcome | None:
        return self.stream.outcome

    @property
    def events(self) -> list[dict[str, Any]]:
        return [event for event in self._scene.published if event["stream_id"] == self.stream_id]

    @property
    def types(self) -> list[str]:
        return [event["type"] for event in self.events]

    def of(self, kind: str, *fields: str) -> list[Any]:
        """The events of a type; or one field of each, or tuples of several."""
        found = [event for event in self.events if event["type"] == kind]
        if not fields:
            return found
        return [event[fields[0]] if len(fields) == 1 else tuple(event[name] for name in fields) for event in found]

    @property
    def ended(self) -> dict[str, Any]:
        """The last word."""
        assert self.types[-1] == "stream.ended"
        return self.events[-1]

    def check_events(self) -> None:
        """Numbered without holes, stamped with one epoch, and ended once and last."""
        seq = part = 0
        for event in self.events:
            durable = "part" not in event
            seq, part = (seq + 1, 0) if durable else (seq, part + 1)
            assert (event["seq"], event.get("part", 0)) == (seq, part)
            number = f"{seq}" if durable else f"{seq}:{part}"
            assert re.fullmatch(rf"{self.stream_id}:[0-9a-f]{{8}}:{number}", event["id"])
            assert event["call_id"] == self.call_id
        assert len({event["id"].split(":")[1] for event in self.events}) <= 1
        if self.events:
            assert self.types[0] == "stream.started"
            assert [i for i, kind in enumerate(self.types) if kind == "stream.ended"] == [len(self.types) - 1]
            assert self.ended["last_seq"] == seq
            assert self.ended["lost_ms"] == sum(self.of("gap", "lost_ms"))


class Scene:
    """See the module's docstring. Options of `StreamOptions` may be given."""

    def __init__(self, **options: Any) -> None:
        self.loop = VirtualLoop()
        self.service = Service()
        self.metrics = Metrics()
        self.published: list[dict[str, Any]] = []
        self.logs: list[Any] = []
        self.calls: list[Call] = []
        self.drains: list[asyncio.Task[int]] = []
        self.resources = Resources(
            connector=self.service,
            publish=self._publish,
            metrics=self.metrics,
            now=self.loop.time,
            wall=lambda: NOON + timedelta(seconds=self.loop.time()),
            options=replace(StreamOptions(), **options),
        )
        self.streams = Streams(self.resources)
        self._stack = ExitStack()

    def _publish(self, event: events.Event) -> None:
        self.published.append(json.loads(events.encode(event)))

    def __enter__(self) -> Self:
        self.logs = self._stack.enter_context(capture_logs())
        self.loop.create_task(self.streams.run())
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        with self._stack:
            try:
                if kind is None:
                    self.ends()
            finally:
                for task in asyncio.all_tasks(self.loop):
                    task.cancel()
                self.passes(0)
                self.loop.close()

    # what happens

    def call(self) -> Call:
        """A carrier opens a stream."""
        self.calls.append(Call(self, len(self.calls) + 1))
        return self.calls[-1]

    def passes(self, seconds: float = 1.0) -> None:
        """Time passes, and with it whatever happens."""
        self.loop.pass_time(seconds)

    def within(self, what: Any) -> Any:
        """Calls something while the loop runs."""

        async def call() -> Any:
            return what()

        return self.loop.run_until_complete(call())

    def ends(self) -> None:
        """Everybody hangs up; then all is as it should be."""
        for call in self.calls:
            call.hangs_up()
        self.passes(40)
        assert len(self.streams) == 0
        for call in self.calls:
            call.check_events()
        assert [session for session in self.service.sessions if session.is_open] == []
        assert self.service.breaches == []
        assert self.loop.faults == []
        assert self.metric("turngate_streams_active") == 0
        assert self.metric("turngate_sessions_active") == 0
        assert self.metric("turngate_media_bytes_total", track="inbound") == sum(
            call.stream.tracks["inbound"].received_bytes for call in self.calls if "inbound" in call.stream.tracks
        )

    # what came of it

    def metric(self, name: str, **labels: str) -> float:
        """The value of a series; 0 where it is not there yet."""
        return self.metrics.registry.get_sample_value(name, labels) or 0.0

    def logged(self, event: str) -> list[Any]:
        """The log's lines with this message."""
        return [line for line in self.logs if line["event"] == event]

    def told_outside(self) -> str:
        """All that leaves the gateway other than as events: logs, metrics, close reasons, representations."""
        told = [repr(line) for line in self.logs]
        told += ["".join(traceback.format_exception(line["exc_info"])) for line in self.logs if line.get("exc_info")]
        told += [repr(call.closed) for call in self.calls] + [repr(call.stream) for call in self.calls]
        return "\n".join([*told, generate_latest(self.metrics.registry).decode()])


def gaps(call: Call, track: str = "inbound") -> list[tuple[int, int, int, str]]:
    """The gaps of a track: from, to, lost (ms), cause."""
    found = [event for event in call.of("gap") if event["track"] == track]
    return [(event["from_ms"], event["to_ms"], event["lost_ms"], event["cause"]) for event in found]


def unsent(heard: bytes, sent: bytes) -> list[tuple[int, int]]:
    """Which ranges of what was heard were left out of what was sent; all else went up in order, each byte once."""
    holes = []
    at = done = 0
    while done < len(sent):
        found = heard.find(sent[done : done + 64], at)
        assert found >= 0, "something went up that was not heard, or not in this order, or twice"
        if found > at:
            holes.append((at, found))
        same = _common(sent[done:], heard[found:])
        at, done = found + same, done + same
    return [*holes, (at, len(heard))] if at < len(heard) else holes


def _common(one: bytes, other: bytes) -> int:
    """How many bytes both have in common from the beginning."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[:middle] == other[:middle]:
            low = middle
        else:
            high = middle - 1
    return low
