"""The composition root: what is shared, the two sites, how it all starts and stops.

The media site is public, the admin site is not. Metrics and health must answer while streams end, so the admin site
stops last. Neither depends on Redis or AssemblyAI: a process whose neighbours are away is alive.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import structlog
from aiohttp import web
from prometheus_client.aiohttp import make_aiohttp_handler

from gateway import __version__
from gateway.admission import Admission, Everybody, TwilioSignature
from gateway.carrier import MediaRoute
from gateway.config import Settings
from gateway.errors import Outcome
from gateway.metrics import Metrics
from gateway.protocol.dialects import DIALECTS
from gateway.publisher import Outbox
from gateway.stream import Resources
from gateway.streams import Streams
from gateway.write import redis_client

USER_AGENT = f"Turngate/{__version__}"


@dataclass(slots=True)
class Gateway:
    """A running gateway: what its sites listen on, and what its parts are."""

    media_port: int
    admin_port: int
    streams: Streams
    outbox: Outbox
    metrics: Metrics
    draining: bool = False


def admission(settings: Settings) -> Admission:
    """Who may stream, by the settings."""
    if settings.twilio_auth_token and settings.public_url:
        return TwilioSignature([t.get_secret_value() for t in settings.twilio_auth_token], settings.public_url)
    return Everybody()


async def serve(settings: Settings, stop: asyncio.Event, started: Callable[[Gateway], object]) -> None:
    """Serves until `stop` is set, then ends politely: the streams, then the outbox.

    Args:
        settings: checked ones.
        stop: ends it.
        started: told once both sites listen.

    Raises:
        OSError: a port is taken.
    """
    loop = asyncio.get_running_loop()
    metrics = Metrics()
    outbox = Outbox(redis_client(settings.redis_url), metrics, settings.outbox_options(), loop.time)
    resources = Resources(
        connector=settings.endpoint(USER_AGENT),
        publish=outbox.publish,
        metrics=metrics,
        now=loop.time,
        options=settings.stream_options(),
    )
    streams = Streams(resources)
    gateway = Gateway(0, 0, streams, outbox, metrics)
    log = structlog.get_logger("gateway")
    try:
        async with _sites(settings, gateway), asyncio.TaskGroup() as group:
            own = [
                group.create_task(outbox.run(), name="outbox"),
                group.create_task(streams.run(), name="streams"),
            ]
            log.info("serving", media_port=gateway.media_port, admin_port=gateway.admin_port, version=__version__)
            started(gateway)
            await stop.wait()
            await _stop(gateway, settings)
            for task in own:
                task.cancel()
    finally:
        await outbox.close()
        log.info("stopped")


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[Gateway]:
    """A gateway that serves while the context lasts (`serve` in a task of its own)."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    ready: asyncio.Future[Gateway] = loop.create_future()
    task = loop.create_task(serve(settings, stop, ready.set_result), name="gateway")
    try:
        await asyncio.wait((task, ready), return_when=asyncio.FIRST_COMPLETED)
        if not ready.done():
            ready.cancel()
            await task
        yield ready.result()
    finally:
        stop.set()
        await asyncio.wait((task,))
    task.result()


async def _stop(gateway: Gateway, settings: Settings) -> None:
    gateway.draining = True
    await gateway.streams.end_all(Outcome.DRAINED, seconds=settings.drain_seconds)
    await gateway.outbox.flush(settings.flush_seconds)


@asynccontextmanager
async def _sites(settings: Settings, gateway: Gateway) -> AsyncIterator[None]:
    """Both sites; the admin site is the first to start and the last to stop."""
    async with _site(_admin(gateway), settings.admin_host, settings.admin_port) as gateway.admin_port:
        media = _media(gateway, admission(settings))
        async with _site(media, settings.media_host, settings.media_port) as gateway.media_port:
            yield


@asynccontextmanager
async def _site(app: web.Application, host: str, port: int) -> AsyncIterator[int]:
    # No access log: paths may come to hold tokens, and streams log themselves.
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        await site.start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


def _media(gateway: Gateway, who: Admission) -> web.Application:
    app = web.Application()
    for name, dialect in DIALECTS.items():
        route = MediaRoute(dialect, who, gateway.streams, gateway.metrics, _draining(gateway))
        # A slash at the end is a common slip in TwiML, and Twilio signs what stands there.
        app.router.add_get(f"/media/{name}", route.handle)
        app.router.add_get(f"/media/{name}/", route.handle)
    return app


def _draining(gateway: Gateway) -> Callable[[], bool]:
    return lambda: gateway.draining


def _admin(gateway: Gateway) -> web.Application:
    app = web.Application()

    async def livez(_: web.Request) -> web.Response:
        return web.Response(text="alive\n")

    async def readyz(_: web.Request) -> web.Response:
        if gateway.draining:
            return web.Response(status=503, text="draining\n")
        return web.Response(text="ready\n")

    metrics: Any = make_aiohttp_handler(gateway.metrics.registry)
    app.router.add_get("/livez", livez)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/metrics", metrics)
    return app
