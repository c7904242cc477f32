"""The two sites of a running gateway, and how it starts and stops."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import pytest
from redis.asyncio import Redis

from gateway import app, config, events
from gateway.app import Gateway, running
from gateway.errors import Outcome
from gateway.publisher import Outbox
from gateway.sandbox.caller import Call, CallRefusedError, dial
from gateway.sandbox.emulator import Emulator, Ending, Knobs
from gateway.stream import Stream
from gateway.streams import Streams
from gateway.waiting import Entry
from tests.conftest import AUTH_TOKEN, SIGNED_URL, media_url

PATIENCE = 10.0
Settings = Callable[..., config.Settings]

pytestmark = pytest.mark.parametrize("redis_url", ["valkey"], indirect=True)


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


def admin(gateway: Gateway, path: str) -> str:
    return f"http://127.0.0.1:{gateway.admin_port}{path}"


def call_to(gateway: Gateway) -> Call:
    return Call(url=media_url(gateway), auth_token=AUTH_TOKEN, signed_url=SIGNED_URL)


async def test_a_gateway_is_alive_ready_and_measured(settings: Settings, http: aiohttp.ClientSession) -> None:
    async with running(settings()) as gateway:
        for path, said in (("/livez", "alive"), ("/readyz", "ready"), ("/metrics", "turngate_streams_active 0.0")):
            async with http.get(admin(gateway, path)) as response:
                assert response.status == 200
                assert said in await response.text()


async def test_the_media_site_has_streams_and_nothing_else(settings: Settings, http: aiohttp.ClientSession) -> None:
    async with running(settings()) as gateway:
        for path in ("/", "/livez", "/metrics", "/media", "/media/another"):
            async with http.get(f"http://127.0.0.1:{gateway.media_port}{path}") as response:
                assert response.status == 404
        async with http.get(admin(gateway, "/media/twilio")) as response:
            assert response.status == 404


@pytest.mark.parametrize("site", ["media_port", "admin_port"])
async def test_what_is_no_request_is_refused_and_counted(site: str, settings: Settings) -> None:
    async with running(settings()) as gateway:
        reader, writer = await asyncio.open_connection("127.0.0.1", getattr(gateway, site))
        writer.write(b"GET /media/twilio HTTP/1.1\r\nA\x00: b\r\n\r\n")
        assert b" 400 " in await reader.readline()
        writer.close()
        await writer.wait_closed()
        labels = {"reason": "malformed"}
        assert gateway.metrics.registry.get_sample_value("turngate_refused_upgrades_total", labels) == 1


@pytest.mark.parametrize("slash", ["", "/"])
async def test_a_slash_behind_the_route_does_no_harm(slash: str, settings: Settings) -> None:
    async with running(settings()) as gateway:
        url, signed = media_url(gateway) + slash, SIGNED_URL + slash
        async with dial(Call(url=url, auth_token=AUTH_TOKEN, signed_url=signed)) as line:
            await line.connected()


async def test_while_it_drains_it_answers_and_takes_no_new_stream(
    settings: Settings, http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    draining, go_on = asyncio.Event(), asyncio.Event()
    end_all = Streams.end_all

    async def slowly(self: Streams, *args: object, **kwargs: object) -> int:
        draining.set()
        await go_on.wait()
        return await end_all(self, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(Streams, "end_all", slowly)
    stop = asyncio.Event()
    ready: asyncio.Future[Gateway] = asyncio.get_running_loop().create_future()
    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
        group.create_task(app.serve(settings(), stop, ready.set_result))
        gateway = await ready
        stop.set()
        await draining.wait()
        for path, status in (("/livez", 200), ("/readyz", 503), ("/metrics", 200)):
            async with http.get(admin(gateway, path)) as response:
                assert response.status == status
        with pytest.raises(CallRefusedError) as refused:
            async with dial(call_to(gateway)):
                pass
        assert refused.value.refusal.status == 503
        labels = {"reason": "draining"}
        assert gateway.metrics.registry.get_sample_value("turngate_refused_upgrades_total", labels) == 1
        go_on.set()


async def test_whoever_insists_does_not_wait_for_last_turns(
    settings: Settings, emulator: Emulator, redis_client: Redis, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    abandoned, abandon = [], Stream.abandon

    def noted(self: Stream) -> None:
        abandoned.append(self.call_id)
        abandon(self)

    monkeypatch.setattr(Stream, "abandon", noted)
    emulator.knobs = Knobs(ending=Ending.SILENT)
    stop, hurry = asyncio.Event(), asyncio.Event()
    ready: asyncio.Future[Gateway] = asyncio.get_running_loop().create_future()
    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
        group.create_task(app.serve(settings(drain_seconds=3600), stop, ready.set_result, hurry))
        call = call_to(await ready)
        async with dial(call) as line:
            await line.connected()
            await line.start()
            await line.media(b"\xff" * 1600)
            await emulator.wait_for(lambda: emulator.sessions and emulator.sessions[0].audio_bytes)
            stop.set()
            await emulator.wait_for(lambda: emulator.sessions[0].terminated)
            hurry.set()
    assert abandoned == [call.call_sid]
    newest: Any = await redis_client.xrevrange(f"{prefix}:call:{call.call_sid}", count=1)
    [(_, last)] = newest
    ended = events.decode(last[b"event"])
    assert isinstance(ended, events.StreamEnded)
    assert ended.reason == "drained"


async def test_whoever_insists_does_not_wait_for_redis(settings: Settings, emulator: Emulator) -> None:
    stop, hurry = asyncio.Event(), asyncio.Event()
    ready: asyncio.Future[Gateway] = asyncio.get_running_loop().create_future()
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        away = settings(redis_url=f"redis://127.0.0.1:{nobody.getsockname()[1]}/0", flush_seconds=3600)
        async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
            serving = group.create_task(app.serve(away, stop, ready.set_result, hurry))
            gateway = await ready
            async with dial(call_to(gateway)) as line:
                await line.connected()
                await line.start()
                await line.media(b"\xff" * 1600)
                await emulator.wait_for(lambda: emulator.sessions)
                stop.set()
                await line.closed()
            assert not serving.done()
            hurry.set()
    assert gateway.metrics.registry.get_sample_value("turngate_events_dropped_total", {"reason": "unsent"})


@pytest.mark.parametrize("port", ["media_port", "admin_port"])
async def test_a_port_that_is_taken_is_told(port: str, settings: Settings) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(OSError, match=r"address already in use"):
            async with running(settings(**{port: taken.getsockname()[1]})):
                pytest.fail("it runs")


@pytest.mark.parametrize("port", ["media_port", "admin_port"])
async def test_after_the_end_nothing_is_left(port: str, settings: Settings, closed_port: int) -> None:
    before = asyncio.all_tasks()
    async with running(settings(**{port: closed_port})):
        _, writer = await asyncio.open_connection("127.0.0.1", closed_port)
        writer.close()
    left = {task.get_name() for task in asyncio.all_tasks() - before}
    assert not left & {"gateway", "outbox", "histories", "streams", "stream"}
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", closed_port)


async def test_neither_redis_nor_assemblyai_is_needed_to_be_alive(
    settings: Settings, http: aiohttp.ClientSession, closed_port: int
) -> None:
    changes = {"redis_url": f"redis://127.0.0.1:{closed_port}/0", "assemblyai_url": f"ws://127.0.0.1:{closed_port}"}
    async with running(settings(**changes, flush_seconds=0.1)) as gateway:
        for path in ("/livez", "/readyz"):
            async with http.get(admin(gateway, path)) as response:
                assert response.status == 200


async def test_what_fails_while_it_runs_ends_what_it_runs_for(settings: Settings) -> None:
    with pytest.raises(KeyError):
        async with running(settings()):
            raise KeyError


async def test_a_user_who_is_cancelled_still_gets_a_polite_end(settings: Settings) -> None:
    started = asyncio.Event()

    async def use() -> None:
        async with running(settings()):
            started.set()
            await asyncio.Event().wait()

    before = asyncio.all_tasks()
    task = asyncio.create_task(use())
    async with asyncio.timeout(PATIENCE):
        await started.wait()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    assert "gateway" not in {one.get_name() for one in asyncio.all_tasks() - before}


@pytest.mark.parametrize(("owner", "part"), [(Outbox, "run"), (Outbox, "renew"), (Streams, "run")])
async def test_whatever_part_fails_streams_end_politely(
    owner: type, part: str, settings: Settings, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail = asyncio.Event()

    async def failing(_self: object) -> None:
        await fail.wait()
        raise KeyError(part)

    monkeypatch.setattr(owner, part, failing)

    async def serve_a_call() -> None:
        async with running(settings(flush_seconds=0.1)) as gateway:
            async with dial(call_to(gateway)) as line:
                await line.connected()
                await line.start()
                await line.media(b"\xff" * 1600)
                await emulator.wait_for(lambda: emulator.sessions and emulator.sessions[0].audio_bytes)
                fail.set()
                assert (await line.closed()).code == Outcome.DRAINED.close_code
            await emulator.wait_for(lambda: emulator.sessions[0].terminated)

    async with asyncio.timeout(PATIENCE):
        with pytest.raises(KeyError, match=part):
            await serve_a_call()


async def test_a_fault_that_comes_while_it_serves_is_no_end(
    settings: Settings, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    send, often = Outbox._send, asyncio.Event()
    faults = iter([ValueError, IndexError, KeyError])

    async def faulty(self: Outbox, batch: list[Entry], look_back: int) -> list[object]:
        if batch and (fault := next(faults, None)):
            raise fault
        if batch:
            often.set()
        return await send(self, batch, look_back)

    monkeypatch.setattr(Outbox, "_send", faulty)
    async with asyncio.timeout(PATIENCE), running(settings()) as gateway, dial(call_to(gateway)) as line:
        await line.connected()
        await line.start()
        await often.wait()
        await line.stop()
        assert (await line.closed()).code == 1000
    value = gateway.metrics.registry.get_sample_value
    assert value("turngate_outbox_faults_total") == 3
    assert value("turngate_events_dropped_total", {"reason": "refused"}) == 0
    assert value("turngate_outbox_bytes") == 0
