"""Calls as they happen, on a terminal or into a pipe: the live side of `view`."""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from contextlib import aclosing, contextmanager
from types import TracebackType
from typing import BinaryIO, Self

from rich.console import Console
from rich.live import Live
from rich.text import Text

from gateway.client import LINGER_SECONDS, Message, Transcripts
from gateway.events import AnyEvent
from gateway.follow import AllCalls, Complain
from gateway.view import Board, Tally, as_text, clean, lines, on_screen, panel

_DRAW_SECONDS = 0.05
_MOST_MOVING = 8
_PATIENCE_SECONDS = 1.0


class Screen:
    """Where events are shown. On a terminal the newest rows may still change; a pipe gets what is final.

    It is used in a running event loop, by which it draws at most every `_DRAW_SECONDS`.

    Args:
        console: where to.
        label: say which call each row is of.
    """

    def __init__(self, console: Console, *, label: bool = False) -> None:
        self._console = console
        self._label = label
        self._board = Board()
        self._live: Live | None = None
        self._keep = 0
        if is_screen(console):
            self._keep = max(2, min(_MOST_MOVING, console.height // 4))
            # Without its own thread: one that draws while another prints spoils the picture.
            self._live = Live(console=console, auto_refresh=False)
        self._drawing: asyncio.TimerHandle | None = None

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._settle(0)
        if self._drawing is not None:
            self._drawing.cancel()
        if self._live is not None:
            # What was said last is worth seeing even where it is not final.
            self._draw()
            self._live.stop()

    def show(self, event: AnyEvent) -> None:
        """Shows an event."""
        self._board.take(event)
        self._settle(self._keep)
        if self._live is not None and self._drawing is None:
            self._drawing = asyncio.get_running_loop().call_later(_DRAW_SECONDS, self._draw)

    def _draw(self) -> None:
        self._drawing = None
        if self._live is not None:
            picture = on_screen(self._board.rows, self._console.width, label=self._label)
            self._live.update(picture, refresh=True)

    def _settle(self, keep: int) -> None:
        rows = self._board.settle(keep)
        if rows and self._keep:
            self._console.print(on_screen(rows, self._console.width, label=self._label))
            self._draw()
        else:
            for row in rows:
                say(self._console, as_text(row, label=self._label))


def is_screen(console: Console) -> bool:
    """Whether there is somebody at a terminal that can do more than print."""
    return console.is_terminal and not console.is_dumb_terminal


def say(console: Console, text: str) -> None:
    """Prints plain text as it is: no markup, no wrapping."""
    console.print(clean_lines(text), markup=False, highlight=False, emoji=False, soft_wrap=True)


def clean_lines(text: str) -> str:
    """`clean`, but for line ends."""
    return "\n".join(clean(line) for line in text.splitlines())


def summarize(console: Console, title: str, facts: Iterable[tuple[str, str]]) -> None:
    """Prints a summary."""
    if is_screen(console):
        console.print(panel(title, facts))
    else:
        say(console, lines(title, facts))


def _greet(console: Console, text: str) -> None:
    """There may be nothing else to see for a while."""
    if is_screen(console):
        console.print(Text(f"{clean(text)}; Ctrl-C ends it", style="dim"))


@contextmanager
def _nothing_yet(call_id: str, complain: Complain) -> Iterator[Callable[[], None]]:
    """Says, after a while, that nothing of a call has come: its id may be mistyped. Gives what is told of an event."""
    text = f"nothing is known of a call {clean(call_id)} so far; waiting for it"
    timer = asyncio.get_running_loop().call_later(_PATIENCE_SECONDS, complain, text)
    try:
        yield timer.cancel
    finally:
        timer.cancel()


async def tail_call(
    transcripts: Transcripts,
    call_id: str,
    console: Console,
    complain: Complain,
    *,
    linger: float | None = LINGER_SECONDS,
) -> Tally:
    """Shows one call until it is over, then what it adds up to."""
    tally = Tally()
    _greet(console, f"following call {call_id}")
    with Screen(console) as screen, _nothing_yet(call_id, complain) as came:
        async with aclosing(transcripts.call(call_id, linger=linger)) as told:
            async for event in told:
                came()
                tally.take(event)
                screen.show(event)
    summarize(console, f"call {clean(call_id)}", tally.facts())
    return tally


async def tail_calls(
    transcripts: Transcripts, console: Console, complain: Complain, *, linger: float = LINGER_SECONDS
) -> None:
    """Shows all calls, those under way from their beginning, until it is cancelled."""
    _greet(console, "following all calls")
    with Screen(console, label=True) as screen:

        def show(message: Message) -> None:
            if (event := message.event) is not None:
                screen.show(event)

        await AllCalls(transcripts, show, complain, linger).follow()


async def write_json(
    transcripts: Transcripts, call_id: str | None, out: BinaryIO, complain: Complain, *, linger: float = LINGER_SECONDS
) -> None:
    """Writes events as they came, one a line: of one call until it is over, or of all until it is cancelled."""

    def write(message: Message) -> None:
        # A line break of JSON's own lies between its tokens only: what AssemblyAI said is handed on as it came.
        out.write(message.data.replace(b"\r", b"").replace(b"\n", b"") + b"\n")
        out.flush()

    if call_id is None:
        await AllCalls(transcripts, write, complain, linger).follow()
        return
    with _nothing_yet(call_id, complain) as came:
        async with aclosing(transcripts.messages(call_id, linger=linger)) as told:
            async for message in told:
                came()
                write(message)
