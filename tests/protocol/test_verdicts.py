"""What the end of a session means."""

import pytest

from gateway.errors import Outcome, Result
from gateway.protocol import verdicts
from gateway.protocol.verdicts import ALL, DONE, VERDICTS, Retry, Verdict, judge

by_reason = pytest.mark.parametrize("verdict", ALL, ids=lambda verdict: verdict.reason)


@pytest.mark.parametrize(("code", "text", "verdict"), VERDICTS, ids=lambda value: str(getattr(value, "reason", value)))
def test_every_row_of_the_table_holds(code: int | None, text: str, verdict: Verdict) -> None:
    assert judge(code, text) is verdict
    assert judge(code, f"Before. {text.upper()}, and behind") is verdict


def test_all_of_them_are_known() -> None:
    assert {value for value in vars(verdicts).values() if isinstance(value, Verdict)} == set(ALL)


@by_reason
def test_every_verdict_can_be_acted_upon(verdict: Verdict) -> None:
    assert verdict.advice.endswith(".")
    assert verdict.reason.replace("_", "").isalpha()
    if verdict is DONE:
        return
    if verdict.retry is Retry.NO:
        assert verdict.outcome in (Outcome.UNAUTHORIZED, Outcome.INVALID_PARAMETER, Outcome.INTERNAL)
    else:
        assert verdict.outcome is Outcome.UNAVAILABLE
    assert verdict.outcome.result in (Result.UPSTREAM_ERROR, Result.GATEWAY_ERROR)


def test_a_reason_means_one_outcome() -> None:
    outcomes: dict[str, set[Outcome]] = {}
    for verdict in ALL:
        outcomes.setdefault(verdict.reason, set()).add(verdict.outcome)
    assert all(len(found) == 1 for found in outcomes.values())


@pytest.mark.parametrize(
    ("code", "text", "reason", "retry"),
    [
        (1008, "Unauthorized Connection: Invalid API key", "unauthorized", Retry.NO),
        (1008, "Unauthorized Connection: Missing Authorization header", "unauthorized", Retry.NO),
        (1008, "Unauthorized Connection: Signature has expired", "unauthorized", Retry.NO),
        (1008, "Unauthorized Connection: Too many concurrent sessions", "limit", Retry.BACKOFF),
        (1008, "See Error message for details", "unauthorized", Retry.NO),
        (3005, "Session Cancelled: An error occurred", "server", Retry.SOON),
        (3006, "Invalid Message Type: Hello", "invalid_parameter", Retry.NO),
        (
            3006,
            "Session terminated due to inactivity: No messages received for 5 seconds",
            "inactive",
            Retry.ON_DEMAND,
        ),
        (
            3007,
            "Input Duration Error: Input Duration Violation: 20 ms. Expected between 50 and 1000 ms",
            "chunk_duration",
            Retry.NO,
        ),
        (3007, "Audio Transmission Rate Exceeded: 545 s in 190 s", "rate", Retry.BACKOFF),
        (3008, "Session Expired: Maximum session duration exceeded", "expired", Retry.SOON),
        (3009, "Too many concurrent sessions", "limit", Retry.BACKOFF),
        (1000, "", "closed", Retry.SOON),
        (None, "", "lost", Retry.SOON),
        (429, "", "limit", Retry.BACKOFF),
        (410, "", "wrong_url", Retry.NO),
        (407, "", "unreachable", Retry.SOON),
        (408, "", "server", Retry.SOON),
        (425, "", "server", Retry.SOON),
    ],
)
def test_what_the_service_says_is_understood(code: int | None, text: str, reason: str, retry: Retry) -> None:
    verdict = judge(code, text)
    assert (verdict.reason, verdict.retry) == (reason, retry)


@pytest.mark.parametrize("code", [0, 301, 399, 405, 418, 499, 501, 520, 1002, 1009, 3000, 4999, -1, 10**20])
def test_a_code_that_is_new_may_be_tried_again(code: int) -> None:
    assert (judge(code, "whatever").reason, judge(code, "whatever").retry) == ("unknown", Retry.SOON)
