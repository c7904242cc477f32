"""Whole calls: the carrier simulator, a gateway, AssemblyAI's emulator and real Redis servers, over real sockets."""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio as redis
from prometheus_client import generate_latest

from gateway import config, streams, wire
from gateway.app import Gateway, running
from gateway.sandbox import recordings, tones, wav
from gateway.sandbox.caller import Call, CallReport, Digit, Ending, Line, LineClosedError, dial, place_call
from gateway.sandbox.emulator import EmulatedSession, Emulator, Fault, Formatting, Knobs, Moment
from gateway.sandbox.emulator import Ending as TerminateAnswer
from gateway.sandbox.redis import RedisServer
from gateway.stream import StreamOptions
from tests.conftest import AUTH_TOKEN, DATA, SIGNED_URL, media_url

Event = dict[str, Any]
StartGateway = Callable[..., Awaitable[Gateway]]

SPEED = 50.0
SILENCE = b"\xff"
PATIENCE = 20.0
"""Seconds until a wait for an event counts as in vain."""

one_server = pytest.mark.parametrize("redis_url", ["valkey"], indirect=True)
"""For what does not depend on the server."""


def call_to(gateway: Gateway, **plan: Any) -> Call:
    """A call that is signed as it must be."""
    given = {"auth_token": AUTH_TOKEN, "signed_url": SIGNED_URL, "speed": SPEED}
    return Call(url=media_url(gateway), **{**given, **plan})


