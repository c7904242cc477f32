"""What is leaned on inside aiohttp and websockets: a contract that their next versions must keep too."""

import asyncio
import importlib.metadata
import socket
import struct
import tomllib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp._websocket.writer import WebSocketWriter
from packaging.requirements import Requirement
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import OPEN
from websockets.server import ServerProtocol
from websockets.uri import parse_uri

from gateway import wire
from gateway.wire import MAX_MESSAGE, CarrierSocket, Masks, binary_frame

PATIENCE = 10.0
MASK = b"\x01\x02\x03\x04"


class Fault(Exception):
    """Raised by a receiver that is told to."""


class Recorder:
    """A receiver that notes what it is told; `failing` names what raises."""

    def __init__(self, carrier: CarrierSocket, failing: str = "") -> None:
        self.carrier = carrier
        self.told: list[tuple[object, ...]] = []
        self.changed = asyncio.Event()
        self._failing = failing

    def _tell(self, what: str, *rest: object) -> None:
        self.told.append((what, *rest))
        self.changed.set()
        if what == self._failing:
            raise Fault(what)

    async def until(self, wanted: Callable[[], object]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not wanted():
                self.changed.clear()
                await self.changed.wait()

    def receive(self, message: bytes) -> None:
        self._tell("text", bytes(message))

    def receive_binary(self) -> None:
        self._tell("binary")

    def receive_violation(self, code: int) -> None:
        self._tell("violation", code)

    def alive(self) -> None:
        self._tell("alive")

    def disconnected(self) -> None:
        self._tell("disconnected")

    def fail(self, error: Exception) -> None:
        self.told.append(("fail", str(error)))
        self.carrier.send_close(1011, "an internal error")
        self.changed.set()


class Server:
    """A media site whose streams are recorders."""

    def __init__(self, failing: str) -> None:
        self.port = 0
        self.streams: list[Recorder] = []
        self._failing = failing

    async def handle(self, request: web.Request) -> web.StreamResponse:
        carrier = CarrierSocket(self._open)
        await carrier.prepare(request)
        gone = asyncio.Event()
        carrier.on_gone(gone.set)
        await gone.wait()
        return carrier

    def _open(self, carrier: CarrierSocket) -> Recorder:
        self.streams.append(Recorder(carrier, self._failing))
        return self.streams[-1]


@asynccontextmanager
async def serving(failing: str = "") -> AsyncIterator[Server]:
    server = Server(failing)
    app = web.Application()
    app.router.add_get("/", server.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server.port = runner.addresses[0][1]
    try:
        yield server
    finally:
        await runner.cleanup()


def frame(opcode: Opcode, payload: bytes = b"", *, fin: bool = True) -> bytes:
    return Frame(opcode, payload, fin).serialize(mask=True)


def text(payload: bytes) -> bytes:
    return frame(Opcode.TEXT, payload)


class Peer:
    """A carrier by hand: it writes bytes, and reads frames."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int) -> None:
        self.reader, self.writer = reader, writer
        self._ws = ClientProtocol(parse_uri(f"ws://127.0.0.1:{port}/"), max_size=None)
        self.frames: list[tuple[Opcode, bytes]] = []

    def upgrade(self, behind: bytes = b"") -> None:
        """Asks for the upgrade, with more bytes in the same segment."""
        self._ws.send_request(self._ws.connect())
        self.writer.write(b"".join(self._ws.data_to_send()) + behind)

    def write(self, data: bytes) -> None:
        self.writer.write(data)

    async def read(self, wanted: Callable[[], object]) -> None:
        """Reads until it is so, or the server ends the connection."""
        async with asyncio.timeout(PATIENCE):
            while not wanted() and (data := await self.reader.read(65_536)):
                self._ws.receive_data(data)
                for event in self._ws.events_received():
                    if isinstance(event, Frame):
                        self.frames.append((event.opcode, bytes(event.data)))
                    else:
                        assert isinstance(event, Response)

    async def upgraded(self) -> None:
        await self.read(lambda: self._ws.state is OPEN)

    async def frame(self) -> tuple[Opcode, bytes]:
        """The next frame."""
        await self.read(lambda: self.frames)
        return self.frames.pop(0)

    async def rest(self) -> list[tuple[Opcode, bytes]]:
        """All further frames, until the server ends the connection."""
        await self.read(lambda: False)
        return self.frames

    async def close_code(self) -> int | None:
        """The code of the server's close, which is its last frame and the only one."""
        closes = [payload for opcode, payload in await self.rest() if opcode is Opcode.CLOSE]
        assert len(closes) <= 1
        assert not closes or self.frames[-1][0] is Opcode.CLOSE
        return int.from_bytes(closes[0][:2], "big") if closes else None


@asynccontextmanager
async def calling(server: Server) -> AsyncIterator[Peer]:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        yield Peer(reader, writer, server.port)
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


@asynccontextmanager
async def call(failing: str = "") -> AsyncIterator[tuple[Peer, Recorder]]:
    """A connected carrier and the stream that it feeds."""
    async with serving(failing) as server, calling(server) as peer:
        peer.upgrade()
        await peer.upgraded()
        yield peer, server.streams[0]


# messages


async def test_messages_are_delivered_in_order_and_at_once() -> None:
    async with call() as (peer, stream):
        peer.write(text(b"one") + text(b"two") + frame(Opcode.BINARY, b"three") + text("vier ä".encode()))
        await stream.until(lambda: len(stream.told) == 4)
        assert stream.told == [("text", b"one"), ("text", b"two"), ("binary",), ("text", "vier ä".encode())]


async def test_what_came_with_the_upgrade_is_not_lost() -> None:
    async with serving() as server, calling(server) as peer:
        peer.upgrade(behind=text(b"connected") + text(b"start")[:3])
        await peer.upgraded()
        peer.write(text(b"start")[3:4])
        [stream] = server.streams
        await stream.until(lambda: stream.told)
        assert stream.told == [("text", b"connected")]


async def test_a_message_that_comes_byte_by_byte_arrives_whole() -> None:
    async with call() as (peer, stream):
        for byte in text(b"slowly"):
            peer.write(bytes([byte]))
            await peer.writer.drain()
            await asyncio.sleep(0)
        await stream.until(lambda: stream.told)
        assert stream.told == [("text", b"slowly")]


async def test_a_fragmented_message_arrives_whole_with_a_ping_in_between() -> None:
    async with call() as (peer, stream):
        peer.write(
            frame(Opcode.TEXT, b"one ", fin=False)
            + frame(Opcode.PING, b"?")
            + frame(Opcode.CONT, b"two ", fin=False)
            + frame(Opcode.CONT, b"three")
        )
        await stream.until(lambda: len(stream.told) == 2)
        assert stream.told == [("alive",), ("text", b"one two three")]
        assert await peer.frame() == (Opcode.PONG, b"?")


async def test_the_largest_message_is_taken() -> None:
    async with call() as (peer, stream):
        peer.write(text(b"x" * MAX_MESSAGE))
        await stream.until(lambda: stream.told)
        assert stream.told == [("text", b"x" * MAX_MESSAGE)]


# pings


async def test_pings_are_answered_while_audio_comes() -> None:
    async with call() as (peer, stream):
        for n in range(50):
            peer.write(text(b"media") * 20 + frame(Opcode.PING, b"%d" % n))
        for n in range(50):
            assert await peer.frame() == (Opcode.PONG, b"%d" % n)
        assert stream.told.count(("alive",)) == 50
        assert stream.told.count(("text", b"media")) == 1000


async def test_our_ping_goes_out_and_its_answer_is_life() -> None:
    async with call() as (peer, stream):
        stream.carrier.send_ping()
        assert await peer.frame() == (Opcode.PING, b"")
        peer.write(frame(Opcode.PONG))
        await stream.until(lambda: stream.told)
        assert stream.told == [("alive",)]


async def test_pings_of_a_peer_that_does_not_read_do_not_pile_up() -> None:
    async with call() as (peer, stream):
        writer = await flood_with_pings(peer, stream)
        seen = len(stream.told)
        peer.write(frame(Opcode.PING, b"x" * 125) * 1000)
        await stream.until(lambda: len(stream.told) >= seen + 1000)
        assert writer.transport.get_write_buffer_size() < wire._PONG_MARK + 127
        peer.write(frame(Opcode.CLOSE))
        assert (Opcode.CLOSE, struct.pack("!H", 1000)) in await peer.rest()


# faults of ours


@pytest.mark.parametrize(
    ("failing", "cause"),
    [("text", text(b"x")), ("binary", frame(Opcode.BINARY, b"x")), ("alive", frame(Opcode.PONG))],
    ids=["text", "binary", "pong"],
)
async def test_no_exception_escapes_and_the_stream_ends_with_1011(failing: str, cause: bytes) -> None:
    async with call(failing) as (peer, stream):
        peer.write(cause)
        await stream.until(lambda: ("fail", failing) in stream.told)
        # The connection lives on until the peer answers, and what it still sends does no harm.
        peer.write(cause + frame(Opcode.CLOSE, struct.pack("!H", 1011)))
        assert await peer.close_code() == 1011
        await stream.until(lambda: ("disconnected",) in stream.told)
        assert stream.told.count(("fail", failing)) == 2


async def test_no_exception_escapes_on_a_violation() -> None:
    async with call("violation") as (peer, stream):
        peer.write(b"\xf1\x80" + MASK)
        assert await peer.close_code() == 1011
        assert stream.told[:2] == [("violation", 1002), ("fail", "violation")]


@pytest.mark.parametrize("politely", [True, False])
async def test_no_exception_escapes_at_the_end_and_the_handler_returns(politely: bool) -> None:
    async with call("disconnected") as (peer, stream):
        if politely:
            peer.write(frame(Opcode.CLOSE))
        else:
            peer.writer.transport.abort()
        await stream.until(lambda: ("fail", "disconnected") in stream.told)
        assert stream.carrier.peer_closed
        with suppress(ConnectionError):
            await peer.rest()


# broken rules


@pytest.mark.parametrize(
    "broken",
    [
        b"\xf1\x80" + MASK,
        b"\x83\x80" + MASK,
        b"\x09\x80" + MASK,
        b"\x89\xfe\x00\x7e" + MASK,
        frame(Opcode.CONT, b"x"),
        frame(Opcode.TEXT, b"x", fin=False) + frame(Opcode.TEXT, b"y"),
        frame(Opcode.CLOSE, b"x"),
        frame(Opcode.CLOSE, struct.pack("!H", 1005)),
    ],
    ids=["reserved bits", "opcode", "fragmented ping", "long ping", "no start", "no end", "half a code", "no code"],
)
async def test_an_invalid_frame_is_answered_with_1002(broken: bytes) -> None:
    async with call() as (peer, stream):
        peer.write(text(b"good") + broken)
        assert await peer.close_code() == 1002
        assert stream.told[:2] == [("text", b"good"), ("violation", 1002)]


@pytest.mark.parametrize(
    "start",
    [
        b"\x81\xff" + (MAX_MESSAGE + 1).to_bytes(8, "big") + MASK,
        b"\x81\xff" + (2**63 - 1).to_bytes(8, "big") + MASK,
        frame(Opcode.TEXT, b"x" * 40_000, fin=False) + frame(Opcode.CONT, b"x" * 40_000),
    ],
    ids=["64 KiB", "as large as can be", "in fragments"],
)
async def test_too_big_a_message_is_answered_with_1009_though_more_of_it_comes(start: bytes) -> None:
    async with call() as (peer, stream):
        peer.write(start + b"x" * 500_000)
        assert await peer.close_code() == 1009
        assert stream.told[0] == ("violation", 1009)
        peer.write(b"x" * 500_000)
        peer.writer.close()
        await stream.until(lambda: stream.told[-1] == ("disconnected",))
        assert stream.told == [("violation", 1009), ("disconnected",)]


# the end


@pytest.mark.parametrize(
    ("code", "answer"),
    [(1000, 1000), (1001, 1001), (1012, 1012), (3000, 3000), (4999, 4999), (1006, 1002), (5000, 1002), (65_535, 1002)],
)
async def test_a_close_is_answered_with_its_own_code_where_that_may_be_sent(code: int, answer: int) -> None:
    async with call() as (peer, stream):
        peer.write(frame(Opcode.CLOSE, struct.pack("!H", code) + b"bye") + text(b"behind"))
        assert await peer.close_code() == answer
        assert stream.told == [("disconnected",)]


async def test_a_close_without_a_code_is_answered_with_1000() -> None:
    async with call() as (peer, _):
        peer.write(frame(Opcode.CLOSE))
        assert await peer.close_code() == 1000


@pytest.mark.parametrize("how", ["end", "reset"])
async def test_a_lost_connection_is_told_once(how: str) -> None:
    async with call() as (peer, stream):
        if how == "end":
            peer.writer.write_eof()
        else:
            raw = peer.writer.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            peer.writer.transport.abort()
        await stream.until(lambda: stream.told)
        with suppress(ConnectionError):
            assert await peer.rest() == []
        assert stream.told == [("disconnected",)]
        stream.carrier.send_ping()
        stream.carrier.send_close(1000)


async def test_nothing_is_written_behind_our_close() -> None:
    async with call() as (peer, stream):
        stream.carrier.send_close(1008, "no start came")
        stream.carrier.send_close(1011)
        stream.carrier.send_ping()
        peer.write(frame(Opcode.PING, b"?") + text(b"late") + frame(Opcode.CLOSE, struct.pack("!H", 1008)))
        assert await peer.rest() == [(Opcode.CLOSE, struct.pack("!H", 1008) + b"no start came")]
        assert stream.told == [("alive",), ("text", b"late"), ("disconnected",)]


async def test_a_long_reason_is_cut_to_what_a_close_can_hold() -> None:
    async with call() as (peer, stream):
        stream.carrier.send_close(1008, "x" + "é" * 200)
        peer.write(frame(Opcode.CLOSE))
        [(_, payload)] = await peer.rest()
        assert payload[2:].decode() == "x" + "é" * 59


async def test_late_listeners_hear_at_once_what_has_been() -> None:
    async with call() as (peer, stream):
        peer.write(frame(Opcode.CLOSE))
        await stream.until(lambda: stream.told)
        heard: list[str] = []
        stream.carrier.on_gone(lambda: heard.append("gone"))
        assert heard == ["gone"]


async def test_a_peer_that_does_not_answer_the_close_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "CLOSE_SECONDS", 0.01)
    async with call() as (peer, stream):
        stream.carrier.send_close(1008)
        assert await peer.close_code() == 1008
        await stream.until(lambda: stream.told == [("disconnected",)])


async def test_a_peer_that_closes_and_does_not_read_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "CLOSE_SECONDS", 0.01)
    async with call() as (peer, stream):
        writer = await flood_with_pings(peer, stream)
        lost = asyncio.Event()
        monkeypatch.setattr(stream.carrier, "lost", lost.set)
        peer.write(frame(Opcode.CLOSE))
        async with asyncio.timeout(PATIENCE):
            await lost.wait()
        assert writer.transport.is_closing()


