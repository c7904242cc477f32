"""Events are numbered without holes."""

from datetime import UTC, datetime
from typing import Any

import pytest
from msgspec import UNSET, Raw

from gateway import events
from gateway.journal import Journal


class Outbox:
    """What was written. It refuses what it is told to."""

    def __init__(self) -> None:
        self.events: list[Any] = []
        self.refuses = False

    def __call__(self, event: events.Event) -> None:
        if self.refuses:
            raise ValueError("no")
        self.events.append(event)


@pytest.fixture
def outbox() -> Outbox:
    return Outbox()


@pytest.fixture
def journal(outbox: Outbox) -> Journal:
    return Journal(outbox, lambda: datetime(2026, 11, 20, 12, 0, 0, 123456, UTC), "CA1", "MZ1")


def dtmf(journal: Journal) -> None:
    journal.write(events.Dtmf, digit="1", track="inbound")


def speech(journal: Journal) -> None:
    journal.write(events.SpeechStarted, track="inbound", at_ms=0)


def test_durable_events_count_up_and_live_ones_lie_between(journal: Journal, outbox: Outbox) -> None:
    for write in (speech, dtmf, speech, speech, dtmf, speech):
        write(journal)
    epoch = journal.epoch
    assert [event.id for event in outbox.events] == [
        f"MZ1:{epoch}:{number}" for number in ("0:1", "1", "1:1", "1:2", "2", "2:1")
    ]
    assert [event.part for event in outbox.events] == [1, UNSET, 1, 2, UNSET, 1]
    assert journal.seq == 2


def test_a_turn_is_durable_once_it_is_final(journal: Journal, outbox: Outbox) -> None:
    fields = {"track": "inbound", "turn": 0, "formatted": False, "text": "hello", "assemblyai": Raw(b"{}")}
    times = {"start_ms": None, "end_ms": None, "offset_ms": None}
    for final in (False, True, False):
        journal.write(events.Turn, final=final, **fields, **times)
    assert [(event.seq, event.part) for event in outbox.events] == [(0, 1), (1, UNSET), (1, 1)]


def test_every_event_bears_the_names_and_the_time(journal: Journal, outbox: Outbox) -> None:
    dtmf(journal)
    [event] = outbox.events
    assert (event.call_id, event.stream_id, event.at) == ("CA1", "MZ1", "2026-11-20T12:00:00.123Z")


def test_an_event_that_could_not_be_written_leaves_no_hole(journal: Journal, outbox: Outbox) -> None:
    dtmf(journal)
    outbox.refuses = True
    for write in (dtmf, speech):
        with pytest.raises(ValueError, match="no"):
            write(journal)
    outbox.refuses = False
    speech(journal)
    dtmf(journal)
    assert [(event.seq, event.part or 0) for event in outbox.events] == [(1, 0), (1, 1), (2, 0)]


def test_two_owners_of_a_stream_never_write_the_same_id() -> None:
    epochs = {Journal(Outbox(), lambda: datetime.now(UTC), "CA1", "MZ1").epoch for _ in range(100)}
    assert len(epochs) == 100
