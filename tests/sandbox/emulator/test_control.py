"""The emulator's own endpoints."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.sandbox.emulator import Emulator, Knobs
from tests.sandbox.emulator.client import SILENCE, connect, get


async def test_sessions_and_their_audio_can_be_read(emulator: Emulator) -> None:
    async with connect(emulator, begin=True) as client:
        await client.audio(200)
        await client.say("Terminate")
        await client.rest()
    status, sessions = await get(emulator, "/emulator/sessions")
    assert status == 200
    assert sessions[0]["audio_bytes"] == 1600
    assert sessions[0]["terminated"]
    assert "a-key" not in str(sessions)
    assert await get(emulator, f"/emulator/sessions/{sessions[0]['id']}/audio") == (200, SILENCE * 2)


async def test_the_audio_of_a_session_that_is_not_known_is_not_found(emulator: Emulator) -> None:
    assert await get(emulator, "/emulator/sessions/x/audio") == (404, {"error": "no such session"})


async def test_knobs_are_read_and_turned() -> None:
    async with Emulator(Knobs(keys=("secret",))) as emulator:
        status, knobs = await get(emulator, "/emulator/knobs", method="PATCH", json={"begin_delay": 2, "fault": "drop"})
        assert status == 200
        assert (knobs["begin_delay"], knobs["fault"], knobs["keys"]) == (2.0, "drop", "1 set")
        assert emulator.knobs.begin_delay == 2.0
        assert emulator.knobs.keys == ("secret",)
        assert await get(emulator, "/emulator/knobs") == (200, knobs)


async def test_what_is_shown_may_be_sent_back() -> None:
    async with Emulator(Knobs(keys=("secret",))) as emulator:
        _, knobs = await get(emulator, "/emulator/knobs")
        assert await get(emulator, "/emulator/knobs", method="PATCH", json=knobs) == (200, knobs)
        assert emulator.knobs == Knobs(keys=("secret",))
        status, _ = await get(emulator, "/emulator/knobs", method="PATCH", json={"keys": ["a", "b"]})
        assert status == 200
        assert emulator.knobs.keys == ("a", "b")


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"begin_delay": -1}, "knob begin_delay: Expected `float` >= 0.0"),
        ({"http_status": 42}, "knob http_status: Expected 0, or a status from 200 to 599"),
        ({"token_status": 199}, "knob token_status: Expected 0, or a status from 200 to 599"),
        ({"keys": "2 set"}, "knob keys: Expected `array`, got `str`"),
        ({"fault": "explode"}, "knob fault: Invalid enum value 'explode'"),
        ({"strict": "yes"}, "knob strict: Expected `bool`, got `str`"),
        ({"nope": 1, "neither": 2}, "no such knob: neither, nope"),
        ([], "Expected `object`, got `array`"),
    ],
)
async def test_wrong_knobs_are_refused_with_a_reason(emulator: Emulator, body: Any, says: str) -> None:
    before = emulator.knobs
    assert await get(emulator, "/emulator/knobs", method="PATCH", json=body) == (400, {"error": says})
    assert emulator.knobs == before
