"""Settings: every fault at once, in words, and no secret in any of them."""

import traceback
from typing import Any

import pytest

from gateway import config
from gateway.app import USER_AGENT
from gateway.config import Settings, load, unknown_variables, variable
from gateway.errors import ConfigError
from gateway.session import SessionLimits
from tools.readme import settings_table

KEY = "0123456789abcdef"
ENOUGH = {"ASSEMBLYAI_API_KEY": KEY, "TURNGATE_ALLOW_UNAUTHENTICATED": "true"}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment with just enough to start."""
    for name in ("ASSEMBLYAI_API_KEY", "TWILIO_AUTH_TOKEN", "REDIS_URL"):
        monkeypatch.delenv(name, raising=False)
    for name, value in ENOUGH.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def faults(**overrides: Any) -> list[str]:
    with pytest.raises(ConfigError) as error:
        load(**overrides)
    assert str(error.value) == "\n".join(error.value.faults)
    return error.value.faults


def secret(settings: Settings) -> str:
    assert settings.assemblyai_api_key is not None
    return settings.assemblyai_api_key.get_secret_value()


# where they come from


def test_a_key_and_a_decision_are_enough(environment: pytest.MonkeyPatch) -> None:
    settings = load()
    assert secret(settings) == KEY
    assert (settings.media_port, settings.admin_host, settings.admin_port) == (8080, "127.0.0.1", 8081)
    assert (settings.tracks, settings.chunk_ms, settings.redis_prefix) == ("inbound", 60, "turngate")


@pytest.mark.parametrize("name", ["ASSEMBLYAI_API_KEY", "TWILIO_AUTH_TOKEN", "REDIS_URL"])
def test_customary_names_go_and_so_do_ours(name: str, environment: pytest.MonkeyPatch) -> None:
    value = "redis://elsewhere:7000/1" if name == "REDIS_URL" else "from-the-environment"
    environment.setenv("TURNGATE_PUBLIC_URL", "wss://voice.example.com")
    field = name.lower()
    for spelled in (name, config.PREFIX + name):
        environment.delenv(name, raising=False)
        environment.setenv(spelled, value)
        assert value in shown(load(), field)
        environment.delenv(spelled)
        environment.setenv("ASSEMBLYAI_API_KEY", KEY)


def shown(settings: Settings, field: str) -> str:
    """A field's value, secrets included."""
    value = getattr(settings, field)
    values = value if isinstance(value, tuple) else (value,)
    return " ".join(one.get_secret_value() if hasattr(one, "get_secret_value") else str(one) for one in values)


