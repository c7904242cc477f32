"""What is lost is declared once."""

from typing import Any

import pytest

from gateway import events
from gateway.losses import Losses
from gateway.metrics import Metrics
from gateway.protocol.timeline import Gap, TrackClock


class Owner:
    """Keeps what is published."""

    def __init__(self) -> None:
        self.gaps: list[tuple[int, int, int, str]] = []

    def publish(self, kind: type[events.Event], /, **fields: Any) -> None:
        assert kind is events.Gap
        self.gaps.append((fields["from_ms"], fields["to_ms"], fields["lost_ms"], fields["cause"]))


@pytest.fixture
def owner() -> Owner:
    return Owner()


@pytest.fixture
def losses(owner: Owner) -> Losses:
    clock = TrackClock()
    clock.place(8000, 0)
    clock.place(8000, 5000)
    return Losses("inbound", owner, Metrics(), clock)


def test_ranges_that_touch_are_one_gap(losses: Losses, owner: Owner) -> None:
    losses.unheard([(0, 80), (80, 160), (160, 160), (240, 320)])
    assert owner.gaps == [(0, 20, 20, "upstream"), (30, 40, 10, "upstream")]
    assert losses.lost_ms == 30


@pytest.mark.parametrize("ranges", [[], [(5, 5)], [(0, 0), (0, 0), (9, 9)]])
def test_nothing_lost_is_not_declared(losses: Losses, owner: Owner, ranges: list[tuple[int, int]]) -> None:
    losses.unheard(ranges)
    losses.end_overflow(100)
    assert owner.gaps == []


def test_a_gap_around_a_jump_of_the_carriers_counts_only_what_was_received(losses: Losses, owner: Owner) -> None:
    losses.unheard([(4000, 12000)])
    assert owner.gaps == [(500, 5500, 1000, "upstream")]


def test_an_overflow_lasts_until_it_is_ended(losses: Losses, owner: Owner) -> None:
    for start in (800, 960, 1120):
        losses.overflowed(start)
    losses.end_overflow(1280)
    losses.end_overflow(9999)
    assert owner.gaps == [(100, 160, 60, "overflow")]


def test_what_the_carrier_lost_is_declared_as_it_is(losses: Losses, owner: Owner) -> None:
    losses.declare(Gap(1000, 5000, 4000), "carrier")
    assert owner.gaps == [(1000, 5000, 4000, "carrier")]
    assert losses.lost_ms == 4000
