"""The registry: whose tasks streams are, the tick, and the end of all of them."""

import asyncio
from collections.abc import Iterator

import pytest

from gateway.errors import Outcome
from gateway.stream import Stream
from tests.support.scene import Call, Scene, gaps


@pytest.fixture
def scene() -> Iterator[Scene]:
    with Scene(tracks=("inbound", "outbound")) as scene:
        yield scene


def end_all(scene: Scene, seconds: float) -> asyncio.Task[int]:
    return scene.loop.create_task(scene.streams.end_all(Outcome.DRAINED, seconds=seconds))


def test_a_stream_is_alive_until_its_last_word(scene: Scene) -> None:
    scene.service.next(terminates=2)
    call = scene.call().opens().speaks(1)
    assert scene.streams.alive() == [call.stream]
    call.stops()
    scene.passes(1)
    assert len(scene.streams) == 1
    scene.passes(2)
    assert len(scene.streams) == 0


# The end of all


def test_all_end_politely_with_their_last_turns(scene: Scene) -> None:
    scene.service.always(terminates=3)
    calls = [scene.call().opens().speaks(0.5) for _ in range(3)]
    draining = end_all(scene, 10)
    scene.passes(1)
    scene.service.sessions[0].turn(0, "goodbye")
    scene.passes(3)
    assert draining.result() == 0
    assert [call.ended["reason"] for call in calls] == ["drained"] * 3
    assert [call.closed for call in calls] == [(1012, "drained")] * 3
    assert calls[0].of("turn", "text") == ["goodbye"]
    assert not any(session.aborted for session in scene.service.sessions)


def test_no_streams_are_ended_at_once(scene: Scene) -> None:
    draining = end_all(scene, 10)
    scene.passes(0)
    assert draining.result() == 0


def test_those_that_do_not_end_in_time_are_dropped_with_a_whole_account(scene: Scene) -> None:
    scene.service.always(terminates=None)
    call = scene.call().opens("inbound", "outbound").media(50).media(50, track="outbound")
    scene.passes(1)
    scene.service.session.turn(0, final=False)
    scene.call()
    draining = end_all(scene, 2)
    scene.passes(1)
    assert len(scene.streams) == 1
    scene.passes(1)
    assert draining.result() == 1
    assert len(scene.streams) == 0
    assert [session.aborted for session in scene.service.sessions] == [True, True]
    assert [session.texts for session in scene.service.sessions] == [["Terminate"], ["Terminate"]]
    assert call.outcome is Outcome.DRAINED
    assert sorted(call.of("session.ended", "track")) == ["inbound", "outbound"]
    assert gaps(call) == gaps(call, "outbound") == [(0, 1000, 1000, "upstream")]
    assert [turn["final"] for turn in call.of("turn")] == [False, True]
    assert call.of("session.error", "message") == ["The gateway dropped the session: time had run out."] * 2
    assert call.ended["lost_ms"] == 2000
    assert scene.metric("turngate_sessions_ended_total", reason="dropped") == 2
    [line] = scene.logged("streams did not end in time")
    assert (line["streams"], line["sample"]) == (1, ["CA1"])


@pytest.mark.parametrize("when", [0.0, 0.05, 0.15])
def test_streams_are_dropped_wherever_their_session_is(scene: Scene, when: float) -> None:
    scene.service.always(terminates=None)
    call = scene.call().opens().media(10)
    scene.passes(when)
    draining = end_all(scene, 0)
    scene.passes(0)
    assert draining.result() == 1
    assert call.ended["lost_ms"] == 200
    assert gaps(call) == [(0, 200, 200, "upstream")]


def test_a_stream_that_comes_after_the_end_of_all_ends_at_once(scene: Scene) -> None:
    end_all(scene, 10)
    scene.passes(0)
    call = scene.call()
    scene.passes(0)
    assert call.closed == (1012, "drained")
    assert len(scene.streams) == 0


def test_a_stream_that_can_not_be_ended_does_not_keep_the_others(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = (scene.call().opens().speaks(0.5) for _ in range(2))
    monkeypatch.setattr(first.stream.tracks["inbound"], "finish", None)
    draining = end_all(scene, 10)
    scene.passes(1)
    assert draining.result() == 0
    assert second.ended["reason"] == "drained"
    assert gaps(second) == []
    assert gaps(first) == [(0, 500, 500, "upstream")]


# The tick


def test_after_a_stall_there_is_one_look_not_one_for_each_that_was_missed(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[float] = []
    monkeypatch.setattr(scene.streams, "tick", lambda: looks.append(scene.loop.time()))
    scene.passes(2.5)
    scene.loop.call_soon(lambda: setattr(scene.loop._clock, "moment", 100.0))
    scene.passes(3)
    assert looks == pytest.approx([1, 2, 100, 101, 102, 103], abs=0.01)


def test_a_fault_in_one_streams_tick_is_not_anothers(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    scene.service.always(terminates=None)
    first, second = (scene.call().opens().speaks(0.5) for _ in range(2))
    monkeypatch.setattr(first.stream.tracks["inbound"], "tick", None)
    scene.passes(1)
    assert first.outcome is Outcome.INTERNAL
    # Whatever would have ended it in time does not tick either: the next fault does.
    scene.passes(1)
    assert first.ended["reason"] == "internal"
    assert len(scene.logged("stream failed")) == 2
    scene.passes(20)
    assert second.closed is None


# Faults of a stream's own task


def test_a_stream_whose_last_word_fails_is_reported_and_gone(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    def fault(*_: object) -> None:
        raise RuntimeError("a fault of ours")

    call = scene.call().opens().media(5)
    scene.passes()
    monkeypatch.setattr(Stream, "publish", fault)
    call.stops()
    scene.passes()
    monkeypatch.undo()
    assert len(scene.streams) == 0
    assert [line["call_id"] for line in scene.logged("stream task failed")] == ["CA1"]
    scene.calls.clear()
    scene.metrics.bytes.labels("inbound").reset()


def test_a_task_that_somebody_cancels_still_says_its_last_word(scene: Scene) -> None:
    call: Call = scene.call().opens().media(10)
    scene.passes()
    [task] = scene.streams._tasks
    task.cancel()
    scene.passes(0)
    assert call.ended["reason"] == "internal"
    assert scene.service.session.aborted
    assert scene.logged("stream task failed") == []
