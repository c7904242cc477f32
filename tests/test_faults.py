"""gateway.faults: pydantic's findings in words for people."""

import pytest

from gateway.config import load, variable
from gateway.errors import ConfigError


def fault(**setting: object) -> str:
    """The one fault, without its variable."""
    with pytest.raises(ConfigError) as error:
        load(assemblyai_api_key="a-key", **{"allow_unauthenticated": True, **setting})
    (told,) = error.value.faults
    (name,) = setting
    assert told.startswith(f"{variable(name)}: ")
    return told.partition(": ")[2]


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("show_dtmf", "maybe", "true or false is expected."),
        ("chunk_ms", "x", "a whole number is expected."),
        ("chunk_ms", "60.5", "a whole number is expected."),
        ("chunk_ms", "20", "at least 50 is expected."),
        ("chunk_ms", "2000", "at most 1000 is expected."),
        ("max_stream_seconds", "0", "more than 0 is expected."),
        ("drain_seconds", "soon", "a number is expected."),
        ("drain_seconds", "inf", "a finite number is expected."),
        ("tracks", "left", "'inbound', 'outbound' or 'both' is expected."),
        ("assemblyai_speech_model", "", "some text is expected."),
        ("redis_prefix", "a b", "1 to 64 of the characters A-Z a-z 0-9 . _ : - are expected."),
        ("assemblyai_parameters", "[1]", 'a JSON object, {"min_turn_silence": 300}, is expected.'),
        ("assemblyai_parameters", '{"a": null}', "the value of 'a' is none that a query parameter can have."),
    ],
)
def test_a_fault_says_what_is_expected(name: str, value: str, said: str) -> None:
    assert fault(**{name: value}) == said


@pytest.mark.parametrize(
    ("name", "set_by"),
    [
        ("sample_rate", "carrier's audio"),
        ("encoding", "carrier's audio"),
        ("speech_model", "TURNGATE_ASSEMBLYAI_SPEECH_MODEL"),
        ("token", "ASSEMBLYAI_API_KEY"),
    ],
)
def test_a_parameter_that_is_set_elsewhere_is_refused_with_where(name: str, set_by: str) -> None:
    assert set_by in fault(assemblyai_parameters={name: "secret"})
    assert "secret" not in fault(assemblyai_parameters={name: "secret"})
