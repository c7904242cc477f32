"""gateway.wording: events in plain words."""

from typing import Any

import pytest

from gateway import events
from gateway.events import AnyEvent
from gateway.wording import Weight, note, speaker
from tests.telling import Teller

INTERRUPTED = {"track": "inbound", "reason": "too_many_sessions", "code": 1008}
RESUMED = {"track": "outbound", "outage_ms": 2100, "replayed_ms": 0, "behind_ms": 1500}
CONTROL = {"request_id": "r", "action": "force_endpoint", "accepted": False, "message": "no such track"}


@pytest.mark.parametrize(
    ("kind", "fields", "says", "weight"),
    [
        (events.Gap, {"track": "inbound", "from_ms": 0, "to_ms": 1200, "lost_ms": 1200, "cause": "carrier"},
         "1.2 s of the caller's audio are missing: the carrier did not deliver it", Weight.WARNING),
        (events.SessionInterrupted, INTERRUPTED,
         "the caller's transcription is interrupted: too many sessions (1008)", Weight.WARNING),
        (events.SessionResumed, RESUMED,
         "the agent's transcription is back after 2.1 s, 1.5 s behind", Weight.PLAIN),
        (events.SessionWarning, {"track": "inbound", "code": None, "message": "hm"},
         "AssemblyAI warns of the caller's session: hm", Weight.WARNING),
        (events.SessionError, {"track": "outbound", "code": 4001, "message": "The key is wrong."},
         "the agent's session failed (4001): The key is wrong.", Weight.ERROR),
        (events.Dtmf, {"digit": "•", "track": "inbound"}, "the caller pressed •", Weight.PLAIN),
        (events.Control, CONTROL, "control, force endpoint: refused: no such track", Weight.PLAIN),
        (events.StreamStatus, {"status": "stream-error", "code": 31921, "message": "closed"},
         "the carrier reports stream-error (31921): closed", Weight.PLAIN),
    ],
)  # fmt: skip
def test_what_is_worth_a_note_gets_a_sentence(
    kind: type[AnyEvent], fields: dict[str, Any], says: str, weight: Weight
) -> None:
    assert note(Teller().tell(kind, **fields)) == (says, weight)


def test_a_stream_says_how_it_begins_and_ends() -> None:
    teller = Teller()
    assert note(teller.started(tracks=["inbound", "outbound"])) == (
        "a stream began (twilio), listening to caller and agent",
        Weight.PLAIN,
    )
    assert note(teller.started(tracks=[])) == ("a stream began (twilio), listening to nobody", Weight.PLAIN)
    assert note(teller.ended()) == ("the stream ended: completed (stopped)", Weight.PLAIN)
    assert note(teller.ended("carrier_error", "too_fast")) == (
        "the stream ended: carrier error (too fast)",
        Weight.ERROR,
    )


def test_what_is_said_and_what_is_of_no_interest_gets_none() -> None:
    teller = Teller()
    assert note(teller.turn("hello")) is None
    assert note(teller.session_ended()) is None


def test_a_track_that_is_not_known_keeps_its_name() -> None:
    assert speaker("third") == "third"
