"""A session's life, without sockets and without waiting."""

from __future__ import annotations

import json
import math

import pytest

from gateway.sandbox.emulator.agenda import Close, Send
from gateway.sandbox.emulator.choices import Formatting, IdleForce
from gateway.sandbox.emulator.credentials import Refused
from gateway.sandbox.emulator.knobs import Knobs
from gateway.sandbox.emulator.refused import RefusedSession
from tests.sandbox.emulator.fakes import MULAW, U3, US, Driven, script, sent


def test_begin_comes_first_with_exactly_eight_configuration_keys() -> None:
    begin = Driven(U3).messages[0]
    assert list(begin) == ["type", "id", "expires_at", "configuration"]
    assert begin["expires_at"] == 1_010_800
    assert begin["configuration"] == {
        "model": "universal-3-5-pro",
        "mode": "balanced",
        "api_version": "2025-05-12",
        "speaker_labels": False,
        "redact_pii": False,
        "filter_profanity": False,
        "domain": None,
        "voice_focus": None,
    }


def test_mode_is_null_on_a_us_model() -> None:
    assert Driven(US).messages[0]["configuration"]["mode"] is None


def test_begin_can_be_late_and_nothing_overtakes_it() -> None:
    session = Driven(U3, script("hello there"), begin_delay=5)
    session.audio(3000)
    assert session.messages == []
    session.wait(5)
    assert session.types[0] == "Begin"
    assert session.types[-1] == "Turn"


def test_terminate_ends_the_turn_then_says_termination_then_closes_1000() -> None:
    session = Driven(U3, script("hello there"))
    session.audio(1200)
    session.say(type="Terminate")
    assert session.types[-2:] == ["Turn", "Termination"]
    assert session.messages[-1] == {
        "type": "Termination",
        "audio_duration_seconds": 1,
        "session_duration_seconds": 1,
    }
    assert session.actions[-1] == Close(1000, "Session Ended")
    assert session.record.terminated
    assert session.session.due() == math.inf


def test_the_session_duration_is_wall_time_in_whole_seconds() -> None:
    session = Driven(U3)
    session.wait(4.2)
    session.say(type="Terminate")
    assert session.messages[-1]["session_duration_seconds"] == 5
    assert session.messages[-1]["audio_duration_seconds"] == 0


def test_a_us_session_ends_with_an_extra_empty_final() -> None:
    session = Driven(US, script("hello there"))
    session.audio(1200)
    session.say(type="Terminate")
    assert [(turn["turn_order"], turn["transcript"]) for turn in session.finals] == [(0, "hello there"), (1, "")]
    assert session.finals[1]["words"] == []


def test_null_language_is_sent_on_the_empty_final_when_asked() -> None:
    session = Driven(US, null_language=True)
    session.say(type="Terminate")
    assert session.finals[0]["language_code"] is None
    unasked = Driven(US)
    unasked.say(type="Terminate")
    assert "language_code" not in unasked.finals[0]


def test_the_termination_takes_its_time_when_asked() -> None:
    session = Driven(U3, terminate_delay=0.6)
    assert session.say(type="Terminate") == []
    assert [type(action) for action in session.wait(0.6)] == [Send, Close]


def test_unconfirmed_what_comes_after_terminate_is_ignored() -> None:
    session = Driven(U3, terminate_delay=1)
    session.say(type="Terminate")
    session.say(type="Nonsense")
    session.audio(1000)
    session.wait(2)
    assert session.types == ["Begin", "Termination"]
    assert session.record.audio_bytes == 0


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "Invalid JSON: "),
        ("[]", "Invalid Message Type: list"),
        ('{"type":"Audio"}', "Invalid Message Type: Audio"),
        ('{"audio_data":"//8="}', "Invalid Message Type: None"),
        ('{"type":["Terminate"]}', "Invalid Message Type: ['Terminate']"),
    ],
)
def test_a_text_frame_that_is_no_message_ends_the_session_with_3006(text: str, says: str) -> None:
    session = Driven(U3)
    session.session.receive_text(text, session.now)
    session.wait(0)
    assert session.messages[-1]["error_code"] == 3006
    assert says in session.messages[-1]["error"]
    assert session.close == Close(3006, "See Error message for details")


