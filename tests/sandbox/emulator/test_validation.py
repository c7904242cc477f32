"""Which parameters are refused, and which ignored."""

from __future__ import annotations

import pytest

from gateway.sandbox.emulator.validation import InvalidInputError, client_message, is_u3, parse


def refused(*query: tuple[str, str], default_model: str = "universal-3-5-pro") -> str:
    with pytest.raises(InvalidInputError) as error:
        parse(query, default_model=default_model)
    return str(error.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("encoding", "pcm_alaw"),
        ("sample_rate", "7999"),
        ("sample_rate", "fast"),
        ("speech_model", "u3-pro"),
        ("keyterms_prompt", "a,b"),
        ("keyterms_prompt", "[" + ",".join(['"x"'] * 101) + "]"),
        ("prompt", "x" * 1751),
        ("agent_context", "x" * 1751),
        ("language_codes", '["english"]'),
        ("language_codes", '["multi","en"]'),
        ("inactivity_timeout", "4"),
        ("inactivity_timeout", "3601"),
        ("format_turns", "maybe"),
        ("mode", "fast"),
        ("vad_threshold", "1.5"),
        ("max_speakers", "11"),
        ("domain", "medical"),
    ],
)
def test_a_bad_value_is_refused_by_name(name: str, value: str) -> None:
    assert refused((name, value)).startswith(f"User Input Validation Error: Invalid '{name}': ")


def test_a_refused_model_lists_the_models() -> None:
    text = refused(("speech_model", "universal-3-pro"))
    assert "'universal-3-6-pro'" in text
    assert "'universal-streaming-english'" in text


@pytest.mark.parametrize("name", ["prompt", "mode"])
def test_prompt_and_mode_are_refused_on_a_us_model(name: str) -> None:
    model = ("speech_model", "universal-streaming-english")
    assert f"Invalid '{name}'" in refused(model, (name, "balanced"))


def test_a_repeated_array_is_no_json_array() -> None:
    text = refused(("keyterms_prompt", '["a"]'), ("keyterms_prompt", '["b"]'))
    assert text == "User Input Validation Error: Invalid 'keyterms_prompt': Invalid JSON array"


@pytest.mark.parametrize("text", ["true", "True", "false", "False"])
def test_booleans_come_in_both_spellings(text: str) -> None:
    parameters = parse([("format_turns", text)], default_model="universal-3-5-pro")
    assert parameters.get("format_turns", None) is (text.lower() == "true")


def test_unknown_parameters_leave_no_trace() -> None:
    query = [("formatted_finals", "true"), ("speechModel", "x"), ("sample_rate", "8000")]
    assert parse(query, default_model="universal-3-5-pro").values == {"sample_rate": 8000}


def test_old_names_are_understood() -> None:
    query = [("min_end_of_turn_silence_when_confident", "200"), ("noise_suppression_model", "far-field")]
    values = parse(query, default_model="universal-3-5-pro").values
    assert values == {"min_turn_silence": 200, "voice_focus": "far-field"}


def test_unconfirmed_the_default_model_is_a_choice() -> None:
    assert parse([], default_model="whisper-rt").model == "whisper-rt"
    assert "Invalid 'speech_model'" in refused(default_model="refuse")


@pytest.mark.parametrize(
    ("model", "u3"),
    [("universal-3-6-pro", True), ("u3-rt-pro", True), ("universal-streaming-english", False), ("whisper-rt", False)],
)
def test_a_model_belongs_to_a_family(model: str, u3: bool) -> None:
    assert is_u3(model) is u3


def test_an_update_ignores_what_is_fixed_or_unknown() -> None:
    parameters = parse([("sample_rate", "8000")], default_model="universal-3-5-pro")
    updated = parameters.updated({"type": "UpdateConfiguration", "sample_rate": 1, "format_turns": True})
    assert updated.values == {"sample_rate": 8000, "format_turns": True}


def test_a_client_message_is_an_object_of_a_known_type() -> None:
    assert client_message('{"type":"KeepAlive","x":1}') == {"type": "KeepAlive", "x": 1}
    with pytest.raises(InvalidInputError, match="Invalid Message Type: None"):
        client_message("{}")
