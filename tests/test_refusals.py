"""Who was turned away: each is counted, few are told of singly, and nothing of what they sent is shown."""

import asyncio
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from gateway.metrics import Metrics
from gateway.refusals import LINES, WINDOW, HttpLog, Refusals
from tests.support.virtual import VirtualLoop

PATIENCE = 10.0


@pytest.fixture
def loop() -> Iterator[VirtualLoop]:
    one = VirtualLoop()
    yield one
    one.close()


def count(metrics: Metrics, reason: str) -> float:
    return metrics.registry.get_sample_value("turngate_refused_upgrades_total", {"reason": reason}) or 0.0


async def refuse(refusals: Refusals, times: int) -> None:
    for _ in range(times):
        refusals.add("signature", 403)


def test_a_few_are_told_singly_and_then_how_many_more(loop: VirtualLoop) -> None:
    metrics = Metrics()
    refusals = Refusals(metrics)
    with capture_logs() as logs:
        loop.run_until_complete(refuse(refusals, 1000))
        assert [line["event"] for line in logs] == ["request refused"] * LINES
        assert (logs[0]["reason"], logs[0]["status"]) == ("signature", 403)
        loop.pass_time(WINDOW)
    assert logs[LINES:] == [{"event": "more requests refused", "count": 1000 - LINES, "log_level": "warning"}]
    assert count(metrics, "signature") == 1000


def test_every_second_a_few_more_are_told_singly(loop: VirtualLoop) -> None:
    refusals = Refusals(Metrics())
    with capture_logs() as logs:
        for _ in range(3):
            loop.run_until_complete(refuse(refusals, LINES))
            loop.pass_time(WINDOW)
    assert [line["event"] for line in logs] == ["request refused"] * 3 * LINES, "no more, no word of more"


SECRET = "dG9rZW4"
REQUESTS = {
    "a strange header": f"GET /media/twilio HTTP/1.1\r\nAuthorization: Bearer {SECRET}\x00\r\n\r\n".encode(),
    "a strange path": f"GET /media/twilio/t/{SECRET}\x01 HTTP/1.1\r\n\r\n".encode(),
    "a strange version": f"GET /media/twilio/t/{SECRET} SIP/2.0\r\n\r\n".encode(),
    "a long line": f"GET /media/twilio/t/{SECRET}{'a' * 9000} HTTP/1.1\r\n\r\n".encode(),
    "no HTTP": b"\x16\x03\x01" + SECRET.encode() + b"\r\n\r\n",
}


@pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS)
async def test_what_is_no_request_is_counted_and_not_shown(request_: bytes, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    metrics = Metrics()
    runner = web.AppRunner(web.Application(), access_log=None, logger=HttpLog(Refusals(metrics)))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        with capture_logs() as logs:
            async with asyncio.timeout(PATIENCE):
                reader, writer = await asyncio.open_connection("127.0.0.1", runner.addresses[0][1])
                writer.write(request_)
                assert b" 400 " in await reader.readline()
                writer.close()
                await writer.wait_closed()
    finally:
        await runner.cleanup()
    assert logs == [{"event": "request refused", "reason": "malformed", "status": 400, "log_level": "warning"}]
    assert SECRET not in caplog.text
    assert count(metrics, "malformed") == 1


def test_a_fault_of_our_own_is_told_in_full(caplog: pytest.LogCaptureFixture) -> None:
    log: Any = HttpLog(Refusals(Metrics()))
    log.error("Error handling request from %s", "127.0.0.1", exc_info=KeyError("ours"))
    assert "KeyError: 'ours'" in caplog.text
