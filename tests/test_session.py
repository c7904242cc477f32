"""One session: its liveness, its end, and what goes wrong on the way."""

from collections.abc import Iterator
from typing import Any

import pytest

from gateway.errors import Outcome
from tests.support.assemblyai import CANARY, FakeSession
from tests.support.scene import Call, Scene, gaps


@pytest.fixture
def scene() -> Iterator[Scene]:
    with Scene() as scene:
        yield scene


def live(scene: Scene, seconds: float = 1.0) -> tuple[Call, FakeSession]:
    """A call whose session takes audio."""
    call = scene.call().opens().speaks(seconds)
    return call, scene.service.session


def ended(scene: Scene, reason: str) -> float:
    return scene.metric("turngate_sessions_ended_total", reason=reason)


def disorder(scene: Scene, kind: str) -> float:
    return scene.metric("turngate_upstream_disorder_total", kind=kind)


# Its beginning


def test_begin_is_told(scene: Scene) -> None:
    scene.service.next(begins=None)
    call = scene.call().opens().media()
    scene.passes()
    scene.service.session.begin(configuration={"model": "u3-pro", "speaker_labels": True})
    assert call.of("session.started", "session_id", "model", "expires_at", "attempt") == [
        ("session-1", "u3-pro", 1_800_000_000, 1)
    ]
    assert scene.metric("turngate_sessions_active") == 1
    scene.passes()
    assert scene.metric("turngate_upstream_connect_seconds_count") == 1


def test_messages_before_begin_and_a_second_begin_are_counted(scene: Scene) -> None:
    scene.service.next(begins=None)
    call = scene.call().opens().media()
    scene.passes()
    session = scene.service.session
    session.turn(0)
    session.say("Termination")
    assert disorder(scene, "unexpected_turn") == 1
    assert disorder(scene, "unexpected_termination") == 1
    session.begin()
    session.begin()
    assert disorder(scene, "unexpected_begin") == 1
    assert call.types == ["stream.started", "session.started"]
    call.stops()


def test_a_warning_may_come_before_begin(scene: Scene) -> None:
    scene.service.next(begins=None)
    call = scene.call().opens().media()
    scene.passes()
    scene.service.session.say("Warning", warning_code=1, warning="soon")
    scene.service.session.begin()
    assert call.types == ["stream.started", "session.warning", "session.started"]


def test_a_session_without_begin_is_given_up_in_10_seconds(scene: Scene) -> None:
    scene.service.next(connects=4, begins=None)
    call = scene.call().opens().media()
    scene.passes(9.9)
    assert call.closed is None
    scene.passes(0.2)
    assert call.outcome is Outcome.UNAVAILABLE
    assert scene.service.session.aborted
    assert call.of("session.ended") == []
    assert call.ended["billed_seconds"] == pytest.approx(6)
    assert ended(scene, "no_begin") == 1


def test_a_connection_that_breaks_before_begin_is_lost_and_not_late(scene: Scene) -> None:
    scene.service.next(begins=None)
    call = scene.call().opens().media()
    scene.passes(1)
    scene.service.session.break_off()
    scene.passes(1)
    assert call.outcome is Outcome.UNAVAILABLE
    assert call.of("session.error", "message") == ["The connection to AssemblyAI was lost."]
    assert ended(scene, "lost") == 1


def test_a_begin_that_comes_after_that_is_not_heard(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeSession, "abort", lambda _: None)
    scene.service.next(begins=10)
    call = scene.call().opens().media()
    scene.passes(11)
    assert call.types[-2:] == ["gap", "stream.ended"]
    assert scene.service.session.began
    scene.service.session.break_off()


def test_an_error_before_begin_without_a_close_is_judged_by_its_text(scene: Scene) -> None:
    scene.service.next(begins=None, echoes=None)
    call = scene.call().opens().media()
    scene.passes(8)
    scene.service.session.error(3006, "Invalid parameter")
    scene.passes(3)
    assert call.outcome is Outcome.INVALID_PARAMETER


# Its liveness


def test_a_ping_goes_every_5_seconds(scene: Scene) -> None:
    call, session = live(scene)
    scene.passes(11)
    assert len(session.pings) == 2
    call.stops()


@pytest.mark.parametrize("begins", [0.1, 9.0])
def test_a_ping_that_is_not_answered_in_5_seconds_ends_the_session(scene: Scene, begins: float) -> None:
    scene.service.next(pongs=None, begins=begins)
    call, session = live(scene, 12)
    assert session.aborted
    assert len(session.pings) == 1
    assert call.outcome is Outcome.UNAVAILABLE
    assert gaps(call)[0][:2] == (0, gaps(call)[0][2])
    assert ended(scene, "lost") == 1


def test_a_pong_that_answers_no_ping_is_no_answer(scene: Scene) -> None:
    scene.service.next(pongs=None)
    call, session = live(scene, 8)
    assert len(session.pings) == 1
    for payload in (b"", b"0", b"2"):
        session.pong(payload)
    scene.passes(4)
    assert session.aborted
    assert gaps(call) == [(0, 8000, 8000, "upstream")]


