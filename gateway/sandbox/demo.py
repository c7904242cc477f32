"""`turngate demo`: a recorded phone call through a whole gateway, its transcript as a subscriber of Redis sees it.

Everything runs in this process but Redis: the carrier simulator, the gateway with its signature check, the emulator of
AssemblyAI (or, with `live`, the way to AssemblyAI itself), and the subscriber, who knows nothing but Redis's URL.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource
from redis.exceptions import RedisError
from rich.console import Console
from rich.text import Text

from gateway import config, logs
from gateway.app import Gateway, running
from gateway.check import without_password
from gateway.client import Transcripts
from gateway.sandbox import recordings
from gateway.sandbox.caller import Call, CallReport, place_call
from gateway.sandbox.emulator import Emulator, Knobs
from gateway.sandbox.evidence import Evidence, faults_of
from gateway.sandbox.recordings import Recording
from gateway.sandbox.redis import embedded_redis
from gateway.stream import StreamOptions
from gateway.tail import Screen, is_screen, summarize
from gateway.view import clean

AUTH_TOKEN = "the-demo-signs-with-this"  # noqa: S105 - a token of nobody's: the simulator signs, the gateway checks
PUBLIC_URL = "wss://demo.turngate.invalid"
PATH = "/media/twilio"

PRICES = {"universal-streaming": 0.15, "universal-3": 0.45}
"""US dollars for an hour of an open session, by the model's family (AssemblyAI, "Pricing", autumn 2026)."""

MARGIN_SECONDS = 5
"""A session is open somewhat longer than its audio lasts."""

LAST_WORDS_SECONDS = 30.0
"""How long the end of the transcript may take after the call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoOptions:
    """What is shown.

    Attributes:
        speed: times real time; 1 with AssemblyAI.
        redis_url: a server to use; None starts one.
        live_key: AssemblyAI's API key, to go there; None stays here with the emulator.
        model: AssemblyAI's.
        assemblyai_url: where AssemblyAI is, with a key.
    """

    speed: float = 1.0
    redis_url: str | None = None
    redis_prefix: str = "turngate"
    live_key: str | None = None
    model: str = "universal-streaming-english"
    assemblyai_url: str = "wss://streaming.assemblyai.com"


@dataclass(frozen=True, slots=True)
class _Parts:
    """What is running."""

    gateway: Gateway
    emulator: Emulator | None
    redis_url: str
    settings: config.Settings
    transcripts: Transcripts


class _Settings(config.Settings):
    """Settings that the environment has no part in: the demo is the same everywhere."""

    speed: float

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what is given."""
        return (init_settings,)

    def stream_options(self) -> StreamOptions:
        """As ever, but for the pace: a call at many times real time is not an attack here."""
        options = super().stream_options()
        return replace(options, limits=replace(options.limits, pace=options.limits.pace * max(self.speed, 1.0)))


def conversation() -> tuple[Recording, ...]:
    """The recorded call: the caller's track, then the agent's."""
    with as_file(files("gateway.sandbox") / "assets") as assets:
        return recordings.load(Path(assets) / "conversation.wav")


def cost(model: str) -> float | None:
    """What a live demo costs at most, in US dollars; None where the model's price is not known here."""
    price = next((price for family, price in PRICES.items() if model.startswith(family)), None)
    if price is None:
        return None
    tracks = conversation()
    return sum(track.duration_ms / 1000 + MARGIN_SECONDS for track in tracks) / 3600 * price


async def run_demo(options: DemoOptions, console: Console) -> list[str]:
    """Runs it and shows it. Returns what was not as it should be, in sentences.

    Raises:
        gateway.errors.ConfigError: the key, AssemblyAI's URL or Redis's can't be right.
        gateway.sandbox.redis.RedisError: the embedded server did not start.
        redis.exceptions.RedisError: the server that was named is not there.
    """
    logs.configure("auto", "warning")
    tracks = conversation()
    async with _running(options, tracks) as parts:
        call = Call(
            url=f"ws://127.0.0.1:{parts.gateway.media_port}{PATH}",
            inbound=tracks[0].audio,
            outbound=tracks[1].audio,
            auth_token=AUTH_TOKEN,
            signed_url=PUBLIC_URL + PATH,
            speed=options.speed,
        )
        _introduce(console, options, parts, call)
        evidence = Evidence()
        with Screen(console) as screen:
            report, lost = await _call_and_watch(call, parts.transcripts, evidence, screen)
        faults = [*_call_faults(report), *lost, *_leaks(parts)]
        if report.connected:
            expected = {track.name: [word.text for word in track.words] for track in tracks}
            faults += faults_of(evidence, expected, exact=options.live_key is None)
        summarize(console, "the call", _facts(evidence, parts))
    _judge(console, faults)
    return faults


async def _call_and_watch(
    call: Call, transcripts: Transcripts, evidence: Evidence, screen: Screen
) -> tuple[CallReport, list[str]]:
    """Returns how the call went, and what kept the subscriber from seeing it."""
    watching = _watch(call.call_sid, transcripts, evidence, screen)
    async with asyncio.TaskGroup() as group:
        watcher = group.create_task(watching, name="demo subscriber")
        report = await place_call(call)
        if report.connected:
            await asyncio.wait((watcher,), timeout=LAST_WORDS_SECONDS)
        watcher.cancel()
    return report, [] if watcher.cancelled() else watcher.result()


