"""AssemblyAI's parameters, and the URL that they make."""

from urllib.parse import parse_qs, urlsplit

import pytest

from gateway.protocol.parameters import KNOWN, Parameters, Value, is_base_url, session_url

MODEL = "universal-streaming-english"


def test_what_is_not_set_is_left_to_the_service() -> None:
    assert Parameters(speech_model=MODEL).query() == {
        "speech_model": MODEL,
        "sample_rate": "8000",
        "encoding": "pcm_mulaw",
    }


def test_what_is_set_is_written_as_text() -> None:
    query = Parameters(speech_model=MODEL, format_turns=True, inactivity_timeout=60).query()
    assert (query["format_turns"], query["inactivity_timeout"]) == ("true", "60")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"),
        (False, "false"),
        (1, "1"),
        (0.4, "0.4"),
        ("medical-v1", "medical-v1"),
        (["Müller", 'a "b"'], '["Müller","a \\"b\\""]'),
        ([], "[]"),
        ({"model": "m", "max_tokens": 5}, '{"model":"m","max_tokens":5}'),
    ],
    ids=repr,
)
def test_booleans_are_lower_case_and_lists_are_one_json_text(value: Value, text: str) -> None:
    assert Parameters(speech_model=MODEL, more={"x": value}).query()["x"] == text


def test_more_goes_before_what_is_named_but_not_before_the_streams_own() -> None:
    more: dict[str, Value] = {"format_turns": False, "encoding": "opus", "sample_rate": 16000}
    query = Parameters(speech_model=MODEL, format_turns=True, more=more).query()
    assert (query["format_turns"], query["encoding"], query["sample_rate"]) == ("false", "pcm_mulaw", "8000")


def test_another_encoding_is_the_streams_to_say() -> None:
    query = Parameters(speech_model=MODEL).query(encoding="pcm_s16le", sample_rate=16000)
    assert (query["encoding"], query["sample_rate"]) == ("pcm_s16le", "16000")


def test_a_misspelt_name_is_found() -> None:
    more: dict[str, Value] = {"min_turn_silence": 300, "speechModel": "x", "keyterm_prompt": []}
    assert Parameters(speech_model=MODEL, more=more).unknown() == ["keyterm_prompt", "speechModel"]
    assert Parameters(speech_model=MODEL).unknown() == []


def test_every_parameter_that_we_set_is_known() -> None:
    query = Parameters(speech_model=MODEL, format_turns=True, inactivity_timeout=60).query()
    assert query.keys() <= KNOWN


@pytest.mark.parametrize(
    ("base", "place"),
    [
        ("wss://streaming.assemblyai.com", "wss://streaming.assemblyai.com/v3/ws"),
        ("wss://streaming.eu.assemblyai.com/v3/ws", "wss://streaming.eu.assemblyai.com/v3/ws"),
        ("ws://127.0.0.1:8090", "ws://127.0.0.1:8090/v3/ws"),
        ("ws://host:8080/", "ws://host:8080/"),
        ("ws://[::1]:8080/stt", "ws://[::1]:8080/stt"),
    ],
)
def test_the_path_is_v3s_where_none_is_given(base: str, place: str) -> None:
    assert session_url(base, {"encoding": "pcm_mulaw"}) == f"{place}?encoding=pcm_mulaw"


def test_what_is_written_can_be_read() -> None:
    query = {"keyterms_prompt": '["a b","c&d=e","100%","ü+"]', "prompt": "line\nbreak/slash?#"}
    url = session_url("wss://streaming.assemblyai.com", query)
    assert url.isascii()
    assert " " not in url
    assert "+" not in url
    assert parse_qs(urlsplit(url).query, strict_parsing=True) == {name: [text] for name, text in query.items()}


@pytest.mark.parametrize(
    ("url", "fits"),
    [
        ("wss://streaming.assemblyai.com", True),
        ("ws://127.0.0.1:8090/", True),
        ("ws://[::1]:8090/v3/ws", True),
        ("https://streaming.assemblyai.com", False),
        ("wss://", False),
        ("wss://host:port", False),
        ("wss://host:70000", False),
        ("wss://a host", False),
        (f"wss://{'a' * 64}.com", False),
        ("wss://host?token=x", False),
        ("wss://host#there", False),
        ("wss://user:password@host", False),
    ],
)
def test_a_base_url_is_a_websockets_with_a_host_and_no_secrets(url: str, fits: bool) -> None:
    assert is_base_url(url) is fits
