"""Faults of a session, without sockets: what it does not say, and when it goes on."""

from __future__ import annotations

import math

import pytest

from gateway.sandbox.emulator.agenda import Abort, Close, Freeze, StopReading
from gateway.sandbox.emulator.choices import Ending, Fault, Moment
from tests.sandbox.emulator.fakes import U3, Driven, script


def test_begin_may_never_come_and_then_nothing_does() -> None:
    session = Driven(U3, script("one"), begin_never=True)
    session.audio(3000)
    session.say(type="Terminate")
    session.wait(86_400)
    assert session.actions == []
    assert session.session.due() == math.inf


def test_a_stalled_session_hears_and_says_nothing() -> None:
    session = Driven(U3, script("one"), fault=Fault.STALL)
    session.audio(3000)
    session.say(type="Terminate")
    session.wait(86_400)
    assert session.types == ["Begin"]
    assert [word.text for word in session.record.words] == ["one"]


def test_after_a_stall_everything_comes_in_order() -> None:
    session = Driven(U3, script("one"), fault=Fault.STALL, fault_seconds=5)
    session.audio(3000)
    session.say(type="Terminate")
    session.wait(4.9)
    assert session.types == ["Begin"]
    session.wait(0.2)
    assert session.types == ["Begin", "SpeechStarted", "Turn", "Turn", "Termination"]


@pytest.mark.parametrize(
    ("ending", "types", "closes"),
    [
        (Ending.SILENT, ["Begin"], []),
        (Ending.NO_CLOSE, ["Begin", "Termination"], []),
        (Ending.NO_TERMINATION, ["Begin"], [Close(1000, "Session Ended")]),
        (Ending.DROP, ["Begin"], [Abort()]),
    ],
)
def test_terminate_is_answered_in_other_ways(ending: Ending, types: list[str], closes: list[object]) -> None:
    session = Driven(U3, ending=ending)
    session.say(type="Terminate")
    session.wait(86_400)
    assert session.types == types
    assert [action for action in session.actions if isinstance(action, Close | Abort)] == closes


@pytest.mark.parametrize(
    ("fault", "action"),
    [
        (Fault.SLOW_READER, StopReading(3.0)),
        (Fault.HALF_OPEN, Freeze()),
        (Fault.DROP, Abort()),
        (Fault.CLOSE, Close(3005, "")),
    ],
)
def test_a_fault_happens_once_at_its_audio(fault: Fault, action: object) -> None:
    session = Driven(U3, fault=fault, fault_after_ms=500, fault_seconds=3)
    session.audio(400)
    assert session.types == ["Begin"]
    assert len(session.actions) == 1
    session.audio(1000)
    assert session.actions[1:] == [action]


def test_a_fault_at_connect_comes_before_begin() -> None:
    session = Driven(U3, fault=Fault.ERROR, fault_at=Moment.CONNECT)
    assert session.types == ["Error"]
    assert session.close == Close(3005, "See Error message for details")
