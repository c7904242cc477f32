"""gateway.view: which rows there are, how they change, and how they look."""

import io

from rich.console import Console

from gateway import events
from gateway.events import AnyEvent
from gateway.view import MOST_ROWS, Board, Row, Tally, Tone, as_text, clean, lines, on_screen, panel, short
from tests.telling import Teller


def a_board(*told: AnyEvent) -> Board:
    board = Board()
    for event in told:
        board.take(event)
    return board


def texts(rows: list[Row]) -> list[str]:
    return [row.text for row in rows]


def drawn(rows: list[Row], width: int = 80, *, label: bool = False) -> str:
    out = io.StringIO()
    Console(file=out, width=width).print(on_screen(rows, width, label=label))
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())


def a_gap(teller: Teller) -> AnyEvent:
    return teller.tell(events.Gap, track="inbound", from_ms=61_000, to_ms=62_000, lost_ms=1000, cause="overflow")


def test_a_partial_is_replaced_in_place_by_what_comes_next() -> None:
    teller = Teller()
    board = a_board(teller.turn("he", 0, final=False), teller.turn("yes", 0, final=False, track="outbound"))
    board.take(teller.turn("hello", 0))
    assert [(row.who, row.text, row.open) for row in board.rows] == [("caller", "hello", False), ("agent", "yes", True)]


def test_rows_settle_from_the_oldest_and_leave_those_that_may_change() -> None:
    teller = Teller()
    board = a_board(teller.turn("a", 0, final=False), teller.turn("b", 1), teller.turn("c", 2), teller.turn("d", 3))
    assert texts(board.settle(2)) == ["b", "c"]
    assert texts(board.settle(0)) == ["d"]
    board.take(teller.turn("a.", 0))
    assert texts(board.settle(0)) == ["a."]
    assert board.rows == []


def test_what_was_printed_and_changes_is_printed_again() -> None:
    teller = Teller()
    board = a_board(teller.turn("hello", 0))
    board.settle(0)
    board.take(teller.turn("hello", 0, formatted=True))
    assert board.rows == []
    board.take(teller.turn("Hello.", 0, formatted=True))
    (row,) = board.settle(0)
    assert (row.text, row.again) == ("Hello.", True)
    board.take(teller.turn("", 0))
    assert texts(board.settle(0)) == ["(taken back)"]


def test_a_turn_that_is_taken_back_leaves_no_trace_unless_it_was_printed() -> None:
    teller = Teller()
    board = a_board(teller.turn("er", 0, final=False), teller.turn("", 0), teller.turn("", 1))
    assert board.rows == []


def test_what_is_open_when_its_stream_ends_stays_as_it_is() -> None:
    teller = Teller()
    board = a_board(teller.turn("and then", 0, final=False), teller.ended())
    assert texts(board.settle(0)) == ["and then", "the stream ended: completed (stopped)"]


def test_the_board_is_bounded() -> None:
    tellers = [Teller(stream_id=f"MZ{n}") for n in range(MOST_ROWS + 5)]
    board = a_board(*(teller.turn("open", final=False) for teller in tellers))
    assert len(board.settle(0)) == 5
    assert len(board.rows) == MOST_ROWS


def test_times_are_since_the_call_began_even_in_its_second_stream() -> None:
    one, two = Teller(), Teller(stream_id="MZ2")
    board = a_board(
        one.started(),
        one.turn("a", 3),
        a_gap(one),
        two.started(started_at="2026-11-20T12:01:40.000Z"),
        two.turn("b", 2),
        two.ended(),
    )
    assert [row.seconds for row in board.rows] == [0.0, 3.0, 61.0, 0.0, 102.0, None]


def test_without_the_beginning_a_time_is_the_streams_own() -> None:
    teller = Teller()
    board = a_board(teller.turn("a", 3), teller.turn("b", 4, start_ms=None), a_gap(teller))
    assert [row.seconds for row in board.rows] == [3.0, None, 61.0]


