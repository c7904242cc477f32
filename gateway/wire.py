"""The one place that leans on internals of aiohttp and websockets; everything else uses what they document.

Why: a frame of audio must go from the carrier's socket to the upstream socket in one call. aiohttp's documented way to
read is `await receive()`, which costs a future and a task switch a message, fifty a second and call; websockets'
documented way to send assembles a frame in Python and asks the kernel for a mask each time.

What is leaned on, and pinned by the version bounds in pyproject.toml and by the contract tests in tests/test_wire.py:

- aiohttp 3.14: `WebSocketResponse._post_start` makes a `WebSocketDataQueue`, and the parser hands each message to its
  `feed_data`, its errors to `set_exception` and the end of the connection to `feed_eof`; `WebSocketWriter` writes a
  frame without awaiting in `_write_websocket_frame`.
- websockets 17: `websockets.speedups.apply_mask`, with the documented framing of RFC 6455 around it.
"""

import asyncio
import os
from collections.abc import Callable
from struct import Struct
from typing import Any, Protocol

from aiohttp import WebSocketError, WSCloseCode, WSMsgType, web
from aiohttp._websocket.reader import WebSocketDataQueue, WebSocketReader
from aiohttp._websocket.writer import WebSocketWriter
from aiohttp.abc import AbstractStreamWriter
from aiohttp.web_request import BaseRequest

try:
    from websockets.speedups import apply_mask
except ImportError:  # No C compiler where it was installed: the same in Python, slower.
    from websockets.utils import apply_mask

MAX_MESSAGE = 64 * 1024
"""The largest message a carrier may send, in bytes. Twilio's are under 500."""

_REFUSED = MAX_MESSAGE + 1
"""aiohttp refuses a message of the size that it is given, and above."""

CLOSE_SECONDS = 5.0
"""How long a peer may take to close, and to read what was written, before the connection is dropped."""

_PONG_MARK = 16 * 1024
"""Bytes that wait to be written to a peer, from which on its pings are passed over."""


def _nothing() -> None:
    pass


class Receiver(Protocol):
    """What takes a carrier's messages, each as it arrives. None of these may raise; what does is `fail`'s."""

    def receive(self, message: bytes) -> None:
        """A text message."""

    def receive_binary(self) -> None:
        """A binary message."""

    def receive_violation(self, code: int) -> None:
        """The peer broke WebSocket's own rules; `code` is the close code that it deserves."""

    def alive(self) -> None:
        """The peer answered a ping."""

    def disconnected(self) -> None:
        """The peer closed, or the connection is gone."""

    def fail(self, error: Exception) -> None:
        """One of the above raised: a fault of ours."""


class _Deliver(WebSocketDataQueue):
    """Takes the place of aiohttp's queue: what the parser puts in is handed over at once, and nothing is held."""

    socket: "CarrierSocket"

    def feed_data(self, data: Any, size: int) -> None:
        # What leaves this method would make the parser give the connection up without a close: nothing may.
        socket = self.socket
        try:
            socket.deliver(data)
        except Exception as error:  # noqa: BLE001 - the boundary; the receiver reports it and ends its stream
            socket.receiver.fail(error)

    def set_exception(self, exc: BaseException, exc_cause: BaseException | None = None) -> None:
        code = exc.code if isinstance(exc, WebSocketError) else WSCloseCode.PROTOCOL_ERROR
        self.socket.violation(int(code))

    def feed_eof(self) -> None:
        self.socket.lost()


