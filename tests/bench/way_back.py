"""The way back: how long after AssemblyAI said a Turn a subscriber of Redis has it.

Read off the raw replies of `PSUBSCRIBE *`, so that no client library is measured along with the gateway.
"""

import asyncio
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

from tests.bench.figures import Figures, quantile

TRANSCRIPT = re.compile(rb"t(\d{9,}) word0")
LONGEST = 64
"""No match is longer: what is kept of one read for the next."""


class WayBack(asyncio.Protocol):
    """A subscriber of every channel. An event counts when it is first seen; an event may bear its text twice."""

    def __init__(self) -> None:
        self._seen: dict[int, int] = {}
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast("asyncio.Transport", transport).write(b"PSUBSCRIBE *\r\n")

    def data_received(self, data: bytes) -> None:
        now, data = time.monotonic_ns(), self._rest + data
        for sent in TRANSCRIPT.findall(data):
            self._seen.setdefault(int(sent), now)
        self._rest = data[-LONGEST:]

    def figures(self) -> Figures:
        """Events seen so far, and their latency in ms."""
        ms = sorted((now - sent) / 1e6 for sent, now in self._seen.items())
        return {"events": len(ms), "event_p50_ms": quantile(ms, 0.5), "event_p99_ms": quantile(ms, 0.99)}


@asynccontextmanager
async def subscribed(port: int) -> AsyncIterator[WayBack]:
    """A subscriber of the Redis on a port of loopback, while the context lasts."""
    transport, way_back = await asyncio.get_running_loop().create_connection(WayBack, "127.0.0.1", port)
    try:
        yield way_back
    finally:
        transport.abort()
