"""What can be made to go wrong, seen from the client."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest

from gateway.sandbox import tones
from gateway.sandbox.emulator import Emulator, Ending, Fault, Knobs, Moment, Refusal
from tests.sandbox.emulator.client import SILENCE, Client, connect


async def _speak(client: Client) -> None:
    spoken = tones.silence(500) + tones.speak("hello") + tones.silence(1500)
    for at in range(0, len(spoken), 800):
        await client.socket.send_bytes(spoken[at : at + 800].ljust(800, b"\xff"))


@pytest.mark.parametrize("status", [401, 403, 410, 429, 503])
async def test_unconfirmed_the_upgrade_is_refused(status: int) -> None:
    async with Emulator(Knobs(http_status=status)) as emulator:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            async with connect(emulator):
                pass
        assert refused.value.status == status
        assert emulator.sessions == []
        assert emulator.upgrades == 1


@pytest.mark.parametrize(
    ("refuse", "text"),
    [
        (Refusal.INVALID_KEY, "Invalid API key"),
        (Refusal.MISSING_HEADER, "Missing Authorization header"),
        (Refusal.EXPIRED, "Signature has expired"),
        (Refusal.LIMIT, "Too many concurrent sessions"),
    ],
)
async def test_a_session_is_refused_after_the_101(refuse: Refusal, text: str) -> None:
    async with Emulator(Knobs(refuse=refuse)) as emulator, connect(emulator) as client:
        assert (await client.rest())[0]["error"] == f"Unauthorized Connection: {text}"
        assert client.close_code == 1008


async def test_faults_can_be_limited_to_the_first_sessions() -> None:
    async with Emulator(Knobs(fault=Fault.DROP, fault_at=Moment.CONNECT, fault_sessions=2)) as emulator:
        for _ in range(2):
            async with connect(emulator) as client:
                assert await client.rest() == []
        async with connect(emulator, begin=True):
            pass
        emulator.knobs = emulator.knobs
        async with connect(emulator) as client:
            assert await client.rest() == []


@pytest.mark.parametrize("code", [3005, 1011, 3008])
async def test_an_error_comes_after_so_much_audio(code: int) -> None:
    knobs = Knobs(fault=Fault.ERROR, fault_after_ms=500, fault_code=code, fault_text="Session Cancelled")
    async with Emulator(knobs) as emulator, connect(emulator, begin=True) as client:
        await client.audio(500)
        assert await client.rest() == [{"type": "Error", "error_code": code, "error": "Session Cancelled"}]
        assert client.close_code == code
        assert emulator.sessions[0].audio_bytes == 4000


async def test_a_close_1000_may_come_without_termination() -> None:
    knobs = Knobs(fault=Fault.CLOSE, fault_code=1000, fault_at=Moment.BEGIN)
    async with Emulator(knobs) as emulator, connect(emulator, begin=True) as client:
        assert await client.rest() == []
        assert client.close_code == 1000


@pytest.mark.parametrize("moment", Moment)
async def test_the_connection_drops_without_a_close(moment: Moment) -> None:
    knobs = Knobs(fault=Fault.DROP, fault_at=moment, fault_after_ms=100)
    async with Emulator(knobs) as emulator, connect(emulator) as client:
        await emulator.wait_for(lambda: emulator.sessions)
        if moment is Moment.AUDIO:
            await client.audio(100)
        messages = await client.rest()
        assert [m["type"] for m in messages] == ([] if moment is Moment.CONNECT else ["Begin"])
        assert client.close_code == 1006
        assert emulator.sessions[0].close_code == 1006
        assert emulator.open_sessions == 0


async def test_a_stall_may_end() -> None:
    knobs = Knobs(fault=Fault.STALL, fault_after_ms=100, fault_seconds=0.1)
    async with Emulator(knobs) as emulator, connect(emulator, begin=True) as client:
        await _speak(client)
        await client.say("Terminate")
        assert [m["type"] for m in await client.rest()][-1] == "Termination"


async def test_a_slow_reader_lets_the_clients_buffer_fill() -> None:
    knobs = Knobs(fault=Fault.SLOW_READER, fault_at=Moment.BEGIN)
    async with Emulator(knobs) as emulator, connect(emulator, begin=True) as client:
        connection = client.socket._response.connection
        assert connection is not None
        assert connection.protocol is not None
        assert connection.transport is not None

        async def send() -> None:
            while True:
                await client.socket.send_bytes(SILENCE * 10)

        sending = asyncio.create_task(send())
        while not connection.protocol._paused:  # noqa: ASYNC110 - aiohttp tells nobody when writing is paused
            await asyncio.sleep(0)
        assert emulator.sessions[0].audio_bytes < 200_000
        sending.cancel()
        connection.transport.abort()


async def test_a_slow_reader_may_read_on() -> None:
    knobs = Knobs(fault=Fault.SLOW_READER, fault_at=Moment.BEGIN, fault_seconds=0.05)
    async with Emulator(knobs) as emulator, connect(emulator, begin=True) as client:
        await client.audio(1000)
        await client.say("Terminate")
        assert [m["type"] for m in await client.rest()] == ["Termination"]
        assert emulator.sessions[0].audio_bytes == 8000


async def test_a_half_open_connection_answers_nothing_not_even_a_ping_or_a_close() -> None:
    knobs = Knobs(fault=Fault.HALF_OPEN, fault_at=Moment.BEGIN)
    closing = aiohttp.ClientWSTimeout(ws_close=0.05)
    async with Emulator(knobs) as emulator:
        async with (
            aiohttp.ClientSession(headers={"Authorization": "k"}) as http,
            http.ws_connect(emulator.url + "/v3/ws", autoping=False, timeout=closing) as socket,
        ):
            assert (await socket.receive()).type is aiohttp.WSMsgType.TEXT
            await socket.ping()
            await socket.close()
            assert socket.close_code == 1006
        await emulator.wait_for(lambda: emulator.open_sessions == 0)


@pytest.mark.parametrize(
    ("ending", "types", "code"),
    [
        (Ending.NORMAL, ["Termination"], 1000),
        (Ending.NO_TERMINATION, [], 1000),
        (Ending.DROP, [], 1006),
    ],
)
async def test_terminate_is_answered_in_other_ways(ending: Ending, types: list[str], code: int) -> None:
    async with Emulator(Knobs(ending=ending)) as emulator, connect(emulator, begin=True) as client:
        await client.say("Terminate")
        assert [m["type"] for m in await client.rest()] == types
        assert client.close_code == code
        assert emulator.sessions[0].terminated


async def test_odd_messages_surround_a_final() -> None:
    knobs = Knobs(
        duplicate_finals=True,
        partial_after_final=True,
        unknown_events=True,
        unknown_fields=True,
        warning_text="careful",
    )
    async with Emulator(knobs) as emulator, connect(emulator) as client:
        await _speak(client)
        await client.say("Terminate")
        messages = await client.rest()
    assert [m["type"] for m in messages] == [
        "Begin",
        "EmulatorSurprise",
        "Warning",
        "SpeechStarted",
        "Turn",
        "Turn",
        "Turn",
        "Turn",
        "EmulatorSurprise",
        "Termination",
    ]
    first, again, after = messages[5:8]
    assert first == again
    assert after["turn_order"] == first["turn_order"]
    assert not after["end_of_turn"]
    assert messages[2]["warning"] == "careful"
    assert all("emulator_extra" in m for m in messages)
