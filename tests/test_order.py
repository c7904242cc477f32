"""gateway.order: how an event fits behind what was delivered, and when a call is over."""

import pytest

from gateway import events
from gateway.order import Lanes, Life, Message, Place
from tests.telling import Teller, message


def fits(lanes: Lanes, *told: Message) -> list[Place]:
    """How each fits; what is next is delivered."""
    places = []
    for one in told:
        places.append(lanes.place(one))
        if places[-1] is Place.NEXT:
            lanes.deliver(one)
    return places


def test_durable_events_and_parts_follow_one_another() -> None:
    teller = Teller()
    told = [teller.started(), teller.turn("a", final=False), teller.turn("a b", final=False), teller.turn("a b c")]
    assert fits(Lanes(), *map(message, told)) == [Place.NEXT] * 4


def test_what_was_seen_is_seen_once() -> None:
    teller = Teller()
    first, second = message(teller.started()), message(teller.turn("a"))
    assert fits(Lanes(), first, second, first, second)[2:] == [Place.SEEN, Place.SEEN]


def test_a_partial_behind_its_final_is_seen() -> None:
    teller = Teller()
    told = [message(e) for e in (teller.started(), teller.turn("a", final=False), teller.turn("a b"))]
    assert fits(Lanes(), told[0], told[2], told[1])[2] is Place.SEEN


def test_a_missing_part_is_no_loss() -> None:
    teller = Teller()
    first, _, second = teller.started(), teller.turn("a", final=False), teller.turn("a b", final=False)
    assert fits(Lanes(), message(first), message(second)) == [Place.NEXT, Place.NEXT]


def test_a_missing_number_is_noticed_by_the_next_event_whether_durable_or_not() -> None:
    teller = Teller()
    first, _, partial, final = teller.started(), teller.turn("a"), teller.turn("b", 1, final=False), teller.turn("b", 1)
    assert fits(Lanes(), message(first), message(partial), message(final)) == [Place.NEXT, Place.AHEAD, Place.AHEAD]


def test_streams_and_epochs_are_numbered_on_their_own() -> None:
    lanes = Lanes()
    for teller in (Teller(), Teller(stream_id="MZ2"), Teller(epoch="e2")):
        assert fits(lanes, message(teller.started()), message(teller.turn("a"))) == [Place.NEXT] * 2


def test_what_is_passed_over_is_counted_but_not_a_history_cut_at_its_beginning() -> None:
    teller, lanes = Teller(), Lanes()
    told = [message(teller.turn(str(n), n)) for n in range(8)]
    assert lanes.deliver(told[3]) == 0
    assert lanes.deliver(told[4]) == 0
    assert lanes.deliver(told[7]) == 2


def test_a_partial_shows_a_loss_too() -> None:
    teller, lanes = Teller(), Lanes()
    lanes.deliver(message(teller.started()))
    teller.turn("lost")
    assert lanes.deliver(message(teller.turn("a", 1, final=False))) == 1
    assert lanes.deliver(message(teller.turn("a b", 1))) == 0


@pytest.mark.parametrize("data", [b"", b"hello", b"{}", b"[1]", b'{"id": 1}'])
def test_what_is_no_event_is_no_message(data: bytes) -> None:
    assert Message.read(data, live=True) is None


def test_a_type_that_is_not_known_yet_is_a_message_without_an_event() -> None:
    data = b'{"v":1,"id":"MZ1:e:4","type":"news","call_id":"CA1","stream_id":"MZ1","seq":4,"at":"x"}'
    found = Message.read(data, live=False)
    assert found is not None
    assert (found.type, found.position, found.lane, found.event) == ("news", (4, 0), "MZ1:e", None)


def test_a_stream_id_may_hold_colons() -> None:
    teller = Teller(stream_id="urn:stream:1")
    assert message(teller.started()).lane == "urn:stream:1:e1"
    assert message(teller.turn("a", final=False)).lane == "urn:stream:1:e1"


def test_a_call_is_over_when_no_stream_has_lived_for_a_while() -> None:
    one, two, life = Teller(), Teller(stream_id="MZ2"), Life(3.0)
    life.heed(message(one.started()), 10.0)
    assert life.seconds_left(10.0) is None
    life.heed(message(one.ended()), 20.0)
    assert life.seconds_left(21.0) == 2.0
    life.heed(message(two.started()), 22.0)
    assert life.seconds_left(30.0) is None
    life.heed(message(two.ended()), 31.0)
    assert life.seconds_left(40.0) == 0.0


def test_a_call_without_linger_is_never_over() -> None:
    teller, life = Teller(), Life(None)
    for event in teller.whole("a"):
        life.heed(message(event), 0.0)
    assert life.seconds_left(1e9) is None


def test_what_is_told_of_an_ended_stream_does_not_revive_it() -> None:
    teller, life = Teller(), Life(3.0)
    for event in teller.whole("a"):
        life.heed(message(event), 0.0)
    status = Teller(epoch="e2").tell(events.StreamStatus, status="stream-stopped", code=None, message="")
    life.heed(message(status), 1.0)
    assert life.seconds_left(1.0) == 2.0