def test_a_pong_that_comes_twice_confirms_no_more_than_the_first(scene: Scene) -> None:
    call, session = live(scene, 8)
    session.pong(b"1")
    session.break_off()
    scene.passes()
    assert gaps(call) == [(session.pings[0] // 8, 8000, 8000 - session.pings[0] // 8, "upstream")]


def test_a_lost_answer_is_noticed_after_terminate_too(scene: Scene) -> None:
    scene.service.next(pongs=None, terminates=None)
    call, session = live(scene, 4)
    call.stops()
    scene.passes(8)
    assert session.aborted
    assert call.ended["reason"] == "stopped"
    assert gaps(call) == [(0, 4000, 4000, "upstream")]


def test_heartbeats_that_stop_end_the_session_whatever_the_pings_say(scene: Scene) -> None:
    call, session = live(scene)
    for _ in range(3):
        session.say("Heartbeat", total_audio_received_ms=1)
        scene.passes(5)
        call.media()
    assert call.outcome is None
    scene.passes(12)
    assert session.aborted
    assert call.outcome is Outcome.UNAVAILABLE


def test_a_session_without_heartbeats_is_not_missed_one(scene: Scene) -> None:
    call, session = live(scene)
    for _ in range(30):
        call.media(50)
        scene.passes(1)
    assert not session.aborted
    call.stops()


def test_a_session_is_told_to_have_ended_though_begin_had_no_id(scene: Scene) -> None:
    scene.service.next(begins=None)
    call = scene.call().opens().media()
    scene.passes()
    scene.service.session.begin(id="")
    call.stops()
    scene.passes()
    assert call.of("session.started", "session_id") == [""]
    assert call.of("session.ended", "session_id") == [""]


# Its end


def test_a_session_ends_with_terminate_termination_and_the_close(scene: Scene) -> None:
    call, session = live(scene)
    call.stops()
    scene.passes()
    assert session.texts == ["Terminate"]
    assert not session.aborted
    assert call.of("session.ended", "audio_seconds", "session_seconds", "billed_seconds") == [(1.5, 2.5, 1.1)]
    assert call.of("session.error") == []
    assert ended(scene, "terminated") == 1
    assert scene.metric("turngate_session_duration_seconds_count") == 1


def test_what_is_said_after_terminate_is_heard(scene: Scene) -> None:
    scene.service.next(terminates=1)
    call, session = live(scene)
    call.stops()
    session.turn(0, "good", final=False)
    session.turn(0, "goodbye")
    scene.passes(2)
    assert call.of("turn", "text") == ["good", "goodbye"]
    assert call.types[-2:] == ["session.ended", "stream.ended"]


def test_what_is_said_after_termination_is_not_heard(scene: Scene) -> None:
    scene.service.next(closes=None, echoes=1)
    call, session = live(scene)
    call.stops()
    scene.passes(0.5)
    session.turn(0)
    session.say("Novelty")
    session.say_raw(b"no JSON")
    scene.passes(3)
    assert call.types == ["stream.started", "session.started", "session.ended", "stream.ended"]
    assert disorder(scene, "unexpected_turn") == 1


def test_terminate_without_an_answer_is_waited_for_10_seconds(scene: Scene) -> None:
    scene.service.next(terminates=None)
    call, session = live(scene)
    call.stops()
    scene.passes(9)
    assert session.is_open
    scene.passes(2)
    assert session.aborted
    assert call.of("session.ended", "audio_seconds", "session_seconds") == [(None, None)]
    assert call.outcome is Outcome.STOPPED
    assert gaps(call) == []
    assert ended(scene, "no_termination") == 1


def test_a_normal_close_without_termination_is_no_proof(scene: Scene) -> None:
    scene.service.next(figures=None)
    call, _ = live(scene)
    call.stops()
    scene.passes()
    assert call.outcome is Outcome.STOPPED
    assert "without Termination" in call.of("session.error", "message")[0]
    assert call.of("session.ended", "audio_seconds", "session_seconds") == [(None, None)]
    assert gaps(call) == [(0, 1000, 1000, "upstream")]
    assert ended(scene, "closed") == 1


@pytest.mark.parametrize("echoes", [0.05, 3.0, None])
def test_after_termination_we_close_where_the_service_does_not(scene: Scene, echoes: float | None) -> None:
    scene.service.next(closes=None, echoes=echoes)
    call, session = live(scene, 4)
    call.stops()
    scene.passes(6)
    assert session.close_asked
    assert session.aborted == (echoes is None)
    assert call.of("session.error") == []
    assert gaps(call) == []
    assert ended(scene, "terminated") == 1


def test_a_ping_that_waits_for_its_answer_at_the_end_does_no_harm(scene: Scene) -> None:
    scene.service.next(pongs=None, closes=None, echoes=4.5)
    call, session = live(scene, 9)
    call.stops()
    scene.passes(8)
    assert len(session.pings) == 1
    assert not session.aborted
    assert call.of("session.error") == []


def test_an_error_is_followed_by_our_close_where_the_service_does_not(scene: Scene) -> None:
    call, session = live(scene)
    session.error(3005, "Session Cancelled")
    assert session.close_asked
    call.media(30)
    scene.passes()
    assert call.of("session.error", "code", "message") == [
        (3005, "AssemblyAI had an error of its own. AssemblyAI said: Session Cancelled")
    ]
    assert call.outcome is Outcome.UNAVAILABLE
    assert gaps(call) == [(0, 1600, 1600, "upstream")]


def test_a_close_that_nobody_answers_is_an_end_in_10_seconds(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeSession, "close", lambda _: None)
    call, session = live(scene)
    session.error(3005, "Session Cancelled")
    scene.passes(11)
    assert session.aborted
    assert call.of("session.error", "code") == [3005]


def test_a_termination_that_nobody_asked_for_is_a_loss(scene: Scene) -> None:
    call, session = live(scene)
    session.terminate()
    scene.passes()
    assert call.outcome is Outcome.UNAVAILABLE
    assert call.of("session.ended", "audio_seconds", "session_seconds") == [(1.5, 2.5)]
    assert session.texts == []


def test_what_the_service_says_of_an_error_is_cut(scene: Scene) -> None:
    call, session = live(scene)
    session.error(3005, "x" * 5000)
    scene.passes()
    assert [len(text) for text in call.of("session.error", "message")] == [500]


# Our own faults


FAULTS: list[dict[str, Any]] = [
    {"kind": "Turn", "turn_order": 0, "end_of_turn": True, "transcript": CANARY},
    {"kind": "SpeechStarted", "timestamp": 5},
    {"kind": "Novelty"},
]


@pytest.mark.parametrize("message", FAULTS)
def test_a_fault_while_hearing_ends_one_stream_in_order(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, message: dict[str, Any]
) -> None:
    other, beside = live(scene)
    call, session = live(scene)

    def fault(*_: object) -> None:
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(call.stream.tracks["inbound"]._transcript, "heard", fault)
    session.say(**message)
    assert session.texts == ["Terminate"]
    session.turn(1)
    scene.passes()
    assert call.outcome is Outcome.INTERNAL
    assert call.closed == (1011, "an internal error")
    assert call.of("session.error", "message") == ["The gateway had an error of its own."]
    assert gaps(call) == [(0, 1000, 1000, "upstream")]
    assert ended(scene, "internal") == 1
    assert len(scene.logged("stream failed")) == 1
    assert not session.aborted

    beside.turn(0)
    other.stops()
    scene.passes()
    assert other.outcome is Outcome.STOPPED
    assert CANARY not in scene.told_outside()


def test_a_fault_at_begin_ends_one_stream_in_order(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    scene.service.next(begins=None)
    call = scene.call().opens().media(5)
    scene.passes()
    monkeypatch.setattr(call.stream, "publish", None)
    scene.service.session.begin()
    monkeypatch.undo()
    scene.passes()
    assert call.outcome is Outcome.INTERNAL
    assert scene.service.session.texts == ["Terminate"]
    assert gaps(call) == [(0, 100, 100, "upstream")]
    assert call.of("session.ended", "session_id") == ["session-1"]


def test_a_fault_when_writing_goes_on_ends_one_stream_in_order(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    call, session = live(scene)
    session.takes(yes=False)
    call.media(10)
    monkeypatch.setattr(call.stream.tracks["inbound"], "_backlog", None)
    session.takes(yes=True)
    monkeypatch.undo()
    assert session.texts == ["Terminate"]
    scene.passes()
    assert call.outcome is Outcome.INTERNAL
    assert gaps(call) == [(0, 1200, 1200, "upstream")]


def test_a_fault_after_the_end_changes_nothing_but_the_account(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    call, session = live(scene)
    call.stops()
    monkeypatch.setattr(call.stream.tracks["inbound"]._transcript, "heard", None)
    session.turn(0)
    scene.passes()
    assert call.outcome is Outcome.STOPPED
    assert ended(scene, "internal") == 1


# Verbs for live control


def test_a_message_goes_up_while_the_session_is_live_and_never_else(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.service.next(begins=None)
    call = scene.call().opens().media()
    scene.passes()
    session = call.stream.tracks["inbound"]._session
    assert session is not None
    said: list[bytes] = []
    monkeypatch.setattr(scene.service.session, "send_text", said.append)
    session.send_text(b"1")
    scene.service.session.begin()
    session.send_text(b"2")
    session.terminate()
    session.terminate()
    session.send_text(b"3")
    assert said == [b"2", b'{"type":"Terminate"}']
    scene.service.session.terminate()
    call.stops()


def test_a_late_message_of_a_session_that_is_over_is_not_heard(scene: Scene) -> None:
    call, fake = live(scene)
    session = call.stream.tracks["inbound"]._session
    assert session is not None
    call.stops()
    scene.passes()
    session.message(b'{"type":"Novelty"}')
    session.tick(1e9)
    session.abort()
    assert call.types[-1] == "stream.ended"
    assert not fake.is_open
    assert session.billed_seconds == pytest.approx(1.1, abs=0.001)
