"""A stream: its beginning, its one end, and the account of it, whatever happens in whatever order."""

import gc
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.errors import Outcome
from gateway.protocol.audio import ChunkRule
from gateway.track import TrackOptions
from tests.support.assemblyai import CANARY
from tests.support.scene import Call, Scene, gaps, unsent


@pytest.fixture
def scene() -> Iterator[Scene]:
    with Scene() as scene:
        yield scene


@pytest.fixture
def both() -> Iterator[Scene]:
    with Scene(tracks=("inbound", "outbound")) as scene:
        yield scene


def fault(*_: object, **__: object) -> None:
    raise RuntimeError("a fault of ours")


# Its beginning


def test_a_start_is_told_with_what_may_be_told() -> None:
    with Scene(parameters=frozenset(("queue",))) as scene:
        call = scene.call().greets()
        parameters = {"From": "+15550100", "To": "+15550199", "queue": "x" * 600, "note": CANARY}
        scene.passes(2)
        call.starts("inbound", "outbound", customParameters=parameters)
        [started] = call.of("stream.started")
        assert started["tracks"] == ["inbound"]
        assert (started["dialect"], started["profile"], started["encoding"]) == ("twilio", "default", "audio/x-mulaw")
        assert (started["from"], started["to"]) == ("+15550100", "+15550199")
        assert started["parameters"] == {"queue": "x" * 500}
        assert started["started_at"] == started["at"] == "2026-11-20T12:00:02.000Z"
        assert scene.metric("turngate_streams_started_total", dialect="twilio") == 1
        assert scene.metric("turngate_streams_active") == 1


def test_a_digit_is_masked(scene: Scene) -> None:
    call = scene.call().opens().presses("7")
    assert call.of("dtmf", "digit", "track") == [("•", "inbound")]


def test_a_digit_is_shown_where_that_is_allowed() -> None:
    with Scene(show_digits=True) as scene:
        assert scene.call().opens().presses("7").of("dtmf", "digit") == ["7"]


def test_a_stream_none_of_whose_tracks_is_wanted_lives_until_the_carrier_ends_it(scene: Scene) -> None:
    call = scene.call().opens("outbound").media(100, track="outbound")
    scene.passes(70)
    assert call.closed is None
    call.stops()
    scene.passes()
    assert call.types == ["stream.started", "stream.ended"]
    assert scene.service.attempts == 0


def test_a_carrier_is_pinged_every_20_seconds_and_a_pong_is_enough(scene: Scene) -> None:
    call = scene.call().opens()
    scene.passes(121)
    assert call.pings == 6
    assert call.closed is None


def test_each_track_has_a_session_of_its_own(both: Scene) -> None:
    call = both.call().opens("inbound", "outbound").media(50).media(70, track="outbound")
    both.passes()
    call.stops()
    both.passes()
    audio = sorted((session.audio.rstrip(b"\xff") for session in both.service.sessions), key=len)
    assert audio == [call.heard["inbound"], call.heard["outbound"]]
    assert both.metric("turngate_media_frames_total", track="outbound") == 70
    assert call.ended["frames"] == 120


# Its end


def test_the_last_turns_come_before_the_last_word(scene: Scene) -> None:
    scene.service.next(terminates=3)
    call = scene.call().opens().speaks(1).stops()
    scene.passes(1)
    scene.service.session.turn(0, "goodbye")
    assert call.types[-1] == "turn"
    scene.passes(3)
    assert call.types[-3:] == ["turn", "session.ended", "stream.ended"]
    assert call.ended["duration_seconds"] == 1.0
    assert scene.metric("turngate_stream_duration_seconds_count", result="completed") == 1


