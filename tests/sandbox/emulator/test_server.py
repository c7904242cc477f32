"""The emulator on its port."""

from __future__ import annotations

import dataclasses

import aiohttp
import pytest
import uvloop

from gateway.sandbox import tones
from gateway.sandbox.emulator import Emulator, Knobs
from tests.sandbox.emulator.client import SILENCE, connect, get


async def test_a_session_begins_hears_and_terminates(emulator: Emulator) -> None:
    spoken = tones.silence(1000) + tones.speak("hello thank you") + tones.silence(1500)
    async with connect(emulator) as client:
        for at in range(0, len(spoken), 800):
            await client.socket.send_bytes(spoken[at : at + 800].ljust(800, b"\xff"))
        await client.say("Terminate")
        messages = await client.rest()
    assert messages[0]["type"] == "Begin"
    assert [m["transcript"] for m in messages if m.get("end_of_turn")] == ["Hello thank you."]
    assert messages[-1]["type"] == "Termination"
    assert (client.close_code, client.close_reason) == (1000, "Session Ended")

    session = emulator.sessions[0]
    assert session.id == messages[0]["id"]
    assert session.audio[: len(spoken)] == spoken
    assert set(session.chunk_sizes) == {800}
    assert session.texts == ['{"type": "Terminate"}']
    assert [word.text for word in session.words] == ["hello", "thank", "you"]
    assert session.terminated
    assert not session.is_open
    assert session.close_code == 1000
    assert session.headers == {"Authorization": "a-key"}
    assert session.parameters["encoding"] == "pcm_mulaw"
    assert emulator.open_sessions == 0


@pytest.mark.parametrize("path", ["/v3/ws", "/"])
async def test_both_paths_serve_sessions(emulator: Emulator, path: str) -> None:
    async with connect(emulator, path, key="self-hosted", begin=True):
        assert emulator.open_sessions == 1
    await emulator.wait_for(lambda: emulator.open_sessions == 0)


async def test_every_socket_is_a_new_session(emulator: Emulator) -> None:
    for _ in range(2):
        async with connect(emulator, begin=True) as client:
            await client.say("Terminate")
            await client.rest()
    first, second = emulator.sessions
    assert first.id != second.id
    assert emulator.billed_seconds == 2


@pytest.mark.parametrize(
    ("key", "text"),
    [
        (None, "Missing Authorization header"),
        ("Bearer a-key", "Invalid API key"),
        ("an-invalid-key", "Invalid API key"),
    ],
)
async def test_a_credential_is_refused_after_the_101(emulator: Emulator, key: str | None, text: str) -> None:
    async with connect(emulator, key=key) as client:
        messages = await client.rest()
    assert messages == [{"type": "Error", "error_code": 1008, "error": f"Unauthorized Connection: {text}"}]
    assert (client.close_code, client.close_reason) == (1008, "See Error message for details")
    assert emulator.open_sessions == 0


async def test_only_the_given_keys_are_valid() -> None:
    async with Emulator(Knobs(keys=("right", "other"))) as emulator:
        async with connect(emulator, key="wrong") as client:
            assert [m["type"] for m in await client.rest()] == ["Error"]
        async with connect(emulator, key="right", begin=True):
            pass
    assert "right" not in repr(emulator.knobs)


async def test_header_names_arrive_in_any_case(emulator: Emulator) -> None:
    headers = {"aUTHORIZATION": "a-key", "Content-Type": "application/json"}
    async with connect(emulator, key=None, headers=headers, begin=True):
        pass


async def test_a_refused_parameter_is_answered_before_begin(emulator: Emulator) -> None:
    async with connect(emulator, speech_model="u3-pro") as client:
        messages = await client.rest()
    assert messages[0]["error"].startswith("User Input Validation Error: Invalid 'speech_model': ")
    assert client.close_code == 3006


async def test_pings_are_answered(emulator: Emulator) -> None:
    async with (
        aiohttp.ClientSession(headers={"Authorization": "k"}) as http,
        http.ws_connect(emulator.url + "/v3/ws", autoping=False) as socket,
    ):
        assert (await socket.receive()).type is aiohttp.WSMsgType.TEXT
        await socket.ping(b"are you there")
        pong = await socket.receive()
        assert (pong.type, bytes(pong.data)) == (aiohttp.WSMsgType.PONG, b"are you there")


async def test_a_text_frame_that_is_no_json_is_refused(emulator: Emulator) -> None:
    async with connect(emulator, begin=True) as client:
        await client.socket.send_str("{")
        assert (await client.rest())[0]["error_code"] == 3006
        assert client.close_code == 3006


