"""AssemblyAI's messages, and one session's machine."""

import json
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.protocol import transcription
from gateway.protocol.transcription import (
    FORCE_ENDPOINT,
    KEEP_ALIVE,
    TERMINATE,
    TRANSITIONS,
    Begin,
    Configuration,
    Error,
    Heartbeat,
    LLMGatewayResponse,
    Message,
    Revision,
    Silence,
    SpeakerRevision,
    SpeechStarted,
    State,
    Termination,
    TranscriptionSession,
    Turn,
    Unknown,
    Warn,
    Word,
    decode,
    decode_revision,
    update_configuration,
)
from gateway.protocol.verdicts import DONE

# What messages mean, as the service was seen to write them

TURN = b"""{"turn_order":3,"turn_is_formatted":false,"end_of_turn":true,"transcript":"my name is sonny",
"end_of_turn_confidence":0.9999,"words":[{"start":1120,"end":1280,"text":"my","confidence":0.99,"word_is_final":true},{"start":1280,"end":1440,
"text":"name","confidence":1,"word_is_final":true}],"utterance":"","language_code":null,"type":"Turn"}"""

EXAMPLES: dict[bytes, Message] = {
    b"""{"type":"Begin","id":"4f2c","expires_at":1795190400,"configuration":{"model":"u3-rt-pro","mode":null,
    "api_version":"2025-05-12","speaker_labels":true,"redact_pii":false,"domain":null,"voice_focus":null}}""": Begin(
        "4f2c", 1795190400, Configuration("u3-rt-pro", speaker_labels=True)
    ),
    b'{"type":"Begin","id":"4f2c","expires_at":1795190400}': Begin("4f2c", 1795190400),
    TURN: Turn(
        3, end_of_turn=True, transcript="my name is sonny", words=(Word("my", 1120, 1280), Word("name", 1280, 1440))
    ),
    b'{"type":"SpeechStarted","timestamp":960,"confidence":0.61}': SpeechStarted(960),
    b'{"type":"SpeakerRevision","revisions":[{"turn_order":0}]}': SpeakerRevision((msgspec.Raw(b'{"turn_order":0}'),)),
    b'{"type":"LLMGatewayResponse","turn_order":2,"transcript":"hi","data":{"choices":[]}}': LLMGatewayResponse(2),
    b'{"type":"Heartbeat","total_audio_received_ms":5000,"realtime_factor":1.0}': Heartbeat(),
    b'{"type":"Silence","start_ms":1000,"end_ms":2000}': Silence(1000, 2000),
    b'{"type":"Warning","warning_code":3100,"warning":"slow"}': Warn(3100, "slow"),
    b'{"type":"Error","error_code":1008,"error":"Unauthorized Connection: Invalid API key"}': Error(
        1008, "Unauthorized Connection: Invalid API key"
    ),
    b'{"error":"Not authorized"}': Error(None, "Not authorized"),
    b'{"error":"Not authorized","error_code":4001,"type":null}': Error(4001, "Not authorized"),
    b'{"type":"Termination","audio_duration_seconds":61,"session_duration_seconds":62}': Termination(61, 62),
    b'{"type":"Termination","audio_duration_seconds":45.2}': Termination(45.2, None),
}


@pytest.mark.parametrize(("message", "meaning"), EXAMPLES.items(), ids=lambda value: type(value).__name__)
def test_a_message_of_the_service_is_understood_whatever_the_order_of_its_keys(
    message: bytes, meaning: Message
) -> None:
    fields: dict[str, Any] = json.loads(message)
    for written in (message, json.dumps(fields).encode(), json.dumps(dict(reversed(fields.items()))).encode()):
        assert_same(decode(written), meaning)


def assert_same(found: Message | Unknown, expected: Message) -> None:
    """Raw parts compare by their JSON."""
    if isinstance(expected, SpeakerRevision):
        assert isinstance(found, SpeakerRevision)
        assert [json.loads(bytes(raw)) for raw in found.revisions] == [
            json.loads(bytes(raw)) for raw in expected.revisions
        ]
    else:
        assert found == expected


