"""Which streams are alive, and who owns their tasks.

A stream is a task of this registry, never of the HTTP handler it came by: a handler may be cancelled when its peer
goes, and the last turn must not go with it.
"""

import asyncio

import structlog

from gateway.errors import Outcome
from gateway.protocol.media_stream import Dialect
from gateway.stream import Carrier, Resources, Stream

TICK = 1.0
"""Seconds between two looks at what takes too long."""


class Streams:
    """The registry. `run` is its own task; streams opened while it runs are ticked."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._tasks: dict[asyncio.Task[None], Stream] = {}
        self._none = asyncio.Event()
        self._none.set()
        self._ending: Outcome | None = None
        self._log = structlog.get_logger("gateway.streams")

    def __len__(self) -> int:
        return len(self._tasks)

    def alive(self) -> list[Stream]:
        """The streams that have not ended yet."""
        return list(self._tasks.values())

    def open(self, dialect: Dialect, carrier: Carrier) -> Stream:
        """Begins a stream, and its task. One that comes after `end_all` ends at once, like the others."""
        stream = Stream(dialect, carrier, self._resources)
        task = asyncio.get_running_loop().create_task(stream.run(), name="stream")
        self._tasks[task] = stream
        self._none.clear()
        task.add_done_callback(self._reap)
        if self._ending is not None:
            stream.end(self._ending)
        return stream

    async def run(self) -> None:
        """Looks at every stream once a second, until it is cancelled."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            # After a stall there is one look, not one for each that was missed: what waits to be read comes first.
            now = loop.time()
            due = due + TICK if due + TICK > now else now + TICK
            await asyncio.sleep(due - now)
            self.tick()

    def tick(self) -> None:
        """One look at every stream."""
        now = self._resources.now()
        for stream in self.alive():
            try:
                stream.tick(now)
            except Exception as error:  # noqa: BLE001 - the boundary between streams: one's fault is not another's
                stream.fail(error)

    async def end_all(self, outcome: Outcome, *, seconds: float) -> int:
        """Ends every stream politely and waits for their last turns, for so long at most; then drops what is left.

        Returns:
            How many had to be dropped.
        """
        self._ending = outcome
        for stream in self.alive():
            stream.end(outcome)
        try:
            async with asyncio.timeout(seconds):
                await self._none.wait()
        except TimeoutError:
            left = self.alive()
            self._log.error("streams did not end in time", streams=len(left), sample=[s.call_id for s in left[:5]])
            for stream in left:
                stream.abandon()
            for task in list(self._tasks):
                task.cancel()
            await self._none.wait()
            return len(left)
        return 0

    def _reap(self, task: asyncio.Task[None]) -> None:
        stream = self._tasks.pop(task)
        if not self._tasks:
            self._none.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            self._log.error("stream task failed", call_id=stream.call_id, stream_id=stream.stream_id, exc_info=error)