def test_no_termination_follows_an_error() -> None:
    session = Driven(U3)
    session.say(type="Nonsense")
    session.say(type="Terminate")
    session.wait(10)
    assert session.types == ["Begin", "Error"]


def test_error_and_close_come_apart_as_they_do_live() -> None:
    session = Driven(U3, error_delay=0.01, close_delay=0.18)
    session.say(type="Nonsense")
    assert sent(session.wait(0.011))[0]["type"] == "Error"
    assert session.wait(0.17) == []
    assert session.wait(0.02) == [Close(3006, "See Error message for details")]


def test_inactivity_ends_the_session_with_the_measured_text() -> None:
    session = Driven(U3 | {"inactivity_timeout": "5"})
    session.wait(4)
    session.say(type="KeepAlive")
    session.wait(4.9)
    assert session.types == ["Begin"]
    session.wait(0.2)
    assert session.messages[-1] == {
        "type": "Error",
        "error_code": 3006,
        "error": "Session terminated due to inactivity: No messages received for 5 seconds",
    }


def test_without_an_inactivity_timeout_silence_lasts_for_ever() -> None:
    session = Driven(U3)
    session.wait(10_000)
    assert session.types == ["Begin"]


def test_unconfirmed_a_session_expires_with_3008() -> None:
    session = Driven(U3, seconds=60)
    assert session.messages[0]["expires_at"] == 1_000_060
    session.wait(60)
    assert session.messages[-1]["error_code"] == 3008
    assert session.close == Close(3008, "See Error message for details")


def test_heartbeats_come_every_five_seconds_when_asked_for() -> None:
    session = Driven(U3 | {"session_heartbeat": "true"})
    session.audio(5000)
    session.wait(10.5)
    beats = session.messages[1:]
    assert [beat["type"] for beat in beats] == ["Heartbeat", "Heartbeat"]
    assert beats[0]["total_audio_received_ms"] == 5000
    assert beats[1]["total_duration_ms"] == 10_000
    assert beats[1]["realtime_factor"] == 0.5


def test_heartbeats_can_be_asked_for_later() -> None:
    session = Driven(U3)
    session.say(type="UpdateConfiguration", session_heartbeat=True)
    session.wait(5)
    assert session.types == ["Begin", "Heartbeat"]


def test_acknowledged_silence_comes_every_second_without_a_gap() -> None:
    session = Driven(U3 | {"acknowledge_silence": "True"}, script("hello"))
    session.audio(4000)
    silences = [(m["start_ms"], m["end_ms"]) for m in session.messages if m["type"] == "Silence"]
    assert silences == [(750, 1750), (1750, 2750), (2750, 3750)]


def test_silence_is_not_acknowledged_on_a_us_model() -> None:
    session = Driven(US | {"acknowledge_silence": "true"})
    session.audio(4000)
    assert session.types == ["Begin"]


def test_silence_can_overlap_speech() -> None:
    session = Driven(U3 | {"acknowledge_silence": "true"}, script("hello"), silence_overlap_ms=500)
    session.audio(2000)
    assert next(m["start_ms"] for m in session.messages if m["type"] == "Silence") == 250


def test_force_endpoint_cuts_at_the_audio_received() -> None:
    session = Driven(U3, script("one two three"))
    session.audio(1300)
    session.say(type="ForceEndpoint")
    assert session.finals[-1]["transcript"] == "One two."
    session.audio(3000)
    assert session.finals[-1]["transcript"] == "Three."
    assert session.finals[-1]["turn_order"] == 1


def test_a_forced_final_takes_its_time_when_asked() -> None:
    session = Driven(U3, script("one"), force_delay=0.27)
    session.audio(1000)
    assert session.say(type="ForceEndpoint") == []
    session.wait(0.27)
    assert len(session.finals) == 1


def test_unconfirmed_force_endpoint_with_nothing_pending_says_nothing() -> None:
    session = Driven(U3)
    session.say(type="ForceEndpoint")
    assert session.types == ["Begin"]