async def flood_with_pings(peer: Peer, stream: Recorder) -> WebSocketWriter:
    """The peer pings and does not read, until answers wait."""
    flood = frame(Opcode.PING, b"x" * 125) * 200
    writer = stream.carrier._writer
    assert writer is not None
    # What the kernel holds for a connection does not matter here, and takes long to read.
    writer.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    while writer.transport.get_write_buffer_size() < wire._PONG_MARK:
        peer.write(flood)
        seen = len(stream.told)
        await stream.until(partial(more_than, stream.told, seen))
        assert len(stream.told) < 1_000_000, "or this shows nothing"
    return writer


def more_than(told: list[tuple[object, ...]], seen: int) -> bool:
    return len(told) > seen


async def test_what_is_no_upgrade_is_refused_and_no_stream_opened() -> None:
    async with serving() as server, calling(server) as peer:
        peer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await peer.reader.readline()).startswith(b"HTTP/1.1 400 ")
        assert server.streams == []


# frames that go upstream


def received(data: bytes) -> list[Frame]:
    """What websockets' own server makes of bytes behind an upgrade."""
    server = ServerProtocol(max_size=None)
    client = ClientProtocol(parse_uri("ws://127.0.0.1/"))
    client.send_request(client.connect())
    server.receive_data(b"".join(client.data_to_send()))
    [request] = server.events_received()
    assert isinstance(request, Request)
    server.send_response(server.accept(request))
    server.receive_data(data)
    events = server.events_received()
    assert server.parser_exc is None
    return [event for event in events if isinstance(event, Frame)]


