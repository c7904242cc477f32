"""Events as a gateway tells them, for tests of what reads them."""

from collections.abc import Iterator
from typing import Any

import msgspec
import redis.asyncio as redis

from gateway import events
from gateway.events import AnyEvent
from gateway.order import Message
from gateway.redis_write import WRITE

STARTED_AT = "2026-11-20T12:00:00.000Z"


class Teller:
    """One stream's events, numbered as the gateway does."""

    def __init__(self, call_id: str = "CA1", stream_id: str = "MZ1", epoch: str = "e1") -> None:
        self.call_id, self.stream_id, self.epoch = call_id, stream_id, epoch
        self.seq = self.part = 0

    def tell(self, kind: type[AnyEvent], **fields: Any) -> AnyEvent:
        durable = events.is_durable(kind, fields)
        self.seq, self.part = (self.seq + 1, 0) if durable else (self.seq, self.part + 1)
        number = f"{self.stream_id}:{self.epoch}:{self.seq}"
        return kind(
            id=number if durable else f"{number}:{self.part}",
            call_id=self.call_id,
            stream_id=self.stream_id,
            seq=self.seq,
            part=msgspec.UNSET if durable else self.part,
            at=STARTED_AT,
            **fields,
        )

    def started(self, **fields: Any) -> AnyEvent:
        given = {"dialect": "twilio", "profile": "default", "tracks": ["inbound"], "encoding": "audio/x-mulaw"}
        return self.tell(events.StreamStarted, **{**given, "parameters": {}, "started_at": STARTED_AT, **fields})

    def turn(self, text: str, turn: int = 0, *, final: bool = True, track: str = "inbound", **fields: Any) -> AnyEvent:
        times = {"start_ms": 1000 * turn, "end_ms": 1000 * turn + 500, "offset_ms": 0}
        given = {"track": track, "turn": turn, "final": final, "formatted": False, "text": text, **times, **fields}
        return self.tell(events.Turn, assemblyai=msgspec.Raw(b"{}"), **given)

    def session_ended(self, audio: float = 2.0, track: str = "inbound") -> AnyEvent:
        figures: dict[str, Any] = {"audio_seconds": audio, "session_seconds": 3.0, "billed_seconds": 3.25}
        return self.tell(events.SessionEnded, track=track, session_id="s", **figures)

    def ended(self, result: str = "completed", reason: str = "stopped") -> AnyEvent:
        figures: dict[str, Any] = {
            "duration_seconds": 1.0,
            "frames": 50,
            "turns": 1,
            "lost_ms": 0,
            "billed_seconds": 3.25,
        }
        return self.tell(events.StreamEnded, result=result, reason=reason, last_seq=self.seq + 1, **figures)

    def whole(self, *texts: str) -> list[AnyEvent]:
        """A stream from its beginning to its end, with a turn of each text."""
        return [self.started(), *(self.turn(text, number) for number, text in enumerate(texts)), self.ended()]


def message(event: AnyEvent, *, live: bool = True) -> Message:
    """The event as a subscriber gets it."""
    found = Message.read(events.encode(event), live=live)
    assert found is not None
    return found


class Writer:
    """Writes to Redis what a gateway writes, as it writes it."""

    def __init__(self, client: redis.Redis, prefix: str) -> None:
        self.client, self.prefix = client, prefix

    async def write(self, *told: AnyEvent) -> None:
        """Stores and publishes."""
        for event, key in self._keys(told):
            data = events.encode(event)
            if message(event).durable:
                await self.client.eval(WRITE, 1, key, event.id, data, 1000, 60, 0)
            else:
                await self.client.publish(key, data)

    async def store(self, *told: AnyEvent) -> None:
        """Stores without publishing, as if the channel had lost it."""
        for event, key in self._keys(told):
            await self.client.xadd(key, {"id": event.id, "event": events.encode(event)})

    async def publish(self, *told: AnyEvent) -> None:
        """Publishes without storing."""
        for event, key in self._keys(told):
            await self.client.publish(key, events.encode(event))

    def call_key(self, call_id: str = "CA1") -> str:
        return f"{self.prefix}:call:{call_id}"

    def _keys(self, told: tuple[AnyEvent, ...]) -> Iterator[tuple[AnyEvent, str]]:
        for event in told:
            yield event, self.call_key(event.call_id)
            if isinstance(event, events.StreamStarted | events.StreamEnded):
                yield event, f"{self.prefix}:calls"