def test_a_time_that_is_none_does_not_disturb() -> None:
    board = a_board(Teller().started(started_at="yesterday"))
    assert board.rows[0].seconds is None


def test_on_a_terminal_long_texts_stay_in_their_column() -> None:
    teller = Teller()
    board = a_board(teller.started(), teller.turn("word " * 20, 1), teller.turn("yes", 2, final=False))
    assert drawn(board.rows, 64).splitlines() == [
        "   0:00  ·       a stream began (twilio), listening to caller",
        "   0:01  caller  word word word word word word word word word",
        "                 word word word word word word word word word",
        "                 word word",
        "   0:02  caller  yes …",
    ]


def test_a_narrow_terminal_does_without_times() -> None:
    assert drawn(a_board(Teller().turn("hello there", 1)).rows, 40) == "caller  hello there"


def test_of_many_calls_each_row_says_which() -> None:
    call_id = "CA0123456789abcdef0123456789abcdef"
    rows = a_board(Teller(call_id).turn("hello", 1)).rows
    assert drawn(rows, label=True) == "   0:01  CA…abcdef   caller  hello"
    assert as_text(rows[0], label=True) == f"{call_id}    0:01 caller: hello"
    assert short("CA1") == "CA1"


def test_for_a_pipe_a_row_is_a_line() -> None:
    teller = Teller()
    board = a_board(teller.started(), teller.turn("hello " * 50, 4000), teller.ended())
    said = [as_text(row, label=False) for row in board.rows]
    assert said[0] == "   0:00 - a stream began (twilio), listening to caller"
    assert said[1].startswith("1:06:40 caller: hello hello")
    assert said[2] == "        - the stream ended: completed (stopped)"
    assert as_text(Row("CA1", 1.0, "caller", "Hello.", Tone.CALLER, again=True), label=False).endswith("(corrected)")


def test_what_would_steer_a_terminal_is_taken_out() -> None:
    assert clean("a\x1b[31mb\nc\x9bd\u202ee") == "a [31mb c d e"
    assert clean("ನ್\u200dನ") == "ನ್\u200dನ"
    teller = Teller("CA1\x1b]0;x\x07")
    rows = a_board(teller.turn("\x1b[2Jhello [red]x[/]", 0, track="in\x1b"), teller.ended("a\x1bb")).rows
    shown = drawn(rows, label=True) + "".join(as_text(row, label=True) for row in rows)
    assert "\x1b" not in shown
    assert "[red]x[/]" in shown


def test_a_call_adds_up() -> None:
    teller, tally = Teller(), Tally()
    told = [teller.started(), teller.turn("one two", 0, final=False), teller.turn("one two three", 0)]
    for event in [*told, teller.turn("yes", 0, track="outbound"), teller.session_ended(35.0)]:
        tally.take(event)
    assert dict(tally.facts())["result"] == "not ended"
    for event in [teller.session_ended(34.5, "outbound"), a_gap(teller), teller.ended()]:
        tally.take(event)
    assert tally.facts() == [
        ("turns", "2 (caller 1, agent 1), 4 words"),
        ("audio", "69.5 s (caller 35, agent 34.5)"),
        ("lost", "1.0 s of audio"),
        ("billed", "6.5 s in 2 sessions"),
        ("result", "completed (stopped)"),
    ]


def test_a_summary_is_a_panel_or_lines() -> None:
    facts = [("turns", "2"), ("result", "[completed]")]
    out = io.StringIO()
    Console(file=out, width=40).print(panel("call CA1", facts))
    assert out.getvalue().splitlines() == [
        "╭─ call CA1 ──────────╮",
        "│ turns   2           │",
        "│ result  [completed] │",
        "╰─────────────────────╯",
    ]
    assert lines("call CA1", facts) == "call CA1\n  turns: 2\n  result: [completed]"