def test_the_customary_name_wins_over_ours_and_an_argument_over_both(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("TURNGATE_ASSEMBLYAI_API_KEY", "ours")
    assert secret(load()) == KEY
    assert secret(load(assemblyai_api_key="argument")) == "argument"


def test_an_empty_variable_is_as_none(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("TURNGATE_MEDIA_PORT", "")
    environment.setenv("TWILIO_AUTH_TOKEN", "")
    assert load().media_port == 8080


def test_comma_lists_are_taken_apart(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("TWILIO_AUTH_TOKEN", "new , old,")
    environment.setenv("TURNGATE_PUBLIC_URL", "wss://voice.example.com")
    environment.setenv("TURNGATE_PARAMETERS", "Team, Campaign")
    settings = load()
    assert [token.get_secret_value() for token in settings.twilio_auth_token] == ["new", "old"]
    assert settings.parameters == ("Team", "Campaign")


def test_a_list_of_nothing_is_no_token(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("TWILIO_AUTH_TOKEN", " , ")
    environment.setenv("TURNGATE_ALLOW_UNAUTHENTICATED", "false")
    [fault] = faults()
    assert fault.startswith("TWILIO_AUTH_TOKEN: is not set")


def test_further_parameters_are_json(environment: pytest.MonkeyPatch) -> None:
    environment.setenv(
        "TURNGATE_ASSEMBLYAI_PARAMETERS", '{"min_turn_silence": 300, "keyterms_prompt": ["a b"], "redact_pii": true}'
    )
    url = load().endpoint(USER_AGENT).url
    assert "min_turn_silence=300" in url
    assert "keyterms_prompt=%5B%22a%20b%22%5D" in url
    assert "redact_pii=true" in url


@pytest.mark.parametrize(("value", "tracks"), [("inbound", ("inbound",)), ("both", ("inbound", "outbound"))])
def test_tracks_are_named(value: str, tracks: tuple[str, ...], environment: pytest.MonkeyPatch) -> None:
    environment.setenv("TURNGATE_TRACKS", value)
    assert load().track_names == tracks
    assert load().stream_options().tracks == tracks


def test_what_the_parts_are_given_follows_the_settings(environment: pytest.MonkeyPatch) -> None:
    settings = load(chunk_ms=100, backlog_seconds=25, redis_prefix="p", history_seconds=60, outbox_bytes=2**20)
    rule = settings.stream_options().track.rule
    assert (rule.target, rule.limit) == (800, 200_000)
    outbox = settings.outbox_options()
    assert (outbox.prefix, outbox.history_seconds, outbox.limit_bytes) == ("p", 60, 2**20)


def test_settings_do_not_change(environment: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="frozen"):
        load().media_port = 1


def test_an_argument_that_is_no_setting_is_a_mistake(environment: pytest.MonkeyPatch) -> None:
    with pytest.raises(TypeError, match="trakcs"):
        load(trakcs="both")


# what is wrong with them


def test_every_fault_is_told_at_once_by_its_variable(environment: pytest.MonkeyPatch) -> None:
    for name in ENOUGH:
        environment.delenv(name)
    wrong = {
        "TURNGATE_ASSEMBLYAI_URL": "https://streaming.assemblyai.com",
        "TURNGATE_TRACKS": "left",
        "TURNGATE_CHUNK_MS": "20",
        "TURNGATE_MEDIA_PORT": "99999",
        "TURNGATE_ASSEMBLYAI_PARAMETERS": "{",
        "TURNGATE_REDIS_PREFIX": "a b",
        "REDIS_URL": "http://localhost",
    }
    for name, value in wrong.items():
        environment.setenv(name, value)
    told = faults()
    assert {fault.partition(":")[0] for fault in told} == {*wrong, "ASSEMBLYAI_API_KEY", "TWILIO_AUTH_TOKEN"}
    assert all(fault.endswith((".", "=true.")) and not fault.endswith("..") for fault in told)


@pytest.mark.parametrize("key", ["with space", "“quoted”", "line\nbreak", "ключ"])
def test_a_key_that_no_header_could_hold_is_refused(key: str, environment: pytest.MonkeyPatch) -> None:
    [fault] = faults(assemblyai_api_key=key)
    assert fault.startswith("ASSEMBLYAI_API_KEY: has characters")
    assert key not in fault


def test_a_token_needs_the_public_url(environment: pytest.MonkeyPatch) -> None:
    [fault] = faults(twilio_auth_token="token")
    assert fault.startswith("TURNGATE_PUBLIC_URL: is not set")
    [fault] = faults(twilio_auth_token="token", public_url="voice.example.com")
    assert fault.startswith("TURNGATE_PUBLIC_URL: a URL")


@pytest.mark.parametrize(
    "url",
    [
        "https://host",
        "host",
        "wss://",
        "wss:///v3/ws",
        "wss://host?token=x",
        "wss://host#x",
        "wss://user:secret@host",
        "wss://host:99999",
        "wss://host:port",
        "wss://ho st",
        "wss://a..b",
        "wss://[::1",
        "wss://" + "a" * 64 + ".com",
    ],
)
@pytest.mark.parametrize("field", ["assemblyai_url", "public_url"])
def test_a_websocket_url_is_checked(url: str, field: str, environment: pytest.MonkeyPatch) -> None:
    [fault] = faults(**{field: url})
    assert fault.startswith(f"TURNGATE_{field.upper()}: a URL that begins with wss://")
    assert "secret" not in fault


@pytest.mark.parametrize("url", ["ws://127.0.0.1:8090", "wss://[::1]:8090/", "wss://bücher.example", "ws://host_a:1/x"])
def test_a_websocket_url_may_look_like_this(url: str, environment: pytest.MonkeyPatch) -> None:
    assert load(assemblyai_url=url).assemblyai_url == url


@pytest.mark.parametrize(
    "url",
    ["http://h", "redis://", "redis:///0", "redis://h:port", "redis://:pa/ss@h:6379", "redis://h/abc", "redis://h/0/1"],
)
def test_a_redis_url_is_checked(url: str, environment: pytest.MonkeyPatch) -> None:
    [fault] = faults(redis_url=url)
    assert fault.startswith("REDIS_URL: ")
    assert "pa" not in fault.removeprefix("REDIS_URL: ").replace("password", "").replace("PASSWORD", "")


@pytest.mark.parametrize(
    "url",
    ["redis://h", "rediss://user:p%2Fw@h:6380/2?ssl_cert_reqs=none", "unix:///run/redis.sock?db=1", "redis://[::1]:1/"],
)
def test_a_redis_url_may_look_like_this(url: str, environment: pytest.MonkeyPatch) -> None:
    assert load(redis_url=url).redis_url == url


@pytest.mark.parametrize("name", ["drain_seconds", "flush_seconds", "max_stream_seconds", "backlog_seconds"])
@pytest.mark.parametrize("value", ["inf", "nan", "-1", "soon"])
def test_a_time_is_a_finite_number(name: str, value: str, environment: pytest.MonkeyPatch) -> None:
    environment.setenv(variable(name), value)
    [fault] = faults()
    assert fault.startswith(f"{variable(name)}: ")


def test_a_backlog_that_no_outage_would_fit_into_is_refused(environment: pytest.MonkeyPatch) -> None:
    limits = SessionLimits()
    least = limits.ping_every + limits.pong_within + limits.begin
    assert load(backlog_seconds=least).backlog_seconds == least
    [fault] = faults(backlog_seconds=least - 0.1)
    assert fault.startswith(f"TURNGATE_BACKLOG_SECONDS: at least {least:g} are needed")


@pytest.mark.parametrize("value", ["[1]", "1", '"text"', '{"a": null}', "{'a': 1}"])
def test_further_parameters_are_an_object(value: str, environment: pytest.MonkeyPatch) -> None:
    environment.setenv("TURNGATE_ASSEMBLYAI_PARAMETERS", value)
    assert all(fault.startswith("TURNGATE_ASSEMBLYAI_PARAMETERS: ") for fault in faults())


@pytest.mark.parametrize(("media", "admin"), [("0.0.0.0", "127.0.0.1"), ("127.0.0.1", "127.0.0.1"), ("::1", "::")])
def test_two_sites_need_two_ports(media: str, admin: str, environment: pytest.MonkeyPatch) -> None:
    [fault] = faults(media_host=media, admin_host=admin, media_port=8081)
    assert fault.startswith("TURNGATE_ADMIN_PORT: is that of TURNGATE_MEDIA_PORT")


def test_two_addresses_may_have_one_port_and_free_ones_are_two(environment: pytest.MonkeyPatch) -> None:
    assert load(media_host="10.0.0.1", admin_host="127.0.0.1", media_port=8081).media_port == 8081
    assert load(media_host="127.0.0.1", media_port=0, admin_port=0).admin_port == 0


def test_misspelt_variables_are_found() -> None:
    given = {"TURNGATE_TRAKCS": "both", "TURNGATE_TRACKS": "both", "TURNGATE_REDIS_URL": "x", "PATH": "x"}
    assert unknown_variables(given) == ["TURNGATE_TRAKCS"]


# secrets


def test_no_secret_is_shown(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("TWILIO_AUTH_TOKEN", "token-one,token-two")
    environment.setenv("TURNGATE_PUBLIC_URL", "wss://voice.example.com")
    environment.setenv("REDIS_URL", "redis://user:password@host:6379/0")
    environment.setenv("TURNGATE_ASSEMBLYAI_PARAMETERS", '{"webhook_auth_header_value": "temporary"}')
    settings = load()
    said = " ".join(
        (repr(settings), str(settings), repr(settings.endpoint(USER_AGENT)), repr(settings.model_fields_set))
    )
    for hidden in (KEY, "token-one", "token-two", "password", "temporary"):
        assert hidden not in said


def test_no_secret_is_in_a_fault_or_its_traceback(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("ASSEMBLYAI_API_KEY", "my secret")
    environment.setenv("REDIS_URL", "redis://user:password@host:6379:1/0")
    environment.setenv("TURNGATE_ASSEMBLYAI_PARAMETERS", '{"token": temporary}')
    with pytest.raises(ConfigError) as error:
        load()
    said = "".join(traceback.format_exception(error.value))
    for hidden in ("my secret", ":password@", "temporary"):
        assert hidden not in said


# the table


def test_the_table_has_every_setting_with_its_default() -> None:
    rows = settings_table().splitlines()[2:]
    assert len(rows) == len(Settings.model_fields)
    assert "| `TURNGATE_CHUNK_MS` | `60` |" in settings_table()
    assert "| `ASSEMBLYAI_API_KEY` |  |" in settings_table()
    assert "| `TURNGATE_ALLOW_UNAUTHENTICATED` | `false` |" in settings_table()
    assert all(row.count("|") == 4 and row.endswith(". |") for row in rows)


def test_the_scripted_names_are_there() -> None:
    urls = {"ASSEMBLYAI_URL", "PUBLIC_URL"}
    places = {"MEDIA_HOST", "MEDIA_PORT", "ADMIN_HOST", "ADMIN_PORT"}
    promised = urls | places | {"TRACKS", "CHUNK_MS", "ALLOW_UNAUTHENTICATED"}
    known = {variable(name) for name in Settings.model_fields}
    assert {config.PREFIX + name for name in promised} <= known
