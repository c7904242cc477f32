"""The composition root: what is shared, the two sites, how it all starts and stops.

The media site is public, the admin site is not. Metrics and health must answer while streams end, so the admin site
stops last. Neither depends on Redis or AssemblyAI: a process whose neighbours are away is alive.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
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
from gateway.redis_write import redis_client
from gateway.refusals import HttpLog, Refusals
from gateway.stream import Resources
from gateway.streams import Streams

USER_AGENT = f"Turngate/{__version__}"

HURRIED_SECONDS = 1.0
"""What the outbox has once the end is insisted on."""


@dataclass(frozen=True, slots=True)
class Gateway:
    """A running gateway: what its sites listen on, and what its parts are."""

    media_port: int
    admin_port: int
    streams: Streams
    outbox: Outbox
    metrics: Metrics
    draining: asyncio.Event


def who_may_stream(settings: Settings) -> Admission:
    """The rule of admission that the settings make."""
    if settings.twilio_auth_token and settings.public_url:
        return TwilioSignature([t.get_secret_value() for t in settings.twilio_auth_token], settings.public_url)
    return Everybody()


async def serve(
    settings: Settings,
    stop: asyncio.Event,
    started: Callable[[Gateway], object],
    hurry: asyncio.Event | None = None,
) -> None:
    """Serves until `stop` is set, then ends politely: the streams, then the outbox.

    It ends in the same way where one of its parts fails, and raises that part's error then.

    Args:
        settings: checked ones.
        stop: ends it. A part that fails sets it, too.
        started: told once both sites listen.
        hurry: once it is set, the end is not polite any more: streams are abandoned, and the outbox has
            `HURRIED_SECONDS`.

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
    draining = asyncio.Event()
    log = structlog.get_logger("gateway")
    try:
        async with _sites(settings, streams, metrics, draining) as (media_port, admin_port):
            gateway = Gateway(media_port, admin_port, streams, outbox, metrics, draining)
            log.info("serving", media_port=media_port, admin_port=admin_port, version=__version__)
            await _run(gateway, settings, stop, started, hurry or asyncio.Event())
    finally:
        await outbox.close()
        log.info("stopped")


async def _run(
    gateway: Gateway,
    settings: Settings,
    stop: asyncio.Event,
    started: Callable[[Gateway], object],
    hurry: asyncio.Event,
) -> None:
    """The life between the opening of the sites and their closing."""
    failures: list[Exception] = []

    async def part(name: str, life: Callable[[], Coroutine[Any, Any, None]]) -> None:
        try:
            await life()
        except Exception as error:  # noqa: BLE001 - the others live on: streams are to end politely whatever failed
            structlog.get_logger("gateway").error("a part failed; the gateway ends", part=name, exc_info=error)
            failures.append(error)
            stop.set()

    lives = {"outbox": gateway.outbox.run, "histories": gateway.outbox.renew, "streams": gateway.streams.run}
    async with asyncio.TaskGroup() as group:
        own = [group.create_task(part(name, life), name=name) for name, life in lives.items()]
        try:
            started(gateway)
            await stop.wait()
        finally:
            await _stop(gateway, settings, hurry)
            for task in own:
                task.cancel()
    if failures:
        raise failures[0]


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


async def _stop(gateway: Gateway, settings: Settings, hurry: asyncio.Event) -> None:
    gateway.draining.set()
    streams, outbox = gateway.streams, gateway.outbox
    try:
        if not await _unless(hurry, streams.end_all(Outcome.DRAINED, seconds=settings.drain_seconds)):
            await streams.end_all(Outcome.DRAINED, seconds=0)
    finally:
        if not await _unless(hurry, outbox.flush(settings.flush_seconds)):
            await outbox.flush(min(HURRIED_SECONDS, settings.flush_seconds))


async def _unless(hurry: asyncio.Event, work: Coroutine[Any, Any, object]) -> bool:
    """Does the work until `hurry` is set. Returns whether it was done."""
    async with asyncio.TaskGroup() as group:
        tasks = group.create_task(work), group.create_task(hurry.wait())
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
    return not tasks[0].cancelled()


@asynccontextmanager
async def _sites(
    settings: Settings, streams: Streams, metrics: Metrics, draining: asyncio.Event
) -> AsyncIterator[tuple[int, int]]:
    """Both sites; gives the ports of media and admin. The admin site is the first to start and the last to stop."""
    refusals = Refusals(metrics)
    log = HttpLog(refusals)
    async with _site(_admin(metrics, draining), settings.admin_host, settings.admin_port, log) as admin_port:
        media = _media(who_may_stream(settings), streams, refusals, draining)
        async with _site(media, settings.media_host, settings.media_port, log) as media_port:
            yield media_port, admin_port


@asynccontextmanager
async def _site(app: web.Application, host: str, port: int, log: HttpLog) -> AsyncIterator[int]:
    # No access log: paths may come to hold tokens, and streams log themselves.
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0, logger=log)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        await site.start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


def _media(who: Admission, streams: Streams, refusals: Refusals, draining: asyncio.Event) -> web.Application:
    app = web.Application()
    for name, dialect in DIALECTS.items():
        route = MediaRoute(dialect, who, streams, refusals, draining.is_set)
        # A slash at the end is a common slip in TwiML, and Twilio signs what stands there.
        app.router.add_get(f"/media/{name}", route.handle)
        app.router.add_get(f"/media/{name}/", route.handle)
    return app


def _admin(metrics: Metrics, draining: asyncio.Event) -> web.Application:
    app = web.Application()

    async def livez(_: web.Request) -> web.Response:
        return web.Response(text="alive\n")

    async def readyz(_: web.Request) -> web.Response:
        if draining.is_set():
            return web.Response(status=503, text="draining\n")
        return web.Response(text="ready\n")

    exposition: Any = make_aiohttp_handler(metrics.registry)
    app.router.add_get("/livez", livez)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/metrics", exposition)
    return app
