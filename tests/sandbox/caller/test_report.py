"""gateway.sandbox.caller.report: numbers become a verdict that a person can act on."""

import pytest

from gateway.sandbox.caller import CallReport, Close, ClosedBy, Refusal, Sent, Summary, Violation
from gateway.sandbox.caller.report import refusal_in_words

CLOSED = Close(ClosedBy.CALLER, 1000)


def report(**fields: object) -> CallReport:
    given: dict[str, object] = {"url": "ws://x", "call_sid": "CA1", "stream_sid": "MZ1", "sent": {}, "close": CLOSED}
    return CallReport(**(given | fields))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (200, "web page"),
        (302, "redirects"),
        (401, "credential"),
        (403, "signature"),
        (404, "path"),
        (418, "does not want"),
        (500, "fault of the server"),
        (503, "no new calls"),
    ],
)
def test_every_status_means_something(status: int, words: str) -> None:
    assert words in refusal_in_words(status)


@pytest.mark.parametrize(
    ("seen", "ok", "verdict"),
    [
        (report(finished=True), True, "completed, closed by the caller with 1000"),
        (report(finished=True, close=Close(ClosedBy.SERVER, 1000)), True, "completed, closed by the server with 1000"),
        (
            report(finished=True, close=Close(ClosedBy.SERVER, 1011, "unavailable")),
            False,
            "cut at its end: closed by the server with 1011 (unavailable) (Twilio error 31921)",
        ),
        (
            report(seconds=1.25, close=Close(ClosedBy.SERVER, 1012)),
            False,
            "cut after 1.2 s, before its end: closed by the server with 1012 (Twilio error 31921)",
        ),
        (
            report(refusal=Refusal(403, 31920, "403 Forbidden"), close=None),
            False,
            "refused: 403 Forbidden (Twilio error 31920)",
        ),
        (
            report(refusal=Refusal(None, 31902, "nothing listens"), close=None),
            False,
            "not reached: nothing listens (Twilio error 31902)",
        ),
        (report(close=None), False, "still up"),
        (
            report(finished=True, close=Close(ClosedBy.CALLER)),
            True,
            "completed, closed by the caller without a closing frame",
        ),
    ],
)
def test_a_verdict_says_how_the_call_went(seen: CallReport, ok: bool, verdict: str) -> None:
    assert (seen.ok, seen.verdict) == (ok, verdict)


def test_a_summary_adds_up() -> None:
    sent = {"inbound": Sent(10, 1600), "outbound": Sent(5, 800)}
    reports = [
        report(finished=True, sent=sent, seconds=2.0, lateness_ms=3.0),
        report(finished=False, sent=sent, seconds=1.0, lateness_ms=7.0, violations=(Violation(31950, "x", 3),)),
        report(refusal=Refusal(503, 31920, "full"), close=None),
    ]
    assert Summary.of(reports) == Summary(
        calls=3, accepted=2, ok=1, frames=30, seconds=3.0, lateness_ms=7.0, violations=3
    )
