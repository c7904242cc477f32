"""The log's writer: nobody who logs waits for a reader who does not read, and none of it goes uncounted."""

import io
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from gateway.log_writer import LogWriter

PATIENCE = 20.0
LINE = "x" * 100


@dataclass
class Pipe:
    """A real pipe, as a process has for its standard error."""

    reading: int
    writing: int

    def stream(self) -> io.TextIOWrapper:
        return os.fdopen(os.dup(self.writing), "w")


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    made = Pipe(*os.pipe())
    yield made
    for descriptor in (made.reading, made.writing):
        try:
            os.close(descriptor)
        except OSError:
            assert descriptor == made.reading, "a test may close this one itself"


def notice(count: int) -> str:
    return f"{count} dropped"


def directed(pipe: Pipe, most: int = 100) -> LogWriter:
    writer = LogWriter(most)
    with pipe.stream() as stream:
        writer.direct_to(stream, notice)
    return writer


def lines_of(pipe: Pipe, count: int) -> list[str]:
    """Reads so many lines."""
    with os.fdopen(os.dup(pipe.reading)) as reader:
        return [reader.readline().rstrip("\n") for _ in range(count)]


def test_lines_are_written_in_order_and_whole(pipe: Pipe) -> None:
    writer = directed(pipe)
    said = [f"{n} {LINE}" for n in range(50)]
    for line in said:
        writer.put(line)
    assert writer.flush(PATIENCE)
    assert lines_of(pipe, 50) == said
    assert writer.dropped == 0


def test_whoever_logs_does_not_wait_for_a_reader_who_does_not_read(pipe: Pipe) -> None:
    writer, long = directed(pipe, most=100), 100 * LINE
    for n in range(1000):
        writer.put(f"{n} {long}")
    assert not writer.flush(0.01), "and at the end there is a bound"
    dropped = writer.dropped
    assert dropped > 0
    read = lines_of(pipe, 1000 - dropped + 1)
    [told] = [line for line in read if line.endswith(" dropped")]
    assert told == notice(dropped), "once there is room"
    read.remove(told)
    assert [int(line.split()[0]) for line in read] == list(range(len(read))), "the newest are dropped"


def test_a_reader_who_has_gone_costs_lines_and_nothing_else(pipe: Pipe) -> None:
    writer = directed(pipe)
    os.close(pipe.reading)
    for _ in range(10):
        writer.put(LINE)
    assert writer.flush(PATIENCE)
    assert writer.dropped == 10


def test_a_pipe_that_does_not_block_is_waited_for(pipe: Pipe) -> None:
    os.set_blocking(pipe.writing, False)
    writer = directed(pipe, most=5000)
    for _ in range(3000):
        writer.put(LINE)
    assert lines_of(pipe, 3000) == [LINE] * 3000
    assert writer.flush(PATIENCE)
    assert writer.dropped == 0


def test_it_keeps_writing_where_its_stream_was_closed(pipe: Pipe) -> None:
    writer = directed(pipe)
    os.close(pipe.writing)
    writer.put(LINE)
    assert lines_of(pipe, 1) == [LINE]
    pipe.writing = os.open(os.devnull, os.O_WRONLY)


def test_it_can_be_redirected_and_loses_nothing(pipe: Pipe) -> None:
    writer = directed(pipe)
    writer.put("first")
    memory = io.StringIO()
    writer.direct_to(memory, notice)
    writer.put("second")
    assert memory.getvalue() == "second\n", "memory does not block: it is written to at once"
    with pipe.stream() as stream:
        writer.direct_to(stream, notice)
    writer.put("third")
    assert lines_of(pipe, 2) == ["first", "third"]
    assert threading.active_count() < 50


def test_without_a_stream_lines_are_dropped() -> None:
    writer = LogWriter()
    writer.direct_to(None, notice)
    writer.put(LINE)
    assert writer.flush(PATIENCE)
    assert writer.dropped == 1


def test_memory_that_is_closed_hurts_nobody() -> None:
    writer, memory = LogWriter(), io.StringIO()
    writer.direct_to(memory, notice)
    memory.close()
    writer.put(LINE)
    assert writer.dropped == 1


def test_characters_that_are_none_are_escaped(pipe: Pipe) -> None:
    writer = directed(pipe)
    writer.put("a\udcff")
    assert lines_of(pipe, 1) == ["a\\udcff"]


PROGRAM = """
import asyncio, sys
import structlog
from gateway import logs

async def main():
    log = structlog.get_logger()
    for number in range(20_000):
        log.warning("upgrade refused", number=number)
    print("alive", flush=True)

logs.FLUSH_SECONDS = 0.1
logs.configure("json")
asyncio.run(main())
"""


def test_a_process_whose_standard_error_nobody_reads_lives_and_ends() -> None:
    with subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.read() == b"alive\n", "to its end"
        assert process.wait(PATIENCE) == 0


def test_the_last_lines_of_a_process_are_written() -> None:
    program = "import structlog\nfrom gateway import logs\nlogs.configure('json')\nstructlog.get_logger().info('bye')"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert '"event": "bye"' in done.stderr
