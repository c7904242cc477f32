"""What waits for Redis: its order, its bound, and who goes when it is full."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.waiting import OVERHEAD, Entry, Kind, Waiting

SIZE = 100 + OVERHEAD
"""Bytes of each entry here."""


def entry(name: str, kind: Kind = Kind.STORE) -> Entry:
    return Entry(kind, "key", 60, 0.0, name, b"x" * 100)


def filled(limit: int, *names: str, kind: Kind = Kind.STORE) -> tuple[Waiting, int]:
    """With so many entries' room, and these put in; and how many were given up."""
    waiting = Waiting(limit * SIZE)
    return waiting, sum(waiting.put(entry(name, kind)) for name in names)


def held(waiting: Waiting) -> list[str]:
    """The names of all that waits, in order, which it does no more."""
    names = []
    while waiting:
        batch = waiting.begin(1000)
        names += [one.id for one in batch]
        waiting.done(len(batch))
    assert waiting.bytes == 0
    return names


def test_what_comes_first_goes_first() -> None:
    waiting, given_up = filled(10, "a", "b", "c")
    assert given_up == 0
    assert waiting.bytes == 3 * SIZE
    assert [one.id for one in waiting.begin(2)] == ["a", "b"]
    assert held(waiting) == ["a", "b", "c"]


def test_what_was_begun_goes_again_until_it_is_done() -> None:
    waiting, _ = filled(10, "a", "b", "c")
    waiting.begin(2)
    waiting.put(entry("d"))
    assert [one.id for one in waiting.begin(3)] == ["a", "b"]
    assert [one.id for one in waiting.begin(1)] == ["a"]
    waiting.done(1)
    assert [one.id for one in waiting.begin(3)] == ["b"]
    assert len(waiting) == 3
    assert held(waiting) == ["b", "c", "d"]


def test_live_only_events_go_first() -> None:
    waiting, given_up = filled(9, "a", "b", kind=Kind.TELL)
    given_up += sum(waiting.put(entry(name)) for name in "cdefghij")
    assert given_up == 2
    assert held(waiting) == list("cdefghij")


def test_a_flood_of_live_only_events_leaves_room_for_durable_ones() -> None:
    waiting, given_up = filled(16, *"abcdefghijklmnopqrst", kind=Kind.TELL)
    assert given_up == 6
    assert waiting.put(entry("durable")) == 0
    assert len(waiting) == 15


def test_then_the_oldest_durable_events_go() -> None:
    waiting, given_up = filled(3, *"abcde")
    assert given_up == 2
    assert held(waiting) == ["c", "d", "e"]


def test_what_was_begun_stays() -> None:
    waiting, _ = filled(3, "a", "b")
    waiting.begin(2)
    assert sum(waiting.put(entry(name)) for name in "cde") == 2
    assert held(waiting) == ["a", "b", "e"]


def test_the_newest_stays_even_if_it_is_beyond_the_limit_alone() -> None:
    waiting = Waiting(10)
    assert [waiting.put(entry(name)) for name in "abc"] == [0, 1, 1]
    assert held(waiting) == ["c"]


def test_a_renewal_is_no_event() -> None:
    waiting, given_up = filled(1, "a", kind=Kind.RENEW)
    assert (given_up, len(waiting)) == (0, 0), "there is no room"
    waiting, _ = filled(3, "a", "b", kind=Kind.RENEW)
    assert (waiting.events(), len(waiting)) == (0, 2)
    assert sum(waiting.put(entry(name)) for name in "cde") == 0
    assert held(waiting) == ["c", "d", "e"]


STEPS = st.lists(st.sampled_from([*Kind, "begin", "done"]), max_size=60)


@given(STEPS)
def test_whatever_happens_it_keeps_to_its_bound_and_counts_every_event(steps: list[Kind | str]) -> None:
    waiting, put, given_up, through = Waiting(8 * SIZE), 0, 0, 0
    for step in steps:
        if isinstance(step, Kind):
            put += step is not Kind.RENEW
            given_up += waiting.put(entry("", step))
        elif step == "begin":
            waiting.begin(3)
        else:
            before = waiting.events()
            waiting.done(1)
            through += before - waiting.events()
        assert waiting.bytes == len(waiting) * SIZE <= 8 * SIZE
        assert put == given_up + through + waiting.events()
