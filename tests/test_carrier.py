"""The carrier's way in: what is answered to whoever asks for an upgrade."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web

from gateway.admission import Admission, Everybody, TwilioSignature, twilio_signature
from gateway.carrier import MediaRoute
from gateway.errors import Outcome
from gateway.metrics import Metrics
from gateway.protocol.dialects import DIALECTS
from gateway.refusals import Refusals
from gateway.stream import Resources
from gateway.streams import Streams
from gateway.upstream import Listener

PATIENCE = 10.0
PATH = "/media/twilio"
WEBSOCKET = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


class Nowhere:
    """A connector that nothing here may use."""

    async def connect(self, listener: Listener) -> None:
        raise AssertionError


class Site:
    """A media site and what is behind it."""

    def __init__(self, who: Admission) -> None:
        loop = asyncio.get_running_loop()
        self.metrics = Metrics()
        resources = Resources(connector=Nowhere(), publish=lambda _: None, metrics=self.metrics, now=loop.time)
        self.streams = Streams(resources)
        self.draining = False
        self.port = 0
        self.route = MediaRoute(DIALECTS["twilio"], who, self.streams, Refusals(self.metrics), lambda: self.draining)

    def refused(self, reason: str) -> float:
        return self.metrics.registry.get_sample_value("turngate_refused_upgrades_total", {"reason": reason}) or 0.0

    async def ask(self, headers: dict[str, str]) -> tuple[int, str, dict[str, str]]:
        url = f"http://127.0.0.1:{self.port}{PATH}"
        async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as response:
            return response.status, await response.text(), dict(response.headers)

    async def all_ended(self) -> None:
        async with asyncio.timeout(PATIENCE):
            await self.streams._none.wait()


@asynccontextmanager
async def site(who: Admission | None = None) -> AsyncIterator[Site]:
    one = Site(who or Everybody())
    app = web.Application()
    app.router.add_get(PATH, one.route.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    one.port = runner.addresses[0][1]
    try:
        yield one
    finally:
        await runner.cleanup()
        await one.streams.end_all(Outcome.DRAINED, seconds=0)


async def test_a_signed_upgrade_becomes_a_stream() -> None:
    public = "wss://voice.example.com"
    async with site(TwilioSignature(["token"], public)) as one, aiohttp.ClientSession() as session:
        signature = {"X-Twilio-Signature": twilio_signature("token", public + PATH)}
        async with session.ws_connect(f"http://127.0.0.1:{one.port}{PATH}", headers=signature):
            assert len(one.streams) == 1
        await one.all_ended()


@pytest.mark.parametrize("signature", [None, "wrong", b"\xff\xfe".decode(errors="surrogateescape")])
async def test_an_unsigned_upgrade_is_refused_and_told_nothing_that_helps(signature: str | None) -> None:
    async with site(TwilioSignature(["token"], "wss://voice.example.com")) as one:
        raw = f"GET {PATH} HTTP/1.1\r\nHost: x\r\n" + "".join(f"{name}: {text}\r\n" for name, text in WEBSOCKET.items())
        if signature is not None:
            raw += f"X-Twilio-Signature: {signature}\r\n"
        reader, writer = await asyncio.open_connection("127.0.0.1", one.port)
        writer.write((raw + "\r\n").encode(errors="surrogateescape"))
        assert (await reader.readline()).startswith(b"HTTP/1.1 403 ")
        writer.close()
        await writer.wait_closed()
        assert one.refused("signature") == 1
        assert len(one.streams) == 0


async def test_what_is_no_upgrade_is_told_what_is_expected() -> None:
    async with site() as one:
        status, text, headers = await one.ask({})
        assert (status, text) == (426, "a WebSocket upgrade is expected here\n")
        assert headers["Upgrade"] == "websocket"
        assert one.refused("upgrade") == 1


@pytest.mark.parametrize(
    "change",
    [{"Sec-WebSocket-Version": "12"}, {"Sec-WebSocket-Key": "short"}, {"Sec-WebSocket-Key": "é" * 24}],
)
async def test_a_broken_upgrade_is_refused(change: dict[str, str]) -> None:
    async with site() as one:
        status, _, _ = await one.ask({**WEBSOCKET, **change})
        assert status == 426
        assert len(one.streams) == 0


async def test_while_draining_nobody_is_let_in() -> None:
    async with site() as one:
        one.draining = True
        status, _, _ = await one.ask(WEBSOCKET)
        assert status == 503
        assert one.refused("draining") == 1


async def test_a_carrier_that_resets_before_the_answer_is_no_fault(caplog: pytest.LogCaptureFixture) -> None:
    async with site() as one:
        raw = f"GET {PATH} HTTP/1.1\r\nHost: x\r\n" + "".join(f"{name}: {text}\r\n" for name, text in WEBSOCKET.items())
        for _ in range(20):
            with socket.create_connection(("127.0.0.1", one.port)) as plain:
                plain.sendall((raw + "\r\n").encode())
                plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        # Behind them, one that stays: by then they have been dealt with.
        async with aiohttp.ClientSession() as session, session.ws_connect(f"http://127.0.0.1:{one.port}{PATH}"):
            assert len(one.streams) >= 1
        await one.all_ended()
    assert not caplog.records
