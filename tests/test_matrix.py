"""The long matrix: whole calls for every combination of model, formatting, tracks, chunk and frame size.

It belongs to `make test-all`, which runs it on both event loops and on every Python.
"""

from collections.abc import Callable
from itertools import product
from typing import Any

import pytest
import redis.asyncio as redis

from gateway import events
from gateway.errors import Outcome
from gateway.sandbox import tones
from gateway.sandbox.caller import Call, place_call
from gateway.sandbox.emulator import Emulator
from tests.conftest import AUTH_TOKEN, SIGNED_URL, media_url

INBOUND, OUTBOUND = "hello i need help", "yes please"
AUDIO = {"inbound": tones.speak(INBOUND) + tones.silence(1500), "outbound": tones.silence(700) + tones.speak(OUTBOUND)}

MODELS = ("universal-streaming-english", "u3-rt-pro", "universal-3-5-pro")
Case = tuple[str, bool, str, int, int]
"""Model, whether turns are formatted, tracks, chunk in ms, frame in bytes."""

MATRIX = [
    pytest.param(case, id="-".join(map(str, case)))
    for case in product(MODELS, (False, True), ("inbound", "outbound", "both"), (50, 60, 1000), (80, 160, 333, 8800))
]


def plain(text: str) -> str:
    return text.lower().rstrip(".")


@pytest.mark.long
@pytest.mark.parametrize("redis_url", ["valkey"], indirect=True)
@pytest.mark.parametrize("case", MATRIX)
async def test_every_word_comes_through(
    start_gateway: Callable[..., Any], emulator: Emulator, redis_client: redis.Redis, prefix: str, case: Case
) -> None:
    model, formatted, tracks, chunk_ms, frame = case
    gateway = await start_gateway(
        assemblyai_speech_model=model, assemblyai_format_turns=formatted, tracks=tracks, chunk_ms=chunk_ms
    )
    call = Call(
        url=media_url(gateway),
        inbound=AUDIO["inbound"],
        outbound=AUDIO["outbound"],
        frame_bytes=frame,
        auth_token=AUTH_TOKEN,
        signed_url=SIGNED_URL,
        speed=40.0,
    )
    report = await place_call(call)
    assert report.ok
    # They have ended already: this waits for their last turns.
    assert await gateway.streams.end_all(Outcome.DRAINED, seconds=10) == 0
    assert await gateway.outbox.flush(10) == 0
    assert not emulator.open_sessions

    wanted = ("inbound", "outbound") if tracks == "both" else (tracks,)
    stored: Any = await redis_client.xrange(f"{prefix}:call:{call.call_sid}")
    history = [events.decode(fields[b"event"]) for _, fields in stored]
    said = {
        name: " ".join(
            plain(turn.text)
            for turn in {
                event.turn: event for event in history if isinstance(event, events.Turn) and event.track == name
            }.values()
        )
        for name in wanted
    }
    assert said == {name: {"inbound": INBOUND, "outbound": OUTBOUND}[name] for name in wanted}
    assert [event.seq for event in history] == list(range(1, len(history) + 1))
    assert not [event for event in history if isinstance(event, events.Gap | events.SessionError)]
    last = history[-1]
    assert isinstance(last, events.StreamEnded)
    assert (last.result, last.reason, last.lost_ms) == ("completed", "stopped", 0)
    for session in emulator.sessions:
        assert all(400 <= size <= 8000 for size in session.chunk_sizes)
        assert any(session.audio.startswith(AUDIO[name]) for name in wanted)
