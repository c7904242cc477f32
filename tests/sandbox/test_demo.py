"""gateway.sandbox.demo: the whole thing at twenty times its pace, and what it says when something is wrong."""

import io
from collections.abc import Sequence
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from rich.console import Console

from gateway.errors import ConfigError
from gateway.sandbox import demo
from gateway.sandbox.demo import DemoOptions, conversation, cost, run_demo
from gateway.sandbox.emulator import Emulator, Knobs, Refusal
from gateway.sandbox.recordings import Recording


async def shown(**options: Any) -> tuple[list[str], str]:
    out = io.StringIO()
    faults = await run_demo(DemoOptions(**{"speed": 20.0, **options}), Console(file=out, width=100))
    return faults, out.getvalue()


async def test_it_comes_through(monkeypatch: pytest.MonkeyPatch) -> None:
    # Whatever the environment says of a gateway is not meant for the demo.
    monkeypatch.setenv("ASSEMBLYAI_API_KEY", "must-not-be-used")
    monkeypatch.setenv("TURNGATE_ASSEMBLYAI_URL", "wss://must-not-be-used.invalid")
    monkeypatch.setenv("TURNGATE_CHUNK_MS", "nonsense")
    faults, text = await shown()
    assert faults == []
    assert "agent: good morning harbor deliveries how can i help you" in text
    assert "caller: no that is all thank you and goodbye" in text
    assert "turns: 10 (caller 5, agent 5)" in text
    assert "left open: 0 sessions" in text
    assert "✓" in text
    assert "must-not-be-used" not in text


async def test_a_redis_that_is_named_is_used(redis_url: str, prefix: str, redis_client: Redis) -> None:
    faults, text = await shown(redis_url=redis_url, redis_prefix=prefix)
    assert faults == []
    assert redis_url in text
    assert len(await redis_client.keys(f"{prefix}:*")) == 2


async def test_a_redis_that_is_named_and_not_there_is_told() -> None:
    with pytest.raises(RedisConnectionError):
        await shown(redis_url="redis://127.0.0.1:1/0")


async def test_what_went_wrong_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: Knobs, recordings: Sequence[Recording]) -> Emulator:
        return Emulator(Knobs(refuse=Refusal.INVALID_KEY), recordings)

    monkeypatch.setattr(demo, "Emulator", broken)
    faults, text = await shown()
    assert any(fault.startswith("the call went wrong: cut") for fault in faults)
    assert any(fault.startswith("the stream ended as upstream error (unauthorized)") for fault in faults)
    assert any(fault.startswith("the caller's words differ") for fault in faults)
    assert all(f"✗ {fault}" in text for fault in faults)


async def test_with_a_key_it_goes_where_the_key_is_for(emulator: Emulator) -> None:
    live = {"live_key": "a-key", "assemblyai_url": emulator.url}
    faults, text = await shown(**live, speed=50.0)
    assert [session.headers["Authorization"] for session in emulator.sessions] == ["a-key", "a-key"]
    # This emulator does not know the recording, so nothing was heard; loosely, that is a fault of the words only.
    assert faults == ["only 0% of the caller's words agree", "only 0% of the agent's words agree"]
    assert "two synthetic voices" in text


async def test_a_key_that_is_none_is_told_before_anything_starts() -> None:
    with pytest.raises(ConfigError, match="ASSEMBLYAI_API_KEY"):
        await shown(live_key="a key", assemblyai_url="ws://127.0.0.1:1")


def test_the_price_is_that_of_two_sessions() -> None:
    seconds = sum(track.duration_ms / 1000 + 5 for track in conversation())
    assert 75 < seconds < 85
    assert cost("universal-streaming-english") == pytest.approx(seconds / 3600 * 0.15)
    assert cost("universal-3-6-pro") == pytest.approx(seconds / 3600 * 0.45)
    assert cost("another") is None
