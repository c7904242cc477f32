"""The clock's eye on a carrier."""

import pytest

from gateway.errors import Outcome
from gateway.watch import CarrierLimits, Watch

SECOND = 8000
"""Bytes of mu-law."""


def look(watch: Watch, now: float, *, messages: int = 0, audio: float = 0, started: bool = True) -> Outcome | None:
    breach = watch.look(now, messages=messages, audio=int(audio * SECOND), started=started)
    return breach.outcome if breach else None


@pytest.fixture
def watch() -> Watch:
    return Watch(CarrierLimits(), 100.0)


def test_a_start_has_10_seconds(watch: Watch) -> None:
    assert look(watch, 109.9, started=False) is None
    assert look(watch, 110.0, started=False) is Outcome.HANDSHAKE_TIMEOUT


def test_messages_do_not_replace_a_start(watch: Watch) -> None:
    assert look(watch, 109.0, messages=5, started=False) is None
    assert look(watch, 110.0, messages=6, started=False) is Outcome.HANDSHAKE_TIMEOUT


def test_60_seconds_of_nothing_are_too_long(watch: Watch) -> None:
    assert look(watch, 101, messages=1) is None
    assert look(watch, 160.9, messages=1) is None
    assert look(watch, 161, messages=1) is Outcome.TIMEOUT


def test_any_message_counts(watch: Watch) -> None:
    for minute in range(1, 60):
        assert look(watch, 100 + minute * 59, messages=minute) is None


def test_a_day_is_too_long(watch: Watch) -> None:
    assert look(watch, 100 + 86_399, messages=1) is None
    assert look(watch, 100 + 86_400, messages=2) is Outcome.LIMIT


def test_a_ping_is_due_every_20_seconds(watch: Watch) -> None:
    assert [now for now in range(100, 170) if watch.ping_due(now)] == [120, 140, 160]


def test_more_than_4_times_real_time_for_5_seconds_is_too_fast(watch: Watch) -> None:
    said = [look(watch, 100 + n, messages=n, audio=4.1 * n) for n in range(1, 7)]
    assert said == [None, None, None, None, Outcome.TOO_FAST, Outcome.TOO_FAST]


def test_4_times_real_time_is_not_too_fast(watch: Watch) -> None:
    assert {look(watch, 100 + n, messages=n, audio=4 * n) for n in range(1, 60)} == {None}


def test_a_burst_after_a_stall_is_not_too_fast(watch: Watch) -> None:
    audio = [0, 30, 31, 32, 33, 34, 35, 65, 66]
    assert {look(watch, 101 + n, messages=n, audio=heard) for n, heard in enumerate(audio)} == {None}


def test_a_second_of_rest_begins_the_count_anew(watch: Watch) -> None:
    audio = 0.0
    for n in range(1, 30):
        audio += 1 if n % 5 == 0 else 10
        assert look(watch, 100 + n, messages=n, audio=audio) is None


@pytest.mark.parametrize(("a_second", "outcome"), [(400, None), (401, Outcome.TOO_FAST), (10_000, Outcome.TOO_FAST)])
def test_messages_of_any_kind_count_too_100_are_real_time(watch: Watch, a_second: int, outcome: Outcome | None) -> None:
    said = [look(watch, 100 + n, messages=a_second * n) for n in range(1, 6)]
    assert said == [None, None, None, None, outcome]


def test_audio_and_messages_may_take_turns_in_being_too_fast(watch: Watch) -> None:
    audio = [10, 10, 20, 20, 30]
    messages = [1, 900, 901, 1800, 1801]
    said = [look(watch, 101 + n, messages=messages[n], audio=audio[n]) for n in range(5)]
    assert said == [None, None, None, None, Outcome.TOO_FAST]


def test_a_flood_before_the_start_is_too_fast(watch: Watch) -> None:
    said = [look(watch, 100 + n, messages=500 * n, started=False) for n in range(1, 6)]
    assert said[-1] is Outcome.TOO_FAST


def test_a_breach_says_which_limit_it_was(watch: Watch) -> None:
    breach = watch.look(110, messages=1, audio=0, started=False)
    assert breach is not None
    assert breach.detail == "no start came within 10 seconds"