async def test_compressed_audio_is_accepted_and_not_heard(emulator: Emulator) -> None:
    async with connect(emulator, begin=True, encoding="opus") as client:
        await client.socket.send_bytes(b"packet")
        await client.say("Terminate")
        assert [m["type"] for m in await client.rest()] == ["Termination"]


async def test_a_token_with_a_wrong_key_is_refused(emulator: Emulator) -> None:
    params = {"expires_in_seconds": "60"}
    status, _ = await get(emulator, "/v3/token", params=params, headers={"Authorization": "invalid"})
    assert status == 401


def test_it_runs_on_uvloop() -> None:
    async def talk() -> None:
        async with Emulator() as emulator, connect(emulator, begin=True) as client:
            await client.audio(100)
            await client.say("Terminate")
            assert [m["type"] for m in await client.rest()] == ["Termination"]

    uvloop.run(talk())


async def test_compression_that_is_offered_is_not_used(emulator: Emulator) -> None:
    async with (
        aiohttp.ClientSession() as http,
        http.ws_connect(emulator.url + "/v3/ws", headers={"Authorization": "k"}, compress=15) as socket,
    ):
        assert socket.compress == 0


async def test_a_client_that_closes_without_terminate_ends_its_session(emulator: Emulator) -> None:
    async with connect(emulator, begin=True) as client:
        await client.socket.close(code=4001)
    await emulator.wait_for(lambda: emulator.open_sessions == 0)
    assert emulator.sessions[0].close_code == 4001
    assert not emulator.sessions[0].terminated


async def test_a_client_that_vanishes_ends_its_session_with_1006(emulator: Emulator) -> None:
    async with connect(emulator, begin=True) as client:
        transport = client.socket.get_extra_info("socket")
        assert transport is not None
        assert client.socket._response.connection is not None
        assert client.socket._response.connection.transport is not None
        client.socket._response.connection.transport.abort()
        await emulator.wait_for(lambda: emulator.open_sessions == 0)
    assert emulator.sessions[0].close_code == 1006


async def test_new_knobs_apply_to_sessions_that_start_afterwards(emulator: Emulator) -> None:
    async with connect(emulator, begin=True) as old:
        emulator.knobs = dataclasses.replace(emulator.knobs, strict=True)
        async with connect(emulator, begin=True) as new:
            for client in (old, new):
                await client.socket.send_bytes(SILENCE[:160])
                await client.say("Terminate")
            assert [m["type"] for m in await old.rest()] == ["Termination"]
            assert [m["type"] for m in await new.rest()] == ["Error"]


async def test_the_emulator_stops_with_sessions_open() -> None:
    async with Emulator() as emulator, connect(emulator, begin=True) as client:
        await emulator.__aexit__(None, None, None)
        assert await client.message() is None
        assert emulator.open_sessions == 0


async def test_wait_for_gives_up(emulator: Emulator) -> None:
    with pytest.raises(TimeoutError):
        await emulator.wait_for(lambda: False, timeout=0)


async def test_health_and_plain_requests_are_answered(emulator: Emulator) -> None:
    assert await get(emulator, "/v3/ws/health") == (200, {"status": "ok"})
    assert (await get(emulator, "/v3/ws"))[0] == 426
    assert (await get(emulator, "/v2/realtime/ws"))[0] == 404


async def test_a_token_opens_a_session_and_caps_it(emulator: Emulator) -> None:
    params = {"expires_in_seconds": "60", "max_session_duration_seconds": "60"}
    status, body = await get(emulator, "/v3/token", params=params, headers={"Authorization": "Bearer a-key"})
    assert status == 200
    assert body["expires_in_seconds"] == 60
    for arguments in ({"key": None, "token": body["token"]}, {"key": body["token"]}):
        async with connect(emulator, **arguments) as client:
            message = await client.message()
            assert message is not None
            assert message["type"] == "Begin"
    assert "token" not in emulator.sessions[0].as_json()["parameters"]


async def test_the_token_endpoint_can_be_made_to_refuse() -> None:
    async with Emulator(Knobs(token_status=429)) as emulator:
        status, body = await get(emulator, "/v3/token", params={"expires_in_seconds": "60"})
    assert (status, set(body)) == (429, {"error", "code", "details"})


@pytest.mark.parametrize(("code", "prefix"), [(1008, "Unauthorized Connection: "), (3009, "")])
async def test_unconfirmed_session_starts_are_limited_per_minute(code: int, prefix: str) -> None:
    async with Emulator(Knobs(sessions_per_minute=1, limit_code=code)) as emulator:
        async with connect(emulator, begin=True):
            pass
        async with connect(emulator) as client:
            assert (await client.rest())[0]["error"] == f"{prefix}Too many concurrent sessions"
        assert client.close_code == code
