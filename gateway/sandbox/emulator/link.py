"""One accepted socket: frames to its session, and its session's actions to the socket."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Protocol

from aiohttp import WSMessage, WSMsgType, web

from gateway.sandbox.emulator.agenda import Abort, Action, Close, Freeze, Send, StopReading
from gateway.sandbox.emulator.record import EmulatedSession

CLOSE_TIMEOUT = 5.0
"""Seconds to wait for the client's close frame before TCP is closed."""
_ABNORMAL = 1006
_NO_CODE = 1005
_ENDS = {WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR}


class SessionCore(Protocol):
    """A session, sans-I/O."""

    def receive_text(self, text: str, now: float) -> None:
        """A text frame came."""

    def receive_binary(self, frame: bytes, now: float) -> None:
        """A binary frame came."""

    def tick(self, now: float) -> list[Action]:
        """Let time pass; returns what is to be done now."""

    def due(self) -> float:
        """When `tick` has something to do next."""


class Link:
    """Drives a session over an aiohttp WebSocket made with `autoping` and `autoclose` off.

    Args:
        socket: the prepared WebSocket.
        transport: its TCP (or TLS) transport.
        session: the core.
        record: what is remembered of it.
        changed: called after every change that somebody may wait for.
    """

    def __init__(
        self,
        socket: web.WebSocketResponse,
        transport: asyncio.Transport,
        session: SessionCore,
        record: EmulatedSession,
        changed: Callable[[], None],
    ) -> None:
        self._socket = socket
        self._transport = transport
        self._session = session
        self._record = record
        self._changed = changed
        self._clock = asyncio.get_running_loop().time
        self._wake = asyncio.Event()
        self._armed = math.inf
        self._frozen = False
        self._may_read = asyncio.Event()
        self._may_read.set()
        self._tasks: tuple[asyncio.Task[None], ...] = ()

    async def run(self) -> None:
        """Serve the socket until it is closed by either side, or `stop` is called."""
        try:
            async with asyncio.TaskGroup() as tasks:
                performing = tasks.create_task(self._perform(), name=f"emulator-perform-{self._record.id}")
                reading = tasks.create_task(self._read(performing), name=f"emulator-read-{self._record.id}")
                self._tasks = (performing, reading)
        finally:
            self._close(_ABNORMAL)

    def stop(self) -> None:
        """Drop the connection and end `run`."""
        self._transport.abort()
        for task in self._tasks:
            task.cancel()
        self._close(_ABNORMAL)

    async def _read(self, performing: asyncio.Task[None]) -> None:
        while True:
            await self._may_read.wait()
            message = await self._socket.receive()
            if message.type in _ENDS:
                break
            await self._may_read.wait()
            if not self._frozen:
                await self._receive(message)
        if message.type is WSMsgType.CLOSE:
            await self._closed_by_client(message.data)
        if message.type is not WSMsgType.CLOSING:  # which means that `_perform` is closing the socket
            performing.cancel()

    async def _closed_by_client(self, code: int) -> None:
        if self._frozen:
            await asyncio.Event().wait()  # until TCP goes, which cancels the handler
        self._close(code or _NO_CODE)
        await self._socket.close(code=code or 1000)

    async def _receive(self, message: WSMessage) -> None:
        now = self._clock()
        match message.type:
            case WSMsgType.BINARY:
                self._session.receive_binary(bytes(message.data), now)
            case WSMsgType.TEXT:
                self._session.receive_text(message.data, now)
            case WSMsgType.PING:
                await self._pong(bytes(message.data))
        if self._session.due() < self._armed:
            self._wake.set()
        self._changed()

    async def _pong(self, data: bytes) -> None:
        try:
            await self._socket.pong(data)
        except ConnectionError:
            self._close(_ABNORMAL)

    async def _perform(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            for action in self._session.tick(self._clock()):
                if not await self._act(action):
                    return
            self._changed()
            self._armed = self._session.due()
            timer = None if math.isinf(self._armed) else loop.call_at(self._armed, self._wake.set)
            await self._wake.wait()
            self._wake.clear()
            if timer is not None:
                timer.cancel()

    async def _act(self, action: Action) -> bool:
        """Do one action; returns whether more can follow."""
        match action:
            case Send():
                try:
                    await self._socket.send_str(action.text)
                except ConnectionError:
                    return False
            case Close():
                self._close(action.code)
                await self._socket.close(code=action.code, message=action.reason.encode())
                return False
            case Abort():
                self._close(_ABNORMAL)
                self._transport.abort()
                return False
            case StopReading():
                self._stop_reading(action.seconds)
            case Freeze():
                self._frozen = True
        return True

    def _stop_reading(self, seconds: float) -> None:
        self._may_read.clear()
        self._transport.pause_reading()
        if seconds:
            asyncio.get_running_loop().call_later(seconds, self._read_again)

    def _read_again(self) -> None:
        if not self._transport.is_closing():
            self._transport.resume_reading()
        self._may_read.set()

    def _close(self, code: int) -> None:
        self._record.closed(code, self._clock())
        self._changed()