async def _watch(call_id: str, transcripts: Transcripts, evidence: Evidence, screen: Screen) -> list[str]:
    """Subscribes, as anybody might, until the call's stream has ended."""
    try:
        async with aclosing(transcripts.messages(call_id, linger=0)) as told:
            async for message in told:
                received = datetime.now(UTC)
                if (event := message.event) is not None:
                    evidence.take(message, event, received)
                    screen.show(event)
    except RedisError as error:
        return [f"the subscriber lost Redis: {error}"]
    return [f"{transcripts.missed} events were missed"] if transcripts.missed else []


@asynccontextmanager
async def _running(options: DemoOptions, tracks: tuple[Recording, ...]) -> AsyncIterator[_Parts]:
    async with AsyncExitStack() as stack:
        redis_url = options.redis_url or (await stack.enter_async_context(embedded_redis())).url
        given: dict[str, Any] = {
            "redis_url": redis_url,
            "redis_prefix": options.redis_prefix,
            "media_host": "127.0.0.1",
            "media_port": 0,
            "admin_host": "127.0.0.1",
            "admin_port": 0,
            "tracks": "both",
            "twilio_auth_token": AUTH_TOKEN,
            "public_url": PUBLIC_URL,
            "assemblyai_speech_model": options.model,
        }
        emulator = None
        if options.live_key is None:
            emulator = await stack.enter_async_context(Emulator(Knobs(), tracks))
            given |= {"assemblyai_api_key": "no-key", "assemblyai_url": emulator.url}
            settings = _checked(given, options.speed)
        else:
            settings = config.load(**given, assemblyai_api_key=options.live_key, assemblyai_url=options.assemblyai_url)
        # Before the gateway, which would log that Redis is away; here it is an error.
        transcripts = await stack.enter_async_context(Transcripts(redis_url, options.redis_prefix))
        gateway = await stack.enter_async_context(running(settings))
        yield _Parts(gateway, emulator, redis_url, settings, transcripts)


def _checked(given: dict[str, Any], speed: float) -> config.Settings:
    try:
        return _Settings(**given, speed=speed)
    except ValidationError as error:
        raise config.in_words(error) from None


def _introduce(console: Console, options: DemoOptions, parts: _Parts, call: Call) -> None:
    """Says what is running, and what the picture is."""
    upstream = "AssemblyAI" if parts.emulator is None else "an emulator of AssemblyAI"
    words = (
        "The words are what AssemblyAI hears in two synthetic voices."
        if parts.emulator is None
        else "The emulator knows the recording, so its words are looked up, not recognised; all else is as it will be."
    )
    pace = "" if options.speed == 1 else f", {options.speed:g} times as fast"
    redis_url = without_password(parts.redis_url)
    named = "" if options.redis_prefix == "turngate" else f" TURNGATE_REDIS_PREFIX={options.redis_prefix}"
    facts = [
        ("call", f"a recording of two voices, {call.seconds:.0f} s{pace}, as Twilio streams it: both tracks, signed"),
        ("gateway", f"{call.url}, metrics at http://127.0.0.1:{parts.gateway.admin_port}/metrics"),
        ("upstream", f"{upstream}, {parts.settings.assemblyai_url}, one session a track"),
        ("Redis", f"{redis_url}{'' if options.redis_url else ', started for this'}"),
        ("picture", f"what a subscriber of Redis sees: dim while it may change, then final. {words}"),
        ("try", f"REDIS_URL={redis_url}{named} turngate tail, in another terminal"),
    ]
    summarize(console, "turngate demo", facts)


def _facts(evidence: Evidence, parts: _Parts) -> list[tuple[str, str]]:
    sample = parts.gateway.metrics.registry.get_sample_value
    count = sample("turngate_publish_latency_seconds_count") or 0.0
    mean = (sample("turngate_publish_latency_seconds_sum") or 0.0) / max(count, 1.0)
    facts = evidence.tally.facts()
    facts[-1:-1] = [
        ("latency", f"{evidence.latency()}: from a message's arrival in the gateway to its event's arrival here"),
        ("to Redis", f"{mean * 1000:.1f} ms on average from an event's making to Redis's confirmation"),
        ("left open", _sessions(_open_sessions(parts))),
    ]
    return facts


def _open_sessions(parts: _Parts) -> int:
    """Paid sessions that are still open: by the emulator's word, or with AssemblyAI by our own."""
    if parts.emulator is not None:
        return parts.emulator.open_sessions
    return int(parts.gateway.metrics.registry.get_sample_value("turngate_sessions_active") or 0)


def _leaks(parts: _Parts) -> list[str]:
    left = _open_sessions(parts)
    return [f"left open, and to be paid for: {_sessions(left)}"] if left else []


def _sessions(count: int) -> str:
    return f"{count} session{'s' * (count != 1)}"


def _call_faults(report: CallReport) -> list[str]:
    return [] if report.ok else [f"the call went wrong: {report.verdict}"]


def _judge(console: Console, faults: list[str]) -> None:
    if not faults:
        said = "The transcript came through, every event once and in order."
        console.print(Text(f"✓ {said}", style="bold green"))
    for fault in faults:
        console.print(Text(f"✗ {clean(fault)}", style="bold red"), soft_wrap=not is_screen(console))
