"""Frames to lawful chunks, and the backlog."""

import audioop

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.protocol.audio import MULAW_SILENCE, Backlog, ChunkRule

FRAME = 160
"""20 ms of mu-law at 8 kHz."""


def speech(size: int, start: int = 0) -> bytes:
    """Bytes that tell where they are from: a period of 251 fits into no frame."""
    return bytes((start + n) % 251 for n in range(size))


def test_three_frames_of_20_ms_make_a_chunk_of_60() -> None:
    backlog = Backlog(ChunkRule.mulaw())
    audio = speech(4 * FRAME)
    taken = []
    for n in range(4):
        assert backlog.append(audio[n * FRAME : (n + 1) * FRAME]) == 0
        taken.append(backlog.take())
    assert taken == [None, None, audio[: 3 * FRAME], None]
    assert (len(backlog), backlog.start) == (FRAME, 3 * FRAME)


def test_what_has_gathered_goes_in_one_chunk_up_to_a_second() -> None:
    backlog = Backlog(ChunkRule.mulaw())
    audio = speech(8000)
    backlog.append(audio)
    assert (backlog.take(), backlog.take()) == (audio, None)


def test_more_than_a_second_is_cut_between_frames() -> None:
    backlog = Backlog(ChunkRule.mulaw(chunk_ms=60))
    audio = speech(103 * FRAME)
    backlog.append(audio)
    chunks = [backlog.take(), backlog.take(), backlog.take(), backlog.take()]
    assert [chunk and len(chunk) for chunk in chunks] == [48 * FRAME, 48 * FRAME, 7 * FRAME, None]
    assert b"".join(filter(None, chunks)) == audio


@pytest.mark.parametrize("chunk_ms", [50, 60, 100, 1000])
def test_a_chunk_is_never_smaller_than_the_target(chunk_ms: int) -> None:
    backlog = Backlog(ChunkRule.mulaw(chunk_ms=chunk_ms))
    backlog.append(speech(chunk_ms * 8 - 1))
    assert backlog.take() is None
    backlog.append(b"\x01")
    chunk = backlog.take()
    assert chunk is not None
    assert len(chunk) == chunk_ms * 8


def test_a_short_tail_is_filled_up_with_silence() -> None:
    backlog = Backlog(ChunkRule.mulaw())
    backlog.append(speech(FRAME))
    tail, real = backlog.take_tail()
    assert (tail, real) == (speech(FRAME) + MULAW_SILENCE * (480 - FRAME), FRAME)
    assert (len(backlog), backlog.start) == (0, FRAME)


def test_a_tail_that_is_lawful_by_itself_stays_as_it_is() -> None:
    backlog = Backlog(ChunkRule.mulaw(chunk_ms=100))
    backlog.append(speech(799))
    assert backlog.take() is None
    assert backlog.take_tail() == (speech(799), 799)


def test_without_audio_there_is_no_tail() -> None:
    backlog = Backlog(ChunkRule.mulaw())
    assert backlog.take_tail() == (b"", 0)
    assert not backlog


def test_what_is_let_go_of_is_behind() -> None:
    backlog = Backlog(ChunkRule.mulaw())
    backlog.append(speech(700))
    backlog.clear()
    assert (len(backlog), backlog.start, backlog.take()) == (0, 700, None)


def test_overflow_drops_the_oldest_and_says_how_much() -> None:
    backlog = Backlog(ChunkRule.mulaw(backlog_seconds=1))
    audio = speech(8000 + 100)
    assert backlog.append(audio[:7990]) == 0
    assert backlog.append(audio[7990:8000]) == 0
    assert backlog.append(audio[8000:]) == 100
    assert (len(backlog), backlog.start) == (8000, 100)
    assert backlog.take() == audio[100:]


def test_a_frame_larger_than_the_backlog_leaves_its_end() -> None:
    backlog = Backlog(ChunkRule.mulaw(backlog_seconds=1))
    backlog.append(b"\x01" * 7)
    assert backlog.append(speech(20_000)) == 7 + 12_000
    assert backlog.take() == speech(20_000)[-8000:]


def test_silence_is_silence() -> None:
    assert audioop.ulaw2lin(MULAW_SILENCE, 2) == b"\0\0"
    assert audioop.ulaw2lin(b"\0", 2) != b"\0\0"


@pytest.mark.parametrize(
    ("target", "least", "most", "limit"),
    [(0, 480, 8000, 8000), (8001, 480, 8000, 9000), (480, 480, 8000, 479), (480, 8001, 8000, 8000)],
)
def test_a_rule_that_no_chunk_can_follow_is_refused(target: int, least: int, most: int, limit: int) -> None:
    with pytest.raises(ValueError, match="fit into a message and into the backlog"):
        ChunkRule(target=target, least=least, most=most, limit=limit)


steps = st.lists(
    st.one_of(st.just(FRAME), st.integers(0, 700), st.integers(7000, 20_000), st.just("take"), st.just("tail")),
    max_size=60,
)


@given(steps, st.integers(50, 1000), st.integers(1, 3))
def test_nothing_is_altered_nothing_changes_places_and_every_chunk_is_lawful(
    steps: list[int | str], chunk_ms: int, seconds: int
) -> None:
    backlog = Backlog(ChunkRule.mulaw(chunk_ms=chunk_ms, backlog_seconds=seconds))
    position = 0
    held = b""
    for step in steps:
        if isinstance(step, int):
            frame = speech(step, start=position)
            position += step
            held += frame
            dropped = backlog.append(frame)
            assert dropped == max(len(held) - seconds * 8000, 0)
            held = held[dropped:]
        else:
            while (chunk := backlog.take()) is not None:
                assert 400 <= len(chunk) <= 8000
                assert held.startswith(chunk)
                held = held[len(chunk) :]
            assert len(held) < chunk_ms * 8
        if step == "tail":
            tail, real = backlog.take_tail()
            assert tail == held + MULAW_SILENCE * (len(tail) - real)
            assert not tail or 400 <= len(tail) <= 8000
            held = b""
        assert len(backlog) == len(held)
        assert backlog.start == position - len(held)
