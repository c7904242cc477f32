"""Child processes that never outlive their context, and what they cost."""

import asyncio
import os
import signal
import socket
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import IO, Any

import psutil  # type: ignore[import-untyped] # It has no types, and its stubs are one more thing to install.

START_SECONDS = 60.0


class BenchError(Exception):
    """It can't be measured; the message says why."""


@asynccontextmanager
async def started(
    *command: str,
    stdout: int | IO[bytes],
    stderr: int | IO[bytes] | None = None,
    env: Mapping[str, str] | None = None,
    session: bool = False,
) -> AsyncIterator[Process]:
    """A process that is killed, with all its children, at the end of the context.

    Args:
        command: program and arguments.
        stdout: as of `subprocess`.
        stderr: likewise; this process's own by default.
        env: its whole environment; this process's own by default.
        session: whether it gets a session of its own. Linux shares cores out by session (autogroups), so the contender
            gets one, and the load and the sink share this process's.
    """
    # A process group of its own at least: Ctrl-C is for this process, which ends the others.
    place: dict[str, Any] = {"start_new_session": True} if session else {"process_group": 0}
    process = await asyncio.create_subprocess_exec(
        *command, stdin=DEVNULL, stdout=stdout, stderr=stderr, env=env, **place
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


async def listening(process: Process, port: int) -> None:
    """Waits until something listens on a port of loopback.

    Raises:
        BenchError: the process ended, or nothing listens in time.
    """
    try:
        async with asyncio.timeout(START_SECONDS):
            while process.returncode is None:
                with suppress(OSError):
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                    writer.close()
                    return
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise BenchError(f"nothing listens on port {port} after {START_SECONDS:.0f} s") from None
    raise BenchError(f"it ended with status {process.returncode}")


def cpu_and_memory(pid: int) -> tuple[float, int]:
    """User and system time (s) and resident memory (bytes) of a process and all its children.

    Raises:
        BenchError: it has ended.
    """
    try:
        root = psutil.Process(pid)
        tree = [root, *root.children(recursive=True)]
        times = [process.cpu_times() for process in tree]
        return sum(t.user + t.system for t in times), sum(process.memory_info().rss for process in tree)
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        raise BenchError("it ended while it was being measured") from None


def free_port() -> int:
    """A port of loopback that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