@pytest.mark.parametrize("query", [US, U3])
def test_unconfirmed_force_endpoint_with_nothing_pending_may_say_an_empty_final(query: dict[str, str]) -> None:
    session = Driven(query, force_when_idle=IdleForce.EMPTY_FINAL)
    session.say(type="ForceEndpoint")
    assert session.finals[0]["transcript"] == ""


def test_unconfirmed_force_endpoint_on_us_may_lose_the_word_in_flight() -> None:
    session = Driven(US, script("one two three"), us_force_drops_tail=True)
    session.audio(900)
    session.say(type="ForceEndpoint")
    session.audio(3000)
    assert [turn["transcript"] for turn in session.finals] == ["one", "three"]


def test_an_update_changes_when_turns_end() -> None:
    session = Driven(U3, script("hello"))
    session.say(type="UpdateConfiguration", max_turn_silence=3000)
    session.audio(3500)
    assert session.finals == []
    session.audio(500)
    assert len(session.finals) == 1


@pytest.mark.parametrize(
    ("update", "names"),
    [
        ({"vad_threshold": 2}, "vad_threshold"),
        ({"keyterms_prompt": "a"}, "keyterms_prompt"),
        ({"agent_context": "x" * 1751}, "agent_context"),
        ({"max_turn_silence": "400"}, "max_turn_silence"),
    ],
)
def test_an_invalid_update_ends_the_session(update: dict[str, object], names: str) -> None:
    session = Driven(U3)
    session.say(type="UpdateConfiguration", **update)
    assert session.messages[-1]["error_code"] == 3006
    assert f"Invalid '{names}'" in session.messages[-1]["error"]


def test_an_empty_list_clears_the_key_terms_and_is_not_answered() -> None:
    session = Driven(U3)
    session.say(type="UpdateConfiguration", keyterms_prompt=[], sample_rate="nonsense", unknown=1)
    assert session.types == ["Begin"]


def test_one_too_long_frame_is_refused_at_once() -> None:
    session = Driven(U3)
    session.audio(1000, chunk_ms=1000)
    assert session.close is None
    session.audio(1200, chunk_ms=1200)
    assert session.messages[-1]["error"] == (
        "Input Duration Error: Input Duration Violation: 1200 ms. Expected between 50 and 1000 ms"
    )
    assert session.close == Close(3007, "See Error message for details")


def test_too_short_frames_are_refused_after_about_a_second() -> None:
    session = Driven(U3)
    session.audio(48 * 20, chunk_ms=20)
    assert session.close is None
    session.audio(20, chunk_ms=20)
    assert "20 ms" in session.messages[-1]["error"]
    assert session.close == Close(3007, "See Error message for details")


def test_a_strict_session_refuses_the_first_short_frame() -> None:
    session = Driven(U3, strict=True)
    session.audio(50, chunk_ms=50)
    assert session.close is None
    session.audio(20, chunk_ms=20)
    assert session.close == Close(3007, "See Error message for details")


def test_unconfirmed_one_short_frame_before_terminate_is_tolerated() -> None:
    session = Driven(U3)
    session.audio(30, chunk_ms=30)
    session.say(type="Terminate")
    assert session.types == ["Begin", "Termination"]


def test_unconfirmed_one_short_frame_before_terminate_may_be_refused() -> None:
    session = Driven(U3, refuse_short_last=True)
    session.audio(30, chunk_ms=30)
    session.say(type="Terminate")
    assert session.messages[-1]["error_code"] == 3007


def test_audio_that_comes_too_fast_is_heard_late() -> None:
    session = Driven(U3, script("hello"), max_rate=1.25)
    session.audio(3000)
    assert session.finals == []
    session.wait(1.3)
    assert session.finals == []
    session.wait(0.2)
    assert len(session.finals) == 1


def test_terminate_waits_for_the_audio_before_it() -> None:
    session = Driven(U3, script("hello"), max_rate=1.0)
    session.audio(2000)
    session.say(type="Terminate")
    assert session.types == ["Begin"]
    session.wait(2)
    assert session.types[-2:] == ["Turn", "Termination"]


def test_unconfirmed_too_much_waiting_audio_is_3007() -> None:
    session = Driven(U3, max_rate=1.0, max_backlog_seconds=2)
    session.audio(3000)
    assert session.messages[-1]["error"] == "Audio Transmission Rate Exceeded"
    assert session.close == Close(3007, "See Error message for details")


