"""Reading what can be read of JSON that is not as it should be."""

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.protocol.lenient import NOT_READABLE, convert, load
from gateway.protocol.transcription import Turn


class Leaf(msgspec.Struct, frozen=True):
    size: int
    text: str = ""


class Tree(msgspec.Struct, frozen=True):
    name: str = "none"
    top: Leaf | None = None
    root: Leaf = Leaf(0)
    leaves: tuple[Leaf, ...] = ()
    raws: tuple[msgspec.Raw, ...] = ()
    heights: tuple[int, ...] = ()
    full: bool = False
    weight: float | None = None
    renamed: int = msgspec.field(name="as", default=0)


def test_json_is_loaded_as_it_is() -> None:
    assert load('{"a":[1,2.5,null,true,"é"]}'.encode()) == {"a": [1, 2.5, None, True, "é"]}


def test_a_number_that_no_float_can_hold_is_infinite() -> None:
    assert load(b"[1e400, -1e400]") == [math.inf, -math.inf]


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"[1]x",
        b"NaN",
        b"[Infinity]",
        b'"\\ud800"',
        b'"\xff"',
        b"\xef\xbb\xbf{}",
        b"[" * 100_000,
        b"9" * 5000,
    ],
    ids=lambda text: repr(text[:12]),
)
def test_what_other_readers_refuse_is_refused(text: bytes) -> None:
    with pytest.raises(NOT_READABLE):
        load(text)


def test_a_whole_struct_is_read() -> None:
    assert convert({"name": "oak", "top": None, "root": {"size": 3, "text": "r"}, "full": True, "as": 4}, Tree) == Tree(
        name="oak", root=Leaf(3, "r"), full=True, renamed=4
    )


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ({"name": None}, Tree()),
        ({"name": 5}, Tree()),
        ({"full": "true", "weight": "2.5", "as": 3.0}, Tree(full=True, weight=2.5, renamed=3)),
        ({"full": [], "weight": {}, "as": 3.5}, Tree()),
        ({"root": {"size": None}}, Tree()),
        ({"root": {"size": 1, "text": None}}, Tree(root=Leaf(1))),
        ({"root": []}, Tree()),
        ({"leaves": [{"size": 1}, {"text": "no size"}, None, {"size": "2"}]}, Tree(leaves=(Leaf(1), Leaf(2)))),
        ({"leaves": {}}, Tree()),
        ({"unknown": 1}, Tree()),
        ({}, Tree()),
    ],
    ids=str,
)
def test_what_can_not_be_read_takes_its_default(given: dict[str, object], read: Tree) -> None:
    assert convert(given, Tree) == read


def test_raw_parts_stay_json() -> None:
    tree = convert({"raws": [{"a": 1}, None, "x"]}, Tree)
    assert tree is not None
    assert [bytes(raw) for raw in tree.raws] == [b'{"a":1}', b"null", b'"x"']


@pytest.mark.parametrize("given", [None, [], "text", 5, {}, {"size": None}, {"size": "many"}], ids=repr)
def test_without_a_required_field_there_is_nothing(given: object) -> None:
    assert convert(given, Leaf) is None


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.integers(-9, 9),
    st.dictionaries(st.sampled_from(["turn_is_formatted", "end_of_turn", "transcript", "words"]), json_values),
)
def test_whatever_else_is_odd_a_turn_with_its_number_is_read(order: int, rest: dict[str, object]) -> None:
    turn = convert({"turn_order": order, **rest}, Turn)
    assert turn is not None
    assert turn.turn_order == order
    assert turn.transcript == (rest["transcript"] if isinstance(rest.get("transcript"), str) else None)
