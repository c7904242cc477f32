"""The small parts of the emulator, one after the other."""

from __future__ import annotations

import asyncio
import math

import pytest

from gateway.sandbox.emulator.agenda import Abort, Agenda, Send
from gateway.sandbox.emulator.changes import Changes
from gateway.sandbox.emulator.credentials import Admitted, Refused, check
from gateway.sandbox.emulator.inbox import Inbox
from gateway.sandbox.emulator.intake import Intake
from gateway.sandbox.emulator.knobs import Knobs
from gateway.sandbox.emulator.limits import Limits
from gateway.sandbox.emulator.record import SESSIONS, EmulatedSession, Records
from gateway.sandbox.emulator.tokens import Tokens


class TestAgenda:
    def test_nothing_overtakes(self) -> None:
        agenda = Agenda()
        agenda.add(0, Send("late"), delay=5)
        agenda.add(1, Abort())
        assert agenda.take(4.9) == []
        assert agenda.take(5) == [Send("late"), Abort()]

    def test_latency_delays_messages_and_jitter_is_repeatable(self) -> None:
        dues = [Agenda(latency=1, jitter=1, seed="s").add(0, Send("x")) for _ in range(2)]
        assert dues[0] == dues[1]
        assert 1 <= dues[0] <= 2

    def test_it_holds(self) -> None:
        agenda = Agenda()
        agenda.hold(math.inf)
        agenda.add(0, Send("x"))
        assert agenda.take(1e9) == []
        assert agenda.due() == math.inf


class TestIntake:
    @pytest.mark.parametrize(
        ("encoding", "rate", "size", "ms"),
        [("pcm_mulaw", 8000, 400, 50), ("pcm_s16le", 8000, 800, 50), ("pcm_s16le", 16000, 3200, 100), ("aac", 0, 9, 0)],
    )
    def test_bytes_tell_the_duration(self, encoding: str, rate: int, size: int, ms: float) -> None:
        assert Intake(encoding, rate, tolerance_ms=0).duration_ms(size) == ms

    @pytest.mark.parametrize(("size", "taken"), [(400, True), (8000, True), (8001, False), (399, False), (0, False)])
    def test_a_frame_holds_50_to_1000_ms(self, size: int, taken: bool) -> None:
        assert (Intake("pcm_mulaw", 8000, tolerance_ms=0).admit(size) is None) is taken

    @pytest.mark.parametrize("rate", [8000, 11_025, 44_100])
    def test_steps_end_on_the_same_marks_whatever_the_frames(self, rate: int) -> None:
        def marks(chunk: int) -> list[int]:
            intake, at, found = Intake("pcm_mulaw", rate, tolerance_ms=0), 0, []
            audio = bytes(rate * 2)
            for start in range(0, len(audio), chunk):
                for piece, mark in intake.steps(audio[start : start + chunk]):
                    at += len(piece)
                    if mark:
                        found.append(at)
            assert at == len(audio)
            return found

        assert marks(480) == marks(rate) == marks(1)
        assert len(marks(480)) == 40


class TestInbox:
    def test_without_a_rate_everything_is_taken_at_once(self) -> None:
        inbox = Inbox(rate=0, most_ms=1000)
        assert inbox.put(0, b"a", 500)
        assert list(inbox.take(0)) == [b"a"]

    def test_with_a_rate_audio_takes_its_time(self) -> None:
        inbox = Inbox(rate=2, most_ms=10_000)
        for name in (b"a", b"b", b"c"):
            inbox.put(0, name, 1000)
        assert list(inbox.take(0)) == [b"a"]
        assert inbox.due() == 0.5
        assert list(inbox.take(1.0)) == [b"b", b"c"]

    def test_it_is_bounded(self) -> None:
        inbox = Inbox(rate=1, most_ms=1000)
        assert inbox.put(0, b"a", 1000)
        assert not inbox.put(0, b"b", 1)


class TestLimits:
    def test_starts_within_a_minute_are_counted(self) -> None:
        limits = Limits()
        assert [_start(limits, at, per_minute=2) for at in (0, 1, 2, 60.5)] == [True, True, False, True]

    def test_open_sessions_are_counted_and_their_slots_are_freed_late(self) -> None:
        limits = Limits()
        assert _start(limits, 0, max_concurrent=1, release=12)
        assert not _start(limits, 1, max_concurrent=1, release=12)
        limits.end(2)
        assert not _start(limits, 13, max_concurrent=1, release=12)
        assert _start(limits, 14, max_concurrent=1, release=12)