@pytest.mark.parametrize("size", [0, 1, 2, 125, 126, 127, 400, 480, 8000, 65_534, 65_535])
def test_a_frame_is_what_websockets_own_server_reads(size: int) -> None:
    payload = bytes(n * 7 % 256 for n in range(size))
    one, two = received(binary_frame(payload) + binary_frame(payload))
    assert one == two == Frame(Opcode.BINARY, payload, fin=True)


def test_a_payload_that_no_chunk_has_is_refused() -> None:
    with pytest.raises(struct.error):
        binary_frame(b"x" * 65_536)


def test_no_mask_comes_twice_in_a_row() -> None:
    masks = Masks()
    keys = [masks.next() for _ in range(3000)]
    assert all(len(key) == 4 for key in keys)
    assert len(set(keys)) > 2990
    payload = b"the same"
    assert len({binary_frame(payload)[2:6] for _ in range(100)}) > 95


def test_the_masking_of_the_c_extension_is_that_of_python() -> None:
    from websockets.speedups import apply_mask as fast
    from websockets.utils import apply_mask as slow

    payload = bytes(range(256)) * 3
    assert all(fast(payload[:size], MASK) == slow(payload[:size], MASK) for size in range(20))
    assert fast(payload, MASK) == slow(payload, MASK)


# versions


def test_the_installed_versions_lie_within_the_bounds() -> None:
    project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())["project"]
    needed = {one.name: one for one in map(Requirement, project["dependencies"])}
    for name in ("aiohttp", "websockets"):
        assert needed[name].specifier.contains(importlib.metadata.version(name))
        assert any(bound.operator == "<" for bound in needed[name].specifier), "internals need an upper bound"


def test_the_compiled_parser_is_in_use() -> None:
    from aiohttp._websocket.reader import WebSocketReader

    assert WebSocketReader.__module__ == "aiohttp._websocket.reader_c", "the Python one is ten times slower"