class CarrierSocket(web.WebSocketResponse):
    """The server's end of a carrier's WebSocket; its messages are delivered synchronously.

    Args:
        open_receiver: called with this socket once the upgrade is answered; gives what takes the messages.
    """

    def __init__(self, open_receiver: Callable[["CarrierSocket"], Receiver]) -> None:
        super().__init__(autoclose=False, autoping=False, compress=False, max_msg_size=_REFUSED, decode_text=False)
        self._open_receiver = open_receiver
        self.receiver: Receiver
        self.peer_closed = False
        self.close_sent = False
        self._violated = False
        self._on_gone: Callable[[], None] = _nothing
        self._drop: asyncio.TimerHandle | None = None

    def _post_start(self, request: BaseRequest, protocol: str | None, writer: WebSocketWriter) -> None:
        self._ws_protocol = protocol
        self._writer = writer
        loop = request._loop
        queue = _Deliver(request._protocol, 2**16, loop=loop)
        queue.socket = self
        self._reader = queue
        self._parser = WebSocketReader(queue, _REFUSED, compress=False, decode_text=False)
        self.receiver = self._open_receiver(self)
        request.protocol.set_parser(self._parser)
        request.protocol.keep_alive(False)

    async def prepare(self, request: BaseRequest) -> AbstractStreamWriter:
        """Answers the upgrade. Raises an HTTP error where it is none."""
        return await super().prepare(request)

    async def write_eof(self) -> None:  # type: ignore[override]
        """Nothing more is written when the handler returns: the close frame has been sent by `send_close`."""
        self._eof_sent = True

    def on_gone(self, callback: Callable[[], None]) -> None:
        """`callback` is called once the peer has closed or the connection is gone (at once, where it is already)."""
        self._on_gone = callback
        if self.peer_closed:
            callback()

    def deliver(self, message: Any) -> None:
        """Hands one parsed message to its taker."""
        if self.peer_closed:
            return
        kind = message[0]
        if kind is WSMsgType.TEXT:
            self.receiver.receive(message[1])
        elif kind is WSMsgType.BINARY:
            self.receiver.receive_binary()
        elif kind is WSMsgType.PING:
            # A peer that asks and does not read gets no more answers: they would pile up here.
            if self._waiting_to_be_written() < _PONG_MARK:
                self._write(message[1], WSMsgType.PONG)
            self.receiver.alive()
        elif kind is WSMsgType.PONG:
            self.receiver.alive()
        elif kind is WSMsgType.CLOSE:
            self.send_close(_answer_to_close(message[1]))
            self.gone()

    def violation(self, code: int) -> None:
        """The parser gave up on what the peer sent: it hears why, and nothing more of it is read."""
        if self.peer_closed or self._violated:
            return
        self._violated = True
        try:
            self.receiver.receive_violation(code)
        except Exception as error:  # noqa: BLE001 - the boundary, as in `feed_data`
            self.receiver.fail(error)
        self.send_close(code)
        # The peer may still be sending: a connection that is closed with data unread is reset, and the close frame is
        # lost with it. So only our half ends here; the rest follows with the peer's half, or in due time.
        writer = self._writer
        if writer is not None and not writer.transport.is_closing() and writer.transport.can_write_eof():
            writer.transport.write_eof()

    def gone(self) -> None:
        """No more will come from the peer."""
        if self.peer_closed:
            return
        self.peer_closed = True
        self._drop_in_time()
        try:
            self.receiver.disconnected()
        except Exception as error:  # noqa: BLE001 - the boundary, as in `feed_data`
            self.receiver.fail(error)
        self._on_gone()

    def lost(self) -> None:
        """There is no connection any more."""
        self.gone()
        if self._drop is not None:
            self._drop.cancel()
            self._drop = None

    def send_ping(self) -> None:
        """Sends a ping, unless the connection is closing."""
        self._write(b"", WSMsgType.PING)

    def send_close(self, code: int, reason: str = "") -> None:
        """Sends a close frame, once. `reason` is cut to what a close frame can hold."""
        if not self.close_sent:
            cut = reason.encode()[:120].decode(errors="ignore")
            self._write(code.to_bytes(2, "big") + cut.encode(), WSMsgType.CLOSE)
            self.close_sent = True
            self._drop_in_time()

    def _drop_in_time(self) -> None:
        """A peer that does not read would keep a connection that is closed politely for as long as it likes."""
        writer = self._writer
        if self._drop is None and writer is not None:
            self._drop = asyncio.get_running_loop().call_later(CLOSE_SECONDS, writer.transport.abort)

    def _waiting_to_be_written(self) -> int:
        return 0 if self._writer is None else self._writer.transport.get_write_buffer_size()

    def _write(self, payload: bytes, opcode: WSMsgType) -> None:
        writer = self._writer
        if writer is None or self.close_sent or writer.transport.is_closing():
            return
        writer._write_websocket_frame(payload, opcode, 0)


def _answer_to_close(code: int) -> int:
    """The code that answers the peer's: the same, unless it gave none (0) or one that may not be sent (RFC 6455)."""
    if code == 0:
        return WSCloseCode.OK
    return WSCloseCode.PROTOCOL_ERROR if code == WSCloseCode.ABNORMAL_CLOSURE or code >= 5000 else code


_SHORT = Struct("!BB").pack
_LONG = Struct("!BBH").pack
_MASKS_AT_ONCE = 1024


class Masks:
    """Masking keys for a client's frames, from the system's randomness, asked for many at a time.

    RFC 6455, section 10.3: a key must not be predictable from those before it.
    """

    __slots__ = ("_at", "_keys")

    def __init__(self) -> None:
        self._keys = b""
        self._at = 0

    def next(self) -> bytes:
        """A fresh key of four bytes."""
        at = self._at
        if at >= len(self._keys):
            self._keys = os.urandom(4 * _MASKS_AT_ONCE)
            at = 0
        self._at = at + 4
        return self._keys[at : at + 4]


_masks = Masks()


def binary_frame(payload: bytes) -> bytes:
    """A whole, masked binary frame of a client (RFC 6455, section 5.2) with up to 65535 bytes of payload."""
    mask = _masks.next()
    size = len(payload)
    head = _LONG(0x82, 0xFE, size) if size > 125 else _SHORT(0x82, 0x80 | size)
    return head + mask + apply_mask(payload, mask)
