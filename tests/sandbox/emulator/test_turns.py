"""Turn messages of both families."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.sandbox.emulator.choices import Formatting
from tests.sandbox.emulator.fakes import U3, US, Driven, script

FIELDS = [
    "turn_order",
    "turn_is_formatted",
    "end_of_turn",
    "transcript",
    "end_of_turn_confidence",
    "words",
    "utterance",
    "type",
]


def shown(turns: list[dict[str, Any]]) -> list[tuple[bool, str, str]]:
    return [(turn["end_of_turn"], turn["transcript"], turn["utterance"]) for turn in turns]


@pytest.mark.parametrize("query", [US, U3])
def test_every_turn_has_every_field_and_its_type_comes_last(query: dict[str, str]) -> None:
    session = Driven(query, script("one two three four five six"))
    session.audio(5000)
    session.say(type="Terminate")
    for turn in session.turns:
        assert list(turn) == FIELDS
        for word in turn["words"]:
            assert list(word) == ["start", "end", "text", "confidence", "word_is_final"]
            assert type(word["start"]) is type(word["end"]) is int


class TestUniversal:
    def test_it_goes_word_by_word_and_the_newest_word_is_not_final(self) -> None:
        session = Driven(US, script("One two three."))
        session.audio(1450)
        assert shown(session.turns) == [(False, "", ""), (False, "one", ""), (False, "one two", "")]
        assert [word["word_is_final"] for word in session.turns[1]["words"]] == [True, False]
        assert session.turns[1]["words"][1] == {
            "start": 800,
            "end": 1050,
            "text": "two",
            "confidence": 0.96,
            "word_is_final": False,
        }

    def test_a_pause_fills_the_utterance_and_the_end_leaves_it_empty(self) -> None:
        session = Driven(US, script("one two"))
        session.audio(3000)
        assert shown(session.turns)[-2:] == [(False, "one two", "one two"), (True, "one two", "")]

    def test_what_comes_after_a_pause_is_the_next_utterance_of_the_same_turn(self) -> None:
        session = Driven(US, [*script("one"), *script("two", 1500)])
        session.audio(4000)
        utterances = [turn["utterance"] for turn in session.turns if turn["utterance"]]
        assert utterances == ["one", "two"]
        assert shown(session.finals) == [(True, "one two", "")]

    def test_a_sentence_ends_after_the_short_silence(self) -> None:
        session = Driven(US, script("one two."))
        session.audio(1400)
        assert session.finals == []
        session.audio(100)
        assert shown(session.finals) == [(True, "one two", "one two")]

    def test_anything_else_ends_after_the_long_silence(self) -> None:
        session = Driven(US, script("one two"))
        session.audio(2300)
        assert session.finals == []
        session.audio(100)
        assert len(session.finals) == 1

    @pytest.mark.parametrize(
        ("parameters", "ends_ms"),
        [
            ({"min_turn_silence": "100", "end_of_turn_confidence_threshold": "0.1"}, 900),
            ({"max_turn_silence": "600"}, 1400),
            ({"end_of_turn_confidence_threshold": "1"}, 2100),
        ],
    )
    def test_the_parameters_move_the_end(self, parameters: dict[str, str], ends_ms: int) -> None:
        session = Driven(US | parameters, script("one"))
        session.audio(ends_ms - 100)
        assert session.finals == []
        session.audio(100)
        assert len(session.finals) == 1

    def test_nothing_is_formatted_unless_asked(self) -> None:
        session = Driven(US, script("Hello, there."))
        session.audio(3000)
        assert session.finals[0]["transcript"] == "hello there"
        assert not any(turn["turn_is_formatted"] for turn in session.turns)

    @pytest.mark.parametrize(
        ("formatting", "finals", "partials_formatted"),
        [
            (Formatting.DOUBLE, [("one two", "one two", False), ("One two.", "", True)], False),
            (Formatting.SINGLE, [("One two.", "One two.", True)], False),
            (Formatting.ALL, [("One two.", "One two.", True)], True),
        ],
    )
    def test_unconfirmed_format_turns(
        self, formatting: Formatting, finals: list[tuple[str, str, bool]], partials_formatted: bool
    ) -> None:
        session = Driven(US | {"format_turns": "true"}, script("one two."), formatting=formatting)
        session.audio(3000)
        assert [(t["transcript"], t["utterance"], t["turn_is_formatted"]) for t in session.finals] == finals
        assert {t["turn_order"] for t in session.turns} == {0}
        partials = [t for t in session.turns if not t["end_of_turn"]]
        assert {t["turn_is_formatted"] for t in partials} == {partials_formatted}

    def test_partials_can_be_switched_off(self) -> None:
        session = Driven(US | {"include_partial_turns": "false"}, script("one two"))
        session.audio(3000)
        assert len(session.turns) == 1


class TestU3:
    def test_speech_started_comes_right_before_the_first_partial(self) -> None:
        session = Driven(U3, script("one two three four five six"))
        session.audio(5000)
        assert session.types[:3] == ["Begin", "SpeechStarted", "Turn"]
        assert session.types.count("SpeechStarted") == 1
        assert session.messages[1] == {"type": "SpeechStarted", "timestamp": 500, "confidence": 0.98}

    def test_the_first_partial_waits_for_enough_speech(self) -> None:
        balanced = Driven(U3, script("one two three four five six"))
        balanced.audio(1600)
        assert balanced.turns == []
        balanced.audio(100)
        assert len(balanced.turns) == 1
        hurried = Driven(U3 | {"mode": "min_latency"}, script("one two three four five six"))
        hurried.audio(1100)
        assert len(hurried.turns) == 1

    def test_partials_are_formatted_tentative_and_revised(self) -> None:
        session = Driven(U3, script("well hello there people today"))
        session.audio(2200)
        first, second = session.turns[:2]
        assert first["transcript"] == "Well hello there peopl"
        assert second["transcript"] == "Well hello there people toda"
        assert first["turn_is_formatted"]
        assert first["end_of_turn_confidence"] == 0
        assert not any(word["word_is_final"] for word in first["words"])

    def test_the_final_is_whole_padded_and_certain(self) -> None:
        session = Driven(U3, script("well hello there", 1500))
        session.audio(5000)
        final = session.finals[0]
        assert final["transcript"] == final["utterance"] == "Well hello there."
        assert final["end_of_turn_confidence"] == 1
        assert all(word["word_is_final"] for word in final["words"])
        assert (final["words"][0]["start"], final["words"][-1]["end"]) == (500, 2650)

    def test_padding_does_not_reach_behind_the_last_cut(self) -> None:
        session = Driven(U3, [*script("one."), *script("two.", 1400)])
        session.audio(4000)
        assert session.finals[1]["words"][0]["start"] == 1150

    def test_a_sentence_ends_after_the_short_silence(self) -> None:
        session = Driven(U3, [*script("one."), *script("two", 2500)])
        session.audio(1100)
        assert session.finals == []
        session.audio(100)
        assert len(session.finals) == 1
        session.audio(2500)
        assert len(session.finals) == 1
        session.audio(100)
        assert len(session.finals) == 2

    def test_when_audio_stops_nothing_ends(self) -> None:
        session = Driven(U3, script("one"))
        session.audio(1000)
        session.wait(3600)
        assert session.finals == []

    def test_format_turns_is_accepted_and_changes_nothing(self) -> None:
        session = Driven(U3 | {"format_turns": "true"}, script("one"))
        session.audio(3000)
        assert len(session.finals) == 1

    def test_without_continuous_partials_there_is_one(self) -> None:
        session = Driven(U3 | {"continuous_partials": "false"}, script("one two three four five six"))
        session.audio(5000)
        assert [turn["end_of_turn"] for turn in session.turns] == [False, True]

    def test_redaction_sends_no_partials(self) -> None:
        session = Driven(U3 | {"redact_pii": "true"}, script("one two three four five six"))
        session.audio(5000)
        assert [turn["end_of_turn"] for turn in session.turns] == [True]

    def test_revision_can_be_switched_off(self) -> None:
        session = Driven(U3, script("well hello there people"), u3_revise=False)
        session.audio(1700)
        assert session.turns[0]["transcript"] == "Well hello there people"