@pytest.mark.parametrize("kind", get_args(transcription._Known), ids=lambda kind: kind.__name__)
def test_every_type_is_read_with_nothing_in_it_but_what_is_required(kind: type[Message]) -> None:
    required = {"turn_order": 0} if kind is Turn else {}
    tag = kind.__struct_config__.tag
    assert decode(json.dumps({"type": tag, **required}).encode()) == kind(**required)
    nulls = {field.name: None for field in msgspec.structs.fields(kind)} | required
    assert decode(json.dumps({"type": tag, **nulls}).encode()) == kind(**required)


ODD: dict[bytes, Message] = {
    b'{"turn_order":1,"words":null,"transcript":"hi","type":"Turn"}': Turn(1, transcript="hi"),
    b'{"turn_order":1,"transcript":null,"words":[{"text":"hi","start":1,"end":2}],"type":"Turn"}': Turn(
        1, words=(Word("hi", 1, 2),)
    ),
    b'{"turn_order":1.0,"transcript":"hi","type":"Turn"}': Turn(1, transcript="hi"),
    b'{"turn_order":"1","end_of_turn":"true","transcript":"hi","type":"Turn"}': Turn(
        1, end_of_turn=True, transcript="hi"
    ),
    b'{"turn_order":1,"words":[{"text":"hi","start":1e400,"end":7},null,{"text":5,"end":9}],"type":"Turn"}': Turn(
        1, words=(Word("hi", None, 7), Word("", None, 9))
    ),
    b'{"turn_order":1,"transcript":"hi","words":[{"text":"hi","start":1e300,"end":-1e300}],"type":"Turn"}': Turn(
        1, transcript="hi", words=(Word("hi"),)
    ),
    b'{"turn_order":1,"transcript":"hi","end_of_turn_confidence":1e400,"type":"Turn"}': Turn(1, transcript="hi"),
    b'{"type":"Begin","id":"4f2c","expires_at":null,"configuration":null}': Begin("4f2c"),
    b'{"type":"Begin","id":"4f2c","expires_at":"1795190400","configuration":{"model":null}}': Begin("4f2c", 1795190400),
    b'{"type":"Begin","id":"4f2c","expires_at":-1,"configuration":[]}': Begin("4f2c"),
    b'{"type":"SpeechStarted","timestamp":1e300}': SpeechStarted(),
    b'{"type":"LLMGatewayResponse","turn_order":null}': LLMGatewayResponse(),
    b'{"type":"Error","error_code":"3006","error":null}': Error(3006),
    b'{"type":"Error","error_code":1e400,"error":"x"}': Error(None, "x"),
    b'{"type":"Error","error_code":' + b"9" * 60 + b',"error":"x"}': Error(None, "x"),
    b'{"type":"Warning","warning_code":[],"warning":"x"}': Warn(None, "x"),
    b'{"type":"Termination","audio_duration_seconds":"61","session_duration_seconds":{}}': Termination(61),
    b'{"type":"SpeakerRevision","revisions":{}}': SpeakerRevision(),
}


@pytest.mark.parametrize(("message", "meaning"), ODD.items(), ids=lambda value: str(value)[:60])
def test_a_known_type_with_an_odd_field_is_not_lost(message: bytes, meaning: Message) -> None:
    assert decode(message) == meaning


