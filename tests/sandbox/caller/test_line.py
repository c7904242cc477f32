"""gateway.sandbox.caller.line: single messages on a connected line, and what the server does meanwhile."""

import asyncio
import json
from typing import NoReturn

import pytest
from websockets.asyncio.server import ServerConnection

from gateway.admission import twilio_signature
from gateway.sandbox.caller import Call, Close, ClosedBy, Line, LineClosedError, Sent, StreamKind, dial
from tests.sandbox.caller.server import Stream, a_server, record


async def test_a_test_sends_what_it_likes_in_the_order_it_likes() -> None:
    async with a_server() as server, dial(Call(url=server.url, stream_sid="MZ1")) as line:
        await line.connected()
        await line.start()
        await line.media(b"\xff" * 160)
        await line.media(b"\xfe" * 80, track="outbound")
        await line.media(b"\xff" * 160, copies=2)
        await line.dtmf("5")
        await line.mark("end")
        await line.start()
        await line.send_text("not JSON")
        await line.send_bytes(b"\x00")
        await line.stop()
    *texts, not_json, binary, _ = server.stream.messages
    assert (not_json, binary) == ("not JSON", b"\x00")
    assert [json.loads(text)["event"] for text in texts] == [
        "connected", "start", "media", "media", "media", "media", "dtmf", "mark", "start",
    ]  # fmt: skip
    assert texts[4] == texts[5]
    assert line.report().sent == {"inbound": Sent(3, 480), "outbound": Sent(1, 80)}


async def test_media_is_stamped_with_the_audio_of_its_track() -> None:
    async with a_server() as server, dial(Call(url=server.url)) as line:
        await line.media(b"\xff" * 160)
        await line.media(b"\xff" * 100)
        await line.media(b"\xff" * 100)
        await line.media(b"\xff" * 160, track="outbound")
        await line.media(b"\xff" * 160, timestamp_ms=5000)
    stamps = [message["media"]["timestamp"] for message in server.stream.of("media")]
    assert stamps == ["0", "20", "32", "0", "5000"]


async def test_the_upgrade_is_signed_as_twilio_signs_it() -> None:
    async with a_server() as server:
        async with dial(Call(url=server.url, auth_token="token")):
            pass
        async with dial(Call(url=server.url, auth_token="token", signed_url="wss://voice.example.com/media/twilio")):
            pass
        async with dial(Call(url=server.url, headers={"Authorization": "Bearer b"})):
            pass
    direct, proxied, bearer = (stream.headers for stream in server.streams)
    assert direct["x-twilio-signature"] == twilio_signature("token", server.url)
    assert proxied["x-twilio-signature"] == twilio_signature("token", "wss://voice.example.com/media/twilio")
    assert "x-twilio-signature" not in bearer
    assert bearer["authorization"] == "Bearer b"


async def test_closed_says_with_what_the_server_closed() -> None:
    async def refuse_second_start(connection: ServerConnection, stream: Stream) -> None:
        await connection.recv()
        await connection.close(1002, "protocol_error")

    async with a_server(refuse_second_start) as server, dial(Call(url=server.url)) as line:
        await line.start()
        assert await line.closed() == Close(ClosedBy.SERVER, 1002, "protocol_error")
        with pytest.raises(LineClosedError, match="1002"):
            await line.media(b"\xff" * 160)
    assert line.report().close == Close(ClosedBy.SERVER, 1002, "protocol_error")


async def test_closing_without_stop_is_a_closing_handshake() -> None:
    async with a_server() as server, dial(Call(url=server.url)) as line:
        assert await line.close(1001, "going") == Close(ClosedBy.CALLER, 1001, "going")
    assert server.stream.messages == []


async def test_marks_come_back_when_the_audio_has_been_played_and_at_once_on_clear() -> None:
    def from_server(event: str, **body: object) -> str:
        return json.dumps({"event": event, "streamSid": "MZ1"} | body)

    async def speak(connection: ServerConnection, stream: Stream) -> None:
        await connection.recv()
        await connection.send(from_server("mark", mark={"name": "nothing queued"}))
        stream.messages.append(await connection.recv())
        await connection.send(from_server("media", media={"payload": "////" * 30}))
        await connection.send(from_server("mark", mark={"name": "played"}))
        stream.messages.append(await connection.recv())
        await connection.send(from_server("media", media={"payload": "////" * 200_000}))
        await connection.send(from_server("mark", mark={"name": "cleared"}))
        await connection.send(from_server("clear"))
        stream.messages.append(await connection.recv())
        await connection.close()

    async with (
        a_server(speak) as server,
        dial(Call(url=server.url, stream_sid="MZ1", kind=StreamKind.CONNECT)) as line,
    ):
        await line.start()
        await line.closed()
    marks = [message["mark"]["name"] for message in server.stream.of("mark")]
    assert marks == ["nothing queued", "played", "cleared"]
    report = line.report()
    assert (report.received.media, report.received.mark, report.received.clear) == (2, 3, 1)
    assert report.violations == ()


async def flood(line: Line) -> NoReturn:
    while True:
        await line.send_text("x" * 500_000)


async def test_a_server_that_does_not_read_is_left() -> None:
    release = asyncio.Event()

    async def do_not_read(connection: ServerConnection, stream: Stream) -> None:
        await release.wait()

    async with a_server(do_not_read, max_queue=1, close_timeout=0.05) as server:
        async with dial(Call(url=server.url, patience=0.05)) as line:
            with pytest.raises(LineClosedError):
                await flood(line)
        release.set()
    assert [violation.code for violation in line.report().violations] == [31930]
    assert line.report().close == Close(ClosedBy.CALLER)


async def test_vanishing_ends_after_its_time_with_no_word() -> None:
    async with a_server() as server, dial(Call(url=server.url)) as line:
        await line.start()
        assert await line.vanish(0.01) == Close(ClosedBy.CALLER)
    assert [message["event"] for message in server.stream.events] == ["start"]
    assert server.stream.end is not None
    assert server.stream.end.rcvd is None


async def test_a_fault_below_the_messages_is_told() -> None:
    async def babble(connection: ServerConnection, stream: Stream) -> None:
        connection.transport.write(b"\xff\xff\xff\xff")
        await record(connection, stream)

    async with a_server(babble) as server, dial(Call(url=server.url)) as line:
        await line.closed()
    assert [violation.code for violation in line.report().violations] == [31924]


async def test_a_failing_test_drops_the_line_and_keeps_its_own_error() -> None:
    async with a_server() as server:
        with pytest.raises(ZeroDivisionError):
            async with dial(Call(url=server.url)) as line:
                _ = 1 / 0
    assert line.report().close == Close(ClosedBy.CALLER)
    assert server.stream.end is not None
    assert server.stream.end.rcvd is None
