"""The two sites of a running gateway, and how it starts and stops."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable

import aiohttp
import pytest

from gateway import app, config
from gateway.app import Gateway, running
from gateway.sandbox.caller import Call, CallRefusedError, dial
from gateway.sandbox.emulator import Emulator
from gateway.streams import Streams
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


@pytest.mark.parametrize("port", ["media_port", "admin_port"])
async def test_a_port_that_is_taken_is_told(port: str, settings: Settings) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(OSError, match=r"address already in use"):
            async with running(settings(**{port: taken.getsockname()[1]})):
                pytest.fail("it runs")


async def test_after_the_end_nothing_is_left(settings: Settings, emulator: Emulator) -> None:
    before = asyncio.all_tasks()
    async with running(settings()) as gateway:
        ports = gateway.media_port, gateway.admin_port
    left = {task.get_name() for task in asyncio.all_tasks() - before}
    assert not left & {"gateway", "outbox", "streams", "stream"}
    for port in ports:
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)


async def test_neither_redis_nor_assemblyai_is_needed_to_be_alive(
    settings: Settings, http: aiohttp.ClientSession
) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        port = nobody.getsockname()[1]
        changes = {"redis_url": f"redis://127.0.0.1:{port}/0", "assemblyai_url": f"ws://127.0.0.1:{port}"}
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
