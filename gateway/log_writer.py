"""Log lines on their way out, written by a thread of its own, so that nobody who logs ever waits.

Whoever reads standard error may stop reading it, and then a write blocks. So lines wait in a queue. The rule of
overflow: where it is full, the newest are dropped and counted, and once there is room a line says how many. A reader
who has gone costs lines, too, and nothing else.
"""

import os
import select
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import TextIO

MOST = 2000
"""Lines that may wait."""

Notice = Callable[[int], str]
"""The line that tells how many were dropped."""


class LogWriter:
    """See the module's docstring. It writes nothing before `direct_to`.

    Args:
        most: how many lines may wait.
    """

    def __init__(self, most: int = MOST) -> None:
        self.dropped = 0
        """Lines that were never written, so far."""

        self._most = most
        self._told = 0
        self._notice: Notice = str
        # Not a queue.Queue: a line may be logged while another one is being put, by a finalizer in the same thread.
        self._queue: SimpleQueue[str | int | threading.Event] = SimpleQueue()
        self._memory: TextIO | None = None
        self._thread: threading.Thread | None = None

    def direct_to(self, stream: TextIO | None, notice: Notice) -> None:
        """From now on lines go to `stream`. What was put before goes where it was meant to go.

        A stream without a file descriptor is memory, as tests have it: nothing blocks there, so it is written to at
        once. Without a stream, lines are dropped.
        """
        self._notice = notice
        self._memory = None
        try:
            # A descriptor of our own: the stream may be closed, and its number be given to something else. And none of
            # Python's locks: at exit nobody is to wait for a thread that holds one, and can't go on.
            descriptor = os.dup(stream.fileno()) if stream is not None else -1
        except (OSError, ValueError):
            self._memory = stream
            return
        self._queue.put(descriptor)
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="log writer", daemon=True)
            self._thread.start()

    def put(self, line: str) -> None:
        """Takes a line, without its end. Never waits, never raises."""
        if self._memory is not None:
            try:
                self._memory.write(line + "\n")
            except (OSError, ValueError):
                self.dropped += 1
        elif self._queue.qsize() >= self._most:
            self.dropped += 1
        else:
            self._queue.put(line)

    def flush(self, seconds: float) -> bool:
        """Waits until all that was put has been written, for so long at most. Returns whether it has."""
        through = threading.Event()
        self._queue.put(through)
        return self._thread is None or through.wait(seconds)

    def _run(self) -> None:
        descriptor = -1
        while True:
            item = self._queue.get()
            if isinstance(item, str):
                self.dropped += not _write(descriptor, item)
                self._tell(descriptor)
            elif isinstance(item, int):
                with suppress(OSError):
                    os.close(descriptor)
                descriptor = item
            else:
                item.set()

    def _tell(self, descriptor: int) -> None:
        untold = self.dropped - self._told
        # A line about each line that found no room would take the room of others.
        if untold and self._queue.qsize() <= self._most // 2 and _write(descriptor, self._notice(untold)):
            self._told += untold


def _write(descriptor: int, line: str) -> bool:
    """Writes a line. Returns whether it could be."""
    rest = memoryview((line + "\n").encode(errors="backslashreplace"))
    while rest:
        try:
            rest = rest[os.write(descriptor, rest) :]
        except BlockingIOError:
            # Whoever shares the terminal or the pipe has set it so.
            room = select.poll()
            room.register(descriptor, select.POLLOUT)
            room.poll()
        except OSError:
            return False
    return True
