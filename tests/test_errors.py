"""The table of outcomes, and the documentation that is made of it."""

import re
from pathlib import Path

import pytest

from gateway.errors import CarrierError, ConfigError, Outcome, Result

DOCS = Path(__file__).parent.parent / "docs" / "events.md"


def test_every_reason_names_one_outcome() -> None:
    reasons = [outcome.reason for outcome in Outcome]
    assert len(set(reasons)) == len(reasons) == 18


@pytest.mark.parametrize("outcome", Outcome)
def test_an_outcome_can_be_a_label_and_a_close_code(outcome: Outcome) -> None:
    assert re.fullmatch(r"[a-z_]+", outcome.reason)
    assert isinstance(outcome.result, Result)
    # RFC 6455, 7.4.1: these may be sent by a server.
    assert outcome.close_code in {None, 1000, 1001, 1002, 1003, 1008, 1009, 1011, 1012}


@pytest.mark.parametrize("outcome", [o for o in Outcome if o.close_code is None])
def test_only_where_the_socket_is_gone_there_is_no_close_code(outcome: Outcome) -> None:
    assert outcome in (Outcome.HANGUP, Outcome.GATEWAY_LOST)


@pytest.mark.parametrize("outcome", [o for o in Outcome if o.result is Result.COMPLETED])
def test_a_completed_stream_is_not_closed_as_a_fault(outcome: Outcome) -> None:
    assert outcome.close_code in (None, 1000, 1012)


def test_a_carriers_error_has_its_outcome_and_a_sentence() -> None:
    error = CarrierError(Outcome.TOO_BIG, "a message is larger than 64 KiB")
    assert (error.outcome, error.detail, str(error)) == (
        Outcome.TOO_BIG,
        "a message is larger than 64 KiB",
        "a message is larger than 64 KiB",
    )


def test_a_configs_error_has_all_faults_at_once() -> None:
    error = ConfigError(["this is wrong", "and this"])
    assert error.faults == ["this is wrong", "and this"]
    assert str(error) == "this is wrong\nand this"


def outcome_table() -> str:
    """The table in docs/events.md, as it should be."""
    rows = ["| result | reason | close | what happened |", "| --- | --- | --- | --- |"]
    rows += [f"| {o.result} | {o.reason} | {o.close_code or 'none'} | {o.meaning} |" for o in Outcome]
    return "\n".join(rows) + "\n"


def test_the_documentation_has_every_outcome() -> None:
    found = re.search(r"<!-- outcomes -->\n(.*)<!-- /outcomes -->", DOCS.read_text(), re.DOTALL)
    assert found is not None
    assert found[1] == outcome_table(), f"docs/events.md: between the 'outcomes' marks belongs\n{outcome_table()}"
