"""Every way to end, one test a row of the table: what the carrier, the subscriber, the metrics and the log are told."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import gateway
from gateway.errors import Outcome
from gateway.watch import CarrierLimits
from tests.support.assemblyai import CANARY
from tests.support.scene import Call, Scene, gaps

TABLE = {
    Outcome.STOPPED: ("completed", "stopped", 1000),
    Outcome.HANGUP: ("completed", "hangup", None),
    Outcome.HANDSHAKE_TIMEOUT: ("carrier_error", "handshake_timeout", 1008),
    Outcome.HANDSHAKE_INVALID: ("carrier_error", "handshake_invalid", 1002),
    Outcome.PROTOCOL_ERROR: ("carrier_error", "protocol_error", 1002),
    Outcome.UNSUPPORTED_DATA: ("carrier_error", "unsupported_data", 1003),
    Outcome.TOO_BIG: ("carrier_error", "too_big", 1009),
    Outcome.UNACCEPTABLE: ("carrier_error", "unacceptable", 1008),
    Outcome.TOO_FAST: ("carrier_error", "too_fast", 1008),
    Outcome.TIMEOUT: ("carrier_error", "timeout", 1001),
    Outcome.UNAUTHORIZED: ("upstream_error", "unauthorized", 1011),
    Outcome.INVALID_PARAMETER: ("upstream_error", "invalid_parameter", 1011),
    Outcome.UNAVAILABLE: ("upstream_error", "unavailable", 1011),
    Outcome.LIMIT: ("completed", "limit", 1000),
    Outcome.CONTROLLED: ("completed", "controlled", 1000),
    Outcome.DRAINED: ("completed", "drained", 1012),
    Outcome.INTERNAL: ("gateway_error", "internal", 1011),
    Outcome.GATEWAY_LOST: ("indeterminate", "gateway_lost", None),
}

LONGEST = 100.0


@pytest.fixture
def scene() -> Iterator[Scene]:
    with Scene(limits=CarrierLimits(longest=LONGEST)) as scene:
        yield scene


def test_the_table_is_whole() -> None:
    assert set(TABLE) == set(Outcome)


# How each comes about. The stream is connected; most have audio and a turn by then.


def stop(scene: Scene, call: Call) -> None:
    talk(scene, call).stops()


def hang_up(scene: Scene, call: Call) -> None:
    talk(scene, call).hangs_up()


def send_no_start(scene: Scene, call: Call) -> None:
    call.greets()
    scene.passes(10)


def begin_with_start(_: Scene, call: Call) -> None:
    call.starts()


def begin_with_media(_: Scene, call: Call) -> None:
    call.greets().media()


def start_twice(scene: Scene, call: Call) -> None:
    talk(scene, call).starts()


def send_no_json(scene: Scene, call: Call) -> None:
    talk(scene, call).sends_raw(f"{CANARY}!".encode())


def send_no_text(scene: Scene, call: Call) -> None:
    talk(scene, call).sends_raw(f'{{"event":"media","{CANARY}":"'.encode() + b'\xff"}')


def send_no_object(scene: Scene, call: Call) -> None:
    talk(scene, call).sends_raw(f'["{CANARY}"]'.encode())


def send_wrong_types(scene: Scene, call: Call) -> None:
    talk(scene, call).sends(event="media", media=CANARY)


def send_no_base64(scene: Scene, call: Call) -> None:
    talk(scene, call).sends(event="media", media={"track": "inbound", "payload": f"{CANARY}!"})


def break_websocket(scene: Scene, call: Call) -> None:
    talk(scene, call).stream.receive_violation(1007)


def send_binary(scene: Scene, call: Call) -> None:
    talk(scene, call).stream.receive_binary()


def send_too_much(scene: Scene, call: Call) -> None:
    talk(scene, call).stream.receive_violation(1009)


def start_without_name(_: Scene, call: Call) -> None:
    call.greets().starts(callSid=f"{CANARY} *")


def start_with_another_codec(_: Scene, call: Call) -> None:
    call.greets().starts(mediaFormat={"encoding": CANARY, "sampleRate": 16000, "channels": 1})


def send_too_fast(scene: Scene, call: Call) -> None:
    talk(scene, call)
    for _ in range(7):
        call.media(250)
        scene.passes(1)


def send_too_fast_on_a_track_that_nobody_wants(scene: Scene, call: Call) -> None:
    talk(scene, call)
    for _ in range(7):
        call.media(size=40_000, track="outbound")
        scene.passes(1)


def send_too_many_digits(scene: Scene, call: Call) -> None:
    talk(scene, call)
    for _ in range(7):
        for _ in range(500):
            call.presses("7")
        scene.passes(1)


def fall_silent(scene: Scene, call: Call) -> None:
    talk(scene, call).pongs = False
    scene.passes(61)


def refuse_key(scene: Scene, call: Call) -> None:
    scene.service.next(refuses=401)
    call.opens().media()
    scene.passes(1)


def refuse_parameter(scene: Scene, call: Call) -> None:
    talk(scene, call)
    scene.service.session.error(3006, f"Invalid keyterms: {CANARY}")
    scene.service.session.close_with(3006)


def break_upstream(scene: Scene, call: Call) -> None:
    talk(scene, call)
    scene.service.session.break_off()


def last_too_long(scene: Scene, call: Call) -> None:
    talk(scene, call)
    scene.passes(LONGEST - 6)


def fail_in_the_audio_path(scene: Scene, call: Call) -> None:
    track = talk(scene, call).stream.tracks["inbound"]
    clock, track._clock = track._clock, None  # type: ignore[assignment]
    call.media()
    track._clock = clock


WAYS: list[tuple[Outcome, Callable[[Scene, Call], None]]] = [
    (Outcome.STOPPED, stop),
    (Outcome.HANGUP, hang_up),
    (Outcome.HANDSHAKE_TIMEOUT, send_no_start),
    (Outcome.HANDSHAKE_INVALID, begin_with_start),
    (Outcome.HANDSHAKE_INVALID, begin_with_media),
    (Outcome.PROTOCOL_ERROR, start_twice),
    (Outcome.PROTOCOL_ERROR, send_no_json),
    (Outcome.PROTOCOL_ERROR, send_no_text),
    (Outcome.PROTOCOL_ERROR, send_no_object),
    (Outcome.PROTOCOL_ERROR, send_wrong_types),
    (Outcome.PROTOCOL_ERROR, send_no_base64),
    (Outcome.PROTOCOL_ERROR, break_websocket),
    (Outcome.UNSUPPORTED_DATA, send_binary),
    (Outcome.TOO_BIG, send_too_much),
    (Outcome.UNACCEPTABLE, start_without_name),
    (Outcome.UNACCEPTABLE, start_with_another_codec),
    (Outcome.TOO_FAST, send_too_fast),
    (Outcome.TOO_FAST, send_too_fast_on_a_track_that_nobody_wants),
    (Outcome.TOO_FAST, send_too_many_digits),
    (Outcome.TIMEOUT, fall_silent),
    (Outcome.UNAUTHORIZED, refuse_key),
    (Outcome.INVALID_PARAMETER, refuse_parameter),
    (Outcome.UNAVAILABLE, break_upstream),
    (Outcome.LIMIT, last_too_long),
    (Outcome.INTERNAL, fail_in_the_audio_path),
]

DRAINS = (Outcome.DRAINED,)
"""What ends all streams at once; it has a test of its own."""

PLANNED = (Outcome.CONTROLLED, Outcome.GATEWAY_LOST)
"""What nothing in the gateway can bring about yet."""


def talk(scene: Scene, call: Call) -> Call:
    """Opens the stream; there is audio, a turn and a partial."""
    call.opens().speaks(0.8)
    scene.service.session.turn(0, start=0, end=500)
    scene.service.session.turn(1, start=500, end=600, final=False)
    call.presses("7")
    return call


def test_every_row_has_a_way() -> None:
    assert {*(outcome for outcome, _ in WAYS), *DRAINS, *PLANNED} == set(Outcome)


@pytest.mark.parametrize("outcome", PLANNED)
def test_what_is_planned_is_told_by_nobody_yet(outcome: Outcome) -> None:
    package = Path(gateway.__file__).parent
    telling = [path.name for path in package.rglob("*.py") if f"Outcome.{outcome.name}" in path.read_text()]
    assert telling == [], "give it a way above"


@pytest.mark.parametrize(("outcome", "happen"), WAYS, ids=[way.__name__ for _, way in WAYS])
def test_a_stream_ends_as_the_table_says(scene: Scene, outcome: Outcome, happen: Callable[[Scene, Call], None]) -> None:
    call = scene.call()
    scene.passes(5)
    other = scene.call().opens().speaks(1)
    beside = scene.service.session

    happen(scene, call)
    scene.passes(2)

    assert_told_everywhere(scene, call, outcome)
    assert [session for session in scene.service.sessions if session.is_open] == ([beside] if beside.is_open else [])

    assert other.closed is None
    other.speaks(1).stops()
    scene.passes(2)
    assert other.outcome is Outcome.STOPPED
    assert gaps(other) == []
    assert len(scene.logged("stream ended")) == 2


def test_a_drain_ends_streams_as_the_table_says(scene: Scene) -> None:
    call = talk(scene, scene.call())
    draining = scene.loop.create_task(scene.streams.end_all(Outcome.DRAINED, seconds=10))
    scene.passes(2)
    assert draining.result() == 0
    assert_told_everywhere(scene, call, Outcome.DRAINED)
    assert gaps(call) == []


def assert_told_everywhere(scene: Scene, call: Call, outcome: Outcome) -> None:
    """The carrier, the metrics, the log and the subscribers are told the same, and nobody too much."""
    result, reason, code = TABLE[outcome]
    assert call.outcome is outcome
    assert (call.closed[0] if call.closed else None) == code
    assert scene.metric("turngate_streams_ended_total", result=result, reason=reason) == 1
    [line] = [line for line in scene.logged("stream ended") if line["call_id"] in (call.call_id, "")]
    assert (line["result"], line["reason"]) == (result, reason)
    if call.events:
        assert (call.ended["result"], call.ended["reason"]) == (result, reason)
    assert CANARY not in scene.told_outside()
    assert "+15550100" not in scene.told_outside()


def test_a_stream_that_never_started_tells_subscribers_nothing(scene: Scene) -> None:
    call = scene.call().greets().starts(callSid="*")
    scene.passes()
    assert call.outcome is Outcome.UNACCEPTABLE
    assert scene.published == []


def test_the_first_outcome_stays(scene: Scene) -> None:
    call = talk(scene, scene.call()).stops()
    call.hangs_up().stream.receive_binary()
    scene.service.session.break_off()
    scene.passes()
    assert call.outcome is Outcome.STOPPED
    assert call.closed == (1000, "stopped")


def test_what_comes_after_the_end_is_not_looked_at(scene: Scene) -> None:
    call = talk(scene, scene.call()).stops().media(5).sends_raw(b"no JSON")
    scene.passes()
    assert call.outcome is Outcome.STOPPED
    assert call.ended["frames"] == 40


# Refused upstream: in plain words, and not tried again.

KEY = "check ASSEMBLYAI_API_KEY"
ACCOUNT = "check its balance"
LIMIT = "limit of new sessions"
PARAMETER = "correct the setting"
NETWORK = "check the network and the host"

REFUSED: list[tuple[dict[str, Any], Outcome, int | None, str]] = [
    ({"refuses": 401}, Outcome.UNAUTHORIZED, 401, KEY),
    ({"refuses": 403}, Outcome.UNAUTHORIZED, 403, KEY),
    ({"refuses": 402}, Outcome.UNAUTHORIZED, 402, ACCOUNT),
    ({"refuses": 400}, Outcome.INVALID_PARAMETER, 400, PARAMETER),
    ({"refuses": 429}, Outcome.UNAVAILABLE, 429, LIMIT),
    ({"refuses": 503}, Outcome.UNAVAILABLE, 503, "an error of its own"),
    ({"unreachable": True}, Outcome.UNAVAILABLE, None, NETWORK),
    ({"connects": None}, Outcome.UNAVAILABLE, None, NETWORK),
    ({"begins": None}, Outcome.UNAVAILABLE, None, "did not begin the session in time"),
]


@pytest.mark.parametrize(("manner", "outcome", "code", "words"), REFUSED)
def test_a_session_that_does_not_come_about_is_told_in_plain_words(
    scene: Scene, manner: dict[str, Any], outcome: Outcome, code: int | None, words: str
) -> None:
    scene.service.next(**manner)
    call = scene.call().opens().media(10)
    scene.passes(11)
    assert call.outcome is outcome
    [(told, message)] = call.of("session.error", "code", "message")
    assert told == code
    assert words in message
    assert gaps(call) == [(0, 200, 200, "upstream")]
    scene.passes(60)
    assert scene.service.attempts == 1


ENDED: list[tuple[int, str, Outcome, str]] = [
    (1008, "Unauthorized Connection: Missing/Invalid Authorization", Outcome.UNAUTHORIZED, KEY),
    (1008, "Too many concurrent sessions", Outcome.UNAVAILABLE, LIMIT),
    (3009, "Too many", Outcome.UNAVAILABLE, LIMIT),
    (4002, "Insufficient Funds", Outcome.UNAUTHORIZED, ACCOUNT),
    (3006, "Invalid sample rate", Outcome.INVALID_PARAMETER, PARAMETER),
    (3005, "Session Cancelled", Outcome.UNAVAILABLE, "an error of its own"),
    (3008, "Session expired", Outcome.UNAVAILABLE, "limit of its length"),
    (3007, "Input duration violation: 20 ms", Outcome.INTERNAL, "please report it"),
]


@pytest.mark.parametrize(("code", "text", "outcome", "words"), ENDED)
@pytest.mark.parametrize("begins", [None, 0.1])
def test_a_session_that_the_service_ends_is_told_in_plain_words(
    scene: Scene, begins: float | None, code: int, text: str, outcome: Outcome, words: str
) -> None:
    scene.service.next(begins=begins)
    call = scene.call().opens().media(10)
    scene.passes(0.5)
    scene.service.session.error(code, text)
    scene.service.session.close_with(code)
    scene.passes()
    assert call.outcome is outcome
    [(told, message)] = call.of("session.error", "code", "message")
    assert told == code
    assert words in message
    assert message.endswith(f"AssemblyAI said: {text}")
    assert gaps(call) == [(0, 200, 200, "upstream")]
    scene.passes(60)
    assert scene.service.attempts == 1


# Harmless disorder is counted, not punished.


def unknown_event(call: Call) -> None:
    call.sends(event=CANARY, more=1)


def repeated(call: Call) -> None:
    call.media(2)
    last = call.stream._messages
    call._sequence -= 1
    call.frame(call.heard["inbound"][-160:], timestamp=str(call._frames["inbound"] // 8 - 20))
    assert call.stream._messages == last + 1


def odd_sequence(call: Call) -> None:
    call.media(2)
    call._sequence -= 2
    call.media()


def odd_timestamp(call: Call) -> None:
    call.media(50)
    call.frame(b"\xfe" * 160, timestamp="0")


def odd_length(call: Call) -> None:
    call.media(size=161)


def no_length(call: Call) -> None:
    call.frame(b"")


def unwanted_track(call: Call) -> None:
    call.media(track="outbound")


def greet_again(call: Call) -> None:
    call.greets()


HARMLESS = [
    ("unknown_event", unknown_event),
    ("repeated", repeated),
    ("repeated", greet_again),
    ("odd_sequence", odd_sequence),
    ("odd_timestamp", odd_timestamp),
    ("odd_length", odd_length),
    ("odd_length", no_length),
    ("unwanted_track", unwanted_track),
]


@pytest.mark.parametrize(("kind", "disturb"), HARMLESS, ids=[way.__name__ for _, way in HARMLESS])
def test_harmless_disorder_is_counted_and_nothing_else(
    scene: Scene, kind: str, disturb: Callable[[Call], None]
) -> None:
    call = scene.call().opens("inbound", "outbound").media(10)
    disturb(call)
    assert scene.metric("turngate_media_disorder_total", kind=kind) == 1
    scene.passes()
    call.media(10).stops()
    scene.passes()
    assert call.outcome is Outcome.STOPPED
    assert gaps(call) == []
    assert CANARY not in scene.told_outside()


def test_fields_that_nobody_knows_are_passed_over(scene: Scene) -> None:
    call = scene.call().sends(event="connected", surprise=CANARY).starts(surprise={"a": CANARY}).media(10)
    call.sends(event="mark", mark={"name": "x"}, surprise=1).sends(event="stop", stop={}, surprise=1)
    scene.passes()
    assert call.outcome is Outcome.STOPPED
    assert gaps(call) == []
