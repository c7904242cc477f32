"""Where audio lies: bytes of a track on the stream's timeline, session time on a track."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.protocol.timeline import LATEST_MS, MOST_BREAKS, Gap, Segments, SessionClock, TrackClock

FRAME = 160
"""20 ms of mu-law at 8 kHz."""


# Segments


def segments(*marks: tuple[int, int]) -> Segments:
    made = Segments()
    for x, y in marks:
        made.mark(x, y)
    return made


def test_without_a_mark_everything_lies_where_it_is() -> None:
    assert (Segments().at(5), Segments().at_end(5), Segments().at_end(0)) == (5, 5, 0)


def test_behind_a_break_everything_lies_further_on() -> None:
    made = segments((0, 0), (10, 100))
    assert [made.at(x) for x in (0, 9, 10, 11)] == [0, 9, 100, 101]


def test_audio_that_ends_at_a_break_ends_before_it() -> None:
    made = segments((0, 0), (10, 100))
    assert [made.at_end(x) for x in (0, 1, 9, 10, 11)] == [0, 1, 9, 10, 101]


def test_before_the_first_mark_there_is_only_its_place() -> None:
    made = segments((10, 100))
    assert [made.at(x) for x in (-5, 0, 10, 11)] == [100, 100, 100, 101]


def test_a_mark_at_the_place_of_the_last_one_replaces_it() -> None:
    made = segments((0, 0), (10, 50), (10, 100))
    assert [made.at(x) for x in (9, 10, 11)] == [9, 100, 101]


def test_a_mark_that_goes_straight_on_costs_nothing() -> None:
    made = segments((0, 5), (10, 15), (20, 25))
    assert made.at(30) == 35
    assert len(made._x) == 1


def test_a_range_falls_into_pieces_at_the_breaks_within_it() -> None:
    made = segments((0, 0), (10, 100), (20, 200))
    assert made.pieces(5, 25) == [(5, 10), (100, 110), (200, 205)]
    assert made.pieces(10, 20) == [(100, 110)]
    assert made.pieces(7, 7) == []
    assert Segments().pieces(3, 9) == [(3, 9)]


def test_of_very_many_breaks_the_oldest_are_forgotten() -> None:
    made = segments(*((n, 10 * n) for n in range(MOST_BREAKS + 3)))
    assert len(made._x) == MOST_BREAKS
    assert [made.at(x) for x in (0, 3, 4, MOST_BREAKS)] == [30, 30, 40, 10 * MOST_BREAKS]


jumps = st.lists(st.tuples(st.integers(1, 500), st.integers(0, 500)), max_size=20)
"""Pairs: so much that lies in a row, then so much that was left out."""


@given(jumps, st.integers(0, 500))
def test_every_byte_lies_where_it_was_put(jumps: list[tuple[int, int]], start: int) -> None:
    made = Segments()
    places: list[int] = []
    x, y = 0, start
    for run, skipped in [*jumps, (3, 0)]:
        made.mark(x, y)
        places += range(y, y + run)
        x, y = x + run, y + run + skipped
    assert [made.at(x) for x in range(len(places))] == places
    assert [made.at_end(x) for x in range(1, len(places) + 1)] == [place + 1 for place in places]


@given(jumps, st.data())
def test_pieces_are_the_same_bytes_without_what_lies_between(jumps: list[tuple[int, int]], data: st.DataObject) -> None:
    made = Segments()
    places: list[int] = []
    x = y = 0
    for run, skipped in [*jumps, (3, 0)]:
        made.mark(x, y)
        places += range(y, y + run)
        x, y = x + run, y + run + skipped
    start = data.draw(st.integers(0, len(places)))
    end = data.draw(st.integers(start, len(places)))
    assert [place for a, b in made.pieces(start, end) for place in range(a, b)] == places[start:end]


# TrackClock


def test_frames_follow_each_other_by_the_carriers_clock() -> None:
    clock = TrackClock()
    assert [clock.place(FRAME, stamp) for stamp in (0, 20, 40)] == [0, 0, 0]
    assert clock.received == 3 * FRAME
    assert [clock.ms_at(position) for position in (0, 159, 160, 480)] == [0, 19, 20, 60]


def test_the_timeline_begins_with_the_first_frames_time_stamp() -> None:
    clock = TrackClock()
    assert clock.place(FRAME, 5000) == 0
    assert (clock.ms_at(0), clock.ms_at_end(FRAME)) == (5000, 5020)


def test_without_time_stamps_frames_just_follow() -> None:
    clock = TrackClock()
    assert [clock.place(FRAME, None) for _ in range(3)] == [0, 0, 0]
    assert clock.ms_at(3 * FRAME) == 60


def test_a_frame_without_a_time_stamp_follows_the_one_before() -> None:
    clock = TrackClock()
    assert [clock.place(FRAME, stamp) for stamp in (100, None, 140, None)] == [0, 0, 0, 0]
    assert clock.ms_at(3 * FRAME) == 160


def test_a_jump_forward_is_a_gap_and_the_rest_lies_behind_it() -> None:
    clock = TrackClock()
    clock.place(FRAME, 0)
    assert clock.place(FRAME, 520) == Gap(from_ms=20, to_ms=520, lost_ms=500)
    assert clock.place(FRAME, 540) == 0
    assert [clock.ms_at(position) for position in (0, 159, 160, 320)] == [0, 19, 520, 540]
    assert clock.ms_at_end(160) == 20


def test_a_jump_within_the_jitter_is_nothing() -> None:
    clock = TrackClock(jitter_ms=60)
    assert [clock.place(FRAME, stamp) for stamp in (0, 80, 40, 60)] == [0, 0, 0, 0]
    assert clock.ms_at(4 * FRAME) == 80


def test_small_losses_add_up_until_they_are_told_in_one() -> None:
    clock = TrackClock(jitter_ms=60)
    told = [clock.place(FRAME, stamp) for stamp in (0, 45, 90, 135, 155)]
    assert told == [0, 0, 0, Gap(from_ms=60, to_ms=135, lost_ms=75), 0]


def test_a_carriers_clock_that_is_a_little_fast_is_corrected_now_and_then() -> None:
    clock = TrackClock(jitter_ms=60)
    told = [clock.place(FRAME, n * 21) for n in range(123)]
    assert [found for found in told if found] == [Gap(1220, 1281, 61), Gap(2501, 2562, 61)]


def test_a_carriers_clock_that_is_a_little_slow_is_never_odd() -> None:
    clock = TrackClock(jitter_ms=60)
    assert {clock.place(FRAME, n * 19) for n in range(1000)} == {0}
    assert clock.ms_at_end(clock.received) == 20_000


def test_odd_frame_sizes_keep_gaps_exact() -> None:
    clock = TrackClock()
    clock.place(163, 0)
    # 20.375 ms were there: of the 479.625 ms that are missing, 479 are whole.
    assert clock.place(1, 500) == Gap(from_ms=21, to_ms=500, lost_ms=479)
    assert clock.timeline.at(163) == 4000


def test_a_time_stamp_that_runs_backward_is_told_once_and_the_audio_follows() -> None:
    clock = TrackClock()
    told = [clock.place(FRAME, stamp) for stamp in (1000, 1020, 0, 20, 40)]
    assert told == [0, 0, -1040 * 8, 0, 0]
    assert clock.ms_at(5 * FRAME) == 1100


def test_one_stale_time_stamp_is_no_gap_afterwards() -> None:
    clock = TrackClock()
    told = [clock.place(FRAME, stamp) for stamp in (1000, 1020, 20, 1060, 1080)]
    assert told == [0, 0, -1020 * 8, 0, 0]
    assert clock.ms_at(5 * FRAME) == 1100


def test_frames_that_changed_places_are_no_gap() -> None:
    clock = TrackClock()
    assert [clock.place(FRAME, stamp) for stamp in (0, 60, 20, 40, 80)] == [0, 0, 0, 0, 0]
    assert [clock.place(FRAME, stamp) for stamp in (100, 160, 120, 140)] == [0, 0, 0, 0]


def test_once_the_time_stamps_have_caught_up_a_loss_shows_again() -> None:
    clock = TrackClock()
    for stamp in (1000, 0, 20):
        clock.place(FRAME, stamp)
    assert clock.place(FRAME, 1120) == 0, "the timeline is at 1060, within the jitter"
    assert clock.place(FRAME, 1400) == Gap(from_ms=1080, to_ms=1400, lost_ms=320)


@pytest.mark.parametrize("stamp", [LATEST_MS + 1, 1_795_190_400_000, 10**18])
def test_a_time_stamp_that_no_call_can_have_is_none(stamp: int) -> None:
    clock = TrackClock()
    assert clock.place(FRAME, stamp) == stamp * 8
    assert clock.place(FRAME, stamp + 20) == (stamp + 20) * 8 - FRAME
    assert clock.place(FRAME, 40) == 0
    assert clock.ms_at(3 * FRAME) == 60


def test_the_latest_time_stamp_is_the_longest_calls() -> None:
    clock = TrackClock()
    clock.place(FRAME, 0)
    assert clock.place(FRAME, LATEST_MS) == Gap(20, LATEST_MS, LATEST_MS - 20)


def test_an_empty_frame_takes_no_room() -> None:
    clock = TrackClock()
    assert [clock.place(size, stamp) for size, stamp in ((160, 0), (0, 20), (160, 20))] == [0, 0, 0]
    assert (clock.received, clock.ms_at(160)) == (320, 20)


frames = st.lists(st.tuples(st.integers(1, 400), st.sampled_from([0, 0, 0, 0, 61, 100, 5000])), min_size=1, max_size=40)
"""Sizes in bytes, and how many milliseconds got lost before the frame."""


@given(frames, st.integers(0, 10_000))
def test_what_is_declared_lost_is_what_is_missing_to_the_millisecond(frames: list[tuple[int, int]], first: int) -> None:
    clock, lost = TrackClock(), 0
    true_end = first * 8
    for number, (size, lost_ms) in enumerate(frames):
        if number:
            true_end += lost_ms * 8
        stamp = true_end // 8
        found = clock.place(size, stamp)
        true_end += size
        if isinstance(found, Gap):
            assert found.to_ms - found.from_ms == found.lost_ms > 0
            assert found.to_ms == stamp
            lost += found.lost_ms
        else:
            assert found == 0
        # A frame begins where its stamp says: to the jitter, and the fraction of a millisecond that stamps do not have.
        assert abs(clock.timeline.at(clock.received - size) - stamp * 8) <= 60 * 8 + 7
    # What lies on the timeline is what was received and what was declared, but for fractions of a millisecond a gap.
    spanned = clock.timeline.at_end(clock.received) - first * 8
    gaps = sum(lost_ms > 60 for _, lost_ms in frames)
    assert 0 <= spanned - clock.received - lost * 8 <= 7 * gaps


@given(st.lists(st.tuples(st.integers(0, 400), st.none() | st.integers(0, 10**18)), max_size=40))
def test_whatever_the_stamps_say_the_timeline_never_runs_backward(frames: list[tuple[int, int | None]]) -> None:
    clock = TrackClock()
    for size, stamp in frames:
        clock.place(size, stamp)
    assert clock.received == sum(size for size, _ in frames)
    places = [clock.timeline.at(position) for position in range(0, clock.received, 50)]
    assert places == sorted(places)
    assert not places or 0 <= places[0] <= places[-1] <= LATEST_MS * 8 + clock.received


# SessionClock


def heard(*stamps: int) -> TrackClock:
    """A track's clock after frames of 20 ms with these time stamps."""
    clock = TrackClock()
    for stamp in stamps:
        clock.place(FRAME, stamp)
    return clock


