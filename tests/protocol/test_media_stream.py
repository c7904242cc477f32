"""What may follow what in a carrier's stream, as conversations with the machine."""

import json
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import CarrierError, Outcome
from gateway.protocol.dialects.twilio import TWILIO
from gateway.protocol.media_stream import (
    TRANSITIONS,
    Connected,
    Dtmf,
    Event,
    Mark,
    Media,
    MediaStream,
    Started,
    State,
    Stopped,
    Unknown,
    check_start,
)
from tests.protocol.conversation import CONNECTED, STOP, Carrier, media, start

STARTED = Started("CA1", "MZ1", ("inbound",), "audio/x-mulaw", 8000, 1, {})
FRAME = b"\x7f\x7f\x7f\x7f"


class Told:
    """A dialect whose messages are names of the events below."""

    name = "told"
    greets = True

    events: ClassVar[dict[bytes, Event]] = {
        b"Connected": Connected(),
        b"Started": STARTED,
        b"Media": Media("inbound", FRAME, None, None),
        b"Dtmf": Dtmf("inbound", "1"),
        b"Mark": Mark("m"),
        b"Stopped": Stopped(),
        b"Unknown": Unknown(),
    }

    def decode(self, message: bytes) -> Event:
        return self.events[message]


class Silent(Told):
    """The same without a greeting, as Plivo has it."""

    greets = False


PATHS: dict[State, list[bytes]] = {
    State.OPENING: [],
    State.GREETED: [b"Connected"],
    State.STREAMING: [b"Connected", b"Started"],
    State.STOPPED: [b"Connected", b"Started", b"Stopped"],
}
"""How each state is reached."""

ROWS = [(state, kind, step) for state, row in TRANSITIONS.items() for kind, step in row.items()]


def test_the_table_says_for_every_state_what_becomes_of_every_event() -> None:
    kinds = {type(event) for event in Told.events.values()}
    assert TRANSITIONS.keys() == set(State)
    assert all(row.keys() == kinds for row in TRANSITIONS.values())


@pytest.mark.parametrize(("state", "kind", "step"), ROWS, ids=lambda value: getattr(value, "__name__", None))
def test_every_row_of_the_table_holds(state: State, kind: type[Event], step: State | Outcome | str) -> None:
    carrier = Carrier(Told())
    for message in PATHS[state]:
        assert carrier >> message
    assert carrier.state() is state
    message = kind.__name__.encode()

    if isinstance(step, State):
        assert carrier >> message << Told.events[message]
        assert carrier.state() is step
    elif isinstance(step, str):
        (carrier >> message << None).counts(step)
        assert carrier.state() is state
    else:
        with pytest.raises(CarrierError, match=f"'{kind.__name__.lower()}' came while {state.value}") as caught:
            assert carrier >> message
        assert caught.value.outcome is step


def test_a_whole_stream_is_a_conversation() -> None:
    carrier = Carrier()
    assert carrier.state() is State.OPENING

    assert carrier >> CONNECTED << Connected()
    assert carrier >> start() << STARTED
    assert carrier >> media("2", "0") << Media("inbound", FRAME, 2, 0)
    assert carrier >> {"event": "dtmf", "dtmf": {"track": "inbound_track", "digit": "5"}} << Dtmf("inbound", "5")
    assert carrier >> {"event": "mark", "mark": {"name": "played"}} << Mark("played")
    assert carrier >> media("5", "20") << Media("inbound", FRAME, 5, 20)
    assert carrier >> STOP << Stopped()

    assert carrier.state() is State.STOPPED


def test_a_dialect_without_a_greeting_begins_with_start() -> None:
    carrier = Carrier(Silent())
    assert carrier.state() is State.GREETED
    assert (
        carrier >> b"Started" << STARTED >> b"Media" << Media("inbound", FRAME, None, None) >> b"Stopped" << Stopped()
    )


# Counters


def streaming() -> Carrier:
    carrier = Carrier()
    assert carrier >> CONNECTED >> start() << STARTED
    return carrier


def test_the_very_same_frame_once_more_is_passed_over_and_counted() -> None:
    carrier = streaming()
    assert carrier >> media("2", "0") << Media("inbound", FRAME, 2, 0)
    assert carrier >> media("3", "20") << Media("inbound", FRAME, 3, 20)
    (carrier >> media("3", "20") << None).counts("repeated")
    assert carrier >> media("4", "40") << Media("inbound", FRAME, 4, 40)


@pytest.mark.parametrize(
    "again",
    [media("3", "40"), media("3", "20", "AAAA"), media("3", "20", track="outbound"), media("3", None)],
    ids=["another time", "other audio", "another track", "no time"],
)
def test_a_frame_that_only_has_the_number_of_the_last_one_is_kept(again: dict[str, object]) -> None:
    carrier = streaming()
    assert carrier >> media("2", "0") >> media("3", "20")
    (carrier >> again << TWILIO.decode(json.dumps(again).encode())).counts("odd_sequence")


def test_however_often_a_frame_is_repeated_it_is_heard_once() -> None:
    carrier = streaming()
    assert carrier >> media("2", "0") >> media("3", "20")
    for _ in range(3):
        (carrier >> media("3", "20") << None).counts("repeated")
    assert carrier >> media("4", "40") << Media("inbound", FRAME, 4, 40)


