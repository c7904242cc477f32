"""gateway.sandbox.caller.call: whole calls against a server, with each way of going wrong."""

import base64
import json
from http import HTTPStatus

import pytest
from websockets.asyncio.server import ServerConnection

from gateway.sandbox.caller import (
    Burst,
    Call,
    Close,
    ClosedBy,
    Digit,
    Ending,
    Gap,
    Progress,
    Raw,
    Received,
    Repeat,
    Sent,
    Violation,
    place_call,
    place_calls,
)
from tests.sandbox.caller.server import Stream, a_server, record

SPEED = 200.0
AUDIO = bytes(range(256)) * 25  # 0.8 s, 40 frames


async def test_a_call_is_connected_start_media_stop() -> None:
    async with a_server() as server:
        report = await place_call(Call(url=server.url, inbound=AUDIO, speed=SPEED))
    stream = server.stream
    events = [message["event"] for message in stream.events]
    assert events == ["connected", "start", *["media"] * 40, "stop"]
    assert b"".join(base64.b64decode(message["media"]["payload"]) for message in stream.of("media")) == AUDIO
    assert [message["sequenceNumber"] for message in stream.events[1:]] == [str(n) for n in range(1, 43)]
    assert report.ok
    assert report.sent == {"inbound": Sent(40, 6400)}
    assert report.close == Close(ClosedBy.CALLER, 1000)
    assert report.received == Received()


async def test_both_tracks_share_the_socket() -> None:
    async with a_server() as server:
        report = await place_call(Call(url=server.url, inbound=AUDIO, outbound=AUDIO[:1600], speed=SPEED))
    assert server.stream.of("start")[0]["start"]["tracks"] == ["inbound", "outbound"]
    assert report.sent == {"inbound": Sent(40, 6400), "outbound": Sent(40, 6400)}


async def test_sids_and_parameters_are_those_of_the_plan() -> None:
    async with a_server() as server:
        report = await place_call(
            Call(url=server.url, call_sid="CA7", stream_sid="MZ7", parameters={"token": "t"}, speed=SPEED)
        )
    start = server.stream.of("start")[0]["start"]
    assert (start["callSid"], start["streamSid"], start["customParameters"]) == ("CA7", "MZ7", {"token": "t"})
    assert (report.call_sid, report.stream_sid) == ("CA7", "MZ7")


async def test_faults_happen_where_they_were_planned() -> None:
    faults = (Gap(0.1, 0.2), Burst(0.4, 0.2), Repeat(0.7), Raw(0.5, "rubbish"), Raw(0.5, b"\x00"))
    digits = (Digit(0.75, "5"),)
    seen: list[str | bytes] = []

    async def keep(connection: ServerConnection, stream: Stream) -> None:
        await record(connection, stream)
        seen.extend(stream.messages)
        stream.messages = [message for message in stream.messages if str(message).startswith("{")]

    async with a_server(keep) as server:
        report = await place_call(Call(url=server.url, inbound=AUDIO, faults=faults, digits=digits, speed=SPEED))
    stamps = [int(message["media"]["timestamp"]) for message in server.stream.of("media")]
    assert stamps == [*range(0, 100, 20), *range(300, 701, 20), 700, *range(720, 800, 20)]
    assert [message["dtmf"]["digit"] for message in server.stream.of("dtmf")] == ["5"]
    assert "rubbish" in seen
    assert b"\x00" in seen
    assert report.sent == {"inbound": Sent(31, 31 * 160)}


@pytest.mark.parametrize(
    ("ending", "last", "code"),
    [
        (Ending.STOP, "stop", 1000),
        (Ending.CLOSE, "media", 1000),
        (Ending.RESET, "media", None),
        (Ending.VANISH, "media", None),
    ],
)
async def test_a_call_ends_as_planned(ending: Ending, last: str, code: int | None) -> None:
    async with a_server() as server:
        report = await place_call(Call(url=server.url, inbound=AUDIO, speed=SPEED, ending=ending, vanish_seconds=0.01))
    assert report.ok
    assert report.close == Close(ClosedBy.CALLER, code)
    assert ending is Ending.RESET or server.stream.events[-1]["event"] == last
    assert server.stream.end is not None
    assert (server.stream.end.rcvd is not None) == (code == 1000)


async def test_a_server_that_ends_the_call_has_cut_it() -> None:
    async def cut(connection: ServerConnection, stream: Stream) -> None:
        for _ in range(10):
            await connection.recv()
        await connection.close(1012, "drained")

    async with a_server(cut) as server:
        report = await place_call(Call(url=server.url, inbound=AUDIO * 100, speed=SPEED))
    assert not report.ok
    assert report.close == Close(ClosedBy.SERVER, 1012, "drained")
    assert "before its end" in report.verdict


async def test_a_refused_call_is_a_report_too() -> None:
    async with a_server(status=HTTPStatus.FORBIDDEN) as server:
        report = await place_call(Call(url=server.url, inbound=AUDIO, speed=SPEED))
    assert not report.connected
    assert not report.ok
    assert report.refusal is not None
    assert report.refusal.status == 403
    assert "signature" in report.verdict


async def test_a_server_that_talks_on_a_unidirectional_stream_is_told() -> None:
    async def talk(connection: ServerConnection, stream: Stream) -> None:
        await connection.recv()
        await connection.send(json.dumps({"event": "hello"}))
        await connection.send(b"\x00")
        await record(connection, stream)

    async with a_server(talk) as server:
        report = await place_call(Call(url=server.url, inbound=AUDIO, speed=SPEED))
    (violation,) = report.violations
    assert violation == Violation(31924, "sent a message on a unidirectional (<Start>) stream", 2)
    assert report.received == Received(other=2)


async def test_many_calls_each_have_their_own_sids_and_count_together() -> None:
    progress = Progress()
    async with a_server() as server:
        plan = Call(url=server.url, inbound=AUDIO, speed=SPEED, call_sid="CA1")
        reports = await place_calls(plan, 5, spread=0.01, progress=progress)
    assert all(report.ok for report in reports)
    assert len({report.call_sid for report in reports}) == 5
    assert len({report.stream_sid for report in reports}) == 5
    assert reports[0].call_sid == "CA1"
    assert progress == Progress(up=0, ended=5, frames=200, seconds=progress.seconds)
