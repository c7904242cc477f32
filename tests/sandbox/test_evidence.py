"""gateway.sandbox.evidence: whether what a subscriber saw is right."""

from datetime import datetime

import pytest

from gateway.events import AnyEvent
from gateway.sandbox.evidence import Evidence, agreement, faults_of
from tests.telling import STARTED_AT, Teller, message

EXPECTED = {"inbound": ["hello", "there"], "outbound": ["yes"]}


def seen(told: list[AnyEvent], *, live: bool = True, received: str = STARTED_AT) -> Evidence:
    evidence = Evidence()
    for event in told:
        evidence.take(message(event, live=live), event, datetime.fromisoformat(received))
    return evidence


def a_call(teller: Teller) -> list[AnyEvent]:
    return [
        teller.started(),
        teller.turn("hello", 0, final=False),
        teller.turn("Hello there.", 0),
        teller.turn("yes", 0, track="outbound"),
        teller.ended(),
    ]


def test_what_is_right_has_no_faults() -> None:
    evidence = seen(a_call(Teller()))
    assert evidence.words() == EXPECTED
    assert faults_of(evidence, EXPECTED, exact=True) == []


def test_words_that_differ_are_named() -> None:
    expected = {**EXPECTED, "inbound": ["hello", "over", "there", "friend"]}
    (fault,) = faults_of(seen(a_call(Teller())), expected, exact=True)
    assert fault == "the caller's words differ: “over” came as “”; “friend” came as “”"


def test_loosely_half_of_the_words_are_enough() -> None:
    evidence = seen(a_call(Teller()))
    assert faults_of(evidence, {"inbound": ["hello", "there", "my", "friend"]}, exact=False) == []
    (fault,) = faults_of(evidence, {"inbound": ["hello", "my", "old", "good", "friend"]}, exact=False)
    assert fault == "only 20% of the caller's words agree"
    assert agreement([], []) == 0.0


def test_a_hole_in_the_numbers_is_a_fault() -> None:
    told = a_call(Teller())
    del told[2]
    faults = faults_of(seen(told), {}, exact=True)
    assert faults == ["durable events are not numbered 1, 2, 3 … without a hole, but [1, 3, 4]"]


@pytest.mark.parametrize(
    ("last", "fault"),
    [
        (None, "the stream never ended (there was no stream.ended)"),
        (("upstream_error", "unavailable"), "ended as upstream error (unavailable), not completed"),
    ],
)
def test_another_end_is_a_fault(last: tuple[str, str] | None, fault: str) -> None:
    teller = Teller()
    told = [teller.started(), *([teller.ended(*last)] if last else [])]
    (found,) = faults_of(seen(told), {}, exact=True)
    assert fault in found


def test_events_after_the_last_one_are_a_fault() -> None:
    teller = Teller()
    told = [*a_call(teller), teller.turn("late", 3)]
    (fault,) = faults_of(seen(told), {}, exact=True)
    assert fault == "stream.ended says that its last event is 4, but 5 came"


def test_the_delay_is_of_live_events_only() -> None:
    told = a_call(Teller())
    assert seen(told, live=False).latency() == "not measured: nothing came live"
    late = seen(told, received="2026-11-20T12:00:00.004+00:00")
    assert late.latency() == "4.0 ms in the middle, 4.0 ms at worst, of 5 events"