def test_what_is_heard_does_not_depend_on_the_frames() -> None:
    texts = set()
    for chunk_ms in (50, 60, 100, 250, 1000):
        session = Driven(U3, script("one two three") + script("four five", 4000))
        session.audio(12_000, chunk_ms=chunk_ms)
        texts.add(json.dumps(session.turns))
    assert len(texts) == 1


def test_latency_and_jitter_never_reorder() -> None:
    session = Driven(US, script("one two three four five"), latency=0.1, jitter=0.5)
    session.audio(5000)
    session.wait(10)
    plain = Driven(US, script("one two three four five"))
    plain.audio(5000)
    assert session.turns == plain.turns


def test_speaker_labels_mark_finals_and_are_revised_before_termination() -> None:
    session = Driven(U3 | {"speaker_labels": "true"}, script("one") + script("two", 3000))
    session.audio(6000)
    session.say(type="Terminate")
    assert [turn["speaker_label"] for turn in session.finals] == ["UNKNOWN", "A"]
    assert session.finals[1]["words"][0]["speaker"] == "A"
    assert session.types[-2:] == ["SpeakerRevision", "Termination"]
    revision = session.messages[-2]["revisions"][0]
    assert (revision["turn_order"], revision["speaker_label"]) == (0, "A")


def test_language_detection_adds_its_fields_to_finals() -> None:
    session = Driven(U3 | {"language_detection": "true"}, script("one"))
    session.audio(3000)
    assert session.finals[0]["language_code"] == "en"
    unasked = Driven(U3, script("one"))
    unasked.audio(3000)
    assert "language_code" not in unasked.finals[0]


def test_an_llm_answers_every_final_when_the_account_may() -> None:
    asked = U3 | {"llm_gateway": '{"model":"m","messages":[],"max_tokens":9}'}
    session = Driven(asked, script("one"))
    session.audio(3000)
    assert session.messages[-1]["data"]["choices"][0]["message"]["content"] == "You said: One."
    without = Driven(asked, script("one"), llm_access=False)
    without.audio(3000)
    assert without.types[-1] == "Turn"


def test_compressed_audio_is_taken_and_not_measured() -> None:
    session = Driven({"encoding": "opus", "speech_model": "universal-3-5-pro"})
    session.session.receive_binary(b"x" * 30, session.now)
    assert session.record.audio_bytes == 30
    session.say(type="Terminate")
    assert session.types == ["Begin", "Termination"]


def test_unconfirmed_the_second_final_of_a_us_turn_may_be_late() -> None:
    session = Driven(US | {"format_turns": "true"}, script("one"), formatting=Formatting.DOUBLE, format_delay=0.4)
    session.audio(3000)
    assert [turn["turn_is_formatted"] for turn in session.finals] == [False]
    session.wait(0.4)
    assert [turn["turn_is_formatted"] for turn in session.finals] == [False, True]


def test_the_audio_is_kept_when_asked() -> None:
    kept, not_kept = Driven(U3), Driven(U3, keep_audio=False)
    kept.audio(100)
    not_kept.audio(100)
    assert kept.record.audio == b"\xff" * 800
    assert kept.record.chunk_sizes == [800]
    assert not_kept.record.audio == b""
    assert not_kept.record.audio_bytes == 800


def test_a_missing_sample_rate_means_16_khz() -> None:
    session = Driven({"encoding": "pcm_mulaw"})
    session.session.receive_binary(b"\xff" * 800, session.now)
    session.say(type="Terminate")
    assert session.messages[-1]["audio_duration_seconds"] == 0
    assert Driven(MULAW).record.audio_limit == 4_800_000


def test_a_refused_session_says_why_and_ignores_the_rest() -> None:
    session = RefusedSession(Refused(1008, "no"), Knobs(close_delay=0.18), now=1.0)
    session.receive_text("{", 1.0)
    session.receive_binary(b"", 1.0)
    assert sent(session.tick(1.0)) == [{"type": "Error", "error_code": 1008, "error": "no"}]
    assert session.due() == 1.18
    assert session.tick(1.18) == [Close(1008, "See Error message for details")]
