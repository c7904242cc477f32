"""The declaration of the knobs, and what is made from it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from gateway.sandbox.emulator import knobs
from gateway.sandbox.emulator.choices import Fault, Formatting
from gateway.sandbox.emulator.knobs import Knobs

DOCUMENTATION = Path(__file__).parents[3] / "docs" / "emulator.md"


def test_the_documentation_holds_the_table_of_the_declaration() -> None:
    assert knobs.markdown_table() in DOCUMENTATION.read_text(encoding="utf-8")


def test_every_knob_has_one_sentence() -> None:
    for knob in knobs.declared():
        assert knob.doc.endswith(".")
        assert knob.kind in {bool, int, float, str} or knob.name == "keys" or knob.values


def test_values_become_what_they_are_declared_as() -> None:
    turned = knobs.changed(Knobs(), {"begin_delay": 2, "formatting": "single", "keys": ["a", "b"]})
    assert (turned.begin_delay, turned.formatting, turned.keys) == (2.0, Formatting.SINGLE, ("a", "b"))


@pytest.mark.parametrize("wrong", [{"begin_delay": -1}, {"strict": 1}, {"fault": "x"}, {"limit_code": 1}])
def test_a_wrong_value_is_refused_by_name(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=f"knob {next(iter(wrong))}: "):
        knobs.changed(Knobs(), wrong)


def test_an_unknown_knob_is_refused() -> None:
    with pytest.raises(ValueError, match="no such knob: speed"):
        knobs.changed(Knobs(), {"speed": 1})


def test_healthy_knobs_keep_everything_but_the_faults() -> None:
    sick = Knobs(fault=Fault.DROP, http_status=503, begin_delay=1, strict=True, duplicate_finals=True)
    assert sick.healthy() == Knobs(begin_delay=1, strict=True)


def test_keys_stay_out_of_repr_and_json() -> None:
    secret = dataclasses.replace(Knobs(), keys=("secret",))
    assert "secret" not in repr(secret)
    assert "secret" not in str(knobs.as_json(secret))
