"""A plain client of the emulator for tests."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from aiohttp import WSMsgType

from gateway.sandbox.emulator import Emulator

QUERY = {"encoding": "pcm_mulaw", "sample_rate": "8000", "speech_model": "universal-3-5-pro"}
SILENCE = b"\xff" * 800


class Client:
    """One socket to the emulator."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.close_reason = ""

    async def message(self) -> dict[str, Any] | None:
        """The next message; None when the socket is closed."""
        received = await self.socket.receive()
        if received.type is WSMsgType.TEXT:
            return dict(json.loads(received.data))
        if received.type is WSMsgType.CLOSE:
            self.close_reason = received.extra or ""
            await self.socket.close()
        return None

    async def rest(self) -> list[dict[str, Any]]:
        """Every message up to the close."""
        messages = []
        while (message := await self.message()) is not None:
            messages.append(message)
        return messages

    async def audio(self, ms: int) -> None:
        """Send silence."""
        for _ in range(ms // 100):
            await self.socket.send_bytes(SILENCE)

    async def say(self, kind: str, **fields: object) -> None:
        """Send a message."""
        await self.socket.send_json({"type": kind, **fields})

    @property
    def close_code(self) -> int | None:
        """How it was closed."""
        return self.socket.close_code


@asynccontextmanager
async def connect(
    emulator: Emulator,
    path: str = "/v3/ws",
    *,
    key: str | None = "a-key",
    headers: dict[str, str] | None = None,
    begin: bool = False,
    **query: str,
) -> AsyncIterator[Client]:
    """Open a session; with `begin`, its Begin is read."""
    headers = headers or {}
    if key is not None:
        headers["Authorization"] = key
    async with (
        aiohttp.ClientSession() as http,
        http.ws_connect(
            emulator.url + path, headers=headers, params=QUERY | query, autoclose=False, max_msg_size=0
        ) as socket,
    ):
        client = Client(socket)
        if begin:
            message = await client.message()
            assert message is not None
            assert message["type"] == "Begin"
        yield client


async def get(emulator: Emulator, path: str, **arguments: Any) -> tuple[int, Any]:
    """An HTTP request to the emulator: status and JSON (or bytes)."""
    method = arguments.pop("method", "GET")
    url = emulator.url.replace("ws", "http", 1) + path
    async with aiohttp.ClientSession() as http, http.request(method, url, **arguments) as answer:
        if answer.content_type == "application/json":
            return answer.status, await answer.json()
        return answer.status, await answer.read()