@pytest.mark.parametrize(
    "message",
    [
        b'{"type":"SomethingNew","error":"of its own"}',
        b'{"type":"Turn","transcript":"of which turn?"}',
        b'{"type":"Turn","turn_order":null,"transcript":"of which turn?"}',
        b'{"type":5}',
        b'{"type":["Turn"]}',
        b"{}",
        b'{"error":5}',
        b"[]",
        b"null",
        b'"Turn"',
    ],
)
def test_what_is_not_known_is_handed_on(message: bytes) -> None:
    assert decode(message) == Unknown(json=True)


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"hello",
        b'{"type":"Turn"',
        b'{"type":"Turn","turn_order":1,"confidence":NaN}',
        b'{"type":"Turn","turn_order":1,"confidence":Infinity}',
        b'{"type":"Turn","turn_order":1,"transcript":"\xff"}',
        b'{"type":"Turn","turn_order":1,"passed_over":"\xff"}',
        b'{"type":"Turn","turn_order":1,"transcript":"\\ud800"}',
        b'{"type":"Turn","turn_order":1,"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
    ids=lambda message: repr(message[:60]),
)
def test_what_is_no_json_can_not_be_handed_on(message: bytes) -> None:
    assert decode(message) == Unknown(json=False)


def test_many_words_and_many_scripts_are_read() -> None:
    words = [{"text": f"слово{n}", "start": n, "end": n + 1} for n in range(20_000)]
    turn = decode(json.dumps({"words": words, "transcript": "𝄞 👋🏽", "turn_order": 0, "type": "Turn"}).encode())
    assert isinstance(turn, Turn)
    assert (turn.transcript, len(turn.words)) == ("𝄞 👋🏽", 20_000)


def test_an_entry_of_a_revision_is_read_where_it_can_be() -> None:
    raws = [
        b'{"turn_order":2,"speaker_label":"B","words":[{"text":"hi","start":1,"end":2,"speaker":"B"}]}',
        b'{"turn_order":2,"words":null}',
        b'{"turn_order":2.0}',
        b'{"turn_order":null}',
        b'{"words":[]}',
        b"null",
    ]
    assert [decode_revision(msgspec.Raw(raw)) for raw in raws] == [
        Revision(2, (Word("hi", 1, 2),)),
        Revision(2),
        Revision(2),
        None,
        None,
        None,
    ]


# What we say


def test_verbs_are_what_the_service_takes() -> None:
    assert [json.loads(verb) for verb in (TERMINATE, FORCE_ENDPOINT, KEEP_ALIVE)] == [
        {"type": "Terminate"},
        {"type": "ForceEndpoint"},
        {"type": "KeepAlive"},
    ]


def test_a_change_of_configuration_has_its_lists_as_lists() -> None:
    message = update_configuration({"keyterms_prompt": [], "max_turn_silence": 900, "type": "Terminate"})
    assert json.loads(message) == {"type": "UpdateConfiguration", "keyterms_prompt": [], "max_turn_silence": 900}


# The machine


class Session:
    """A session's machine, and what it counted."""

    def __init__(self, *messages: bytes) -> None:
        self.counted: list[str] = []
        self.machine = TranscriptionSession(self.counted.append)
        for message in messages:
            self.machine.receive(message)


BEGIN = b'{"type":"Begin","id":"4f2c"}'
FAILURE = b'{"type":"Error","error_code":3005,"error":"Session Cancelled: An error occurred"}'
TERMINATION = b'{"type":"Termination","audio_duration_seconds":61,"session_duration_seconds":62}'


def in_state(state: State) -> Session:
    session = Session(*({State.OPENING: (), State.FAILED: (BEGIN, FAILURE)}.get(state, (BEGIN,))))
    if state in (State.TERMINATING, State.TERMINATED):
        session.machine.terminate()
    if state is State.TERMINATED:
        session.machine.receive(TERMINATION)
    assert session.machine.state is state
    return session


CELLS = [(state, message) for state in State for message in EXAMPLES]


@pytest.mark.parametrize(("state", "message"), CELLS, ids=lambda value: getattr(value, "name", str(value)[2:30]))
def test_every_message_does_in_every_state_what_the_table_says(state: State, message: bytes) -> None:
    session = in_state(state)
    meaning = decode(message)
    event = session.machine.receive(message)
    following = TRANSITIONS[state].get(type(meaning))  # type: ignore[arg-type]
    if following is None:
        assert event is None
        assert session.counted == [f"unexpected_{type(meaning).__name__.lower()}"]
        assert session.machine.state is state
    else:
        assert type(event) is type(meaning)
        assert session.counted == []
        assert session.machine.state is following


