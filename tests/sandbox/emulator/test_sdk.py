"""AssemblyAI's own Python SDK, unmodified, against the emulator."""

from __future__ import annotations

import asyncio
import json
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from assemblyai.streaming.v3 import (
    AsyncRealTimeTranscriber,
    RealTimeEvents,
    RealTimeParameters,
    RealTimeTranscriber,
    RealTimeTranscriberOptions,
)
from assemblyai.streaming.v3.models import Encoding, RealTimeSessionParameters, SpeechModel

from gateway.sandbox import recordings
from gateway.sandbox.emulator import Emulator, Fault, Knobs

DATA = Path(__file__).parents[2] / "data"
UTTERANCES = [item["text"] for item in json.loads((DATA / "speech-8k.json").read_text())["utterances"]]
KNOWN = recordings.load(DATA / "speech-8k.wav")
EVENTS = (RealTimeEvents.Begin, RealTimeEvents.Turn, RealTimeEvents.Termination, RealTimeEvents.SpeechStarted)


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate for localhost and its key."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("makes its certificate with openssl, which is not here")
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    made = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"]
    files = ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run([openssl, *made, *files], check=True, capture_output=True)
    return certificate, key


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    async with Emulator(recordings=KNOWN) as running:
        yield running


def options(emulator: Emulator, **given: Any) -> RealTimeTranscriberOptions:
    return RealTimeTranscriberOptions(api_host=emulator.url, api_key="a-key", **given)


def parameters(model: SpeechModel, **given: Any) -> RealTimeParameters:
    return RealTimeParameters(sample_rate=8000, encoding=Encoding.pcm_mulaw, speech_model=model, **given)


def chunks() -> list[bytes]:
    audio = KNOWN[0].audio
    return [audio[at : at + 800].ljust(800, b"\xff") for at in range(0, len(audio), 800)]


def finals(events: list[Any]) -> list[str]:
    """The finals' texts as a reader compares them."""
    turns = [event for event in events if event.type == "Turn" and event.end_of_turn and event.transcript]
    return [turn.transcript.lower().rstrip(".") for turn in turns]


def kinds(events: list[Any]) -> list[str]:
    return list(dict.fromkeys(event.type for event in events))


# The SDK calls websockets' connect() in a way that websockets 17 deprecates.
@pytest.mark.filterwarnings(r"ignore:connect\(\) must be used as a context manager:DeprecationWarning")
@pytest.mark.parametrize("model", [SpeechModel.universal_3_5_pro, SpeechModel.universal_streaming_english])
async def test_the_threaded_client_gets_every_turn(emulator: Emulator, model: SpeechModel) -> None:
    events: list[Any] = []
    errors: list[Any] = []

    def talk() -> None:
        client = RealTimeTranscriber(options(emulator))
        for event in EVENTS:
            client.on(event, lambda _client, message: events.append(message))
        client.on(RealTimeEvents.Error, lambda _client, error: errors.append(error))
        client.connect(parameters(model))
        client.stream(chunks())
        client.disconnect(terminate=True)

    await asyncio.to_thread(talk)
    await emulator.wait_for(lambda: emulator.open_sessions == 0)
    assert errors == []
    assert finals(events) == UTTERANCES
    assert kinds(events)[0] == "Begin"
    assert kinds(events)[-1] == "Termination"
    assert emulator.sessions[0].close_code == 1000


async def test_the_asyncio_client_gets_every_turn(emulator: Emulator) -> None:
    events: list[Any] = []
    client = AsyncRealTimeTranscriber(options(emulator))
    for event in EVENTS:
        client.on(event, lambda _client, message: events.append(message))
    await client.connect(parameters(SpeechModel.universal_3_6_pro, keyterms_prompt=["Dashwood"], format_turns=True))
    await client.stream(chunks())
    await client.disconnect(terminate=True)
    assert finals(events) == UTTERANCES
    assert kinds(events) == ["Begin", "SpeechStarted", "Turn", "Termination"]
    assert events[0].configuration.model == "universal-3-6-pro"
    assert emulator.sessions[0].terminated
    assert emulator.open_sessions == 0


async def test_the_client_updates_forces_and_keeps_alive(emulator: Emulator) -> None:
    client = AsyncRealTimeTranscriber(options(emulator))
    await client.connect(parameters(SpeechModel.universal_3_5_pro))
    await client.set_params(RealTimeSessionParameters(keyterms_prompt=[], max_turn_silence=900))
    await client.keep_alive()
    await client.force_endpoint()
    await client.disconnect(terminate=True)
    kinds_sent = [json.loads(text)["type"] for text in emulator.sessions[0].texts]
    assert kinds_sent == ["UpdateConfiguration", "KeepAlive", "ForceEndpoint", "Terminate"]
    assert emulator.sessions[0].close_code == 1000


async def test_the_client_reports_a_refused_key_once(emulator: Emulator) -> None:
    errors: list[Any] = []
    failed = asyncio.Event()

    def on_error(_client: object, error: Any) -> None:
        errors.append(error)
        failed.set()

    client = AsyncRealTimeTranscriber(RealTimeTranscriberOptions(api_host=emulator.url, api_key="invalid"))
    client.on(RealTimeEvents.Error, on_error)
    await client.connect(parameters(SpeechModel.universal_3_5_pro))
    await failed.wait()
    await client.disconnect()
    assert [(error.code, str(error)) for error in errors] == [(1008, "Unauthorized Connection: Invalid API key")]


async def test_the_client_reports_a_refused_upgrade() -> None:
    errors: list[Any] = []
    async with Emulator(Knobs(http_status=429)) as emulator:
        client = AsyncRealTimeTranscriber(options(emulator))
        client.on(RealTimeEvents.Error, lambda _client, error: errors.append(error))
        await client.connect(parameters(SpeechModel.universal_3_5_pro))
        await client.disconnect()
        assert [error.code for error in errors] == [429]
        assert emulator.upgrades == 1


async def test_the_client_reports_an_error_in_the_middle() -> None:
    errors: list[Any] = []
    failed = asyncio.Event()

    def on_error(_client: object, error: Any) -> None:
        errors.append(error)
        failed.set()

    async with Emulator(Knobs(fault=Fault.ERROR)) as emulator:
        client = AsyncRealTimeTranscriber(options(emulator))
        client.on(RealTimeEvents.Error, on_error)
        await client.connect(parameters(SpeechModel.universal_3_5_pro))
        await client.stream(chunks()[:20])
        await failed.wait()
        await client.disconnect()
    assert [error.code for error in errors] == [3005]


async def test_the_client_gets_a_token_and_a_session_over_tls(
    certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*certificate)
    async with Emulator(ssl_context=context) as emulator:
        host = emulator.url.replace("wss://127.0.0.1", "localhost")
        minter = AsyncRealTimeTranscriber(RealTimeTranscriberOptions(api_host=host, api_key="a-key"))
        token = await minter.create_temporary_token(expires_in_seconds=60)
        await minter.disconnect()
        client = AsyncRealTimeTranscriber(RealTimeTranscriberOptions(api_host=host, token=token))
        await client.connect(parameters(SpeechModel.universal_3_5_pro))
        await client.disconnect(terminate=True)
        assert emulator.sessions[0].terminated
        assert emulator.sessions[0].headers == {"Authorization": token}
