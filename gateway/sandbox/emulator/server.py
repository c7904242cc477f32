"""The emulator as a server: AssemblyAI's paths, and its own under `/emulator`."""

from __future__ import annotations

import asyncio
import ssl
import time
import uuid
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from aiohttp import web

from gateway.sandbox.emulator import control
from gateway.sandbox.emulator.changes import Changes
from gateway.sandbox.emulator.choices import Refusal
from gateway.sandbox.emulator.credentials import Refused, check, is_key, over_limit, refusal
from gateway.sandbox.emulator.knobs import Knobs
from gateway.sandbox.emulator.limits import Limits
from gateway.sandbox.emulator.link import CLOSE_TIMEOUT, Link, SessionCore
from gateway.sandbox.emulator.record import EmulatedSession, Records
from gateway.sandbox.emulator.refused import RefusedSession
from gateway.sandbox.emulator.session import Session
from gateway.sandbox.emulator.speech import DeafEar, Ear
from gateway.sandbox.emulator.tokens import Answer, Tokens, refused
from gateway.sandbox.emulator.validation import InvalidInputError, Parameters, parse
from gateway.sandbox.hearing import ENCODINGS, Hearing
from gateway.sandbox.recordings import Recording


class Emulator:
    """AssemblyAI Universal-Streaming v3 on a local port. An async context manager: it listens inside `async with`.

    Args:
        knobs: how it behaves.
        recordings: speech whose words are known.
        host: address to listen on.
        port: port to listen on; 0 for a free one.
        ssl_context: serve TLS with it.
    """

    def __init__(
        self,
        knobs: Knobs | None = None,
        recordings: Sequence[Recording] = (),
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self._knobs = knobs or Knobs()
        self._recordings = tuple(recordings)
        self._host = host
        self._port = port
        self._ssl = ssl_context
        self._records = Records()
        self._tokens = Tokens()
        self._limits = Limits()
        self._changes = Changes()
        self._links: set[Link] = set()
        self._since_knobs = 0
        self._runner: web.AppRunner | None = None
        self.upgrades = 0

    @property
    def url(self) -> str:
        """Where clients connect to, without a path."""
        return f"{'wss' if self._ssl else 'ws'}://{self._host}:{self._port}"

    @property
    def knobs(self) -> Knobs:
        """How sessions that start from now on behave."""
        return self._knobs

    @knobs.setter
    def knobs(self, knobs: Knobs) -> None:
        self._knobs = knobs
        self._since_knobs = 0
        self._changes.notify()

    @property
    def sessions(self) -> list[EmulatedSession]:
        """Every accepted socket, refused sessions included, in order of arrival (the last 1000)."""
        return self._records.sessions

    @property
    def open_sessions(self) -> int:
        """Sockets open now, which the service would bill."""
        return self._records.open_count

    @property
    def billed_seconds(self) -> int:
        """Whole seconds that the ended sessions were open."""
        return sum(session.billed_seconds for session in self.sessions)

    async def wait_for(self, predicate: Callable[[], object], *, timeout: float = 10.0) -> None:
        """Return once `predicate` holds; it is asked at every change of any session.

        Raises:
            TimeoutError: it does not hold within `timeout` seconds.
        """
        await self._changes.wait_for(predicate, timeout=timeout)

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.add_routes(
            [
                web.get("/", self._stream),
                web.get("/v3/ws", self._stream),
                web.get("/v3/token", self._token),
                web.get("/v3/ws/health", _health),
            ]
        )
        control.add_routes(app, self)
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=1.0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, self._port, ssl_context=self._ssl)
        await site.start()
        self._port = int(self._runner.addresses[0][1])
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for link in tuple(self._links):
            link.stop()
        if self._runner is not None:
            await self._runner.cleanup()

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        knobs = self._next_knobs()
        await asyncio.sleep(knobs.accept_delay)
        if knobs.http_status:
            return _json(refused(knobs.http_status))
        socket = web.WebSocketResponse(autoping=False, autoclose=False, compress=False, timeout=CLOSE_TIMEOUT)
        if not socket.can_prepare(request):
            return web.json_response({"error": "Expected a WebSocket upgrade"}, status=426)
        await socket.prepare(request)
        transport = request.transport
        if transport is None:  # the client has gone already
            return socket
        record = self._record(request)
        now = asyncio.get_running_loop().time()
        session = self._session(request, record, knobs, now)
        link = Link(socket, transport, session, record, self._changes.notify)
        self._links.add(link)
        try:
            await link.run()
        finally:
            self._links.discard(link)
            if isinstance(session, Session):
                self._limits.end(asyncio.get_running_loop().time())
            self._changes.notify()
        return socket

    def _next_knobs(self) -> Knobs:
        self.upgrades += 1
        self._since_knobs += 1
        self._changes.notify()
        healthy = 0 < self._knobs.fault_sessions < self._since_knobs
        return self._knobs.healthy() if healthy else self._knobs

    def _record(self, request: web.Request) -> EmulatedSession:
        authorization = request.headers.get("Authorization")
        record = EmulatedSession(
            id=str(uuid.uuid4()),
            parameters=dict(request.query),
            headers={} if authorization is None else {"Authorization": authorization},
            started=asyncio.get_running_loop().time(),
        )
        self._records.add(record)
        self._changes.notify()
        return record

    def _session(self, request: web.Request, record: EmulatedSession, knobs: Knobs, now: float) -> SessionCore:
        admitted = _admit(request, knobs, self._tokens, now)
        if isinstance(admitted, Refused):
            return RefusedSession(admitted, knobs, now=now)
        try:
            parameters = parse(request.query.items(), default_model=knobs.default_model)
        except InvalidInputError as error:
            return RefusedSession(Refused(3006, str(error)), knobs, now=now)
        if not self._limits.start(
            now,
            max_concurrent=knobs.max_concurrent,
            per_minute=knobs.sessions_per_minute,
            release=knobs.slot_release_seconds,
        ):
            return RefusedSession(over_limit(knobs.limit_code), knobs, now=now)
        ear = _ear(parameters, self._recordings)
        return Session(record, parameters, ear, knobs, seconds=admitted, now=now, unix_now=time.time())

    async def _token(self, request: web.Request) -> web.Response:
        if self._knobs.token_status:
            return _json(refused(self._knobs.token_status))
        credential = request.headers.get("Authorization", "")
        key = credential[7:] if credential.lower().startswith("bearer ") else credential
        if key and not is_key(key, self._knobs):
            return _json(refused(401))
        now = asyncio.get_running_loop().time()
        return _json(self._tokens.mint(now, credential=key or None, query=request.query))


def _admit(request: web.Request, knobs: Knobs, tokens: Tokens, now: float) -> int | Refused:
    """How many seconds the credential allows, or why not any."""
    if knobs.refuse is Refusal.LIMIT:
        return over_limit(knobs.limit_code)
    if knobs.refuse is not Refusal.NONE:
        return refusal(knobs.refuse)
    verdict = check(
        request.headers.get("Authorization"),
        request.query.get("token"),
        knobs=knobs,
        tokens=tokens,
        now=now,
    )
    return verdict if isinstance(verdict, Refused) else verdict.session_seconds


def _ear(parameters: Parameters, recordings: Sequence[Recording]) -> Ear:
    if parameters.encoding not in ENCODINGS:
        return DeafEar()
    return Hearing(recordings, encoding=parameters.encoding, sample_rate=parameters.sample_rate)


def _json(answer: Answer) -> web.Response:
    return web.json_response(answer.body, status=answer.status)


async def _health(_request: web.Request) -> web.Response:
    return web.json_response({"status": "ok"})
