"""A track: frames to chunks, the backlog, sessions in a row, and what is declared lost."""

from collections.abc import Iterator

import pytest

from gateway.errors import Outcome
from gateway.protocol.audio import ChunkRule
from gateway.track import TrackOptions
from tests.support.scene import Call, Scene, gaps, unsent

SMALL = TrackOptions(rule=ChunkRule.mulaw(backlog_seconds=1.0))
"""With a backlog of a second."""


@pytest.fixture
def scene() -> Iterator[Scene]:
    with Scene(tracks=("inbound", "outbound")) as scene:
        yield scene


@pytest.fixture
def small() -> Iterator[Scene]:
    with Scene(track=SMALL) as scene:
        yield scene


def sent(scene: Scene) -> bytes:
    """What went up in all sessions, without the padding."""
    return b"".join(session.audio.rstrip(b"\xff") for session in scene.service.sessions)


def holes_ms(scene: Scene, call: Call) -> list[tuple[int, int]]:
    """What never went up, on the timeline."""
    return [(start // 8, end // 8) for start, end in unsent(call.heard["inbound"], sent(scene))]


# Frames to chunks


@pytest.mark.parametrize(("frames", "padding"), [(1, 320), (2, 160), (3, 0), (7, 0), (1000, 0)])
def test_every_frame_goes_up_byte_for_byte(scene: Scene, frames: int, padding: int) -> None:
    call = scene.call().opens().media(frames)
    scene.passes()
    call.stops()
    scene.passes()
    session = scene.service.session
    assert session.audio == call.heard["inbound"] + b"\xff" * padding
    assert call.ended["frames"] == frames
    assert gaps(call) == []


@pytest.mark.parametrize("size", [1, 7, 80, 159, 161, 333, 1600, 8000, 8001, 20000])
@pytest.mark.parametrize("begins", [0.0, 1.0])
def test_payloads_of_any_size_go_up_in_lawful_chunks(scene: Scene, size: int, begins: float) -> None:
    scene.service.always(begins=begins)
    call = scene.call().opens()
    for _ in range(5):
        call.media(size=size)
        scene.passes(0.3)
    call.stops()
    scene.passes(2)
    assert sent(scene) == call.heard["inbound"]


def test_chunks_go_as_soon_as_they_are_whole(scene: Scene) -> None:
    call = scene.call().opens().media(3)
    scene.passes()
    session = scene.service.session
    assert len(session.chunks) == 1
    call.media(2)
    assert len(session.chunks) == 1
    call.media(1)
    assert len(session.chunks) == 2


def test_frames_before_begin_wait_and_go_up_in_order(scene: Scene) -> None:
    scene.service.next(connects=3, begins=4)
    call = scene.call().opens().speaks(6.5)
    assert scene.service.session.chunks == []
    call.speaks(1)
    assert sent(scene) == call.heard["inbound"][: len(sent(scene))]
    call.stops()
    scene.passes()
    assert sent(scene) == call.heard["inbound"]
    assert call.of("session.started", "connect_ms", "attempt") == [(7000, 1)]


def test_no_session_opens_before_there_is_audio(scene: Scene) -> None:
    call = scene.call().opens().frame(b"")
    scene.passes(30)
    call.stops()
    scene.passes()
    assert scene.service.attempts == 0
    assert call.types == ["stream.started", "stream.ended"]


# Stop


def test_stop_before_begin_still_sends_everything(scene: Scene) -> None:
    scene.service.next(begins=3)
    call = scene.call().opens().media(7).stops()
    scene.passes(2)
    assert scene.service.session.chunks == []
    scene.passes(2)
    assert sent(scene) == call.heard["inbound"]
    assert scene.service.session.texts == ["Terminate"]
    assert call.ended["reason"] == "stopped"


def test_stop_while_connecting_still_sends_everything(scene: Scene) -> None:
    call = scene.call().opens().media(1).stops()
    scene.passes()
    assert sent(scene) == call.heard["inbound"]
    assert call.outcome is Outcome.STOPPED


def test_stop_while_nothing_can_be_written_waits_for_the_socket(scene: Scene) -> None:
    call = scene.call().opens().media(3)
    scene.passes()
    session = scene.service.session
    session.takes(yes=False)
    call.media(100).stops()
    scene.passes(2)
    assert len(session.chunks) == 1
    assert session.texts == []
    session.takes(yes=True)
    scene.passes()
    assert sent(scene) == call.heard["inbound"]
    assert session.texts == ["Terminate"]
    assert call.ended["lost_ms"] == 0


def test_a_socket_that_drains_slowly_gets_the_tail_piece_by_piece(scene: Scene) -> None:
    scene.service.always(drains=0.2, begins=1.0)
    call = scene.call().opens().media(1002).stops()
    scene.passes(10)
    assert sent(scene) == call.heard["inbound"]
    assert len(scene.service.session.chunks) > 20
    assert call.ended["lost_ms"] == 0


def test_begin_while_nothing_can_be_written_waits_for_the_socket(scene: Scene) -> None:
    scene.service.next(begins=None)
    call = scene.call().opens().media(10)
    scene.passes()
    session = scene.service.session
    session.takes(yes=False)
    session.begin()
    assert session.chunks == []
    session.takes(yes=True)
    assert len(session.chunks) == 1
    call.stops()


# Overflow


def test_overflow_is_one_gap_and_the_oldest_audio_goes(small: Scene) -> None:
    call = small.call().opens().media(6)
    small.passes()
    session = small.service.session
    session.takes(yes=False)
    for _ in range(10):
        call.media(10)
    assert gaps(call) == []
    session.takes(yes=True)
    assert gaps(call) == [(120, 1120, 1000, "overflow")]
    call.media(3).stops()
    small.passes()
    assert holes_ms(small, call) == [(120, 1120)]
    assert call.ended["lost_ms"] == 1000
    assert small.metric("turngate_gaps_total", cause="overflow") == 1
    assert small.metric("turngate_gap_seconds_total", cause="overflow") == 1.0


def test_turns_after_an_overflow_lie_where_they_were_spoken(small: Scene) -> None:
    call = small.call().opens().media(6)
    small.passes()
    session = small.service.session
    session.takes(yes=False)
    call.media(100)
    session.takes(yes=True)
    session.turn(0, start=20, end=120)
    session.turn(1, start=120, end=220)
    assert call.of("turn", "start_ms", "end_ms", "offset_ms") == [(20, 120, 0), (1120, 1220, 1000)]


def test_overflow_before_begin_is_declared_at_begin(small: Scene) -> None:
    small.service.next(begins=5)
    call = small.call().opens().speaks(3)
    assert gaps(call) == []
    small.passes(3)
    assert gaps(call) == [(0, 2000, 2000, "overflow")]
    small.service.session.turn(0, start=0, end=500)
    assert call.of("turn", "start_ms", "end_ms") == [(2000, 2500)]
    call.stops()
    small.passes()
    assert holes_ms(small, call) == [(0, 2000)]


def test_audio_that_overflows_at_once_is_declared(small: Scene) -> None:
    call = small.call().opens().media(size=20000).stops()
    small.passes()
    assert gaps(call) == [(0, 1500, 1500, "overflow")]
    assert sent(small) == call.heard["inbound"][12000:]


def test_a_frame_larger_than_the_backlog_loses_only_what_it_is_larger_by(small: Scene) -> None:
    call = small.call().opens().media(3)
    small.passes()
    call.media(size=12_000)
    assert gaps(call) == [(60, 560, 500, "overflow")]
    call.speaks(2.04).media(size=12_000).speaks(2).stops()
    small.passes()
    assert gaps(call) == [(60, 560, 500, "overflow"), (3600, 4100, 500, "overflow")]
    assert holes_ms(small, call) == [(60, 560), (3600, 4100)]
    assert call.ended["lost_ms"] == 1000


def test_each_overflow_is_a_gap_of_its_own(small: Scene) -> None:
    call = small.call().opens().media(3)
    small.passes()
    session = small.service.session
    for _ in range(2):
        session.takes(yes=False)
        call.media(75)
        session.takes(yes=True)
        small.passes()
    assert gaps(call) == [(60, 560, 500, "overflow"), (1560, 2060, 500, "overflow")]
    call.stops()
    small.passes()
    assert holes_ms(small, call) == [(60, 560), (1560, 2060)]


def test_what_overflowed_is_not_declared_again_when_the_session_is_lost(small: Scene) -> None:
    call = small.call().opens().media(3)
    small.passes()
    session = small.service.session
    session.takes(yes=False)
    call.media(75)
    session.takes(yes=True)
    session.takes(yes=False)
    call.media(60)
    session.break_off()
    small.passes()
    assert gaps(call) == [
        (60, 560, 500, "overflow"),
        (1560, 1760, 200, "overflow"),
        (0, 60, 60, "upstream"),
        (560, 1560, 1000, "upstream"),
        (1760, 2760, 1000, "upstream"),
    ]
    assert call.ended["lost_ms"] == 2760


# What the carrier loses, and what it delivers late


def test_a_jump_of_the_time_stamps_is_a_gap_of_the_carriers(scene: Scene) -> None:
    call = scene.call().opens().media(10).media(10, lost_ms=500)
    assert gaps(call) == [(200, 700, 500, "carrier")]
    scene.passes()
    scene.service.session.turn(0, start=100, end=200)
    scene.service.session.turn(1, start=200, end=300)
    assert call.of("turn", "start_ms", "end_ms") == [(100, 200), (700, 800)]
    call.stops()
    scene.passes()
    assert sent(scene) == call.heard["inbound"]
    assert scene.metric("turngate_gap_seconds_total", cause="carrier") == 0.5


def test_late_delivery_is_no_gap(scene: Scene) -> None:
    call = scene.call().opens().media(10)
    scene.passes(8)
    call.media(400).stops()
    scene.passes()
    assert gaps(call) == []
    assert sent(scene) == call.heard["inbound"]


# Idle


def test_a_session_without_audio_for_15_seconds_is_closed(scene: Scene) -> None:
    call = scene.call().opens().speaks(1)
    scene.passes(13.5)
    session = scene.service.session
    assert session.texts == []
    scene.passes(2)
    assert session.texts == ["Terminate"]
    assert not session.is_open
    assert sent(scene) == call.heard["inbound"]
    [(audio, seconds, billed)] = call.of("session.ended", "audio_seconds", "session_seconds", "billed_seconds")
    assert (audio, seconds) == (1.5, 2.5)
    assert 15 < billed < 17
    scene.passes(60)
    assert scene.service.attempts == 1
    assert call.outcome is None


def test_the_next_audio_opens_another_session_and_turns_count_on(scene: Scene) -> None:
    call = scene.call().opens().speaks(1)
    scene.service.session.turn(0, start=0, end=500)
    scene.passes(20)
    call.media(50, lost_ms=20_000)
    scene.passes()
    assert scene.service.attempts == 2
    scene.service.session.turn(0, start=0, end=500)
    assert call.of("turn", "turn", "start_ms", "end_ms", "offset_ms") == [(0, 0, 500, 0), (1, 21000, 21500, 21000)]
    call.stops()
    scene.passes()
    assert sent(scene) == call.heard["inbound"]
    assert call.of("session.started", "attempt") == [1, 2]
    assert call.ended["turns"] == 2
    assert call.ended["billed_seconds"] == pytest.approx(sum(call.of("session.ended", "billed_seconds")), abs=0.002)


def test_empty_frames_do_not_keep_a_paid_session_open(scene: Scene) -> None:
    call = scene.call().opens().media()
    for _ in range(16):
        scene.passes(1)
        call.media(size=0)
    assert scene.service.session.texts == ["Terminate"]
    call.stops()


def test_audio_during_an_idle_end_waits_for_the_next_session(scene: Scene) -> None:
    scene.service.next(terminates=5)
    call = scene.call().opens().speaks(1)
    scene.passes(16)
    call.media(20)
    scene.passes(1)
    assert scene.service.attempts == 1
    scene.passes(5)
    assert scene.service.attempts == 2
    call.stops()
    scene.passes()
    assert sent(scene) == call.heard["inbound"]
    assert gaps(call) == []


def test_stop_during_an_idle_end_opens_another_session_for_what_waits(scene: Scene) -> None:
    scene.service.next(terminates=5)
    call = scene.call().opens().speaks(1)
    scene.passes(16)
    call.media(20).stops()
    scene.passes(8)
    assert sent(scene) == call.heard["inbound"]
    assert scene.service.attempts == 2
    assert call.ended["lost_ms"] == 0


def test_an_idle_end_that_is_not_answered_costs_the_stream_nothing(scene: Scene) -> None:
    scene.service.next(terminates=None)
    call = scene.call().opens().speaks(1)
    scene.passes(27)
    assert scene.service.session.aborted
    assert "did not answer Terminate" in call.of("session.error", "message")[0]
    assert gaps(call) == []
    call.media(20)
    scene.passes()
    call.stops()
    scene.passes()
    assert call.outcome is Outcome.STOPPED
    assert sent(scene) == call.heard["inbound"]


def test_a_connection_that_breaks_during_an_idle_end_costs_the_stream_nothing(scene: Scene) -> None:
    scene.service.next(terminates=None)
    call = scene.call().opens().speaks(1)
    scene.passes(16)
    call.media(5)
    scene.service.session.break_off()
    scene.passes(1)
    assert scene.service.attempts == 2
    call.stops()
    scene.passes()
    assert call.outcome is Outcome.STOPPED
    assert sent(scene) == call.heard["inbound"]


def test_a_session_that_the_service_closes_for_want_of_audio_is_no_loss(scene: Scene) -> None:
    call = scene.call().opens().speaks(6)
    scene.passes(5)
    scene.service.session.error(3006, "Session closed due to inactivity")
    scene.service.session.close_with(3006)
    scene.passes(1)
    assert scene.service.attempts == 2
    call.stops()
    scene.passes()
    assert call.outcome is Outcome.STOPPED
    assert gaps(call) == []
    assert sent(scene) == call.heard["inbound"]


def test_sessions_that_end_before_they_took_audio_are_not_opened_without_end(scene: Scene) -> None:
    scene.service.always(begins=None)
    call = scene.call().opens().media(2)
    scene.passes(0.5)
    scene.service.session.error(3006, "Session closed due to inactivity")
    scene.service.session.close_with(3006)
    scene.passes(60)
    assert scene.service.attempts == 1
    assert call.outcome is Outcome.UNAVAILABLE


# A session that is lost


def test_what_a_pong_has_confirmed_is_not_lost(scene: Scene) -> None:
    call = scene.call().opens().speaks(8)
    session = scene.service.session
    [confirmed] = session.pings
    session.break_off()
    scene.passes()
    assert 5000 <= confirmed // 8 <= 6500
    assert gaps(call) == [(confirmed // 8, 8000, 8000 - confirmed // 8, "upstream")]
    assert call.outcome is Outcome.UNAVAILABLE
    assert call.ended["lost_ms"] == 8000 - confirmed // 8
    assert call.types[-4:] == ["session.error", "gap", "session.ended", "stream.ended"]
    assert call.of("session.ended", "audio_seconds", "session_seconds") == [(None, None)]


def test_the_end_of_a_final_turn_is_no_proof_that_the_audio_before_it_arrived(scene: Scene) -> None:
    call = scene.call().opens().speaks(2)
    scene.service.session.turn(0, start=500, end=2000)
    scene.service.session.break_off()
    scene.passes()
    assert gaps(call) == [(0, 2000, 2000, "upstream")]


def test_an_open_turn_becomes_final_when_its_session_is_lost(scene: Scene) -> None:
    call = scene.call().opens().speaks(1)
    scene.service.session.turn(0, "hello", start=0, end=300, final=False)
    scene.service.session.break_off()
    scene.passes()
    last = call.of("turn")[-1]
    assert (last["turn"], last["final"], last["text"], last["assemblyai"]) == (0, True, "hello", None)
    assert (last["start_ms"], last["end_ms"]) == (0, 300)
    assert call.ended["turns"] == 1


def test_losing_one_track_ends_the_stream_and_the_other_ends_in_order(scene: Scene) -> None:
    call = scene.call().opens("inbound", "outbound")
    for _ in range(50):
        call.media().media(track="outbound")
        scene.passes(0.02)
    first, second = sorted(scene.service.sessions, key=lambda session: session.audio[:9] != call.heard["inbound"][:9])
    first.break_off()
    scene.passes(0.1)
    second.turn(0, "goodbye", start=0, end=500)
    scene.passes()
    assert call.outcome is Outcome.UNAVAILABLE
    assert second.texts == ["Terminate"]
    assert not second.aborted
    assert call.of("turn", "track", "text") == [("outbound", "goodbye")]
    assert gaps(call, "outbound") == []
    assert second.audio.rstrip(b"\xff") == call.heard["outbound"]
    assert [lost for *_, lost, _ in gaps(call)] == [1000]
    assert call.of("session.ended", "track") == ["inbound", "outbound"]


def test_stop_and_then_a_lost_session_declares_what_waited(scene: Scene) -> None:
    call = scene.call().opens().media(3)
    scene.passes()
    scene.service.session.takes(yes=False)
    call.media(50).stops()
    scene.service.session.break_off()
    scene.passes()
    assert call.outcome is Outcome.STOPPED
    assert gaps(call) == [(0, 1060, 1060, "upstream")]
    assert scene.service.attempts == 1


def test_a_stop_that_finds_no_session_declares_everything(scene: Scene) -> None:
    scene.service.next(unreachable=True)
    call = scene.call().opens().media(5).stops()
    scene.passes()
    assert call.outcome is Outcome.STOPPED
    assert gaps(call) == [(0, 100, 100, "upstream")]
    assert call.of("session.ended") == []


def test_what_waits_at_stop_may_take_20_seconds_to_go_up(scene: Scene) -> None:
    call = scene.call().opens().media(6)
    scene.passes()
    session = scene.service.session
    session.takes(yes=False)
    call.media(50).stops()
    scene.passes(19)
    assert session.is_open
    scene.passes(3)
    assert session.aborted
    assert call.outcome is Outcome.STOPPED
    assert gaps(call) == [(120, 1120, 1000, "upstream")]
    assert call.of("session.error", "message") == ["The gateway dropped the session: time had run out."]
