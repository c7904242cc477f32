"""gateway.sandbox.caller.playout: a mark comes back when the audio before it has been played."""

from gateway.sandbox.caller.playout import MAX_MARKS, Playout


def test_a_mark_with_nothing_queued_comes_back_at_once() -> None:
    playout = Playout()
    assert playout.next_due() is None
    playout.mark("a", 3.0)
    assert playout.next_due() == 3.0
    assert playout.pop_due(3.0) == ["a"]
    assert playout.next_due() is None


def test_a_mark_waits_for_the_audio_before_it_and_not_for_that_behind_it() -> None:
    playout = Playout()
    playout.media(8000, 1.0)
    playout.media(4000, 1.0)
    playout.mark("a", 1.1)
    playout.media(8000, 1.2)
    playout.mark("b", 1.2)
    assert playout.next_due() == 2.5
    assert playout.pop_due(2.4) == []
    assert playout.pop_due(2.5) == ["a"]
    assert playout.pop_due(3.5) == ["b"]


def test_audio_after_a_pause_begins_when_it_comes() -> None:
    playout = Playout()
    playout.media(8000, 0.0)
    playout.media(8000, 5.0)
    playout.mark("a", 5.0)
    assert playout.next_due() == 6.0


def test_clear_returns_every_mark_and_forgets_the_audio() -> None:
    playout = Playout()
    playout.media(80_000, 0.0)
    playout.mark("a", 0.0)
    playout.mark("b", 0.0)
    playout.clear(1.0)
    assert playout.pop_due(1.0) == ["a", "b"]
    playout.mark("c", 1.0)
    assert playout.pop_due(1.0) == ["c"]


def test_with_too_many_marks_the_oldest_comes_back_early() -> None:
    playout = Playout()
    playout.media(8000, 0.0)
    for number in range(MAX_MARKS + 1):
        playout.mark(str(number), 0.0)
    assert playout.pop_due(0.0) == ["0"]
