"""An outbox under test: what it is told, and what there is to see of it."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import redis.asyncio as redis

from gateway import events
from gateway.metrics import Metrics
from gateway.publisher import Outbox, OutboxOptions
from gateway.redis_write import redis_client

PATIENCE = 20.0
QUICK = {"retry_seconds": 0.01, "longest_retry_seconds": 0.02}


class Box:
    """An outbox that runs, and what there is to see of it."""

    def __init__(self, url: str, options: OutboxOptions) -> None:
        self.metrics = Metrics()
        self.options = options
        self.outbox = Outbox(redis_client(url), self.metrics, options, asyncio.get_running_loop().time)
        self.sizes: list[int] = []
        self.away = asyncio.Event()
        self._seq: dict[str, int] = {}
        self._task: asyncio.Task[None] | None = None
        self._watch()

    def _watch(self) -> None:
        send, away = self.outbox._send, self.outbox._away

        async def noted(batch: list[Any], look_back: int) -> list[Any]:
            self.sizes.append(len(batch))
            return await send(batch, look_back)

        def gone(error: Exception) -> None:
            away(error)
            self.away.set()

        self.outbox._send = noted  # type: ignore[method-assign]
        self.outbox._away = gone  # type: ignore[method-assign]

    def start(self) -> None:
        self._task = asyncio.create_task(self.outbox.run(), name="outbox under test")

    async def stop(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            assert not task.done(), task
            task.cancel()
            await asyncio.wait([task])

    async def written(self) -> None:
        assert await self.outbox.flush(PATIENCE) == 0

    def say(self, call_id: str, count: int = 1, *, durable: bool = True) -> list[str]:
        """Publishes events; returns their ids."""
        return [self._say(call_id, durable=durable) for _ in range(count)]

    def _say(self, call_id: str, *, durable: bool) -> str:
        common = self._common(call_id, "MZ")
        event: events.Event
        if durable:
            event = events.Dtmf(**common, digit="•", track="inbound")
        else:
            event = events.SpeechStarted(**common, part=1, track="inbound", at_ms=0)
        self.outbox.publish(event)
        return event.id

    def start_call(self, call_id: str, stream_id: str = "MZ") -> None:
        event = events.StreamStarted(
            **self._common(call_id, stream_id), dialect="twilio", profile="default", tracks=["inbound"],
            encoding="audio/x-mulaw", parameters={}, started_at="2026-01-01T00:00:00.000Z",
        )  # fmt: skip
        self.outbox.publish(event)

    def end_call(self, call_id: str, stream_id: str = "MZ") -> None:
        event = events.StreamEnded(
            **self._common(call_id, stream_id), result="completed", reason="stopped", duration_seconds=1.0,
            frames=1, turns=0, lost_ms=0, billed_seconds=0.0, last_seq=2,
        )  # fmt: skip
        self.outbox.publish(event)

    def _common(self, call_id: str, stream_id: str) -> dict[str, Any]:
        number = self._seq[call_id] = self._seq.get(call_id, 0) + 1
        made = {"id": f"{stream_id}:e:{call_id}:{number}", "call_id": call_id, "stream_id": stream_id, "seq": number}
        return {**made, "at": "2026-01-01T00:00:00.000Z"}

    def key(self, call_id: str) -> str:
        return f"{self.options.prefix}:call:{call_id}"

    def count(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(f"turngate_{name}", labels) or 0.0


@asynccontextmanager
async def boxed(url: str, prefix: str, *, running: bool = True, **options: Any) -> AsyncIterator[Box]:
    box = Box(url, OutboxOptions(prefix=prefix, **{**QUICK, **options}))
    if running:
        box.start()
    try:
        yield box
    finally:
        await box.stop()
        await box.outbox.close()


async def ids(client: redis.Redis, key: str) -> list[str]:
    """The ids of what is stored, in order."""
    stored: Any = await client.xrange(key)
    for _, fields in stored:
        assert json.loads(fields[b"event"])["id"] == fields[b"id"].decode()
    return [fields[b"id"].decode() for _, fields in stored]


async def wait(event: asyncio.Event) -> None:
    async with asyncio.timeout(PATIENCE):
        await event.wait()
