"""gateway.sandbox.caller.wire: connections end in every way that a carrier's can, and refusals have words."""

import asyncio
import errno
import socket
import ssl
from contextlib import suppress
from http import HTTPStatus

import pytest
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosedError

from gateway.sandbox.caller import CallRefusedError, CallUnreachableError, Close, ClosedBy
from gateway.sandbox.caller.wire import _unreachable, open_wire
from tests.sandbox.caller.server import Stream, a_server, record


async def test_the_upgrade_asks_for_no_compression_and_carries_our_headers() -> None:
    async with a_server() as server:
        wire = await open_wire(server.url, {"X-Twilio-Signature": "abc"}, 10)
        await wire.close()
    headers = server.stream.headers
    assert headers["x-twilio-signature"] == "abc"
    assert "sec-websocket-extensions" not in headers
    assert "twilio" in headers["user-agent"].lower()


async def test_pings_are_answered_and_counted() -> None:
    async def ping_twice(connection: ServerConnection, stream: Stream) -> None:
        for _ in range(2):
            await (await connection.ping())
        await connection.close()

    async with a_server(ping_twice) as server:
        wire = await open_wire(server.url, {}, 10)
        await wire.wait_closed()
    assert wire.pings == 2


async def test_a_muted_wire_answers_nothing_but_still_sees_the_close() -> None:
    got_close: list[object] = []

    async def give_up(connection: ServerConnection, stream: Stream) -> None:
        await connection.recv()
        await connection.ping()
        await connection.close(1001, "timeout")
        got_close.append(connection.protocol.close_rcvd)

    async with a_server(give_up, close_timeout=0.05) as server:
        wire = await open_wire(server.url, {}, 10)
        await wire.send("go")
        wire.mute()
        await wire.wait_closed()
    assert got_close == [None]
    assert wire.how_closed() == Close(ClosedBy.SERVER, 1001, "timeout")


async def test_a_reset_is_a_reset() -> None:
    async with a_server() as server:
        wire = await open_wire(server.url, {}, 10)
        await wire.send("hello")
        wire.reset()
        await wire.wait_closed()
        wire.reset()  # once more changes nothing
    assert isinstance(server.stream.end, ConnectionClosedError)
    assert isinstance(server.stream.end.__cause__, ConnectionResetError)
    assert wire.how_closed() == Close(ClosedBy.CALLER)


async def test_a_server_that_drops_the_connection_has_closed_it() -> None:
    async def drop(connection: ServerConnection, stream: Stream) -> None:
        connection.transport.abort()

    async with a_server(drop) as server:
        wire = await open_wire(server.url, {}, 10)
        await wire.wait_closed()
        wire.abort()
    assert wire.how_closed() == Close(ClosedBy.SERVER)


async def test_what_is_no_websocket_frame_is_the_servers_fault() -> None:
    async def babble(connection: ServerConnection, stream: Stream) -> None:
        connection.transport.write(b"\xff\xff\xff\xff")
        await record(connection, stream)

    async with a_server(babble) as server:
        wire = await open_wire(server.url, {}, 10)
        await wire.wait_closed()
    assert wire.protocol_fault() is not None


@pytest.mark.parametrize("status", [HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND, HTTPStatus.SERVICE_UNAVAILABLE])
async def test_a_refusal_has_its_status_and_what_the_server_said(status: HTTPStatus) -> None:
    async with a_server(status=status) as server:
        with pytest.raises(CallRefusedError, match="no thank you") as caught:
            await open_wire(server.url, {}, 10)
    assert caught.value.refusal.status == status
    assert caught.value.refusal.twilio_error == 31920


async def test_a_redirect_is_a_refusal() -> None:
    async with a_server(status=HTTPStatus.FOUND, headers=(("Location", "/elsewhere"),)) as server:
        with pytest.raises(CallRefusedError, match="redirects"):
            await open_wire(server.url, {}, 10)


async def test_a_port_where_nothing_listens_says_what_to_start(closed_port: int) -> None:
    with pytest.raises(CallUnreachableError, match="turngate serve") as caught:
        await open_wire(f"ws://127.0.0.1:{closed_port}/", {}, 10)
    assert caught.value.refusal.twilio_error == 31902


@pytest.mark.parametrize("url", ["http://127.0.0.1/", "nonsense", "ws://"])
async def test_what_is_no_websocket_url_is_told(url: str) -> None:
    with pytest.raises(CallUnreachableError, match="ws://") as caught:
        await open_wire(url, {}, 10)
    assert caught.value.refusal.twilio_error == 31923


@pytest.mark.parametrize(("greeting", "error", "patience"), [(b"220 mail\r\n\r\n", 31920, 10.0), (b"", 31901, 0.05)])
async def test_a_server_of_another_kind_and_a_silent_one_are_told_apart(
    greeting: bytes, error: int, patience: float
) -> None:
    over = asyncio.Event()

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(greeting)
        with suppress(ConnectionError):
            await reader.read()
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
        over.set()

    async with await asyncio.start_server(greet, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(CallUnreachableError) as caught:
            await open_wire(f"ws://127.0.0.1:{port}/", {}, patience)
        await over.wait()
    assert caught.value.refusal.twilio_error == error


async def test_a_server_without_tls_fails_as_twilio_says() -> None:
    async with a_server() as server:
        with pytest.raises(CallUnreachableError, match="TLS") as caught:
            await open_wire(server.url.replace("ws://", "wss://"), {}, 10)
    assert caught.value.refusal.twilio_error == 31910


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (ssl.SSLCertVerificationError("self-signed certificate"), 31910, "SSL_CERT_FILE"),
        (socket.gaierror(-2, "Name or service not known"), 31901, "host name"),
        (OSError(113, "No route to host"), 31901, "No route to host"),
        (OSError(f"Multiple exceptions: [Errno {errno.ECONNREFUSED}] one"), 31902, "nothing listens"),
    ],
)
def test_every_failure_to_connect_has_its_words(error: OSError, code: int, words: str) -> None:
    refusal = _unreachable("wss://voice.example.com/media/twilio", error)
    assert refusal.twilio_error == code
    assert words in refusal.message
