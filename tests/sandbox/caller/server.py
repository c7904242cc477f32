"""A media-stream server of the tests' own: it records what a carrier sends, and behaves as a test says."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response


@dataclass
class Stream:
    """What came on one connection, and how it ended."""

    headers: dict[str, str]
    messages: list[str | bytes] = field(default_factory=list)
    end: ConnectionClosed | None = None

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(message) for message in self.messages if isinstance(message, str)]

    def of(self, event: str) -> list[dict[str, Any]]:
        return [message for message in self.events if message["event"] == event]


@dataclass
class Server:
    """`streams` is complete once the server's block has ended."""

    url: str
    streams: list[Stream] = field(default_factory=list)

    @property
    def stream(self) -> Stream:
        (stream,) = self.streams
        return stream


Behaviour = Callable[[ServerConnection, Stream], Awaitable[None]]


async def record(connection: ServerConnection, stream: Stream) -> None:
    """Takes messages until the connection ends."""
    try:
        while True:
            stream.messages.append(await connection.recv())
    except ConnectionClosed as end:
        stream.end = end


@asynccontextmanager
async def a_server(
    behave: Behaviour = record,
    *,
    status: HTTPStatus | None = None,
    headers: tuple[tuple[str, str], ...] = (),
    close_timeout: float = 10.0,
    max_queue: int = 16,
) -> AsyncIterator[Server]:
    """A server on loopback; with `status` it refuses every upgrade with that, and with `headers`."""
    found = Server("")

    async def handle(connection: ServerConnection) -> None:
        assert connection.request is not None
        stream = Stream({name.lower(): value for name, value in connection.request.headers.raw_items()})
        found.streams.append(stream)
        await behave(connection, stream)

    def refuse(connection: ServerConnection, request: Request) -> Response | None:
        if status is None:
            return None
        response = connection.respond(status, "no thank you\n")
        response.headers.update(headers)
        return response

    limits: dict[str, Any] = {"close_timeout": close_timeout, "max_queue": max_queue, "ping_interval": None}
    async with serve(handle, "127.0.0.1", 0, process_request=refuse, **limits) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        found.url = f"ws://127.0.0.1:{port}/media/twilio"
        yield found