def test_a_fault_in_one_tracks_task_ends_the_other_in_order(both: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    call = both.call().opens("inbound", "outbound").media(50, track="outbound")
    both.passes()
    beside = both.service.session
    # A ValueError is none of the ways in which connecting is known to fail.
    monkeypatch.setattr(both.service, "connect", fault)
    call.media(10)
    both.passes(0.1)
    assert call.outcome is Outcome.INTERNAL
    beside.turn(0, "goodbye")
    both.passes()
    assert beside.texts == ["Terminate"]
    assert not beside.aborted
    assert call.of("turn", "text") == ["goodbye"]
    assert gaps(call) == [(0, 200, 200, "upstream")]
    assert gaps(call, "outbound") == []
    assert both.metric("turngate_sessions_ended_total", reason="dropped") == 1


def test_a_fault_before_any_session_declares_what_waits(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail() -> None:
        fault()

    call = scene.call().opens().media(10)
    monkeypatch.setattr(call.stream.tracks["inbound"], "run", fail)
    scene.passes()
    assert call.ended["reason"] == "internal"
    assert gaps(call) == [(0, 200, 200, "upstream")]
    assert scene.service.attempts == 0


def test_a_carrier_that_can_not_be_closed_keeps_no_stream_alive(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    call = scene.call().opens().speaks(1)
    monkeypatch.setattr(call, "send_close", fault)
    call.stops()
    scene.passes()
    assert call.outcome is Outcome.STOPPED
    assert call.ended["lost_ms"] == 1000
    assert scene.service.session.aborted
    assert len(scene.logged("stream failed")) == 1


def test_a_second_fault_drops_the_sessions(scene: Scene) -> None:
    scene.service.next(terminates=None)
    call = scene.call().opens().speaks(1)
    call.stream.fail(RuntimeError("a fault of ours"))
    scene.passes(1)
    assert scene.service.session.is_open
    call.stream.fail(RuntimeError("another"))
    scene.passes(0)
    assert scene.service.session.aborted
    assert call.ended["reason"] == "internal"


def test_a_fault_while_connecting_ends_the_stream_when_the_session_has_ended(scene: Scene) -> None:
    call = scene.call().opens().media(5)
    scene.passes(0.01)
    call.stream.fail(RuntimeError("a fault of ours"))
    call.stream.fail(RuntimeError("another"))
    scene.passes(1)
    assert call.ended["reason"] == "internal"
    assert scene.service.session.texts == ["Terminate"]


def test_what_can_not_be_published_leaves_no_hole(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    call = scene.call().opens()
    monkeypatch.setattr(call.stream._journal, "_publish", fault)
    call.presses("1")
    monkeypatch.undo()
    scene.passes()
    assert call.outcome is Outcome.INTERNAL
    assert call.ended["last_seq"] == 2


def test_a_stream_that_is_over_can_be_forgotten(scene: Scene) -> None:
    call = scene.call().opens().speaks(1)
    scene.service.session.turn(0)
    call.stops()
    scene.passes()
    call.check_events()
    scene.calls.remove(call)
    left: list[weakref.ref[Any]] = [weakref.ref(call.stream), weakref.ref(call.stream.tracks["inbound"])]
    scene.service.sessions.clear()
    frames = call.stream.tracks["inbound"].received_bytes
    del call
    gc.collect()
    assert [ref() for ref in left] == [None, None]
    # What the scene counts at its end.
    assert frames == scene.metric("turngate_media_bytes_total", track="inbound")
    scene.metrics.bytes.labels("inbound").reset()


# Whatever happens, in whatever order


@dataclass(frozen=True)
class Step:
    """Something that happens; its name is what a failing example shows."""

    name: str
    happen: Callable[[Scene, Call], object]

    def __repr__(self) -> str:
        return self.name


def latest(what: Callable[[Any], object]) -> Callable[[Scene, Call], object]:
    """Something that the latest session does, if there is one."""
    return lambda scene, _: scene.service.sessions and what(scene.service.session)


def break_ears(_: Scene, call: Call) -> None:
    track = call.stream.tracks["inbound"]
    track._transcript.heard = fault  # type: ignore[method-assign]


def begin_drain(seconds: float, scene: Scene, _: Call) -> None:
    scene.drains.append(scene.loop.create_task(scene.streams.end_all(Outcome.DRAINED, seconds=seconds)))


def upstream(name: str, what: Callable[[Any], object]) -> st.SearchStrategy[Step]:
    return st.just(Step(name, latest(what)))


def carrier(name: str, what: Callable[[Call], object]) -> st.SearchStrategy[Step]:
    return st.just(Step(name, lambda _, call: what(call)))


MEDIA = st.builds(
    lambda frames, size: Step(f"media {frames}x{size}", lambda _, call: call.media(frames, size=size)),
    st.integers(1, 60),
    st.sampled_from([8, 80, 160, 160, 160, 1000]),
)
TIME = st.builds(
    lambda seconds: Step(f"{seconds} s pass", lambda scene, _: scene.passes(seconds)),
    st.sampled_from([0.0, 0.01, 0.1, 0.3, 1.0, 3.0, 7.0, 12.0, 17.0]),
)
TURN = st.builds(
    lambda order, final, end: Step(
        f"turn {order} {'final' if final else 'partial'} to {end} ms",
        latest(lambda session: session.turn(order, final=final, start=0, end=end)),
    ),
    st.integers(0, 3),
    st.booleans(),
    st.integers(0, 3000),
)
STEPS = st.one_of(
    MEDIA,
    MEDIA,
    TIME,
    TIME,
    TURN,
    upstream("not writable", lambda session: session.takes(yes=False)),
    upstream("writable", lambda session: session.takes(yes=True)),
    upstream("breaks", lambda session: session.break_off()),
    upstream("closes 1000", lambda session: session.close_with(1000)),
    upstream("Error 3005", lambda session: session.error(3005, "Session Cancelled")),
    upstream("inactive", lambda session: session.error(3006, "inactivity")),
    upstream("Termination", lambda session: session.terminate()),
    upstream("Begin", lambda session: session.begin()),
    upstream("Novelty", lambda session: session.say("Novelty")),
    carrier("stop", lambda call: call.stops()),
    carrier("hangs up", lambda call: call.hangs_up()),
    carrier("binary", lambda call: call.stream.receive_binary()),
    carrier("no JSON", lambda call: call.sends_raw(b"?")),
    carrier("digit", lambda call: call.presses("1")),
    carrier("fault", lambda call: call.stream.fail(RuntimeError("a fault of ours"))),
    st.just(Step("deaf", break_ears)),
    st.sampled_from([0.0, 1.0, 15.0]).map(lambda s: Step(f"drain within {s} s", partial(begin_drain, s))),
)
MANNERS = st.fixed_dictionaries(
    {},
    optional={
        "connects": st.sampled_from([0.0, 3.0, None]),
        "refuses": st.sampled_from([401, 503]),
        "begins": st.sampled_from([0.0, 4.0, None]),
        "terminates": st.sampled_from([3.0, None]),
        "figures": st.none(),
        "closes": st.sampled_from([1.0, None]),
        "echoes": st.sampled_from([2.0, None]),
        "pongs": st.none(),
        "drains": st.sampled_from([0.01, 1.0]),
    },
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps=st.lists(STEPS, max_size=25), manners=st.lists(MANNERS, max_size=4))
def test_every_stream_ends_once_and_every_byte_is_accounted_for(
    steps: list[Step], manners: list[dict[str, Any]]
) -> None:
    options = TrackOptions(rule=ChunkRule.mulaw(backlog_seconds=1.0))
    # The scene itself checks the events, the gauges and the sessions when it ends.
    with Scene(track=options) as scene:
        for manner in manners:
            scene.service.next(**manner)
        call = scene.call().opens()
        for step in steps:
            step.happen(scene, call)
        call.hangs_up()
        scene.passes(40)

        # A stream that has ended takes nothing more in.
        heard = call.heard.get("inbound", b"")[: call.stream.tracks["inbound"].received_bytes]
        sent = b"".join(session.audio.rstrip(b"\xff") for session in scene.service.sessions)
        declared = sorted((start, end) for start, end, *_ in gaps(call))
        for (_, end), (start, _) in pairwise(declared):
            assert end <= start, "gaps do not overlap"
        assert sum(end - start for start, end in declared) == call.ended["lost_ms"]
        for start, end in unsent(heard, sent):
            assert any(a * 8 <= start and end <= b * 8 for a, b in merged(declared)), "what never went up is declared"
        assert scene.metric("turngate_streams_ended_total", **labels(call)) == 1


def merged(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The same ranges; those that touch are one."""
    found: list[tuple[int, int]] = []
    for start, end in ranges:
        if found and found[-1][1] == start:
            found[-1] = (found[-1][0], end)
        else:
            found.append((start, end))
    return found


def labels(call: Call) -> dict[str, str]:
    return {"result": call.ended["result"], "reason": call.ended["reason"]}
