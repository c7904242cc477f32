"""The outbox against real Redis servers: present, absent, hanging, full, and told wrong things."""

import asyncio
import json
import shutil
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio as redis
from redis.exceptions import ConnectionError as RedisConnectionError

from gateway import events, write
from gateway.metrics import Metrics
from gateway.publisher import BATCH, LOOK_BACK, OVERHEAD, Outbox, OutboxOptions
from gateway.sandbox.redis import RedisServer
from gateway.write import redis_client

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
        number = self._seq[call_id] = self._seq.get(call_id, 0) + 1
        common: dict[str, Any] = {
            "id": f"MZ:e:{call_id}:{number}",
            "call_id": call_id,
            "stream_id": "MZ",
            "seq": number,
            "at": "2026-01-01T00:00:00.000Z",
        }
        event: events.Event
        if durable:
            event = events.Dtmf(**common, digit="•", track="inbound")
        else:
            event = events.SpeechStarted(**common, part=1, track="inbound", at_ms=0)
        self.outbox.publish(event, durable=durable)
        return event.id

    def start_call(self, call_id: str) -> None:
        event = events.StreamStarted(
            **self._common(call_id), dialect="twilio", profile="default", tracks=["inbound"], encoding="audio/x-mulaw",
            parameters={}, started_at="2026-01-01T00:00:00.000Z",
        )  # fmt: skip
        self.outbox.publish(event, durable=True)

    def end_call(self, call_id: str) -> None:
        event = events.StreamEnded(
            **self._common(call_id), result="completed", reason="stopped", duration_seconds=1.0, frames=1, turns=0,
            lost_ms=0, billed_seconds=0.0, last_seq=2,
        )  # fmt: skip
        self.outbox.publish(event, durable=True)

    def _common(self, call_id: str) -> dict[str, Any]:
        number = self._seq[call_id] = self._seq.get(call_id, 0) + 1
        made = {"id": f"MZ:e:{call_id}:{number}", "call_id": call_id, "stream_id": "MZ", "seq": number}
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


@pytest.fixture
async def box(redis_url: str, prefix: str) -> AsyncIterator[Box]:
    async with boxed(redis_url, prefix) as one:
        yield one


async def ids(client: redis.Redis, key: str) -> list[str]:
    """The ids of what is stored, in order."""
    stored: Any = await client.xrange(key)
    for _, fields in stored:
        assert json.loads(fields[b"event"])["id"] == fields[b"id"].decode()
    return [fields[b"id"].decode() for _, fields in stored]


class Channel:
    """What is heard on the channels of a prefix."""

    def __init__(self, client: redis.Redis, prefix: str) -> None:
        self._prefix = prefix
        self._pubsub = client.pubsub()

    async def subscribe(self) -> None:
        await self._pubsub.psubscribe(f"{self._prefix}:*")
        assert await self._pubsub.get_message(timeout=PATIENCE)

    async def next(self) -> tuple[str, str]:
        """Channel without the prefix, and the event's id."""
        message: Any = await self._pubsub.get_message(timeout=PATIENCE)
        assert message is not None, "nothing was heard"
        return message["channel"].decode().removeprefix(f"{self._prefix}:"), json.loads(message["data"])["id"]

    async def close(self) -> None:
        await self._pubsub.aclose()  # type: ignore[no-untyped-call]


@pytest.fixture
async def channel(redis_client: redis.Redis, prefix: str) -> AsyncIterator[Channel]:
    one = Channel(redis_client, prefix)
    await one.subscribe()
    yield one
    await one.close()


# writing


async def test_an_event_is_stored_and_heard_at_once(box: Box, redis_client: redis.Redis, channel: Channel) -> None:
    [said] = box.say("CA1")
    assert await channel.next() == ("call:CA1", said)
    await box.written()
    assert await ids(redis_client, box.key("CA1")) == [said]
    assert box.count("events_published_total") == 1
    assert box.count("publish_latency_seconds_count") == 1
    assert box.count("outbox_bytes") == 0
    assert box.count("redis_up") == 1


