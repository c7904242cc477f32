"""What a session says becomes events."""

from collections.abc import Iterator

import pytest

from tests.support.scene import Call, Scene


@pytest.fixture
def scene() -> Iterator[Scene]:
    with Scene() as scene:
        yield scene


@pytest.fixture
def call(scene: Scene) -> Call:
    """A call that has spoken for a second, a second after its stream's begin."""
    return scene.call().opens().media(0, lost_ms=1000).speaks(1)


def test_a_turn_is_told_as_it_came_and_on_the_streams_time(scene: Scene, call: Call) -> None:
    scene.service.session.turn(0, "hel", start=0, end=80, final=False)
    scene.service.session.turn(0, "hello", start=0, end=120)
    partial, final = call.of("turn")
    assert (partial["final"], partial["text"], partial["seq"], partial["part"]) == (False, "hel", 2, 1)
    assert (final["final"], final["text"], final["seq"]) == (True, "hello", 3)
    assert (final["start_ms"], final["end_ms"], final["offset_ms"]) == (1000, 1120, 1000)
    assert final["assemblyai"]["words"][0] == {"text": "hello", "start": 0, "end": 120, "word_is_final": True}
    assert scene.metric("turngate_turns_total", final="true") == 1
    assert scene.metric("turngate_turns_total", final="false") == 1


def test_a_turn_without_words_has_no_times(scene: Scene, call: Call) -> None:
    scene.service.session.say("Turn", turn_order=0, end_of_turn=True, transcript="hello", words=[])
    assert call.of("turn", "start_ms", "end_ms", "offset_ms") == [(None, None, None)]


def test_a_turn_that_changes_nothing_is_not_told(scene: Scene, call: Call) -> None:
    scene.service.session.turn(0, "", final=True)
    assert call.of("turn") == []


def test_speech_is_told_on_the_streams_time(scene: Scene, call: Call) -> None:
    scene.service.session.say("SpeechStarted", timestamp=40)
    assert call.of("speech.started", "at_ms", "part") == [(1040, 1)]


def test_revised_speakers_are_told_as_turns(scene: Scene, call: Call) -> None:
    session = scene.service.session
    session.turn(0, "hello", start=0, end=100)
    words = [{"text": "hello", "start": 0, "end": 100, "speaker": "B"}]
    session.say("SpeakerRevision", revisions=[{"turn_order": 0, "words": words}, {"turn_order": 7}, "nonsense"])
    first, revised = call.of("turn")
    assert (revised["turn"], revised["final"], revised["text"]) == (first["turn"], True, "hello")
    assert revised["assemblyai"] == {"turn_order": 0, "words": words}
    assert call.of("turn", "start_ms") == [1000, 1000]


def test_an_answer_of_a_model_is_told_with_its_turn(scene: Scene, call: Call) -> None:
    session = scene.service.session
    session.turn(3, "hello")
    for order in (3, 4, None):
        session.say("LLMGatewayResponse", turn_order=order, data={"x": 1})
    assert call.of("llm.response", "turn") == [0, None, None]
    assert call.of("llm.response")[0]["data"]["data"] == {"x": 1}


def test_a_warning_is_told_and_cut(scene: Scene, call: Call) -> None:
    scene.service.session.say("Warning", warning_code=3010, warning="w" * 900)
    assert call.of("session.warning", "code", "message") == [(3010, "w" * 500)]


@pytest.mark.parametrize(("kind", "told"), [("Silence", "silence"), ("Heartbeat", "heartbeat"), ("News", "upstream")])
def test_the_rest_is_told_live_as_it_came(scene: Scene, call: Call, kind: str, told: str) -> None:
    scene.service.session.say(kind, more=[1])
    [event] = call.of(told)
    assert event["assemblyai"]["more"] == [1]
    assert event["part"] == 1


@pytest.mark.parametrize("message", [b"no JSON", b'{"type":"Ne\xff"}', b""])
def test_what_no_event_could_hold_is_only_counted(scene: Scene, call: Call, message: bytes) -> None:
    scene.service.session.say_raw(message)
    assert call.of("upstream") == []
    assert scene.metric("turngate_upstream_disorder_total", kind="unknown_message") == 1
