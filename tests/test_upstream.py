"""The AssemblyAI socket against small real servers on loopback, plain and with TLS."""

import asyncio
import shutil
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from pathlib import Path

import pytest
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.http11 import Request, Response
from websockets.server import ServerProtocol

from gateway import __version__, config, upstream
from gateway.app import USER_AGENT
from gateway.upstream import Endpoint, Refused, Socket, is_loopback

PATIENCE = 10.0
CHUNK = b"\xff" * 480
Handler = Callable[[ServerConnection], Awaitable[None]]


class Heard:
    """A listener that notes what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[object, ...]] = []
        self.socket: Socket
        self._wakers: set[asyncio.Future[None]] = set()

    def _tell(self, *what: object) -> None:
        self.told.append(what)
        for waker in self._wakers:
            if not waker.done():
                waker.set_result(None)

    async def until(self, wanted: Callable[[], object]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not wanted():
                waker: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                self._wakers.add(waker)
                await waker
                self._wakers.discard(waker)

    async def over(self) -> None:
        await self.until(lambda: self.told and self.told[-1][0] == "disconnected")

    @property
    def paused(self) -> bool:
        return [what for what in self.told if what[0] == "writable"][-1:] == [("writable", False)]

    def connected(self, socket: Socket) -> None:
        self.socket = socket
        self._tell("connected")

    def message(self, data: bytes) -> None:
        self._tell("message", data)

    def pong(self, payload: bytes) -> None:
        self._tell("pong", payload)

    def writable(self, *, yes: bool) -> None:
        self._tell("writable", yes)

    def disconnected(self, code: int | None, reason: str) -> None:
        self._tell("disconnected", code, reason)


def port_of(server: Server | asyncio.Server) -> int:
    return int(next(iter(server.sockets)).getsockname()[1])


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A throw-away certificate of localhost, its own authority, with its key in one file."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed")
    made = tmp_path_factory.mktemp("tls") / "localhost.pem"
    subprocess.run(
        [
            *(openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-keyout", str(made), "-out", str(made.with_suffix(".crt")), "-days", "2", "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=DNS:localhost"),
        ],
        check=True,
        capture_output=True,
    )
    made.write_bytes(made.read_bytes() + made.with_suffix(".crt").read_bytes())
    return made


@pytest.fixture(params=["plain", "tls"])
def tls(request: pytest.FixtureRequest) -> tuple[ssl.SSLContext, ssl.SSLContext] | None:
    """The server's and the client's context, or None for no TLS."""
    if request.param == "plain":
        return None
    return contexts(request.getfixturevalue("certificate"))


def contexts(certificate: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    ours = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ours.load_cert_chain(certificate)
    return ours, ssl.create_default_context(cafile=certificate)


Tls = tuple[ssl.SSLContext, ssl.SSLContext] | None


@asynccontextmanager
async def session(handler: Handler, tls: Tls = None) -> AsyncIterator[Heard]:
    """A connected listener; the connection is gone when the context is left."""
    async with serve(handler, "127.0.0.1", 0, ssl=tls and tls[0], compression=None, ping_interval=None) as server:
        heard = Heard()
        await endpoint(server, tls).connect(heard)
        yield heard
        heard.socket.abort()
        await heard.over()


def endpoint(server: Server | asyncio.Server, tls: Tls = None, path: str = "/v3/ws?a=1") -> Endpoint:
    scheme = "wss" if tls else "ws"
    return Endpoint(f"{scheme}://localhost:{port_of(server)}{path}", {"Authorization": "a-key"}, tls and tls[1])


async def stay(connection: ServerConnection) -> None:
    await connection.wait_closed()


# the upgrade


async def test_it_asks_for_the_path_and_query_with_its_headers(tls: Tls) -> None:
    asked: list[Request] = []

    def look(_: ServerConnection, request: Request) -> None:
        asked.append(request)

    settings = config.load(assemblyai_api_key="the key's text".replace(" ", "-"), allow_unauthenticated=True)
    headers = settings.endpoint(USER_AGENT).headers
    async with serve(stay, "127.0.0.1", 0, ssl=tls and tls[0], process_request=look) as server:
        heard = Heard()
        url = endpoint(server, tls, "/v3/ws?speech_model=a%20model&encoding=pcm_mulaw").url
        await Endpoint(url, headers, tls and tls[1]).connect(heard)
        heard.socket.close()
        await heard.over()
    [request] = asked
    assert request.path == "/v3/ws?speech_model=a%20model&encoding=pcm_mulaw"
    assert request.headers["Authorization"] == "the-key's-text", "the raw key, without a scheme before it"
    assert request.headers["AssemblyAI-Version"] == config.API_VERSION
    assert request.headers.get_all("User-Agent") == [f"Turngate/{__version__}"]
    assert "Sec-WebSocket-Extensions" not in request.headers, "mu-law does not compress"
    assert heard.told == [("connected",), ("disconnected", 1000, "")]


async def test_an_http_error_is_a_refusal_with_its_status(tls: Tls) -> None:
    def refuse(connection: ServerConnection, _: Request) -> Response:
        return connection.respond(HTTPStatus.UNAUTHORIZED, "no\n")

    async with serve(stay, "127.0.0.1", 0, ssl=tls and tls[0], process_request=refuse) as server:
        heard = Heard()
        with pytest.raises(Refused) as refused:
            await endpoint(server, tls).connect(heard)
    assert refused.value.status == 401
    assert heard.told == []


Peer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def serving(peer: Peer, *, holds: int = 2**16) -> AsyncIterator[asyncio.Server]:
    """A server by hand; it ends once each of its peers has. `holds`: about how many bytes it reads unasked."""
    peers: set[asyncio.Task[None] | None] = set()

    async def run(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peers.add(asyncio.current_task())
        try:
            await peer(reader, writer)
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, holds)
    listening.bind(("127.0.0.1", 0))
    async with await asyncio.start_server(run, sock=listening, limit=holds) as server:
        yield server
        async with asyncio.timeout(PATIENCE):
            await asyncio.gather(*(task for task in peers if task))


@asynccontextmanager
async def answering(answer: bytes, *, then_close: bool) -> AsyncIterator[asyncio.Server]:
    """A server that answers any request with `answer`."""

    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        if not then_close:
            await reader.read()

    async with serving(peer) as server:
        yield server


async def test_a_refusal_may_end_with_the_connection() -> None:
    answer = b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\n\r\nout of order"
    async with answering(answer, then_close=True) as server:
        with pytest.raises(Refused) as refused:
            await endpoint(server).connect(Heard())
    assert refused.value.status == 503


SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"


@pytest.mark.parametrize(
    ("answer", "then_close"),
    [
        (b"", True),
        (b"SSH-2.0-OpenSSH_9.2\r\n", False),
        (SWITCHING + b"\r\n", False),
        (SWITCHING + b"Sec-WebSocket-Accept: bm90IHRoZSByaWdodCBvbmU=\r\n\r\n", False),
    ],
    ids=["closes", "is no HTTP", "accepts nothing", "accepts wrongly"],
)
async def test_what_is_no_websocket_is_an_oserror(answer: bytes, then_close: bool) -> None:
    async with answering(answer, then_close=then_close) as server:
        heard = Heard()
        with pytest.raises(ConnectionError):
            await endpoint(server).connect(heard)
    assert heard.told == []


@pytest.mark.parametrize("resets", [False, True])
async def test_a_server_that_closes_before_the_tls_handshake_is_an_oserror(certificate: Path, resets: bool) -> None:
    async def peer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if resets:
            writer.transport.abort()

    for _ in range(10):
        async with serving(peer) as server:
            heard = Heard()
            with pytest.raises(OSError):  # noqa: PT011 - of whatever kind: the network's, or TLS's
                await endpoint(server, contexts(certificate)).connect(heard)
        assert heard.told == []


async def test_a_binary_message_is_no_message_of_the_services_however_it_comes() -> None:
    def first(ws: ServerProtocol) -> None:
        ws.send_binary(b'{"type":', fin=False)
        ws.send_continuation(b'"Termination"}', fin=True)
        ws.send_text(b"text")

    async with scripted(first) as (heard, _):
        await heard.until(lambda: len(heard.told) == 2)
        assert heard.told[1:] == [("message", b"text")]


async def test_a_closed_port_is_an_oserror(closed_port: int) -> None:
    with pytest.raises(ConnectionRefusedError):
        await Endpoint(f"ws://127.0.0.1:{closed_port}/", {}).connect(Heard())


@pytest.mark.parametrize(("host", "trusted"), [("localhost", False), ("127.0.0.1", True)])
async def test_a_wrong_certificate_is_an_oserror(host: str, trusted: bool, certificate: Path) -> None:
    theirs, ours = contexts(certificate)
    async with serve(stay, "127.0.0.1", 0, ssl=theirs) as server:
        heard = Heard()
        chosen = Endpoint(f"wss://{host}:{port_of(server)}/", {}, ours if trusted else None)
        with pytest.raises(ssl.SSLCertVerificationError):
            await chosen.connect(heard)
    assert heard.told == []


@pytest.mark.parametrize("scheme", ["ws", "wss"])
async def test_a_server_that_never_answers_is_left_without_a_trace(scheme: str) -> None:
    asked, left = asyncio.Event(), asyncio.Event()

    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        asked.set()
        while await reader.read(4096):
            pass
        left.set()

    async with asyncio.timeout(PATIENCE), serving(peer) as server:
        before = asyncio.all_tasks()
        heard = Heard()
        connecting = asyncio.create_task(Endpoint(f"{scheme}://127.0.0.1:{port_of(server)}/", {}).connect(heard))
        await asked.wait()
        connecting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await connecting
        await left.wait()
        assert {task for task in asyncio.all_tasks() - before if "serving" not in repr(task)} == set()
    assert heard.told == []


# messages


class Scripted(asyncio.Protocol):
    """A server by hand: what it says comes in the same segment as the answer to the upgrade, or as raw bytes."""

    def __init__(self, first: Callable[[ServerProtocol], None]) -> None:
        self.ws = ServerProtocol(max_size=None)
        self.last_words = b""
        self.deaf = False
        self._first = first
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        if self.deaf:
            return
        self.ws.receive_data(data)
        if self.ws.close_rcvd:
            self.transport.write(self.last_words)
        for event in self.ws.events_received():
            if isinstance(event, Request):
                self.ws.send_response(self.ws.accept(event))
                self._first(self.ws)
        self.transport.write(b"".join(self.ws.data_to_send()))

    def eof_received(self) -> None:
        self.ws.receive_eof()


@asynccontextmanager
async def scripted(first: Callable[[ServerProtocol], None]) -> AsyncIterator[tuple[Heard, list[Scripted]]]:
    peers: list[Scripted] = []

    def accept() -> Scripted:
        peers.append(Scripted(first))
        return peers[-1]

    async with await asyncio.get_running_loop().create_server(accept, "127.0.0.1", 0) as server:
        heard = Heard()
        await endpoint(server).connect(heard)
        yield heard, peers
        heard.socket.abort()
        await heard.over()


async def test_what_came_with_the_upgrade_is_not_lost() -> None:
    async with scripted(lambda ws: ws.send_text(b'{"type":"Begin"}')) as (heard, _):
        assert heard.told == [("connected",), ("message", b'{"type":"Begin"}')]


async def test_a_fragmented_message_arrives_whole_with_a_ping_in_between() -> None:
    def first(ws: ServerProtocol) -> None:
        ws.send_text(b"one ", fin=False)
        ws.send_ping(b"there?")
        ws.send_continuation(b"two ", fin=False)
        ws.send_continuation(b"three", fin=True)
        ws.send_text(b"four")

    async with scripted(first) as (heard, _):
        await heard.until(lambda: len(heard.told) == 3)
        assert heard.told[1:] == [("message", b"one two three"), ("message", b"four")]


@pytest.mark.parametrize("said", [b"\x83\x00", b"\xc1\x00", b"\x81\x7f" + (2**20 + 1).to_bytes(8, "big")])
async def test_a_broken_frame_ends_the_connection(said: bytes) -> None:
    async with scripted(lambda _: None) as (heard, [peer]):
        peer.transport.write(said)
        await heard.over()
        assert heard.told == [("connected",), ("disconnected", None, "")]


async def test_pings_are_answered_both_ways(tls: Tls) -> None:
    answered = asyncio.Event()

    async def ping(connection: ServerConnection) -> None:
        await (await connection.ping(b"there?"))
        answered.set()
        await connection.wait_closed()

    async with session(ping, tls) as heard, asyncio.timeout(PATIENCE):
        await answered.wait()
        heard.socket.ping(b"17")
        await heard.until(lambda: ("pong", b"17") in heard.told)


async def test_audio_and_text_arrive_as_they_were_sent_and_in_order(tls: Tls) -> None:
    received: list[str | bytes] = []

    async def note(connection: ServerConnection) -> None:
        async for message in connection:
            received.append(message)
            if message == "done":
                await connection.send("all")

    sizes = (1, 125, 126, 400, 8000)
    async with session(note, tls) as heard:
        for size in sizes:
            heard.socket.send_audio(bytes(n % 256 for n in range(size)))
        heard.socket.send_text(b"done")
        await heard.until(lambda: ("message", b"all") in heard.told)
    assert received == [*(bytes(n % 256 for n in range(size)) for size in sizes), "done"]


# flow


@asynccontextmanager
async def valve(server: Server) -> AsyncIterator[tuple[asyncio.Server, asyncio.Event]]:
    """A way to a server that can be shut for what goes there: it then holds next to nothing."""
    is_open = asyncio.Event()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, gate: asyncio.Event) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(1024):
                await gate.wait()
                writer.write(data)
                await writer.drain()
        writer.close()

    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        always = asyncio.Event()
        always.set()
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port_of(server))
        async with asyncio.TaskGroup() as group:
            group.create_task(pump(reader, far_writer, is_open))
            group.create_task(pump(far_reader, writer, always))

    is_open.set()
    async with serving(peer, holds=1024) as way:
        yield way, is_open


async def test_a_server_that_stops_reading_swallows_little_and_is_noticed(tls: Tls) -> None:
    read = 0

    async def count(connection: ServerConnection) -> None:
        nonlocal read
        async for message in connection:
            read += len(message)

    async with (
        serve(count, "127.0.0.1", 0, ssl=tls and tls[0], compression=None, ping_interval=None) as server,
        valve(server) as (way, is_open),
    ):
        heard = Heard()
        await endpoint(way, tls).connect(heard)
        is_open.clear()
        sent = await fill(heard)
        assert heard.paused
        assert sent < 8 * 8000, "not many seconds of audio"
        is_open.set()
        await heard.until(lambda: not heard.paused)
        heard.socket.send_audio(CHUNK)
        heard.socket.close()
        await heard.over()
    assert read == sent + len(CHUNK), "and nothing of it is lost"


async def fill(heard: Heard) -> int:
    """Sends until nothing more is taken. Returns how much was."""
    sent = refused = 0
    while refused < 100:
        if heard.paused:
            refused += 1
        else:
            heard.socket.send_audio(CHUNK)
            sent, refused = sent + len(CHUNK), 0
        await asyncio.sleep(0)
    return sent


# its end


async def test_the_servers_close_is_told_with_code_and_reason(tls: Tls) -> None:
    async def leave(connection: ServerConnection) -> None:
        await connection.close(3007, "Input Duration Error")

    async with session(leave, tls) as heard:
        await heard.over()
        assert heard.told == [("connected",), ("disconnected", 3007, "Input Duration Error")]


async def test_an_abort_is_told_once_without_a_code(tls: Tls) -> None:
    async with session(stay, tls) as heard:
        heard.socket.abort()
        heard.socket.abort()
        await heard.over()
        heard.socket.send_audio(CHUNK)
        heard.socket.send_text(b"{}")
        heard.socket.ping(b"")
        heard.socket.close()
    assert heard.told == [("connected",), ("disconnected", None, "")]


async def test_a_close_is_told_once_and_nothing_is_sent_behind_it(tls: Tls) -> None:
    received: list[str | bytes] = []

    async def note(connection: ServerConnection) -> None:
        received.extend([message async for message in connection])

    async with session(note, tls) as heard:
        heard.socket.send_text(b"last")
        heard.socket.close()
        heard.socket.close()
        heard.socket.send_audio(CHUNK)
        heard.socket.send_text(b"{}")
        heard.socket.ping(b"")
        await heard.over()
    assert heard.told == [("connected",), ("disconnected", 1000, "")]
    assert received == ["last"]


async def test_what_the_server_says_before_its_own_close_is_still_heard() -> None:
    async with scripted(lambda _: None) as (heard, [peer]):
        peer.last_words = b"\x81\x03one\x81\x03two"
        heard.socket.close()
        await heard.over()
        assert heard.told[1:] == [("message", b"one"), ("message", b"two"), ("disconnected", 1000, "")]


async def test_a_server_that_does_not_answer_the_close_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upstream, "CLOSE_SECONDS", 0.01)
    async with scripted(lambda _: None) as (heard, [peer]):
        peer.deaf = True
        heard.socket.close()
        await heard.over()
        assert heard.told == [("connected",), ("disconnected", None, "")]


async def test_a_lost_connection_is_told_without_a_code(tls: Tls) -> None:
    async def vanish(connection: ServerConnection) -> None:
        connection.transport.abort()

    async with session(vanish, tls) as heard:
        await heard.over()
        assert heard.told == [("connected",), ("disconnected", None, "")]


# where


async def test_the_self_hosted_form_is_asked_at_its_root() -> None:
    asked: list[Request] = []

    def look(_: ServerConnection, request: Request) -> None:
        asked.append(request)

    async with serve(stay, "127.0.0.1", 0, process_request=look) as server:
        settings = config.load(
            assemblyai_url=f"ws://127.0.0.1:{port_of(server)}/",
            assemblyai_api_key="self-hosted",
            allow_unauthenticated=True,
        )
        heard = Heard()
        await settings.endpoint(USER_AGENT).connect(heard)
        heard.socket.close()
        await heard.over()
    assert asked[0].path.startswith("/?speech_model=")
    assert asked[0].headers["Authorization"] == "self-hosted"


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        ("wss://streaming.assemblyai.com", "wss://streaming.assemblyai.com/v3/ws?"),
        ("wss://streaming.eu.assemblyai.com", "wss://streaming.eu.assemblyai.com/v3/ws?"),
        ("wss://streaming.us.assemblyai.com", "wss://streaming.us.assemblyai.com/v3/ws?"),
        ("ws://127.0.0.1:8090", "ws://127.0.0.1:8090/v3/ws?"),
        ("ws://host:8080/", "ws://host:8080/?"),
        ("wss://proxy/assemblyai/v3/ws", "wss://proxy/assemblyai/v3/ws?"),
    ],
)
def test_the_url_is_built_of_host_and_parameters(given: str, asked: str) -> None:
    settings = config.load(assemblyai_url=given, assemblyai_api_key="a-key", allow_unauthenticated=True)
    where = settings.endpoint(USER_AGENT)
    assert where.url.startswith(asked)
    assert (where.tls is not None) == given.startswith("wss:")
    if where.tls is not None:
        assert where.tls.verify_mode is ssl.CERT_REQUIRED
        assert where.tls.check_hostname


def test_no_credential_is_shown() -> None:
    shown = repr(Endpoint("wss://host/v3/ws?token=secret", {"Authorization": "hidden"}))
    assert shown == "Endpoint('wss://host/v3/ws')"


@pytest.mark.parametrize(
    ("host", "local"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost", True), ("10.0.0.1", False), ("a.b", False)],
)
def test_loopback_is_known_by_address_and_name(host: str, local: bool) -> None:
    assert is_loopback(host) is local
