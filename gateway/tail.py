"""Calls as they happen, on a terminal or into a pipe: the live side of `view`."""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import aclosing
from types import TracebackType
from typing import BinaryIO, Self

from redis.exceptions import RedisError
from rich.console import Console
from rich.live import Live
from rich.text import Text

from gateway import events
from gateway.client import LINGER_SECONDS, Message, Transcripts
from gateway.events import AnyEvent
from gateway.view import Board, Tally, as_text, clean, lines, on_screen, panel

MOST_CALLS = 100
"""Calls that are followed at once; each holds a connection to Redis."""

REMEMBERED = 10_000
"""Streams that are known to have been told; the oldest are forgotten first."""

Complain = Callable[[str], None]
"""Takes a sentence for the person who watches."""

_DRAW_SECONDS = 0.05
_MOST_MOVING = 8


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


async def tail_call(
    transcripts: Transcripts, call_id: str, console: Console, *, linger: float | None = LINGER_SECONDS
) -> Tally:
    """Shows one call until it is over, then what it adds up to."""
    tally = Tally()
    _greet(console, f"following call {call_id}")
    with Screen(console) as screen:
        async with aclosing(transcripts.call(call_id, linger=linger)) as told:
            async for event in told:
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

        await _AllCalls(transcripts, show, complain, linger).follow()


async def write_json(
    transcripts: Transcripts, call_id: str | None, out: BinaryIO, complain: Complain, *, linger: float = LINGER_SECONDS
) -> None:
    """Writes events as they came, one a line: of one call until it is over, or of all until it is cancelled."""

    def write(message: Message) -> None:
        out.write(message.data + b"\n")
        out.flush()

    if call_id is None:
        await _AllCalls(transcripts, write, complain, linger).follow()
        return
    async with aclosing(transcripts.messages(call_id, linger=linger)) as told:
        async for message in told:
            write(message)


class _AllCalls:
    """Every call, each followed by a task of its own from its beginning to its end.

    A call that is over may go on with another stream; then it is followed again, without what was told before.
    """

    def __init__(
        self, transcripts: Transcripts, tell: Callable[[Message], None], complain: Complain, linger: float
    ) -> None:
        self._transcripts = transcripts
        self._tell = tell
        self._complain = complain
        self._linger = linger
        self._announced: dict[str, set[str]] = {}
        self._told: dict[str, None] = {}

    async def follow(self) -> None:
        """Follows until it is cancelled, or Redis goes."""
        failed: list[Exception] = []
        try:
            async with asyncio.TaskGroup() as group, aclosing(self._transcripts.calls(under_way=True)) as told:
                async for event in told:
                    if isinstance(event, events.StreamStarted):
                        self._began(event, group)
        except* (RedisError, OSError) as group_of_errors:
            failed = list(group_of_errors.exceptions)
        if failed:
            raise failed[0]

    def _began(self, event: events.StreamStarted, group: asyncio.TaskGroup) -> None:
        call_id = event.call_id
        if call_id in self._announced:
            self._announced[call_id].add(event.stream_id)
        elif len(self._announced) < MOST_CALLS:
            self._announced[call_id] = {event.stream_id}
            group.create_task(self._call(call_id), name=f"tail {call_id}")
        else:
            self._complain(f"more than {MOST_CALLS} calls at once: {clean(call_id)} is not shown")

    async def _call(self, call_id: str) -> None:
        streams: set[str] = set()
        while self._announced[call_id] - streams:
            # A stream that is announced from here on, and not seen before the call is over, is worth another look.
            self._announced[call_id] = set()
            async with aclosing(self._transcripts.messages(call_id, linger=self._linger)) as told:
                async for message in told:
                    if message.stream_id not in self._told:
                        streams.add(message.stream_id)
                        self._tell(message)
            self._told.update(dict.fromkeys(streams))
        del self._announced[call_id]
        while len(self._told) > REMEMBERED:
            del self._told[next(iter(self._told))]