def _start(limits: Limits, now: float, max_concurrent: int = 0, per_minute: int = 0, release: float = 0) -> bool:
    return limits.start(now, max_concurrent=max_concurrent, per_minute=per_minute, release=release)


class TestTokens:
    def test_a_token_is_long_and_opaque(self) -> None:
        answer = Tokens().mint(0, credential="k", query={"expires_in_seconds": "60"})
        assert answer.status == 200
        assert answer.body["expires_in_seconds"] == 60
        assert 2500 <= len(answer.body["token"]) <= 2600

    @pytest.mark.parametrize(
        ("query", "kind"),
        [
            ({}, "missing"),
            ({"expires_in_seconds": "0"}, "greater_than_equal"),
            ({"expires_in_seconds": "601"}, "less_than_equal"),
            ({"expires_in_seconds": "soon"}, "int_parsing"),
            ({"expires_in_seconds": "60", "max_session_duration_seconds": "59"}, "greater_than_equal"),
            ({"expires_in_seconds": "9" * 5000}, "less_than_equal"),
        ],
    )
    def test_a_bad_request_is_422_with_a_fastapi_body(self, query: dict[str, str], kind: str) -> None:
        answer = Tokens().mint(0, credential="k", query=query)
        assert answer.status == 422
        assert answer.body["detail"][0]["type"] == kind

    def test_a_missing_header_is_422_too(self) -> None:
        answer = Tokens().mint(0, credential=None, query={"expires_in_seconds": "60"})
        assert answer.body["detail"][0]["loc"] == ["header", "authorization"]


class TestCredentials:
    def _token(self, tokens: Tokens) -> str:
        query = {"expires_in_seconds": "60", "max_session_duration_seconds": "300"}
        return str(tokens.mint(0, credential="k", query=query).body["token"])

    def test_a_token_is_reusable_within_its_window(self) -> None:
        tokens = Tokens()
        token = self._token(tokens)
        for header, query in ((None, token), (token, None)):
            assert check(header, query, knobs=Knobs(), tokens=tokens, now=59) == Admitted(300)
        late = check(None, token, knobs=Knobs(), tokens=tokens, now=60)
        assert late == Refused(1008, "Unauthorized Connection: Signature has expired")

    def test_unconfirmed_a_token_may_open_one_session_only(self) -> None:
        tokens, once = Tokens(), Knobs(token_single_use=True)
        token = self._token(tokens)
        assert isinstance(check(None, token, knobs=once, tokens=tokens, now=1), Admitted)
        assert isinstance(check(None, token, knobs=once, tokens=tokens, now=1), Refused)

    def test_unconfirmed_a_key_in_place_of_a_token_is_refused(self) -> None:
        verdict = check(None, "a-key", knobs=Knobs(), tokens=Tokens(), now=0)
        assert verdict == Refused(1008, "Unauthorized Connection: Invalid API key")


class TestRecords:
    def test_the_oldest_ended_sessions_are_forgotten(self) -> None:
        records = Records()
        for number in range(SESSIONS + 2):
            session = EmulatedSession(id=str(number), parameters={}, headers={}, started=0)
            records.add(session)
            if number:
                session.closed(1000, 1)
        assert len(records.sessions) == SESSIONS
        assert [session.id for session in records.sessions[:2]] == ["0", "3"]
        assert records.open_count == 1

    def test_audio_beyond_the_limit_is_counted_and_not_kept(self) -> None:
        session = EmulatedSession(id="x", parameters={}, headers={}, started=0, audio_limit=5)
        session.heard_audio(b"abcd")
        session.heard_audio(b"efgh")
        assert session.audio == b"abcde"
        assert session.audio_bytes == 8
        assert session.chunk_sizes == [4, 4]

    def test_only_the_first_end_counts_and_a_second_is_billed_whole(self) -> None:
        session = EmulatedSession(id="x", parameters={}, headers={}, started=10)
        assert session.billed_seconds == 0
        session.closed(1000, 11.5)
        session.closed(1006, 99)
        assert (session.close_code, session.seconds, session.billed_seconds) == (1000, 1.5, 2)


class TestChanges:
    async def test_a_waiter_is_woken_by_the_change_it_waits_for(self) -> None:
        changes = Changes()
        seen: list[int] = []
        waiting = asyncio.create_task(changes.wait_for(lambda: len(seen) == 2, timeout=10))
        for number in range(2):
            await asyncio.sleep(0)
            assert not waiting.done()
            seen.append(number)
            changes.notify()
        await waiting
