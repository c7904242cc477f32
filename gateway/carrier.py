"""The carrier's way in: `GET /media/{dialect}`, the upgrade, and the stream behind it."""

import asyncio
from collections.abc import Callable

from aiohttp import web

from gateway.admission import Admission
from gateway.protocol.media_stream import Dialect
from gateway.refusals import Refusals
from gateway.streams import Streams
from gateway.wire import CarrierSocket


class MediaRoute:
    """Serves one dialect's media streams.

    Args:
        draining: whether new streams are refused.
    """

    def __init__(
        self, dialect: Dialect, admission: Admission, streams: Streams, refusals: Refusals, draining: Callable[[], bool]
    ) -> None:
        self._dialect = dialect
        self._admission = admission
        self._streams = streams
        self._refusals = refusals
        self._draining = draining

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answers an upgrade. A refused one costs nothing upstream and is told why, but nothing that helps a forger."""
        if self._draining():
            return self._refuse("draining", web.HTTPServiceUnavailable(text="draining: call another replica\n"))
        if not self._admission.allows(request.path, request.headers):
            return self._refuse("signature", web.HTTPForbidden(text="the signature does not fit\n"))
        if not request.headers.get("Sec-WebSocket-Key", "").isascii():
            # aiohttp would take it for a fault of its own.
            return self._no_upgrade()
        socket = CarrierSocket(lambda own: self._streams.open(self._dialect, own))
        try:
            await socket.prepare(request)
        except web.HTTPBadRequest:
            return self._no_upgrade()
        except ConnectionError:
            # The peer has gone meanwhile. Where a stream had begun, it has been told.
            return socket
        gone = asyncio.Event()
        socket.on_gone(gone.set)
        await gone.wait()
        return socket

    def _no_upgrade(self) -> web.Response:
        return self._refuse("upgrade", web.HTTPUpgradeRequired(text="a WebSocket upgrade is expected here\n"))

    def _refuse(self, reason: str, response: web.Response) -> web.Response:
        self._refusals.add(reason, response.status)
        # A copy: aiohttp deprecates returning its exceptions.
        headers = {"Upgrade": "websocket"} if response.status == web.HTTPUpgradeRequired.status_code else None
        return web.Response(status=response.status, text=response.text, headers=headers)
