"""The AssemblyAI socket: one WebSocket a session, over websockets' sans-I/O client.

Audio is written synchronously; nothing here waits but `connect`. A dead peer must not swallow minutes, so the kernel's
send buffer is small and the socket says it can't be written to once a second of audio waits in ours: from then on audio
stays in the backlog, where overflow is counted.
"""

import asyncio
import ipaddress
import socket as sockets
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, cast

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidHandshake
from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Response
from websockets.protocol import OPEN
from websockets.uri import WebSocketURI, parse_uri

from gateway.wire import binary_frame

WRITE_MARK = 8000
"""Bytes that may wait to be written: a second of mu-law. Half of it lets writing go on."""

SEND_BUFFER = 16 * 1024
"""SO_SNDBUF; the kernel doubles it. It bounds how much a dead peer swallows before the write mark is reached."""

CLOSE_SECONDS = 5.0
"""How long the service may take to answer our close before the connection is dropped."""

MAX_MESSAGE = 2**20
"""The largest message taken from the service, in bytes; a Turn is under 20 KiB."""


_DATA = (Opcode.TEXT, Opcode.BINARY, Opcode.CONT)


class Listener(Protocol):
    """What hears of one socket. Called synchronously: `connected` once, then what comes, `disconnected` once and last.

    Only `writable` may come before `connected`. Where `connect` raises before `connected`, nothing else is called.
    """

    def connected(self, socket: "Socket") -> None:
        """The upgrade was answered with 101. The first message may follow in the same breath."""

    def message(self, data: bytes) -> None:
        """A text message."""

    def pong(self, payload: bytes) -> None:
        """A pong, with what it holds: an answer bears the payload of its ping, and the peer may send others."""

    def writable(self, *, yes: bool) -> None:
        """Whether audio may be written now."""

    def disconnected(self, code: int | None, reason: str) -> None:
        """The connection is over, with the peer's close code and reason, or None where it broke without a close."""


class Socket(Protocol):
    """What a session needs of its connection; tests have one in memory."""

    def send_audio(self, chunk: bytes) -> None:
        """Writes one chunk as a binary message."""

    def send_text(self, message: bytes) -> None:
        """Writes one text message."""

    def ping(self, payload: bytes) -> None:
        """Sends a ping with up to 125 bytes of payload."""

    def close(self) -> None:
        """Closes politely; the connection is dropped where the peer does not answer in `CLOSE_SECONDS`."""

    def abort(self) -> None:
        """Drops the connection at once."""


class Refused(Exception):
    """The upgrade was answered with something other than 101."""

    def __init__(self, status: int) -> None:
        super().__init__(f"HTTP {status}")
        self.status = status


