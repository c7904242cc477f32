"""gateway.tail: calls as they happen, on a terminal and into a pipe."""

import asyncio
import io
from collections.abc import AsyncIterator, Coroutine
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError
from rich.console import Console

from gateway import events
from gateway.client import Transcripts
from gateway.tail import Screen, summarize, tail_call, tail_calls, write_json
from tests.telling import Teller, Writer


@pytest.fixture
def writer(redis_client: Redis, prefix: str) -> Writer:
    return Writer(redis_client, prefix)


@pytest.fixture
async def transcripts(redis_url: str, prefix: str) -> AsyncIterator[Transcripts]:
    async with Transcripts(redis_url, prefix) as entered:
        yield entered


class Pipe(io.BytesIO):
    """Takes what is written, and lets one wait for it."""

    def __init__(self) -> None:
        super().__init__()
        self._written = asyncio.Event()

    def write(self, data: Any) -> int:
        self._written.set()
        return super().write(data)

    async def wait_for(self, data: bytes) -> None:
        while data not in self.getvalue():
            self._written.clear()
            await self._written.wait()


def nobody(text: str) -> None:
    pytest.fail(f"nobody should complain: {text}")


def terminal() -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=70, height=20, _environ={"TERM": "xterm"})


def written(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


async def test_a_pipe_gets_what_is_final_and_a_summary(transcripts: Transcripts, writer: Writer) -> None:
    teller, out = Teller(), io.StringIO()
    told = [teller.started(), teller.turn("hel", final=False), teller.turn("hello"), teller.session_ended()]
    await writer.write(*told, teller.ended())
    tally = await tail_call(transcripts, "CA1", Console(file=out), nobody, linger=0)
    assert out.getvalue().splitlines() == [
        "   0:00 - a stream began (twilio), listening to caller",
        "   0:00 caller: hello",
        "        - the stream ended: completed (stopped)",
        "call CA1",
        "  turns: 1, 1 word",
        "  audio: 2.0 s",
        "  billed: 3.2 s in 1 session",
        "  result: completed (stopped)",
    ]
    assert len(tally.turns) == 1


async def test_a_terminal_sees_partials_and_keeps_the_last_rows_movable() -> None:
    teller, console = Teller(), terminal()
    with Screen(console) as screen:
        screen.show(teller.started())
        for number in range(9):
            screen.show(teller.turn(f"turn {number}", number))
        screen.show(teller.turn("open end", 9, final=False))
        screen.show(teller.turn("Turn 8!", 8))
    shown = written(console)
    assert all(f"turn {number}" in shown for number in range(4))
    assert "Turn 8!" in shown
    assert shown.rindex("turn 0") < shown.rindex("turn 3") < shown.rindex("Turn 8!") < shown.rindex("open end")
    assert "\x1b[" in shown


def test_a_terminal_gets_a_panel_and_a_pipe_lines() -> None:
    console, out = terminal(), io.StringIO()
    summarize(console, "call CA1", [("turns", "2")])
    summarize(Console(file=out), "call CA1", [("turns", "2")])
    assert "╭" in written(console)
    assert out.getvalue() == "call CA1\n  turns: 2\n"


async def test_json_is_what_was_published_byte_for_byte(transcripts: Transcripts, writer: Writer) -> None:
    told, out = Teller().whole("hello"), io.BytesIO()
    await writer.write(*told)
    await write_json(transcripts, "CA1", out, nobody, linger=0)
    assert out.getvalue() == b"".join(events.encode(event) + b"\n" for event in told)


@pytest.mark.parametrize("json", [True, False])
async def test_a_call_of_which_nothing_is_known_is_said_to_be_waited_for(transcripts: Transcripts, json: bool) -> None:
    said: asyncio.Queue[str] = asyncio.Queue()
    following: Coroutine[Any, Any, object] = tail_call(
        transcripts, "CA1\x1b", Console(file=io.StringIO()), said.put_nowait
    )
    if json:
        following.close()
        following = write_json(transcripts, "CA1\x1b", io.BytesIO(), said.put_nowait)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(following)
        assert await said.get() == "nothing is known of a call CA1  so far; waiting for it"
        task.cancel()


async def test_all_calls_are_shown_each_row_with_its_call(transcripts: Transcripts, writer: Writer) -> None:
    under_way, late, pipe = Teller("CA1", "MZ1"), Teller("CA2", "MZ2"), Pipe()
    await writer.write(*Teller("CA0", "MZ0").whole("over"), under_way.started(), under_way.turn("before"))
    console = Console(file=io.TextIOWrapper(pipe, encoding="utf-8", write_through=True))
    async with asyncio.TaskGroup() as group:
        tailing = group.create_task(tail_calls(transcripts, console, nobody, linger=0))
        await pipe.wait_for(b"before")
        await writer.write(*late.whole("hello"), under_way.turn("now", 1), under_way.ended())
        await pipe.wait_for(b"CA1         - the stream ended")
        await pipe.wait_for(b"CA2         - the stream ended")
        tailing.cancel()
    shown = pipe.getvalue().decode().splitlines()
    assert sorted(shown, key=lambda line: line[:3]) == [
        "CA1    0:00 - a stream began (twilio), listening to caller",
        "CA1    0:00 caller: before",
        "CA1    0:01 caller: now",
        "CA1         - the stream ended: completed (stopped)",
        "CA2    0:00 - a stream began (twilio), listening to caller",
        "CA2    0:00 caller: hello",
        "CA2         - the stream ended: completed (stopped)",
    ]


async def test_a_call_that_goes_on_with_another_stream_is_told_once(transcripts: Transcripts, writer: Writer) -> None:
    one, two, pipe = Teller(stream_id="MZ1").whole("first"), Teller(stream_id="MZ2").whole("second"), Pipe()
    await writer.write(*one[:-1])
    async with asyncio.TaskGroup() as group:
        tailing = group.create_task(write_json(transcripts, None, pipe, nobody, linger=0))
        await pipe.wait_for(b"first")
        await writer.write(one[-1])
        await pipe.wait_for(b"stream.ended")
        await writer.write(*two)
        await pipe.wait_for(events.encode(two[-1]))
        tailing.cancel()
    assert pipe.getvalue() == b"".join(events.encode(event) + b"\n" for event in [*one, *two])


async def test_whoever_reads_no_more_ends_it_and_so_does_redis(transcripts: Transcripts, writer: Writer) -> None:
    class Closed(io.BytesIO):
        def write(self, data: Any) -> int:
            raise BrokenPipeError

    await writer.write(Teller().started())
    with pytest.raises(BrokenPipeError):
        await write_json(transcripts, None, Closed(), nobody)
    await writer.client.delete(f"{writer.prefix}:calls")
    await writer.client.set(f"{writer.prefix}:calls", "not a stream")
    with pytest.raises(RedisError):
        await write_json(transcripts, None, io.BytesIO(), nobody)
