"""Which turn a message belongs to: examples of both families of models, then whatever may come.

The examples read as what the service says and what is shown of it: number, text, and a mark (`…` while it is open, `.`
when it is final, `!` when it is final and formatted).
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.protocol.transcription import Revision, Turn, Word
from gateway.protocol.turns import REMEMBERED, REMEMBERED_WITH_SPEAKERS, Turns, TurnUpdate, shown_text


def words(text: str, start: int = 0) -> tuple[Word, ...]:
    """The words of a text, 100 ms each."""
    return tuple(Word(word, start + 100 * n, start + 100 * n + 100) for n, word in enumerate(text.split()))


def partial(order: int, transcript: str, spoken: str | None = None, *, formatted: bool = False) -> Turn:
    return Turn(order, formatted, False, transcript, words(transcript if spoken is None else spoken))


def final(order: int, transcript: str, *, formatted: bool = False) -> Turn:
    return Turn(order, formatted, True, transcript, words(transcript))


def shown(update: TurnUpdate | None) -> str | None:
    if update is None:
        return None
    mark = ("!" if update.formatted else ".") if update.final else "…"
    return f"{update.turn}: {update.text}{mark}"


def tell(turns: Turns, *messages: Turn) -> list[str | None]:
    return [shown(turns.update(message)) for message in messages]


# Universal-Streaming: word by word, unformatted


def test_a_turn_grows_word_by_word_with_the_word_that_is_being_spoken() -> None:
    turns = Turns()
    assert tell(
        turns,
        partial(0, "", ""),
        partial(0, "", "my"),
        partial(0, "my", "my na"),
        partial(0, "my name", "my name is"),
        final(0, "my name is"),
    ) == [None, "0: my…", "0: my na…", "0: my name is…", "0: my name is."]
    assert (turns.count, turns.finals) == (1, 1)


def test_a_final_comes_twice_where_formatting_was_asked_for() -> None:
    turns = Turns()
    assert tell(turns, final(0, "hi im sonny"), final(0, "Hi, I'm Sonny.", formatted=True)) == [
        "0: hi im sonny.",
        "0: Hi, I'm Sonny.!",
    ]
    assert turns.finals == 1


def test_late_formatting_replaces_its_own_turn() -> None:
    turns = Turns()
    assert tell(turns, final(0, "one"), partial(1, "two"), final(0, "One.", formatted=True), final(1, "two")) == [
        "0: one.",
        "1: two…",
        "0: One.!",
        "1: two.",
    ]


def test_formatting_that_changes_no_letter_is_still_told() -> None:
    assert tell(Turns(), final(0, "OK"), final(0, "OK", formatted=True)) == ["0: OK.", "0: OK!"]


def test_formatting_is_not_lost_again() -> None:
    assert tell(Turns(), final(0, "One.", formatted=True), final(0, "one"), final(0, "another")) == [
        "0: One.!",
        None,
        None,
    ]


def test_the_empty_final_after_terminate_is_dropped() -> None:
    turns = Turns()
    assert tell(turns, final(0, "bye"), final(1, "")) == ["0: bye.", None]
    assert (turns.count, turns.finals) == (1, 1)


def test_a_turn_that_comes_to_nothing_is_taken_back_if_something_of_it_was_shown() -> None:
    turns = Turns()
    assert tell(turns, partial(0, "", "uh"), final(0, ""), final(0, "")) == ["0: uh…", "0: .", None]
    assert turns.finals == 0
    assert tell(turns, partial(1, "ah")) == ["1: ah…"], "its number is not given again"


def test_a_final_can_be_taken_back_too() -> None:
    turns = Turns()
    assert tell(turns, final(0, "noise"), final(0, "")) == ["0: noise.", "0: ."]
    assert turns.finals == 0
    assert tell(turns, final(0, "no noise")) == ["0: no noise."]
    assert turns.finals == 1


# Universal-3: the whole turn each time, formatted, and revised


def test_partials_replace_each_other_whole() -> None:
    assert tell(
        Turns(),
        partial(0, "Can I", formatted=True),
        partial(0, "Can't I pay", formatted=True),
        final(0, "Can't I pay later?", formatted=True),
    ) == ["0: Can I…", "0: Can't I pay…", "0: Can't I pay later?!"]


def test_a_partial_may_say_less_than_before() -> None:
    assert tell(Turns(), partial(0, "I scream", formatted=True), partial(0, "Ice", formatted=True)) == [
        "0: I scream…",
        "0: Ice…",
    ]


def test_what_comes_twice_is_said_once() -> None:
    message, last = partial(0, "Hello", formatted=True), final(0, "Hello.", formatted=True)
    assert tell(Turns(), message, message, last, last) == ["0: Hello…", None, "0: Hello.!", None]


def test_a_partial_whose_times_moved_is_told() -> None:
    turns = Turns()
    turns.update(Turn(0, transcript="hello", words=words("hello")))
    update = turns.update(Turn(0, transcript="hello", words=words("hello", start=40)))
    assert update == TurnUpdate(0, False, False, "hello", 40, 140)


def test_a_partial_after_the_final_is_late() -> None:
    assert tell(Turns(), final(0, "done"), partial(0, "done and"), final(0, "done and dusted")) == [
        "0: done.",
        None,
        "0: done and dusted.",
    ]


# What is shown


@pytest.mark.parametrize(
    ("turn", "text"),
    [
        (partial(0, "", "hel"), "hel"),
        (partial(0, "hello", "hello wor"), "hello wor"),
        (partial(0, "hello world", ""), "hello world"),
        (partial(0, "Hello, world.", "hello world"), "Hello, world."),
        (partial(0, "It's $5.", "it is five dollars", formatted=True), "It's $5."),
        (partial(0, "", "it is", formatted=True), "it is"),
        (partial(0, "私は学生です", "私 は 学生 です"), "私は学生です"),
        (partial(0, "私は", "私 は 学生"), "私 は 学生"),
        (final(0, ""), ""),
        (Turn(0, False, True, "", words("not heard to its end")), ""),
        (Turn(0, False, True, None, words("no transcript at all")), "no transcript at all"),
        (Turn(0, False, False, None, ()), ""),
    ],
    ids=lambda value: None if isinstance(value, Turn) else value,
)
def test_the_transcript_is_shown_or_while_it_is_open_the_words_that_say_more(turn: Turn, text: str) -> None:
    assert shown_text(turn) == text


@pytest.mark.parametrize(
    ("said", "start", "end"),
    [
        ((), None, None),
        ((Word("a", 100, 200), Word("b", 250, 300)), 100, 300),
        ((Word("a", 100.9, 200.9),), 100, 200),
        ((Word("a", -250, 200),), 0, 200),
        ((Word("a", 300, 200),), 300, 300),
        ((Word("a", -300, -200),), 0, 0),
        ((Word("a", None, 200),), None, None),
        ((Word("a", 100, None),), None, None),
        ((Word("a", 100, None), Word("b", None, 300)), 100, 300),
    ],
    ids=str,
)
def test_a_turn_lies_from_its_first_word_to_its_last(
    said: tuple[Word, ...], start: int | None, end: int | None
) -> None:
    assert Turns().update(Turn(0, False, True, "a", said)) == TurnUpdate(0, True, False, "a", start, end)


# Speakers


def test_revised_speakers_say_the_turn_once_more_as_it_was() -> None:
    turns = Turns()
    turns.begin_session(speakers=True)
    turns.update(final(0, "Hi, there.", formatted=True))
    assert turns.revise(Revision(0, words("hi there", start=20))) == TurnUpdate(0, True, True, "Hi, there.", 20, 220)
    assert turns.revise(Revision(0)) == TurnUpdate(0, True, True, "Hi, there.", 20, 220)
    assert turns.finals == 1


def test_speakers_of_turns_that_are_open_unknown_or_taken_back_change_nothing() -> None:
    turns = Turns()
    tell(turns, partial(0, "still open"), final(1, "noise"), final(1, ""))
    assert [turns.revise(Revision(order, words("hi"))) for order in (0, 1, 2)] == [None, None, None]


# Sessions in a row


def test_numbers_go_on_where_the_session_before_stopped() -> None:
    turns = Turns()
    told = []
    for text in ("one", "two", "three"):
        turns.begin_session()
        told += tell(turns, final(0, text), final(1, f"{text} again"), final(2, ""))
        told += [shown(update) for update in turns.close()]
    assert [line for line in told if line] == [
        "0: one.",
        "1: one again.",
        "2: two.",
        "3: two again.",
        "4: three.",
        "5: three again.",
    ]
    assert (turns.count, turns.finals) == (6, 6)


def test_a_turn_that_was_open_when_its_session_was_lost_is_closed_as_it_was_shown() -> None:
    turns = Turns()
    tell(turns, final(0, "one"), partial(1, "and th", formatted=True))
    assert [shown(update) for update in turns.close()] == ["1: and th!"]
    assert turns.close() == []
    assert turns.finals == 2

    turns.begin_session()
    assert tell(turns, final(1, "and three")) == ["2: and three."]


def test_a_turns_number_is_known_while_it_is_remembered() -> None:
    turns = Turns()
    tell(turns, final(0, ""), final(5, "one"))
    assert [turns.number(order) for order in (0, 5, None)] == [None, 0, None]
    turns.begin_session()
    assert turns.number(5) is None


@pytest.mark.parametrize(("speakers", "remembered"), [(False, REMEMBERED), (True, REMEMBERED_WITH_SPEAKERS)])
def test_the_oldest_turns_are_forgotten_and_do_not_come_back_with_another_number(
    speakers: bool, remembered: int
) -> None:
    turns = Turns()
    turns.begin_session(speakers=speakers)
    for order in range(remembered + 2):
        turns.update(final(order, "said"))
    assert [turns.number(order) for order in (1, 2)] == [None, 2]
    assert tell(turns, final(1, "Said.", formatted=True), final(2, "Said.", formatted=True)) == [None, "2: Said.!"]
    assert turns.count == remembered + 2

    turns.begin_session()
    assert tell(turns, final(0, "anew")) == [f"{remembered + 2}: anew."]


# Whatever may come

orders = st.integers(0, 6)
texts = st.sampled_from(["", "a", "b", "a b", "A b."])
messages = st.one_of(
    st.builds(Turn, orders, st.booleans(), st.booleans(), texts | st.none(), texts.map(words)),
    st.builds(Revision, orders, texts.map(words)),
    st.just("a new session"),
)


@given(st.lists(messages, max_size=60))
def test_a_reader_who_replaces_by_number_has_a_transcript_without_holes(said: list[Turn | Revision | str]) -> None:
    turns = Turns()
    reader: dict[int, TurnUpdate] = {}
    order_of: dict[int, tuple[int, int]] = {}
    session = 0

    def show(update: TurnUpdate, order: int | None) -> None:
        before = reader.get(update.turn)
        if before is None:
            assert update.turn == len(reader), "numbers are contiguous"
            assert update.text, "what was never shown is not taken back"
        else:
            assert update.final or not before.final, "a final never falls back to a partial"
            assert update.formatted or not (before.final and before.formatted), "nor loses its formatting"
        if order is not None:
            assert order_of.setdefault(update.turn, (session, order)) == (session, order)
        reader[update.turn] = update

    for message in said:
        if isinstance(message, str):
            for closed in turns.close():
                assert closed.final
                show(closed, None)
            session += 1
            turns.begin_session()
            continue
        update = turns.update(message) if isinstance(message, Turn) else turns.revise(message)
        if update is not None:
            show(update, message.turn_order)
            assert turns.number(message.turn_order) == update.turn
        if isinstance(message, Turn) and message.end_of_turn and message.transcript:
            number = turns.number(message.turn_order)
            assert number is not None
            assert reader[number].final

    for closed in turns.close():
        show(closed, None)
    assert all(update.final for update in reader.values())
    assert turns.count == len(reader)
    assert turns.finals == sum(update.text != "" for update in reader.values())