@pytest.mark.parametrize("state", State)
def test_what_is_not_known_changes_nothing_in_any_state(state: State) -> None:
    session = in_state(state)
    assert session.machine.receive(b'{"type":"SomethingNew"}') == Unknown()
    assert session.machine.receive(b"hello") == Unknown(json=False)
    assert (session.machine.state, session.counted) == (state, [])


@pytest.mark.parametrize("state", State)
def test_audio_may_be_sent_between_begin_and_terminate_only(state: State) -> None:
    assert in_state(state).machine.takes_audio is (state is State.LIVE)


@pytest.mark.parametrize("state", State)
def test_terminate_is_said_once_and_only_where_the_session_is_live(state: State) -> None:
    machine = in_state(state).machine
    assert machine.terminate() == (TERMINATE if state is State.LIVE else None)
    assert machine.terminate() is None


def test_a_session_that_ends_as_asked_is_done_however_its_socket_ends() -> None:
    machine = in_state(State.TERMINATED).machine
    assert machine.termination == Termination(61, 62)
    assert machine.verdict(1000, "Session Ended") is DONE
    assert machine.verdict(None, "") is DONE


@pytest.mark.parametrize(
    ("state", "code", "text", "reason"),
    [
        (State.OPENING, None, "", "lost"),
        (State.OPENING, 1008, "See Error message for details", "unauthorized"),
        (State.OPENING, 1011, "", "server"),
        (State.LIVE, None, "", "lost"),
        (State.LIVE, 1000, "", "closed"),
        (State.LIVE, 3008, "", "expired"),
        (State.TERMINATING, None, "", "lost"),
        (State.TERMINATING, 1000, "Session Ended", "closed"),
        (State.FAILED, None, "", "server"),
        (State.FAILED, 1000, "", "server"),
    ],
)
def test_any_other_end_is_judged_by_what_is_known(state: State, code: int | None, text: str, reason: str) -> None:
    assert in_state(state).machine.verdict(code, text).reason == reason


@pytest.mark.parametrize(
    ("error", "code", "reason"),
    [
        ({"error_code": 1008, "error": "Unauthorized Connection: Too many concurrent sessions"}, 1008, "limit"),
        ({"error_code": 3006, "error": "Session terminated due to inactivity: …"}, 3006, "inactive"),
        ({"error": "Session terminated due to inactivity"}, 3006, "inactive"),
        ({"error_code": 0, "error": ""}, 3007, "chunk_duration"),
        ({"error_code": 3008}, None, "expired"),
    ],
    ids=str,
)
def test_the_errors_text_decides_because_the_closes_says_nothing(
    error: dict[str, object], code: int | None, reason: str
) -> None:
    machine = Session(BEGIN, json.dumps({"type": "Error", **error}).encode()).machine
    assert machine.error is not None
    assert machine.verdict(code, "See Error message for details").reason == reason


def test_a_termination_that_nobody_asked_for_is_an_end_before_its_time() -> None:
    machine = Session(BEGIN, TERMINATION).machine
    assert (machine.state, machine.termination) == (State.FAILED, Termination(61, 62))
    assert machine.verdict(1000, "Session Ended").reason == "closed"


@given(st.lists(st.sampled_from([*EXAMPLES, *ODD, b"{}", b"hello"]) | st.binary(max_size=30), max_size=20))
def test_whatever_comes_the_machine_never_raises(messages: list[bytes]) -> None:
    session = Session(*messages)
    assert isinstance(session.machine.verdict(None, "").reason, str)
    assert all(kind.startswith("unexpected_") for kind in session.counted)
