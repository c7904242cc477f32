"""gateway.check: what is said of settings, and of Redis."""

import socket
from pathlib import Path

import pytest
from redis.asyncio import Redis

from gateway import check, config
from gateway.check import Findings, examine, try_redis, without_password
from gateway.sandbox.redis import RedisServer

GOOD = {
    "ASSEMBLYAI_API_KEY": "a-key",
    "TWILIO_AUTH_TOKEN": "a-token",
    "TURNGATE_PUBLIC_URL": "wss://voice.example.com",
    "TURNGATE_MEDIA_PORT": "0",
    "TURNGATE_ADMIN_PORT": "0",
}


@pytest.fixture(autouse=True)
def no_redis_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REDIS_URL", raising=False)


def examined(monkeypatch: pytest.MonkeyPatch, **environment: str) -> Findings:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return examine()


def test_settings_that_work_have_neither_faults_nor_warnings(monkeypatch: pytest.MonkeyPatch) -> None:
    findings = examined(monkeypatch, **GOOD)
    assert (findings.faults, findings.warnings) == ([], [])
    assert findings.redis == ("redis://127.0.0.1:6379/0", "turngate")


def test_every_setting_is_in_the_table_without_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    more = {"REDIS_URL": "redis://me:word@h:1/0", "TURNGATE_ASSEMBLYAI_PARAMETERS": '{"prompt": "x", "keyterms": []}'}
    findings = examined(monkeypatch, **GOOD, **more)
    values = {setting.variable: (setting.value, setting.given) for setting in findings.table}
    assert len(values) == len(config.Settings.model_fields)
    assert values["ASSEMBLYAI_API_KEY"] == ("set", True)
    assert values["TURNGATE_CHUNK_MS"] == ("60", False)
    assert values["TURNGATE_SHOW_DTMF"] == ("false", False)
    assert values["REDIS_URL"] == ("redis://me:•••@h:1/0", True)
    assert values["TURNGATE_ASSEMBLYAI_PARAMETERS"] == ("prompt, keyterms", True)
    assert not {"a-key", "a-token", "word"} & {value for value, _ in values.values()}


def test_all_faults_are_told_at_once_and_redis_is_still_known(monkeypatch: pytest.MonkeyPatch) -> None:
    findings = examined(monkeypatch, TURNGATE_CHUNK_MS="20", TURNGATE_TRACKS="stereo", TURNGATE_REDIS_URL="redis://h")
    assert {fault.partition(":")[0] for fault in findings.faults} >= {"TURNGATE_CHUNK_MS", "TURNGATE_TRACKS"}
    assert findings.redis == ("redis://h", "turngate")


def test_a_redis_url_at_fault_is_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    assert examined(monkeypatch, **GOOD, REDIS_URL="http://h").redis is None


@pytest.mark.parametrize(
    ("more", "warns"),
    [
        ({"TURNGATE_TRACK": "both"}, "TURNGATE_TRACK: is no setting"),
        ({"TURNGATE_ADMIN_TOKEN": "x"}, "TURNGATE_ADMIN_TOKEN: is not used yet"),
        ({"TURNGATE_ASSEMBLYAI_SESSIONS_PER_MINUTE": "9"}, "TURNGATE_ASSEMBLYAI_SESSIONS_PER_MINUTE: is not used yet"),
        (
            {"TURNGATE_ASSEMBLYAI_PARAMETERS": '{"min_turn_silense": 300, "vad_threshold": 0.4, "a\\u001bb": 1}'},
            "PARAMETERS: AssemblyAI ignores parameters that it does not know: a b, min_turn_silense",
        ),
        ({"TURNGATE_ASSEMBLYAI_URL": "ws://aai.example.com:8080/"}, "in the clear"),
        ({"TWILIO_AUTH_TOKEN": "", "TURNGATE_ALLOW_UNAUTHENTICATED": "true"}, "whoever reaches"),
    ],
)
def test_what_works_but_may_not_be_meant_is_a_warning(
    monkeypatch: pytest.MonkeyPatch, more: dict[str, str], warns: str
) -> None:
    findings = examined(monkeypatch, **{**GOOD, **more})
    assert findings.faults == []
    (warning,) = findings.warnings
    assert warns in warning


def test_what_is_used_by_now_is_not_said_to_be_not_used_yet() -> None:
    assert config.unknown_variables(dict.fromkeys(check.NOT_USED_YET, "x")) == sorted(check.NOT_USED_YET)


@pytest.mark.parametrize(
    "more",
    [
        {"TURNGATE_ASSEMBLYAI_URL": "ws://127.0.0.1:8090"},
        {"TURNGATE_ASSEMBLYAI_URL": "ws://aai.internal:8080/", "ASSEMBLYAI_API_KEY": "self-hosted"},
    ],
)
def test_no_tls_is_right_on_this_machine_and_with_the_self_hosted_stack(
    monkeypatch: pytest.MonkeyPatch, more: dict[str, str]
) -> None:
    assert examined(monkeypatch, **{**GOOD, **more}).warnings == []


def test_a_port_in_use_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = {"TURNGATE_ADMIN_PORT": str(server.getsockname()[1])}
        (warning,) = examined(monkeypatch, **{**GOOD, **taken}).warnings
    assert warning.startswith("TURNGATE_ADMIN_PORT: port")


@pytest.mark.parametrize("site", ["MEDIA", "ADMIN"])
def test_a_place_where_nothing_can_listen_is_a_fault(monkeypatch: pytest.MonkeyPatch, site: str) -> None:
    variable = f"TURNGATE_{site}_HOST"
    findings = examined(monkeypatch, **{**GOOD, variable: "nohost.invalid"})
    (fault,) = findings.faults
    assert fault.startswith(f"{variable}: nothing can listen on nohost.invalid:0: ")
    assert findings.redis is not None


def test_a_url_is_shown_without_its_password() -> None:
    assert without_password("redis://:secret@h:6379/0") == "redis://:•••@h:6379/0"
    assert without_password("rediss://me@h/0") == "rediss://me@h/0"
    assert without_password("redis://[h") == "(not a URL)"


async def test_redis_is_written_to_as_the_gateway_does(redis_url: str, prefix: str, redis_client: Redis) -> None:
    assert await try_redis(redis_url, prefix) is None
    assert 0 < await redis_client.ttl(f"{prefix}:check") <= check._TRIAL_SECONDS


async def test_a_redis_that_is_not_there_is_told_with_what_to_do() -> None:
    trouble = await try_redis("redis://me:word@127.0.0.1:1/0", "turngate")
    assert trouble is not None
    assert "is it running" in trouble
    assert "word" not in trouble


async def test_a_redis_that_refuses_is_told_with_what_to_do(tmp_path: Path) -> None:
    server = RedisServer()
    await server.start()
    try:
        url = f"redis://127.0.0.1:{server.port}/0"
        async with Redis.from_url(url) as client:
            await client.acl_setuser(
                "reader", enabled=True, passwords="+word", keys=["*"], commands=["+ping", "+client"]
            )
            refused = [
                await try_redis(url.replace("//", "//nobody:word@"), "turngate"),
                await try_redis(url.replace("//", "//reader:word@"), "turngate"),
            ]
            await client.replicaof("127.0.0.1", "1")
            refused.append(await try_redis(url, "turngate"))
    finally:
        await server.stop()
    for trouble, says in zip(refused, ("refuses the password", "does not let", "is a replica"), strict=True):
        assert trouble is not None
        assert says in trouble
