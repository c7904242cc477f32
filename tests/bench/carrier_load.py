"""Many carrier streams at once, 50 frames a second each, spread evenly over every 20 ms.

    python -m tests.bench.carrier_load PORT CALLS SECONDS PATH

Messages have the exact shapes of Twilio's Media Streams. Each payload begins with its send time (`upstream_sink` reads
it). Raw sockets with a mask of zeros keep the generator cheap. It says `ready` when every stream is open, and prints
one line of JSON at the end.
"""

import asyncio
import base64
import json
import struct
import sys
import time
from typing import cast

import uvloop

GROUPS = 20
"""Streams send in this many groups, one each millisecond, so that frames arrive evenly as those of real calls do."""

AT_ONCE = 20
"""Streams opened before a short rest: a call centre's morning, not a stampede."""

LATE_SECONDS = 0.005
"""A tick that is later than this is counted: the load itself can't keep up, and latencies say little."""

AUDIO = b"\xff" * 152
"""A frame's payload behind the send time (8 bytes): mu-law silence."""


def text_frame(payload: bytes) -> bytes:
    """A client's WebSocket text frame (RFC 6455, §5.2), masked with zeros, which leaves the payload as it is."""
    n = len(payload)
    head = bytes([0x81, 0x80 | n]) if n < 126 else struct.pack("!BBH", 0x81, 0xFE, n)
    return head + b"\0\0\0\0" + payload


class Stream(asyncio.Protocol):
    """One carrier socket.

    Args:
        index: its call's and stream's ids are made from it.
        port: where the gateway listens.
        path: its media route.
    """

    def __init__(self, index: int, port: int, path: str) -> None:
        self.stream_sid, self.call_sid = b"MZ%032x" % index, b"CA%032x" % index
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.closed, self._head = False, b""
        self._request = (
            b"GET %s HTTP/1.1\r\nHost: localhost:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
            b"User-Agent: load\r\n\r\n" % (path.encode(), port)
        )

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        if self.ready.done():
            return
        self._head += data
        if b"\r\n\r\n" in self._head:
            if b" 101 " in self._head[:20]:
                self.ready.set_result(None)
            else:
                self.ready.set_exception(ConnectionError(self._head[:200].decode(errors="replace")))

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        if not self.ready.done():
            self.ready.set_exception(ConnectionError("closed during the handshake"))

    def send(self, message: bytes) -> None:
        """Sends a JSON message, unless the gateway has closed the socket."""
        if not self.closed:
            self._transport.write(text_frame(message))

    def begin(self) -> None:
        """`connected` and `start`."""
        self.send(b'{"event":"connected","protocol":"Call","version":"1.0.0"}')
        self.send(
            b'{"event":"start","sequenceNumber":"1","start":{"accountSid":"AC%032x","streamSid":"%s","callSid":"%s",'
            b'"tracks":["inbound"],"mediaFormat":{"encoding":"audio/x-mulaw","sampleRate":8000,"channels":1},'
            b'"customParameters":{}},"streamSid":"%s"}' % (0, self.stream_sid, self.call_sid, self.stream_sid)
        )

    def end(self) -> None:
        """`stop`."""
        self.send(
            b'{"event":"stop","sequenceNumber":"999999","stop":{"accountSid":"AC%032x","callSid":"%s"},'
            b'"streamSid":"%s"}' % (0, self.call_sid, self.stream_sid)
        )


def media(number: int, now_ns: int) -> bytes:
    """The `number`th (from 1) media message, all but the stream's id and `END`."""
    payload = base64.b64encode(struct.pack("<Q", now_ns) + AUDIO)
    return (
        b'{"event":"media","sequenceNumber":"%d","media":{"track":"inbound","chunk":"%d","timestamp":"%d",'
        b'"payload":"%s"},"streamSid":"' % (number + 1, number, number * 20, payload)
    )


END = b'"}'


async def open_streams(port: int, calls: int, path: str) -> list[Stream]:
    """All streams, one after the other, each with its `start` sent.

    Raises:
        OSError: the gateway refuses one; the message begins with its answer.
    """
    loop = asyncio.get_running_loop()
    streams = []
    for i in range(calls):
        stream = Stream(i, port, path)
        await loop.create_connection(lambda stream=stream: stream, "127.0.0.1", port)  # type: ignore[misc]
        await stream.ready
        stream.begin()
        streams.append(stream)
        if i % AT_ONCE == AT_ONCE - 1:
            await asyncio.sleep(0.02)
    return streams


async def send_audio(streams: list[Stream], seconds: float) -> tuple[int, int]:
    """Sends frames in real time. Returns the number of ticks, and how many of them were late."""
    loop = asyncio.get_running_loop()
    groups = [streams[g::GROUPS] for g in range(GROUPS)]
    start, tick, late = loop.time(), 0, 0
    while loop.time() - start < seconds:
        wait = start + tick / 1000 - loop.time()
        if wait > 0:
            await asyncio.sleep(wait)
        late += wait < -LATE_SECONDS
        head = media(tick // GROUPS + 1, time.monotonic_ns())
        for stream in groups[tick % GROUPS]:
            stream.send(head + stream.stream_sid + END)
        tick += 1
    return tick, late


async def main(port: int, calls: int, seconds: float, path: str) -> None:
    """Opens, sends, ends; a second later, says how it went."""
    streams = await open_streams(port, calls, path)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    ticks, late = await send_audio(streams, seconds)
    dropped = sum(stream.closed for stream in streams)
    for stream in streams:
        stream.end()
    # The gateway closes sessions now; the last chunks are on their way to the sink.
    await asyncio.sleep(1)
    sys.stdout.write(json.dumps({"calls": calls, "late_ticks": late, "ticks": ticks, "dropped": dropped}) + "\n")


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), sys.argv[4]))