def noise(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


class Subscriber:
    """Hears all that is published under a prefix, on the channels as a subscriber does."""

    def __init__(self, client: redis.Redis, prefix: str) -> None:
        self._client = client
        self._prefix = prefix
        self.heard: list[tuple[str, Event]] = []
        self._pubsub = client.pubsub()

    async def subscribe(self) -> None:
        await self._pubsub.psubscribe(f"{self._prefix}:*")
        message = await self._pubsub.get_message(timeout=PATIENCE)
        assert message is not None
        assert message["type"] == "psubscribe"

    async def until(self, wanted: Callable[[Event], bool], *, channel: str | None = None, count: int = 1) -> None:
        """Listens until `count` events (on one channel) were what is wanted."""
        async with asyncio.timeout(PATIENCE):
            while sum(wanted(event) for name, event in self.heard if channel in (None, name)) < count:
                message = await self._pubsub.get_message(timeout=PATIENCE)
                if message is not None:
                    self.heard.append((message["channel"].decode(), json.loads(message["data"])))

    async def until_ended(self, calls: int = 1) -> None:
        """Listens until so many streams have ended; the channel of all calls hears of it last."""
        await self.until(is_("stream.ended"), channel=f"{self._prefix}:calls", count=calls)

    def of(self, call_id: str) -> list[Event]:
        return [event for name, event in self.heard if name == f"{self._prefix}:call:{call_id}"]

    @property
    def calls(self) -> list[Event]:
        return [event for name, event in self.heard if name == f"{self._prefix}:calls"]

    async def history(self, call_id: str) -> list[Event]:
        return await history(self._client, f"{self._prefix}:call:{call_id}")

    async def aclose(self) -> None:
        await self._pubsub.aclose()  # type: ignore[no-untyped-call]


async def history(client: redis.Redis, key: str) -> list[Event]:
    stored: Any = await client.xrange(key)
    return [json.loads(fields[b"event"]) for _, fields in stored]


def is_(kind: str, **fields: object) -> Callable[[Event], bool]:
    def wanted(event: Event) -> bool:
        return bool(event["type"] == kind and all(event.get(name) == value for name, value in fields.items()))

    return wanted


def types(events: Sequence[Event]) -> list[str]:
    return [event["type"] for event in events]


def finals(events: Sequence[Event], track: str = "inbound") -> list[Event]:
    return [event for event in events if is_("turn", final=True, track=track)(event)]


def texts(events: Sequence[Event], track: str = "inbound") -> list[str]:
    """What a transcript shows at the end: the last word on each turn."""
    return list({event["turn"]: event["text"] for event in finals(events, track)}.values())


def check_stream(events: Sequence[Event]) -> None:
    """What holds for every stream: one start, one end, at its ends, and no durable event missing in between."""
    durable = [event for event in events if "part" not in event]
    assert [event["seq"] for event in durable] == list(range(1, len(durable) + 1))
    assert types(durable)[0] == "stream.started"
    assert types(durable)[-1] == "stream.ended"
    assert types(durable).count("stream.started") == types(durable).count("stream.ended") == 1
    assert durable[-1]["last_seq"] == durable[-1]["seq"]
    assert len({event["id"] for event in events}) == len(events)
    last = 0
    for event in events:
        assert event["seq"] >= last, "live-only events lie between the durable ones"
        last = event["seq"]


def check_heard(session: EmulatedSession, sent: bytes) -> None:
    """Every byte went up unchanged, in lawful chunks; only the last one may be filled up."""
    audio = session.audio
    assert audio[: len(sent)] == sent
    padding = audio[len(sent) :]
    assert padding == SILENCE * len(padding)
    assert all(400 <= size <= 8000 for size in session.chunk_sizes)
    assert len(padding) < session.chunk_sizes[-1]
    assert not padding or session.chunk_sizes[-1] <= 480


def series(gateway: Gateway) -> set[str]:
    lines = generate_latest(gateway.metrics.registry).decode().splitlines()
    return {line.rpartition(" ")[0] for line in lines if not line.startswith("#")}


def counted(gateway: Gateway, name: str, **labels: str) -> float:
    return gateway.metrics.registry.get_sample_value(name, labels) or 0.0


async def check_nothing_left(gateway: Gateway, emulator: Emulator) -> None:
    assert await gateway.outbox.flush(PATIENCE) == 0
    assert len(gateway.streams) == 0
    assert emulator.open_sessions == 0
    for name in ("turngate_streams_active", "turngate_sessions_active", "turngate_outbox_bytes"):
        assert counted(gateway, name) == 0, name


@pytest.fixture
async def subscriber(redis_client: redis.Redis, prefix: str) -> AsyncIterator[Subscriber]:
    one = Subscriber(redis_client, prefix)
    await one.subscribe()
    yield one
    await one.aclose()


Options = Callable[[StreamOptions], StreamOptions]


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> Callable[[Options], None]:
    """Streams are looked at twenty times a second; with `often(change)`, options change that are no settings."""
    monkeypatch.setattr(streams, "TICK", 0.05)
    monkeypatch.setattr(wire, "CLOSE_SECONDS", 0.1)
    made = config.Settings.stream_options

    def use(change: Options) -> None:
        monkeypatch.setattr(config.Settings, "stream_options", lambda self: change(made(self)))

    return use


IMPATIENCE = 5.0
"""Seconds that whoever is dead gets here: no machine is so busy that the living take as long."""


@pytest.fixture
def short_of_patience(often: Callable[[Options], None]) -> None:
    """Carriers and sessions are asked ten times a second, and have a few seconds to answer."""

    def change(made: StreamOptions) -> StreamOptions:
        limits = replace(made.limits, ping_every=0.1, silent=IMPATIENCE)
        session = replace(made.track.session, ping_every=0.1, pong_within=IMPATIENCE)
        return replace(made, limits=limits, track=replace(made.track, session=session))

    often(change)


# audio


@one_server
@pytest.mark.parametrize(
    ("frames", "size"),
    [(count, 160) for count in (1, 2, 3, 7, 1000)] + [(11, size) for size in (1, 37, 100, 159, 161, 1600, 9000)],
)
async def test_audio_reaches_the_session_byte_for_byte(
    frames: int, size: int, start_gateway: StartGateway, emulator: Emulator, subscriber: Subscriber
) -> None:
    gateway = await start_gateway()
    sent = noise(frames * size)
    report = await place_call(call_to(gateway, inbound=sent, frame_bytes=size, speed=1000.0))
    await subscriber.until_ended()
    assert report.finished
    [session] = emulator.sessions
    check_heard(session, sent)
    assert session.terminated
    [ended] = [event for event in subscriber.of(report.call_sid) if event["type"] == "stream.ended"]
    assert (ended["frames"], ended["lost_ms"]) == (frames, 0)


@one_server
async def test_a_stream_without_audio_opens_no_session(
    start_gateway: StartGateway, emulator: Emulator, subscriber: Subscriber
) -> None:
    gateway = await start_gateway()
    report = await place_call(call_to(gateway))
    await subscriber.until_ended()
    assert types(subscriber.of(report.call_sid)) == ["stream.started", "stream.ended"]
    assert emulator.upgrades == 0


# events


async def test_the_channel_and_the_history_agree_and_nothing_is_missing(
    start_gateway: StartGateway, emulator: Emulator, subscriber: Subscriber
) -> None:
    gateway = await start_gateway()
    speech = tones.speak("hello I need help with my card") + tones.silence(2000) + tones.speak("thanks bye")
    report = await place_call(call_to(gateway, inbound=speech + tones.silence(2000)))
    await subscriber.until_ended()
    live, stored = subscriber.of(report.call_sid), await subscriber.history(report.call_sid)
    check_stream(live)
    assert [event for event in live if "part" not in event] == stored
    assert any("part" in event for event in live), "partials are live only"
    assert texts(stored) == ["hello i need help with my card", "thanks bye"]
    assert [event["turn"] for event in finals(stored)] == sorted({event["turn"] for event in finals(stored)})
    assert types(subscriber.calls) == ["stream.started", "stream.ended"]
    assert [event["call_id"] for event in subscriber.calls] == [report.call_sid] * 2
    [ended] = [event for event in live if event["type"] == "session.ended"]
    [session] = emulator.sessions
    assert ended["audio_seconds"] == pytest.approx(session.audio_bytes / 8000, abs=1)
    await check_nothing_left(gateway, emulator)


async def test_twenty_calls_at_once_do_not_mix(
    start_gateway: StartGateway, emulator: Emulator, subscriber: Subscriber
) -> None:
    gateway = await start_gateway()
    before = series(gateway)
    words = {f"call number {tones.VOCABULARY[n]} {tones.VOCABULARY[n + 20]}": f"CA{n:032x}" for n in range(20)}
    plans = [
        call_to(gateway, inbound=tones.speak(text) + tones.silence(1600), call_sid=call_id, speed=20.0)
        for text, call_id in words.items()
    ]
    reports = await asyncio.gather(*map(place_call, plans))
    await subscriber.until_ended(calls=20)
    assert all(report.ok for report in reports)
    for text, call_id in words.items():
        events = subscriber.of(call_id)
        check_stream(events)
        assert texts(events) == [text]
        assert {event["call_id"] for event in events} == {call_id}
    assert counted(gateway, "turngate_streams_ended_total", result="completed", reason="stopped") == 20
    assert series(gateway) == before, "no series is made by a call"
    await check_nothing_left(gateway, emulator)


@one_server
async def test_both_tracks_have_their_own_session_and_turns(
    start_gateway: StartGateway, emulator: Emulator, subscriber: Subscriber
) -> None:
    gateway = await start_gateway(tracks="both")
    caller = tones.speak("hello I want help") + tones.silence(1600)
    agent = tones.silence(600) + tones.speak("what is your name") + tones.silence(1000)
    report = await place_call(call_to(gateway, inbound=caller, outbound=agent))
    await subscriber.until_ended()
    events = subscriber.of(report.call_sid)
    check_stream(events)
    assert texts(events, "inbound") == ["hello i want help"]
    assert texts(events, "outbound") == ["what is your name"]
    assert len(emulator.sessions) == 2
    for audio in (caller, agent):
        [session] = [one for one in emulator.sessions if one.audio.startswith(audio)]
        check_heard(session, audio)


@one_server
@pytest.mark.parametrize(("wanted", "heard"), [("inbound", "caller"), ("outbound", "agent")])
async def test_only_the_wanted_track_is_paid_for(
    wanted: str, heard: str, start_gateway: StartGateway, emulator: Emulator, subscriber: Subscriber
) -> None:
    gateway = await start_gateway(tracks=wanted)
    audio = {"caller": noise(4000, 1), "agent": noise(4000, 2)}
    report = await place_call(call_to(gateway, inbound=audio["caller"], outbound=audio["agent"]))
    await subscriber.until_ended()
    [session] = emulator.sessions
    check_heard(session, audio[heard])
    assert {event["track"] for event in subscriber.of(report.call_sid) if "track" in event} == {wanted}


@one_server
@pytest.mark.parametrize(("shown", "digit"), [(False, "•"), (True, "7")])
async def test_digits_are_masked_unless_they_may_be_shown(
    shown: bool, digit: str, start_gateway: StartGateway, subscriber: Subscriber
) -> None:
    gateway = await start_gateway(show_dtmf=shown)
    report = await place_call(call_to(gateway, inbound=noise(1600), digits=(Digit(0.1, "7"),)))
    await subscriber.until_ended()
    [dtmf] = [event for event in subscriber.of(report.call_sid) if event["type"] == "dtmf"]
    assert (dtmf["digit"], dtmf["track"]) == (digit, "inbound")


@one_server
async def test_only_the_allowed_parameters_are_published(start_gateway: StartGateway, subscriber: Subscriber) -> None:
    gateway = await start_gateway(parameters="Team")
    given = {"Team": "sales", "Secret": "hush", "From": "+15550001", "To": "+15550002"}
    report = await place_call(call_to(gateway, parameters=given))
    await subscriber.until_ended()
    started = subscriber.of(report.call_sid)[0]
    assert started["parameters"] == {"Team": "sales"}
    assert (started["from"], started["to"]) == ("+15550001", "+15550002")
    assert "hush" not in json.dumps(subscriber.heard)


# how a stream ends


@one_server
@pytest.mark.parametrize(
    ("ending", "reason"), [(Ending.STOP, "stopped"), (Ending.CLOSE, "hangup"), (Ending.RESET, "hangup")]
)
async def test_however_the_carrier_leaves_the_last_turn_comes(
    ending: Ending, reason: str, start_gateway: StartGateway, emulator: Emulator, subscriber: Subscriber
) -> None:
    gateway = await start_gateway()
    speech = tones.speak("hello thanks bye")
    report = await place_call(call_to(gateway, inbound=speech, ending=ending))
    await subscriber.until_ended()
    events = subscriber.of(report.call_sid)
    check_stream(events)
    assert (events[-1]["result"], events[-1]["reason"]) == ("completed", reason)
    assert texts(events) == ["hello thanks bye"]
    [session] = emulator.sessions
    assert session.terminated
    assert report.close is not None
    assert report.close.code == (None if ending is Ending.RESET else 1000)
    await check_nothing_left(gateway, emulator)


@one_server
async def test_a_carrier_that_dies_silently_is_given_up(
    short_of_patience: None, start_gateway: StartGateway, emulator: Emulator, subscriber: Subscriber
) -> None:
    gateway = await start_gateway()
    report = await place_call(call_to(gateway, inbound=tones.speak("hello"), ending=Ending.VANISH))
    await subscriber.until_ended()
    ended = subscriber.of(report.call_sid)[-1]
    assert (ended["result"], ended["reason"]) == ("carrier_error", "timeout")
    assert report.close is not None
    assert report.close.code == 1001
    assert [session.terminated for session in emulator.sessions] == [True]


@one_server
async def test_a_stream_that_never_starts_is_closed_and_unheard_of(
    often: Callable[[Options], None], start_gateway: StartGateway, emulator: Emulator, subscriber: Subscriber
) -> None:
    often(lambda made: replace(made, limits=replace(made.limits, start=0.2)))
    gateway = await start_gateway()
    async with dial(call_to(gateway)) as line:
        await line.connected()
        close = await line.closed()
    assert close.code == 1008
    labels = {"result": "carrier_error", "reason": "handshake_timeout"}
    assert counted(gateway, "turngate_streams_ended_total", **labels) == 1
    assert subscriber.heard == []
    assert emulator.upgrades == 0


async def started(line: Line) -> None:
    await line.connected()
    await line.start()
    await line.media(noise(480))


async def send_binary(line: Line) -> None:
    await line.send_bytes(noise(160))


async def send_too_much(line: Line) -> None:
    await line.send_text("x" * 65_537)


async def send_no_json(line: Line) -> None:
    await line.send_text("{")


async def start_again(line: Line) -> None:
    await line.start()


@one_server
@pytest.mark.parametrize(
    ("misbehave", "code", "reason"),
    [
        (send_binary, 1003, "unsupported_data"),
        (send_too_much, 1009, "too_big"),
        (send_no_json, 1002, "protocol_error"),
        (start_again, 1002, "protocol_error"),
    ],
)
async def test_a_broken_protocol_ends_the_stream_with_its_code(
    misbehave: Callable[[Line], Awaitable[None]],
    code: int,
    reason: str,
    start_gateway: StartGateway,
    emulator: Emulator,
    subscriber: Subscriber,
) -> None:
    gateway = await start_gateway()
    async with dial(call_to(gateway)) as line:
        await started(line)
        await subscriber.until(is_("session.started"))
        await misbehave(line)
        close = await line.closed()
    assert close.code == code
    await subscriber.until_ended()
    events = subscriber.of(line.call.call_sid)
    check_stream(events)
    assert (events[-1]["result"], events[-1]["reason"]) == ("carrier_error", reason)
    assert [session.terminated for session in emulator.sessions] == [True]
    await check_nothing_left(gateway, emulator)


@one_server
async def test_a_message_in_fragments_arrives_whole(
    start_gateway: StartGateway, emulator: Emulator, subscriber: Subscriber
) -> None:
    gateway = await start_gateway()
    audio = noise(800)
    async with dial(call_to(gateway)) as line:
        await line.connected()
        await line.start()
        text = line._messages.media(audio, track="inbound", timestamp_ms=0)  # type: ignore[arg-type]
        await line._wire.send([text[:1], text[1:40], text[40:]])
        await line.stop()
        await subscriber.until_ended()
    [session] = emulator.sessions
    check_heard(session, audio)


# who may stream


@one_server
@pytest.mark.parametrize("token", [None, "another-token"])
async def test_without_a_right_signature_nothing_is_opened(
    token: str | None, start_gateway: StartGateway, emulator: Emulator, subscriber: Subscriber
) -> None:
    gateway = await start_gateway()
    report = await place_call(call_to(gateway, inbound=noise(800), auth_token=token))
    assert report.refusal is not None
    assert report.refusal.status == 403
    assert emulator.upgrades == 0
    assert counted(gateway, "turngate_refused_upgrades_total", reason="signature") == 1
    assert subscriber.heard == []


@one_server
async def test_anybody_may_stream_where_that_is_allowed(
    start_gateway: StartGateway, emulator: Emulator, subscriber: Subscriber
) -> None:
    gateway = await start_gateway(twilio_auth_token="", allow_unauthenticated=True)
    report = await place_call(call_to(gateway, inbound=noise(800), auth_token=None))
    await subscriber.until_ended()
    assert report.ok
    assert len(emulator.sessions) == 1


# upstream dies


@one_server
@pytest.mark.parametrize("moment", [Moment.CONNECT, Moment.BEGIN, Moment.AUDIO])
async def test_audio_that_no_session_heard_lies_in_a_gap(
    moment: Moment, start_gateway: StartGateway, emulator: Emulator, subscriber: Subscriber
) -> None:
    emulator.knobs = Knobs(fault=Fault.DROP, fault_at=moment, fault_after_ms=600)
    gateway = await start_gateway()
    audio = noise(16_000)
    report = await place_call(call_to(gateway, inbound=audio))
    await subscriber.until_ended()
    events = subscriber.of(report.call_sid)
    check_stream(events)
    # The call is over before the first ping, so nothing is certain to have arrived: all of it is declared, and no more.
    received_ms = events[-1]["frames"] * 20
    gaps = [event for event in events if event["type"] == "gap"]
    assert [(gap["from_ms"], gap["to_ms"], gap["lost_ms"], gap["cause"]) for gap in gaps] == [
        (0, received_ms, received_ms, "upstream")
    ]
    assert events[-1]["lost_ms"] == received_ms
    assert types(events).count("session.error") == 1
    assert types(events).count("session.started") == types(events).count("session.ended")
    await check_nothing_left(gateway, emulator)


@one_server
@pytest.mark.parametrize("answer", [TerminateAnswer.DROP, TerminateAnswer.NO_TERMINATION, TerminateAnswer.NO_CLOSE])
async def test_however_terminate_is_answered_the_stream_ends(
    answer: TerminateAnswer, start_gateway: StartGateway, emulator: Emulator, subscriber: Subscriber
) -> None:
    emulator.knobs = Knobs(ending=answer)
    gateway = await start_gateway()
    report = await place_call(call_to(gateway, inbound=tones.speak("hello") + tones.silence(1600)))
    await subscriber.until_ended()
    events = subscriber.of(report.call_sid)
    check_stream(events)
    assert (events[-1]["result"], events[-1]["reason"]) == ("completed", "stopped")
    assert texts(events) == ["hello"]
    assert [event["audio_seconds"] for event in events if event["type"] == "session.ended"] == [
        2.0 if answer is TerminateAnswer.NO_CLOSE else None
    ]
    await emulator.wait_for(lambda: emulator.open_sessions == 0)
    await check_nothing_left(gateway, emulator)


@one_server
async def test_a_session_that_hangs_is_noticed_and_its_audio_declared(
    short_of_patience: None, start_gateway: StartGateway, emulator: Emulator, subscriber: Subscriber
) -> None:
    emulator.knobs = Knobs(fault=Fault.HALF_OPEN, fault_after_ms=600, fault_sessions=1)
    gateway = await start_gateway()
    async with dial(call_to(gateway)) as line:
        await line.connected()
        await line.start()
        await say(line, noise(8000))
        await subscriber.until(lambda event: event["type"] == "session.error")
        with suppress(LineClosedError):
            await line.stop()
    await subscriber.until_ended()
    events = subscriber.of(line.call.call_sid)
    check_stream(events)
    (gap,) = (event for event in events if event["type"] == "gap")
    assert gap["cause"] == "upstream"
    assert gap["to_ms"] == events[-1]["frames"] * 20
    await emulator.wait_for(lambda: emulator.open_sessions == 0)
    await check_nothing_left(gateway, emulator)


@one_server
async def test_a_refused_key_ends_the_stream_and_says_what_to_do(
    start_gateway: StartGateway, emulator: Emulator, subscriber: Subscriber
) -> None:
    gateway = await start_gateway(assemblyai_api_key="invalid-key")
    async with dial(call_to(gateway)) as line:
        await started(line)
        close = await line.closed()
    assert close.code == 1011
    await subscriber.until_ended()
    events = subscriber.of(line.call.call_sid)
    check_stream(events)
    assert (events[-1]["result"], events[-1]["reason"]) == ("upstream_error", "unauthorized")
    [error] = [event for event in events if event["type"] == "session.error"]
    assert "ASSEMBLYAI_API_KEY" in error["message"]
    assert "invalid-key" not in json.dumps(events)


# Redis dies


@pytest.fixture
async def mortal_redis() -> AsyncIterator[RedisServer]:
    """A server of the test's own, not started yet."""
    server = RedisServer()
    yield server
    await server.stop()


@asynccontextmanager
async def client_of(server: RedisServer) -> AsyncIterator[redis.Redis]:
    client = redis.Redis.from_url(server.url)
    try:
        yield client
    finally:
        await client.aclose()


async def wait_for_end(client: redis.Redis, prefix: str) -> None:
    """Until the history of all calls has a stream's end."""
    after = b"0"
    async with asyncio.timeout(PATIENCE):
        while True:
            found: Any = await client.xread({f"{prefix}:calls": after}, block=1000)
            entries = [entry for _, of_key in found for entry in of_key]
            if any(json.loads(fields[b"event"])["type"] == "stream.ended" for _, fields in entries):
                return
            after = entries[-1][0] if entries else after


@one_server
async def test_redis_away_at_the_start_costs_nothing(
    start_gateway: StartGateway, emulator: Emulator, mortal_redis: RedisServer, prefix: str
) -> None:
    gateway = await start_gateway(redis_url=mortal_redis.url)
    speech = tones.speak("hello I need help") + tones.silence(1600)
    report = await place_call(call_to(gateway, inbound=speech))
    await emulator.wait_for(lambda: emulator.sessions and not emulator.open_sessions)
    check_heard(emulator.sessions[0], speech)
    assert counted(gateway, "turngate_redis_up") == 0
    await mortal_redis.start()
    async with client_of(mortal_redis) as client:
        await wait_for_end(client, prefix)
        stored = await history(client, f"{prefix}:call:{report.call_sid}")
    check_stream(stored)
    assert texts(stored) == ["hello i need help"]
    assert counted(gateway, "turngate_redis_up") == 1
    assert counted(gateway, "turngate_events_dropped_total", reason="overflow") == 0


@one_server
async def test_redis_away_in_the_middle_costs_nothing(
    start_gateway: StartGateway, emulator: Emulator, mortal_redis: RedisServer, prefix: str
) -> None:
    await mortal_redis.start()
    gateway = await start_gateway(redis_url=mortal_redis.url)
    first, second = (tones.speak(text) + tones.silence(1600) for text in ("hello there", "thanks bye"))
    async with dial(call_to(gateway)) as line, client_of(mortal_redis) as client:
        subscriber = Subscriber(client, prefix)
        await subscriber.subscribe()
        await line.connected()
        await line.start()
        await say(line, first)
        await subscriber.until(is_("turn", final=True))
        before = await subscriber.history(line.call.call_sid)
        await subscriber.aclose()
        await mortal_redis.stop()
        await say(line, second)
        await line.stop()
        await emulator.wait_for(lambda: emulator.sessions and not emulator.open_sessions)
        check_heard(emulator.sessions[0], first + second)
        await mortal_redis.start()
        await wait_for_end(client, prefix)
        # The server has forgotten what it had, so what is there now came afterwards.
        after = await history(client, f"{prefix}:call:{line.call.call_sid}")
    check_stream(before + after)
    assert texts(before + after) == ["hello there", "thanks bye"]


async def say(line: Line, audio: bytes) -> None:
    for at in range(0, len(audio), 160):
        await line.media(audio[at : at + 160])


# the end of the gateway


async def test_a_gateway_that_stops_ends_its_streams_politely(
    settings: Callable[..., config.Settings], emulator: Emulator, subscriber: Subscriber
) -> None:
    async with running(settings()) as gateway:
        plans = [call_to(gateway) for _ in range(3)]
        lines: list[Line] = []
        calls = [asyncio.create_task(hold(plan, lines)) for plan in plans]
        await subscriber.until(is_("session.started"), count=3)
        await emulator.wait_for(lambda: all(session.audio_bytes == 2400 for session in emulator.sessions))
    reports = await asyncio.gather(*calls)
    assert [report.close.code for report in reports if report.close] == [1012] * 3
    await subscriber.until_ended(calls=3)
    for plan in plans:
        events = subscriber.of(plan.call_sid)
        check_stream(events)
        assert (events[-1]["result"], events[-1]["reason"]) == ("completed", "drained")
        assert texts(events) == ["hello"]
    assert all(session.terminated and session.close_code == 1000 for session in emulator.sessions)
    await check_nothing_left(gateway, emulator)


async def hold(plan: Call, lines: list[Line]) -> CallReport:
    """A call that is stays on the line until the other side ends it."""
    async with dial(plan) as line:
        lines.append(line)
        await line.connected()
        await line.start()
        await say(line, tones.speak("hello"))
        await line.closed()
        return line.report()


# a real voice


SPEECH = DATA / "speech-8k.wav"
UNPADDED = Knobs(u3_pad_start_ms=0, u3_pad_end_ms=0)
"""The padding that the service was seen to put around a final's words is not what is tested here."""


def utterances() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(SPEECH.with_suffix(".json").read_text())["utterances"]
    return found


@asynccontextmanager
async def hearing(knobs: Knobs, known: Path | None) -> AsyncIterator[Emulator]:
    async with Emulator(knobs, recordings.load(known) if known else ()) as emulator:
        yield emulator


@one_server
@pytest.mark.parametrize("known", [False, True], ids=["unknown", "known"])
@pytest.mark.parametrize("model", ["universal-streaming-english", "u3-rt-pro", "universal-3-5-pro"])
async def test_turns_of_a_real_voice_lie_where_it_spoke(
    model: str, known: bool, start_gateway: StartGateway, subscriber: Subscriber
) -> None:
    async with hearing(UNPADDED, SPEECH if known else None) as emulator:
        gateway = await start_gateway(assemblyai_url=emulator.url, assemblyai_speech_model=model)
        report = await place_call(call_to(gateway, inbound=wav.read(SPEECH).tracks[0], speed=40.0))
        await subscriber.until_ended()
    turns = finals(subscriber.of(report.call_sid))
    assert len(turns) == len(utterances())
    for turn, utterance in zip(turns, utterances(), strict=True):
        assert abs(turn["start_ms"] - utterance["start_ms"]) <= 500
        assert abs(turn["end_ms"] - utterance["end_ms"]) <= 500
        if known:
            assert turn["text"].lower().strip(".") == utterance["text"]


@one_server
@pytest.mark.parametrize("formatting", [Formatting.DOUBLE, Formatting.SINGLE])
async def test_formatted_turns_replace_what_they_were(
    formatting: Formatting, start_gateway: StartGateway, emulator: Emulator, subscriber: Subscriber
) -> None:
    emulator.knobs = Knobs(formatting=formatting)
    gateway = await start_gateway(assemblyai_format_turns=True)
    audio = tones.speak("hello there") + tones.silence(1600) + tones.speak("thanks") + tones.silence(1600)
    report = await place_call(call_to(gateway, inbound=audio))
    await subscriber.until_ended()
    events = subscriber.of(report.call_sid)
    check_stream(events)
    assert texts(events) == ["Hello there.", "Thanks."]
    assert [turn["formatted"] for turn in finals(events)] == (
        [False, True] * 2 if formatting is Formatting.DOUBLE else [True, True]
    )
    assert emulator.sessions[0].parameters["format_turns"] == "true"