def test_the_first_sessions_time_is_the_tracks() -> None:
    clock = SessionClock(heard(*range(0, 1000, 20)), start=0)
    assert (clock.start_ms(120), clock.end_ms(480)) == (120, 480)


def test_a_session_that_began_in_the_middle_counts_from_there() -> None:
    clock = SessionClock(heard(*range(5000, 6000, 20)), start=25 * FRAME)
    assert (clock.start_ms(0), clock.start_ms(120), clock.end_ms(480)) == (5500, 5620, 5980)


def test_a_word_at_a_gap_of_the_carriers_ends_before_it_and_begins_behind_it() -> None:
    clock = SessionClock(heard(0, 20, 40, 560, 580), start=0)
    assert (clock.start_ms(40), clock.end_ms(60)) == (40, 60)
    assert (clock.start_ms(60), clock.end_ms(80)) == (560, 580)
    assert (clock.start_ms(40), clock.end_ms(80)) == (40, 580), "one that goes over it spans it"


def test_a_word_behind_audio_that_overflowed_lies_further_on() -> None:
    clock = SessionClock(heard(*range(0, 1000, 20)), start=0)
    clock.sent(2 * FRAME, 10 * FRAME)
    assert (clock.start_ms(20), clock.end_ms(40)) == (20, 40)
    assert (clock.start_ms(40), clock.end_ms(60)) == (200, 220)
    assert clock.pieces(FRAME, 3 * FRAME) == [(FRAME, 2 * FRAME), (10 * FRAME, 11 * FRAME)]