def test_a_counter_that_comes_to_stand_still_loses_no_silence() -> None:
    carrier = streaming()
    assert carrier >> media("2", "0") >> media("3", "20")
    for stamp in (40, 60, 60, 80):
        frame = Media("inbound", FRAME, 3, stamp)
        (carrier >> media("3", str(stamp)) << frame).counts("odd_sequence")


def test_a_carrier_whose_counters_never_move_loses_no_silence() -> None:
    carrier = streaming()
    assert carrier >> media("0", "0") << Media("inbound", FRAME, 0, 0)
    for _ in range(3):
        (carrier >> media("0", "0") << Media("inbound", FRAME, 0, 0)).counts("odd_sequence")


def test_a_jump_forward_is_nothing_and_a_step_back_is_counted_once() -> None:
    carrier = streaming()
    assert carrier >> media("2", "0") >> media("7", "20") >> media("8", "40")
    (carrier >> media("5", "60") << Media("inbound", FRAME, 5, 60)).counts("odd_sequence")
    assert carrier >> media("6", "80") << Media("inbound", FRAME, 6, 80)


def test_frames_without_a_number_are_never_compared() -> None:
    carrier = streaming()
    assert carrier >> media("2", "0") >> media(None, "20") >> media(None, "20") << Media("inbound", FRAME, None, 20)
    assert carrier >> media("1", "20") << Media("inbound", FRAME, 1, 20)


# What is refused at start


@pytest.mark.parametrize("name", ["CA5a1e", "a", "1f0e@pbx.example.com", "A-Z_a.z:0+9", "x" * 128])
def test_a_call_id_that_can_name_a_channel_is_taken(name: str) -> None:
    check_start(Started(name, "MZ1", ("inbound",), "audio/x-mulaw", 8000, 1, {}))


@pytest.mark.parametrize("name", ["", "a b", "a\n", "é", "*", "{x}", "x" * 129, "a/b", "٣"])
def test_an_id_that_can_not_name_a_channel_is_refused_without_being_repeated(name: str) -> None:
    for call_id, stream_id, what in ((name, "MZ1", "call id"), ("CA1", name, "stream id")):
        with pytest.raises(CarrierError, match=f"the {what} is not 1 to 128") as caught:
            check_start(Started(call_id, stream_id, ("inbound",), "audio/x-mulaw", 8000, 1, {}))
        assert caught.value.outcome is Outcome.UNACCEPTABLE
        assert len(name) < 2 or name not in caught.value.detail


@pytest.mark.parametrize(
    ("encoding", "rate", "channels"),
    [("audio/x-l16", 8000, 1), ("audio/x-mulaw", 16000, 1), ("audio/x-mulaw", 8000, 2), ("", 0, 0)],
)
def test_audio_that_is_not_mulaw_at_8_khz_in_one_channel_is_refused(encoding: str, rate: int, channels: int) -> None:
    with pytest.raises(CarrierError, match="set the stream to mu-law") as caught:
        check_start(Started("CA1", "MZ1", ("inbound",), encoding, rate, channels, {}))
    assert caught.value.outcome is Outcome.UNACCEPTABLE


def test_a_start_that_is_refused_starts_nothing() -> None:
    carrier = Carrier()
    assert carrier >> CONNECTED << Connected()
    with pytest.raises(CarrierError):
        assert carrier >> start(callSid="not a name")
    assert carrier.state() is State.GREETED


# Whatever comes

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just(10**400),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
counters = st.integers(-2, 6) | st.integers(0, 6).map(str) | st.floats() | st.none()
likely_messages = st.one_of(
    st.just(CONNECTED),
    st.builds(start, callSid=st.sampled_from(["CA1", "?"]) | json_values, mediaFormat=st.none() | json_values),
    st.builds(media, counters, counters, st.sampled_from(["", "/w==", "/w", "?"])),
    st.builds(lambda digit: {"event": "dtmf", "dtmf": {"digit": digit}}, st.characters() | json_values),
    st.builds(lambda mark: {"event": "mark", "mark": mark}, json_values),
    st.just(STOP),
    st.builds(
        lambda event, more: {"event": event, **more},
        st.sampled_from(["connected", "start", "media", "dtmf", "mark", "stop", "else"]) | st.text(),
        st.dictionaries(
            st.sampled_from(["start", "media", "dtmf", "mark", "sequenceNumber", "streamSid"]), json_values
        ),
    ),
).map(lambda message: json.dumps(message).encode())


@given(st.lists(likely_messages | st.binary(max_size=40), max_size=30))
def test_whatever_comes_the_machine_raises_carrier_errors_only_and_loses_no_frame(messages: list[bytes]) -> None:
    counted: list[str] = []
    machine = MediaStream(TWILIO, counted.append)
    for opening in (CONNECTED, start()):
        machine.receive(json.dumps(opening).encode())

    for message in messages:
        state, counted[:] = machine.state, []
        try:
            event = machine.receive(message)
        except CarrierError:
            continue
        assert len(counted) <= 1
        assert event is not None or counted[0] in ("repeated", "unknown_event", "after_stop")
        assert event is None or event == TWILIO.decode(message)
        assert event is None or state is State.STREAMING