class Connector(Protocol):
    """How a session gets its socket."""

    async def connect(self, listener: Listener) -> None:
        """Opens a connection; the listener has been told `connected` when this returns.

        Raises:
            Refused: the service answered the upgrade with an HTTP error.
            OSError: it could not be reached (TLS failures are OSErrors too).
        """


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where sessions are opened, and as whom. Its `repr` shows no credential."""

    url: str
    headers: Mapping[str, str]
    tls: ssl.SSLContext | None = None

    def __repr__(self) -> str:
        return f"Endpoint({self.url.partition('?')[0]!r})"

    async def connect(self, listener: Listener) -> None:
        """See `Connector.connect`."""
        uri = parse_uri(self.url)
        connection = Connection(uri, self.headers, listener, asyncio.get_running_loop().create_future())
        if uri.secure:
            await _connect_tls(uri, connection, self.tls or ssl.create_default_context())
        else:
            await asyncio.get_running_loop().create_connection(lambda: connection, uri.host, uri.port)
        try:
            await connection.opened
        except BaseException:
            connection.abort()
            raise


async def _connect_tls(uri: WebSocketURI, connection: "Connection", tls: ssl.SSLContext) -> None:
    """TLS in two steps: only so can the buffer below it be kept small. It would hold eight seconds of audio more."""
    loop = asyncio.get_running_loop()
    below, _ = await loop.create_connection(asyncio.Protocol, uri.host, uri.port)
    below.set_write_buffer_limits(high=0)
    # A peer that is overloaded may have closed already, before the handshake or right after it.
    if below.is_closing():
        raise ConnectionResetError("closed before the TLS handshake")
    transport = await loop.start_tls(below, connection, tls, server_hostname=uri.host)
    assert transport is not None, "it is None on another kind of transport only"
    if transport.is_closing():
        raise ConnectionResetError("closed after the TLS handshake")
    connection.connection_made(transport)


class Connection(asyncio.Protocol):
    """One connection. `opened` is done once the upgrade is answered with 101, or holds why it was not."""

    def __init__(
        self, uri: WebSocketURI, headers: Mapping[str, str], listener: Listener, opened: asyncio.Future[None]
    ) -> None:
        self._ws = ClientProtocol(uri, max_size=MAX_MESSAGE)
        self._headers = headers
        self._listener: Listener | None = listener
        self._fragments: list[bytes] = []
        self._fragmented: Opcode | None = None
        self._transport: asyncio.Transport
        self._asked = False
        self._connected = False
        self._closing: asyncio.TimerHandle | None = None
        self.opened = opened

    # asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Asks for the upgrade."""
        # Not an isinstance: uvloop's transports are asyncio's by their methods only.
        self._transport = transport = cast("asyncio.Transport", transport)
        transport.set_write_buffer_limits(high=WRITE_MARK, low=WRITE_MARK // 2)
        raw = transport.get_extra_info("socket")
        raw.setsockopt(sockets.SOL_SOCKET, sockets.SO_SNDBUF, SEND_BUFFER)
        request = self._ws.connect()
        request.headers.update(self._headers)
        self._ws.send_request(request)
        self._asked = True
        self._flush()

    def data_received(self, data: bytes) -> None:
        """Takes in what arrived."""
        if not self._asked:
            # With the end of its TLS handshake, before it knows what we want: that is no WebSocket server.
            self._fail(ConnectionError("no WebSocket: it spoke before it was asked"))
            return
        self._ws.receive_data(data)
        # A ping is answered and a close is echoed by the protocol itself.
        self._flush()
        self._take_events()
        if self._ws.state is not OPEN:
            self._closing_or_refused()

    def eof_received(self) -> None:
        """The peer sends no more; the transport closes itself."""
        self._ws.receive_eof()
        # The body of a refusal may end with the connection.
        self._take_events()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is over."""
        self._ws.receive_eof()
        if self._closing is not None:
            self._closing.cancel()
        self._fail(exc if isinstance(exc, OSError) else ConnectionResetError("closed during the handshake"))
        listener, self._listener = self._listener, None
        if listener is not None and self._connected:
            received = self._ws.close_rcvd
            listener.disconnected(received.code if received else None, received.reason if received else "")

    def pause_writing(self) -> None:
        """A second of audio is waiting."""
        if self._listener is not None:
            self._listener.writable(yes=False)

    def resume_writing(self) -> None:
        """It has drained."""
        if self._listener is not None:
            self._listener.writable(yes=True)

    # the session's side

    def send_audio(self, chunk: bytes) -> None:
        """See `Socket`. Nothing is written to a closing connection."""
        if self._ws.state is OPEN and not self._transport.is_closing():
            self._transport.write(binary_frame(chunk))

    def send_text(self, message: bytes) -> None:
        """See `Socket`."""
        if self._ws.state is OPEN:
            self._ws.send_text(message)
            self._flush()

    def ping(self, payload: bytes) -> None:
        """See `Socket`."""
        if self._ws.state is OPEN:
            self._ws.send_ping(payload)
            self._flush()

    def close(self) -> None:
        """See `Socket`."""
        if self._ws.state is OPEN:
            self._ws.send_close(CloseCode.NORMAL_CLOSURE)
            self._flush()
            self._closing = asyncio.get_running_loop().call_later(CLOSE_SECONDS, self._transport.abort)

    def abort(self) -> None:
        """See `Socket`."""
        self._transport.abort()

    # between the two

    def _flush(self) -> None:
        for data in self._ws.data_to_send():
            if data and not self._transport.is_closing():
                self._transport.write(data)

    def _take_events(self) -> None:
        for event in self._ws.events_received():
            if isinstance(event, Response):
                self._answered(event)
            elif isinstance(event, Frame):
                self._frame(event)

    def _closing_or_refused(self) -> None:
        ws = self._ws
        if ws.handshake_exc is not None:
            # What was answered is no HTTP.
            self._fail(ConnectionError(f"no WebSocket: {ws.handshake_exc}"))
        # After a close of our own, the peer's is waited for.
        if ws.handshake_exc is not None or ws.close_rcvd is not None or ws.parser_exc is not None:
            self._transport.close()

    def _fail(self, error: Exception) -> None:
        if not self.opened.done():
            self.opened.set_exception(error)
            # Nobody may be waiting for it any more: then it is not to be reported as forgotten.
            self.opened.exception()

    def _answered(self, response: Response) -> None:
        if self.opened.done() or self._listener is None:
            return
        error = self._ws.handshake_exc
        if error is None:
            self._connected = True
            self._listener.connected(self)
            self.opened.set_result(None)
        elif isinstance(error, InvalidHandshake) and response.status_code != 101:
            self._fail(Refused(response.status_code))
        else:
            self._fail(ConnectionError(f"no WebSocket: {error}"))

    def _frame(self, frame: Frame) -> None:
        listener = self._listener
        if listener is None:
            return
        if frame.opcode is Opcode.PONG:
            listener.pong(bytes(frame.data))
        elif frame.opcode in _DATA:
            if frame.opcode is not Opcode.CONT:
                self._fragmented = frame.opcode
            self._fragments.append(bytes(frame.data))
            if frame.fin:
                message = b"".join(self._fragments)
                self._fragments.clear()
                # The service sends no binary messages.
                if self._fragmented is Opcode.TEXT:
                    listener.message(message)


def is_loopback(host: str) -> bool:
    """Whether `host` is this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
