"""The WebSocket below a line: websockets' client connection, as a carrier has it.

The only module that knows websockets' connection class from the inside. It overrides two of its methods:
`process_event`, to count pings, and `send_data`, to go silent without closing. Its test holds both to their
work.
"""

import errno
import socket
import ssl
import struct
from collections.abc import Mapping
from typing import Any, cast

from websockets.asyncio.client import ClientConnection, connect
from websockets.client import ClientProtocol
from websockets.exceptions import InvalidHandshake, InvalidStatus, InvalidURI
from websockets.frames import Frame, Opcode
from websockets.protocol import Event, State

from gateway.sandbox.caller.report import Close, ClosedBy, Refusal, refusal_in_words

USER_AGENT = "turngate-call (as Twilio Media Streams)"


class CallNotPlacedError(Exception):
    """There is no stream. `refusal` says why."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


class CallRefusedError(CallNotPlacedError):
    """The server answered the upgrade with something other than 101."""


class CallUnreachableError(CallNotPlacedError):
    """The server could not be reached, or does not speak HTTP."""


class Wire(ClientConnection):
    """One connection.

    Attributes:
        pings: pings received.
    """

    def __init__(self, protocol: ClientProtocol, **limits: Any) -> None:
        super().__init__(protocol, **limits)
        self.pings = 0
        self._muted = False
        self._aborted = False

    def process_event(self, event: Event) -> None:
        """Counts pings; websockets answers them."""
        if isinstance(event, Frame) and event.opcode is Opcode.PING:
            self.pings += 1
        super().process_event(event)

    def send_data(self) -> None:
        """Writes what the protocol has to say, unless the line has gone silent."""
        if self._muted:
            self.protocol.data_to_send()
        else:
            super().send_data()

    def mute(self) -> None:
        """Sends nothing from now on, no pong and no close either. What comes in is still seen."""
        self._muted = True

    def reset(self) -> None:
        """Ends the connection with a TCP reset, if it is still up."""
        self._aborted = self._aborted or self.protocol.state is not State.CLOSED
        if not self.transport.is_closing():
            sock = self.transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    def abort(self) -> None:
        """Drops the connection without a closing frame, if it is still up."""
        self._aborted = self._aborted or self.protocol.state is not State.CLOSED
        self.transport.abort()

    def how_closed(self) -> Close:
        """Who ended the connection and with what; only once it is closed."""
        received = self.protocol.close_rcvd
        code, reason = (received.code, received.reason) if received else (None, "")
        if received and self.protocol.close_rcvd_then_sent:
            return Close(ClosedBy.SERVER, code, reason)
        ours = self._aborted or self.protocol.close_sent is not None
        return Close(ClosedBy.CALLER if ours else ClosedBy.SERVER, code, reason)

    def protocol_fault(self) -> str | None:
        """What the server did that no WebSocket server may do, if it did."""
        fault = self.protocol.parser_exc
        return None if fault is None or isinstance(fault, EOFError) else str(fault)


class _Connect(connect):
    def process_redirect(self, exc: Exception) -> Exception | str:
        """A carrier follows no redirect: it counts as a refusal."""
        return exc


async def open_wire(url: str, headers: Mapping[str, str], patience: float) -> Wire:
    """Connects as Twilio does: no compression, no pings of its own, no redirects, no proxy.

    Args:
        url: ws or wss.
        headers: for the upgrade request.
        patience: seconds for the whole handshake, and later for the server's half of a close.

    Raises:
        CallRefusedError, CallUnreachableError: there is no connection.
    """
    try:
        wire = await _Connect(
            url,
            compression=None,
            additional_headers=headers,
            user_agent_header=USER_AGENT,
            proxy=None,
            open_timeout=patience,
            close_timeout=patience,
            ping_interval=None,
            create_connection=Wire,
        )
    except InvalidStatus as error:
        raise CallRefusedError(_refusal(error)) from error
    except (InvalidURI, InvalidHandshake, OSError, ValueError) as error:
        # ValueError: a port or a host that none can be.
        raise CallUnreachableError(_unreachable(url, error)) from error
    return cast("Wire", wire)


def _refusal(error: InvalidStatus) -> Refusal:
    response = error.response
    said = bytes(response.body or b"")[:200].decode("utf-8", "replace").strip()
    words = f"{response.status_code} {response.reason_phrase}: {refusal_in_words(response.status_code)}"
    return Refusal(response.status_code, 31920, f"{words}. It said: {said!r}" if said else words)


def _unreachable(url: str, error: Exception) -> Refusal:
    if isinstance(error, InvalidURI | ValueError) and not isinstance(error, OSError):
        why = "it begins with ws:// or wss://" if isinstance(error, InvalidURI) else str(error)
        return Refusal(None, 31923, f"{url!r} is not a WebSocket URL; {why}")
    match error:
        case TimeoutError():
            return Refusal(None, 31901, f"no answer from {url} in time")
        case ssl.SSLError():
            advice = "a carrier trusts public certificate authorities only; for one of your own set SSL_CERT_FILE"
            return Refusal(None, 31910, f"TLS failed: {error}; {advice}")
        case ConnectionResetError() | ConnectionAbortedError() if url.startswith("wss:"):
            return Refusal(None, 31910, f"TLS failed: {url} hung up; does it speak TLS, or is it ws://?")
        case socket.gaierror():
            return Refusal(None, 31901, f"the host name of {url} is not known")
        case InvalidHandshake():
            return Refusal(None, 31920, f"{url} does not answer as a WebSocket server: {error}")
    if f"[Errno {errno.ECONNREFUSED}]" in str(error):
        words = f"nothing listens at {url}; start the server first (`turngate demo` or `turngate serve`)"
        return Refusal(None, 31902, words)
    return Refusal(None, 31901, f"{url} cannot be reached: {error}")