async def test_redis_is_known_to_be_there_before_the_first_event(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    known = asyncio.Event()
    monkeypatch.setattr(box.outbox, "_back", known.set)
    async with asyncio.timeout(PATIENCE):
        await known.wait()
    assert box.sizes == [0]


async def test_a_live_only_event_is_heard_and_not_stored(box: Box, redis_client: redis.Redis, channel: Channel) -> None:
    [said] = box.say("CA1", durable=False)
    assert await channel.next() == ("call:CA1", said)
    assert await redis_client.exists(box.key("CA1")) == 0


async def test_starts_and_ends_are_told_on_the_channel_of_all_calls_too(
    box: Box, redis_client: redis.Redis, channel: Channel, prefix: str
) -> None:
    box.start_call("CA1")
    box.say("CA1")
    box.end_call("CA1")
    heard = [await channel.next() for _ in range(5)]
    assert heard == [
        ("call:CA1", "MZ:e:CA1:1"),
        ("calls", "MZ:e:CA1:1"),
        ("call:CA1", "MZ:e:CA1:2"),
        ("call:CA1", "MZ:e:CA1:3"),
        ("calls", "MZ:e:CA1:3"),
    ]
    assert await ids(redis_client, f"{prefix}:calls") == ["MZ:e:CA1:1", "MZ:e:CA1:3"]


async def test_batches_grow_only_under_load(box: Box, redis_client: redis.Redis) -> None:
    for _ in range(3):
        box.say("CA1")
        await box.written()
    assert [size for size in box.sizes if size] == [1, 1, 1]
    box.sizes.clear()
    box.say("CA1", 2 * BATCH + 10)
    await box.written()
    assert box.sizes == [BATCH, BATCH, 10]
    assert len(await ids(redis_client, box.key("CA1"))) == 2 * BATCH + 13


async def test_order_holds_within_each_call(box: Box, redis_client: redis.Redis, channel: Channel) -> None:
    calls = [f"CA{n}" for n in range(5)]
    said: dict[str, list[str]] = {call: [] for call in calls}
    for n in range(200):
        for call in calls:
            said[call] += box.say(call, durable=n % 3 != 0)
        if n % 20 == 0:
            await asyncio.sleep(0)
    heard: dict[str, list[str]] = {call: [] for call in calls}
    for _ in range(1000):
        name, event_id = await channel.next()
        heard[name.removeprefix("call:")].append(event_id)
    assert heard == said
    for call in calls:
        assert await ids(redis_client, box.key(call)) == [one for n, one in enumerate(said[call]) if n % 3 != 0]


# the history


async def test_a_history_outlives_its_stream_and_then_fades(box: Box, redis_client: redis.Redis) -> None:
    box.start_call("CA1")
    await box.written()
    assert await redis_client.ttl(box.key("CA1")) in range(25 * 3600 - 5, 25 * 3600 + 1)
    box.end_call("CA1")
    await box.written()
    assert await redis_client.ttl(box.key("CA1")) in range(3600 - 5, 3600 + 1)
    box.say("CA1")
    await box.written()
    assert await redis_client.ttl(box.key("CA1")) > 3600, "another stream of the call is alive"


async def test_a_history_is_capped(redis_url: str, redis_client: redis.Redis, prefix: str) -> None:
    async with boxed(redis_url, prefix, history_events=200, calls_events=100) as box:
        said = box.say("CA1", 1000)
        other = box.say("CA:calls", 150)
        for n in range(500):
            box.start_call(f"CB{n}")
        await box.written()
    kept = await ids(redis_client, box.key("CA1"))
    # Redis trims whole nodes, of a hundred entries by default.
    assert 200 <= len(kept) <= 300
    assert kept == said[-len(kept) :]
    assert await ids(redis_client, box.key("CA:calls")) == other, "a call's name does not make it the list of calls"
    assert 100 <= await redis_client.xlen(f"{prefix}:calls") <= 200


# repeats


async def test_a_write_whose_answer_was_lost_is_stored_and_heard_once(
    redis_url: str, redis_client: redis.Redis, prefix: str, channel: Channel
) -> None:
    async with boxed(redis_url, prefix, running=False) as box:
        lose_answers(box, 1)
        said = box.say("CA1", BATCH)
        box.start()
        said += box.say("CA1")
        await box.written()
        assert [await channel.next() for _ in said] == [("call:CA1", one) for one in said]
        assert await ids(redis_client, box.key("CA1")) == said
        assert box.count("events_published_total") == len(said)
        assert box.count("outbox_bytes") == 0
        assert not box.away.is_set(), "a connection that broke once is no outage"


def lose_answers(box: Box, times: int) -> None:
    """The next writes are done, and their answers lost."""
    send, left = box.outbox._send, times

    async def lossy(batch: list[Any], look_back: int) -> list[Any]:
        nonlocal left
        answers = await send(batch, look_back)
        if batch and left:
            left -= 1
            raise RedisConnectionError("the answer was lost")
        return answers

    box.outbox._send = lossy  # type: ignore[method-assign]


async def test_a_repeat_is_found_behind_what_others_wrote(
    redis_url: str, redis_client: redis.Redis, prefix: str
) -> None:
    async with boxed(redis_url, prefix, running=False) as box:
        lose_answers(box, 1)
        [first] = box.say("CA1")
        assert await box.outbox._write() is not None
        for n in range(LOOK_BACK - 1):
            await redis_client.xadd(box.key("CA1"), {"id": f"another:{n}", "event": json.dumps({"id": f"another:{n}"})})
        assert await box.outbox._write() is None
        assert (await ids(redis_client, box.key("CA1"))).count(first) == 1


async def test_a_writer_that_was_cancelled_goes_on_where_it_was(
    redis_url: str, redis_client: redis.Redis, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with boxed(redis_url, prefix, running=False) as box:
        send, writing = box.outbox._send, asyncio.Event()

        async def stuck(batch: list[Any], look_back: int) -> list[Any]:
            answers = await send(batch, look_back)
            if batch:
                writing.set()
                await asyncio.Event().wait()
            return answers

        monkeypatch.setattr(box.outbox, "_send", stuck)
        said = box.say("CA1", 3)
        box.start()
        async with asyncio.timeout(PATIENCE):
            await writing.wait()
        said += box.say("CA1")
        await box.stop()
        monkeypatch.setattr(box.outbox, "_send", send)
        box.start()
        await box.written()
        assert await ids(redis_client, box.key("CA1")) == said
        assert box.count("outbox_bytes") == 0


async def test_a_lost_script_is_loaded_again(box: Box, redis_client: redis.Redis) -> None:
    said = box.say("CA1")
    await box.written()
    await redis_client.script_flush()
    said += box.say("CA1", 3)
    await box.written()
    assert await ids(redis_client, box.key("CA1")) == said
    assert not box.away.is_set()


async def test_a_connection_that_was_cut_while_idle_is_no_outage(box: Box, redis_client: redis.Redis) -> None:
    said = box.say("CA1")
    await box.written()
    await redis_client.client_kill_filter(_type="normal", skipme=True)
    said += box.say("CA1")
    await box.written()
    assert await ids(redis_client, box.key("CA1")) == said
    assert not box.away.is_set()


# what Redis refuses


async def test_a_key_of_another_type_stops_nobody_else(box: Box, redis_client: redis.Redis) -> None:
    await redis_client.set(box.key("CA1"), "not a stream")
    box.say("CA1", 2)
    said = box.say("CA2", 2)
    box.say("CA1")
    await box.written()
    assert await ids(redis_client, box.key("CA2")) == said
    assert await redis_client.get(box.key("CA1")) == b"not a stream"
    assert box.count("events_dropped_total", reason="refused") == 3
    assert box.count("events_published_total") == 2
    assert box.count("outbox_bytes") == 0
    assert box.count("redis_up") == 1


# Redis away


def binaries() -> list[Any]:
    other = shutil.which("redis-server")
    return [pytest.param(None, id="valkey"), *([pytest.param(Path(other), id="redis-server")] if other else [])]


@pytest.fixture(params=binaries())
async def server(request: pytest.FixtureRequest) -> AsyncIterator[RedisServer]:
    """A server of the test's own, not started yet."""
    one = RedisServer(binary=request.param)
    yield one
    await one.stop()


@pytest.fixture
async def own_client(server: RedisServer) -> AsyncIterator[redis.Redis]:
    client = redis.Redis.from_url(server.url)
    yield client
    await client.aclose()


async def wait(event: asyncio.Event) -> None:
    async with asyncio.timeout(PATIENCE):
        await event.wait()


async def test_redis_may_come_after_the_events(server: RedisServer, own_client: redis.Redis, prefix: str) -> None:
    async with boxed(server.url, prefix) as box:
        said = box.say("CA1", 10)
        await wait(box.away)
        said += box.say("CA1", BATCH)
        assert box.count("redis_up") == 0
        assert box.count("outbox_bytes") > 0
        await server.start()
        await box.written()
        assert await ids(own_client, box.key("CA1")) == said
        assert box.count("redis_up") == 1
        assert box.count("outbox_bytes") == 0
        assert box.count("events_dropped_total", reason="overflow") == 0


async def test_redis_may_go_and_come_back(server: RedisServer, own_client: redis.Redis, prefix: str) -> None:
    await server.start()
    async with boxed(server.url, prefix) as box:
        box.say("CA1", 3)
        await box.written()
        await server.stop()
        later = box.say("CA1", 3)
        await wait(box.away)
        later += box.say("CA1", 3)
        await server.start()
        await box.written()
        # It has forgotten what it had.
        assert await ids(own_client, box.key("CA1")) == later
        assert box.count("events_published_total") == 9


async def test_that_redis_is_back_is_noticed_without_an_event(server: RedisServer, prefix: str) -> None:
    async with boxed(server.url, prefix) as box:
        await wait(box.away)
        back = asyncio.Event()
        box.outbox._back = back.set  # type: ignore[method-assign]
        await server.start()
        await wait(back)


async def test_a_hanging_redis_is_left_and_found_again(
    server: RedisServer, own_client: redis.Redis, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(write, "TIMEOUT", 0.1)
    await server.start()
    async with boxed(server.url, prefix) as box:
        said = box.say("CA1")
        await box.written()
        assert server._process is not None
        server._process.send_signal(signal.SIGSTOP)
        said += box.say("CA1", 5)
        await wait(box.away)
        said += box.say("CA1", 5)
        assert await box.outbox.flush(0.01) == 10, "a flush keeps to its bound"
        server._process.send_signal(signal.SIGCONT)
        await box.written()
        assert await ids(own_client, box.key("CA1")) == said, "what hung was done meanwhile, and not done again"


async def test_the_end_does_not_wait_for_a_hanging_redis(
    server: RedisServer, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(write, "TIMEOUT", 0.1)
    await server.start()
    async with boxed(server.url, prefix) as box:
        await box.written()
        assert server._process is not None
        server._process.send_signal(signal.SIGSTOP)
        box.say("CA1", 300)
        await wait(box.away)
        await box.stop()
        async with asyncio.timeout(PATIENCE):
            await box.outbox.close()


Trouble = Callable[[redis.Redis], Any]


@pytest.mark.parametrize(
    ("trouble", "relief"),
    [
        (lambda client: client.config_set("maxmemory", 1), lambda client: client.config_set("maxmemory", 0)),
        (
            lambda client: client.execute_command("REPLICAOF", "127.0.0.1", "1"),
            lambda client: client.execute_command("REPLICAOF", "NO", "ONE"),
        ),
    ],
    ids=["full", "a replica"],
)
async def test_a_redis_that_takes_no_writes_is_waited_for(
    trouble: Trouble, relief: Trouble, server: RedisServer, own_client: redis.Redis, prefix: str
) -> None:
    await server.start()
    async with boxed(server.url, prefix) as box:
        said = box.say("CA1")
        await box.written()
        await trouble(own_client)
        said += box.say("CA1", 5)
        await wait(box.away)
        await relief(own_client)
        await box.written()
        assert await ids(own_client, box.key("CA1")) == said
        assert box.count("events_dropped_total", reason="refused") == 0


async def test_what_is_no_redis_is_redis_away(prefix: str) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    other = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with other, boxed(f"redis://127.0.0.1:{other.sockets[0].getsockname()[1]}/0", prefix) as box:
        box.say("CA1")
        await wait(box.away)
        assert box.count("outbox_bytes") > 0


# overflow


async def test_live_only_events_go_first(redis_url: str, redis_client: redis.Redis, prefix: str) -> None:
    async with boxed(redis_url, prefix, running=False, limit_bytes=16_000) as box:
        live = box.say("CA1", 10, durable=False)
        said: list[str] = []
        while box.count("events_dropped_total", reason="overflow") == 0:
            said += box.say("CA2")
        assert box.count("events_dropped_total", reason="overflow") == len(live)
        assert box.count("outbox_bytes") <= 16_000
        box.start()
        await box.written()
        assert await ids(redis_client, box.key("CA2")) == said
        assert box.count("outbox_bytes") == 0


async def test_a_flood_of_live_only_events_leaves_room_for_durable_ones(redis_url: str, prefix: str) -> None:
    async with boxed(redis_url, prefix, running=False, limit_bytes=16_000) as box:
        box.say("CA1", 200, durable=False)
        assert 0 < box.count("outbox_bytes") <= 14_000
        dropped = box.count("events_dropped_total", reason="overflow")
        assert dropped > 100
        box.say("CA1")
        assert box.count("events_dropped_total", reason="overflow") == dropped


async def test_then_the_oldest_durable_events_go(redis_url: str, redis_client: redis.Redis, prefix: str) -> None:
    async with boxed(redis_url, prefix, running=False, limit_bytes=16_000) as box:
        said = box.say("CA1", 200)
        dropped = int(box.count("events_dropped_total", reason="overflow"))
        assert dropped > 0
        assert box.count("outbox_bytes") <= 16_000
        box.start()
        await box.written()
        assert await ids(redis_client, box.key("CA1")) == said[dropped:]
        assert box.count("outbox_bytes") == 0


async def test_what_is_being_written_is_not_dropped(redis_url: str, redis_client: redis.Redis, prefix: str) -> None:
    async with boxed(redis_url, prefix, running=False, limit_bytes=16_000) as box:
        lose_answers(box, 1)
        first = box.say("CA1", 3) + box.say("CA1", 2, durable=False)
        assert await box.outbox._write() is not None
        box.say("CA1", 200)
        assert box.count("outbox_bytes") <= 16_000
        box.start()
        await box.written()
        assert (await ids(redis_client, box.key("CA1")))[:3] == first[:3]
        assert box.count("outbox_bytes") == 0


async def test_an_event_beyond_the_limit_alone_still_goes(
    redis_url: str, redis_client: redis.Redis, prefix: str
) -> None:
    async with boxed(redis_url, prefix, running=False, limit_bytes=OVERHEAD) as box:
        said = box.say("CA1", 3)
        assert box.count("events_dropped_total", reason="overflow") == 2
        box.start()
        await box.written()
        assert await ids(redis_client, box.key("CA1")) == said[-1:]
        assert box.count("outbox_bytes") == 0


# flush


async def test_an_idle_outbox_is_flushed_at_once(box: Box) -> None:
    assert await box.outbox.flush(0) == 0
    box.say("CA1")
    await box.written()
    assert await box.outbox.flush(0) == 0
    assert box.count("events_dropped_total", reason="unsent") == 0


async def test_what_a_flush_leaves_is_counted(redis_url: str, prefix: str) -> None:
    async with boxed(redis_url, prefix, running=False) as box:
        box.say("CA1", 7)
        assert await box.outbox.flush(0) == 7
        assert box.count("events_dropped_total", reason="unsent") == 7


# elsewhere


async def test_a_unix_socket_is_a_place_too(prefix: str, tmp_path: Path) -> None:
    async with boxed(f"unix://{tmp_path}/none.sock", prefix) as box:
        await wait(box.away)
