"""The outbox against real Redis servers that are there: what is written, in which order, once, and for how long."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import redis.asyncio as redis
from redis.exceptions import ConnectionError as RedisConnectionError
from structlog.testing import capture_logs

from gateway.publisher import BATCH, LOOK_BACK, TRIES
from tests.support.outbox import PATIENCE, Box, boxed, ids, wait


@pytest.fixture
async def box(redis_url: str, prefix: str) -> AsyncIterator[Box]:
    async with boxed(redis_url, prefix) as one:
        yield one


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


LONG, SHORT = range(24 * 3600, 25 * 3600 + 1), range(1, 3601)


async def test_a_history_outlives_its_stream_and_then_fades(box: Box, redis_client: redis.Redis) -> None:
    box.start_call("CA1")
    await box.written()
    assert await redis_client.ttl(box.key("CA1")) in LONG
    box.end_call("CA1")
    await box.written()
    assert await redis_client.ttl(box.key("CA1")) in SHORT
    box.outbox.renew_now()
    await box.written()
    assert await redis_client.ttl(box.key("CA1")) in SHORT, "nobody lives here any more"


async def test_while_another_stream_of_the_call_lives_its_history_does(box: Box, redis_client: redis.Redis) -> None:
    box.start_call("CA1", "MZ1")
    box.start_call("CA1", "MZ2")
    box.end_call("CA1", "MZ1")
    box.outbox.renew_now()
    await box.written()
    assert await redis_client.ttl(box.key("CA1")) in LONG
    box.outbox.renew_now()
    box.end_call("CA1", "MZ2")
    await box.written()
    assert await redis_client.ttl(box.key("CA1")) in SHORT, "a renewal does not overtake the end"


async def test_the_other_stream_may_be_anothers(
    box: Box, redis_url: str, redis_client: redis.Redis, prefix: str
) -> None:
    async with boxed(redis_url, prefix) as other:
        other.start_call("CA1", "MZ2")
        await other.written()
        box.start_call("CA1", "MZ1")
        box.end_call("CA1", "MZ1")
        await box.written()
        assert await redis_client.ttl(box.key("CA1")) in SHORT
        other.outbox.renew_now()
        await other.written()
        assert await redis_client.ttl(box.key("CA1")) in LONG


async def test_renewals_come_by_themselves_and_often_enough(
    redis_url: str, redis_client: redis.Redis, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with boxed(redis_url, prefix, history_seconds=1) as box:
        assert 3 * box.options.renew_seconds < 1
        renewed, renew_now = asyncio.Event(), box.outbox.renew_now

        def noted() -> None:
            renew_now()
            renewed.set()

        monkeypatch.setattr(box.outbox, "renew_now", noted)
        box.start_call("CA1")
        await box.written()
        renewed.clear()
        await redis_client.expire(box.key("CA1"), 60)
        renewing = asyncio.create_task(box.outbox.renew())
        await wait(renewed)
        await box.written()
        assert await redis_client.ttl(box.key("CA1")) in LONG
        renewing.cancel()
        await asyncio.wait([renewing])
        assert box.count("events_published_total") == 2, "a renewal is no event"


async def test_a_stream_that_never_says_that_it_ended_is_forgotten_in_time(
    redis_url: str, redis_client: redis.Redis, prefix: str
) -> None:
    async with boxed(redis_url, prefix, living_seconds=0) as box:
        box.start_call("CA1")
        box.outbox.renew_now()
        assert not box.outbox._living


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


# what nobody foresaw


def poison(box: Box, *bad: str, error: type[Exception] = ValueError, times: int = 1000) -> None:
    """A write that holds one of these events raises; what stands before it in the batch is written."""
    send, left = box.outbox._send, times

    async def sent(batch: list[Any], look_back: int) -> list[Any]:
        nonlocal left
        at = next((i for i, entry in enumerate(batch) if entry.id in bad), None)
        if at is None or not left:
            return await send(batch, look_back)
        left -= 1
        await send(batch[:at], look_back)
        raise error("what was said")

    box.outbox._send = sent  # type: ignore[method-assign]


async def test_an_event_that_cant_be_written_is_given_up_and_all_others_are_written_once_in_order(
    redis_url: str, redis_client: redis.Redis, prefix: str, channel: Channel
) -> None:
    async with boxed(redis_url, prefix, running=False) as box:
        said = box.say("CA1", 20)
        bad = [said[7], said[8], said[19]]
        poison(box, *bad)
        with capture_logs() as logs:
            box.start()
            said += box.say("CA1", BATCH)
            await box.written()
        good = [one for one in said if one not in bad]
        assert await ids(redis_client, box.key("CA1")) == good
        assert [await channel.next() for _ in good] == [("call:CA1", one) for one in good]
        assert box.count("events_dropped_total", reason="refused") == 3
        assert box.count("events_published_total") == len(good)
        assert box.count("outbox_faults_total") >= 3 * TRIES
        assert box.count("outbox_bytes") == 0
        assert not [line for line in logs if line["event"].startswith("redis is away")]
        assert [line["id"] for line in logs if line["event"].startswith("an event can't")] == bad
        assert len([line for line in logs if line["event"] == "the outbox failed"]) == 1, "once for each kind"
        assert "what was said" not in str(logs)
        assert box.sizes[-1] == 20, "then batches again"


async def test_a_fault_that_passes_costs_nothing(redis_url: str, redis_client: redis.Redis, prefix: str) -> None:
    async with boxed(redis_url, prefix, running=False) as box:
        said = box.say("CA1", 5)
        poison(box, said[2], error=KeyError, times=TRIES)
        box.start()
        await box.written()
        assert await ids(redis_client, box.key("CA1")) == said
        assert box.count("events_dropped_total", reason="refused") == 0
        assert box.count("outbox_faults_total") == TRIES


async def test_a_script_that_cant_be_loaded_is_no_events_fault(
    redis_url: str, redis_client: redis.Redis, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with boxed(redis_url, prefix, running=False) as box:
        often = asyncio.Event()

        async def strange(_script: str) -> str:
            if box.count("outbox_faults_total") > 2 * TRIES:
                often.set()
            raise IndexError

        with monkeypatch.context() as patch:
            patch.setattr(box.outbox._redis, "script_load", strange)
            said = box.say("CA1", 3)
            box.start()
            await wait(often)
        await box.written()
        assert await ids(redis_client, box.key("CA1")) == said


# overflow


async def test_what_there_is_no_room_for_is_counted(redis_url: str, redis_client: redis.Redis, prefix: str) -> None:
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
