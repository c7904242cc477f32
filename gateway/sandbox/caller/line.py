"""A connected carrier line: one socket, one message at a time, and what the server does meanwhile."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from websockets.exceptions import ConnectionClosed

from gateway.admission import twilio_signature
from gateway.sandbox.caller.inbox import Inbox
from gateway.sandbox.caller.messages import Messages
from gateway.sandbox.caller.plan import BYTES_PER_SECOND, Call, Track
from gateway.sandbox.caller.report import CallReport, Close, Received, Sent
from gateway.sandbox.caller.wire import Wire, open_wire


class LineClosedError(Exception):
    """The connection ended before the message could be sent. `close` says how."""

    def __init__(self, close: Close) -> None:
        super().__init__(str(close))
        self.close = close


class Line:
    """The carrier's end of a stream; made by `dial`.

    Every sending method raises `LineClosedError` once the line is gone.

    The line counts what it sends, checks what comes, and returns the server's marks when they are due. Its
    one task, the reader, lives as long as the connection and is joined by `drop`.
    """

    def __init__(self, call: Call, wire: Wire) -> None:
        self.call = call
        self._wire = wire
        self._messages = Messages(call)
        self._inbox = Inbox(call)
        self._sent = dict.fromkeys(call.tracks, Sent())
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        self._ended: float | None = None
        self._reader = asyncio.create_task(self._read(), name=f"caller-{call.stream_sid}")

    @property
    def now(self) -> float:
        """Seconds of call time since `start` was sent (before that: since the connection)."""
        return (self._loop.time() - self._began) * self.call.speed

    @property
    def received(self) -> Received:
        """What the server has sent so far."""
        self._inbox.pings = self._wire.pings
        return self._inbox.received

    async def until(self, due: float) -> float:
        """Waits until `due` (seconds of call time), at least one turn of the loop.

        Returns the lateness in real ms.
        """
        wait = (due - self.now) / self.call.speed
        await asyncio.sleep(max(wait, 0.0))
        return max((self.now - due) / self.call.speed * 1000, 0.0)

    async def connected(self) -> None:
        """Sends `connected`."""
        await self.send_text(self._messages.connected())

    async def start(self) -> None:
        """Sends `start`; call time counts from here."""
        self._began = self._loop.time()
        await self.send_text(self._messages.start())

    async def media(
        self,
        payload: bytes,
        *,
        track: Track | str = Track.INBOUND,
        timestamp_ms: int | None = None,
        copies: int = 1,
    ) -> None:
        """Sends audio as one message, `copies` times the same.

        The timestamp is that of the track's audio by default.
        """
        track = Track(track)
        before = self._sent.get(track, Sent())
        if timestamp_ms is None:
            timestamp_ms = before.audio_bytes * 1000 // BYTES_PER_SECOND
        message = self._messages.media(payload, track=track, timestamp_ms=timestamp_ms)
        for _ in range(copies):
            await self.send_text(message)
            before = Sent(before.frames + 1, before.audio_bytes + len(payload))
            self._sent[track] = before

    async def dtmf(self, digit: str) -> None:
        """Sends a pressed key."""
        await self.send_text(self._messages.dtmf(digit))

    async def mark(self, name: str) -> None:
        """Sends a mark, whether the server asked for it or not."""
        await self.send_text(self._messages.mark(name))

    async def stop(self) -> None:
        """Sends `stop`; the connection stays."""
        await self.send_text(self._messages.stop())

    async def send_text(self, text: str) -> None:
        """Sends any text as one text message."""
        await self._send(text)

    async def send_bytes(self, data: bytes) -> None:
        """Sends any bytes as one binary message."""
        await self._send(data)

    async def close(self, code: int = 1000, reason: str = "") -> Close:
        """Closes with the closing handshake and returns how the line ended, which it may have done before."""
        await self._wire.close(code, reason)
        return await self.closed()

    async def reset(self) -> Close:
        """Ends the connection with a TCP reset."""
        self._wire.reset()
        return await self.closed()

    async def vanish(self, seconds: float) -> Close:
        """Dies silently: sends nothing more, not even a pong.

        The connection is dropped after `seconds` (of the clock on the wall) if the server has not ended it.
        """
        self._wire.mute()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wire.wait_closed()
        self._wire.abort()
        return await self.closed()

    async def closed(self) -> Close:
        """Waits until the connection has ended, by whomever, and says how."""
        await asyncio.wait([self._reader])
        return self._wire.how_closed()

    async def drop(self) -> None:
        """Drops the connection if it is still up, and joins the reader."""
        self._wire.abort()
        await self._reader

    def report(self) -> CallReport:
        """What this line has seen up to now."""
        ended = self._ended
        return CallReport(
            url=self.call.url,
            call_sid=self.call.call_sid,
            stream_sid=self.call.stream_sid,
            sent={str(track): sent for track, sent in self._sent.items()},
            seconds=self.now if ended is None else ended,
            received=self.received,
            violations=self._inbox.violations,
            close=None if ended is None else self._wire.how_closed(),
        )

    async def _send(self, message: str | bytes) -> None:
        try:
            async with asyncio.timeout(self.call.patience):
                await self._wire.send(message)
        except ConnectionClosed:
            raise await self._gone() from None
        except TimeoutError:
            self._inbox.violated(31930, f"did not read for {self.call.patience:g} s; a carrier throws audio away then")
            self._wire.abort()
            raise await self._gone() from None

    async def _gone(self) -> LineClosedError:
        await self._wire.wait_closed()
        return LineClosedError(self._wire.how_closed())

    async def _read(self) -> None:
        """Takes what the server sends, and returns its marks, until the connection ends."""
        with suppress(ConnectionClosed, LineClosedError):
            while True:
                message = await self._next_message()
                if message is not None:
                    self._inbox.receive(message, self.now)
                for name in self._inbox.playout.pop_due(self.now):
                    await self.mark(name)
        await self._wire.wait_closed()
        self._ended = self.now
        if (fault := self._wire.protocol_fault()) is not None:
            self._inbox.violated(31924, f"broke the WebSocket protocol: {fault}")

    async def _next_message(self) -> str | bytes | None:
        """The server's next message; None if a mark is due before it comes."""
        due = self._inbox.playout.next_due()
        deadline = None if due is None else self._began + due / self.call.speed
        with suppress(TimeoutError):
            async with asyncio.timeout_at(deadline):
                return await self._wire.recv()
        return None


@asynccontextmanager
async def dial(call: Call) -> AsyncIterator[Line]:
    """Connects; the connection ends with the block: by the closing handshake, or at once if the block raised.

    Raises:
        CallRefusedError, CallUnreachableError: there is no stream.
    """
    headers = dict(call.headers)
    if call.auth_token is not None:
        headers["X-Twilio-Signature"] = twilio_signature(call.auth_token, call.signed_url or call.url)
    line = Line(call, await open_wire(call.url, headers, call.patience))
    try:
        yield line
        await line.close()
    finally:
        await line.drop()