def test_overflow_that_goes_on_is_one_break() -> None:
    clock = SessionClock(heard(*range(0, 1000, 20)), start=0)
    for position in range(3 * FRAME, 10 * FRAME + 1, FRAME):
        clock.sent(2 * FRAME, position)
    assert clock.start_ms(40) == 200
    assert len(clock._sent._x) == 2


def test_time_before_the_session_is_its_beginning() -> None:
    clock = SessionClock(heard(*range(0, 1000, 20)), start=5 * FRAME)
    assert (clock.start_ms(-300), clock.end_ms(-300)) == (100, 100)


@given(jumps, jumps)
def test_every_moment_of_a_session_comes_back_to_the_frame_it_was_in(
    losses: list[tuple[int, int]], overflows: list[tuple[int, int]]
) -> None:
    track, stamp, stamps = TrackClock(), 0, []
    for run, lost in [*losses, (600, 0)]:
        for _ in range(run % 20 + 1):
            track.place(FRAME, stamp)
            stamps.append(stamp)
            stamp += 20
        stamp += (lost + 61) if lost else 0
    session, frame, sent = SessionClock(track, start=0), 0, 0
    frames = []
    for run, dropped in overflows:
        for _ in range(run % 5 + 1):
            frames.append(frame)
            frame, sent = frame + 1, sent + FRAME
        frame += dropped % 7
        session.sent(sent, frame * FRAME)
    for n, frame in enumerate(frames):
        if frame < len(stamps):
            assert session.start_ms(20 * n) == stamps[frame]
            assert session.end_ms(20 * n + 20) == stamps[frame] + 20
            assert session.pieces(n * FRAME, (n + 1) * FRAME) == [(frame * FRAME, (frame + 1) * FRAME)]
