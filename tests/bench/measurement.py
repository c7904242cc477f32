"""One measurement of one contender: Redis, sink, contender, load, each anew.

The contender runs on a core of its own; the load and the sink share another. Cost is measured over the steady window
only: when all calls are up, and before they end.
"""

import asyncio
import json
import os
import re
import sys
import tempfile
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from typing import IO

from gateway.config import PREFIX
from gateway.sandbox.redis import embedded_redis
from tests.bench.contender import Contender
from tests.bench.figures import Figures, median
from tests.bench.machine import Cores, pinned
from tests.bench.processes import BenchError, cpu_and_memory, free_port, listening, started
from tests.bench.way_back import subscribed

SETTLE_SECONDS = 3.0
"""After the last call's start, until the window begins."""
MARGIN_SECONDS = 5.0
"""What the window is shorter than the load."""

CUSTOMARY = {"ASSEMBLYAI_API_KEY", "TWILIO_AUTH_TOKEN", "REDIS_URL", "PYTHONASYNCIODEBUG", "PYTHONDEVMODE"}
"""Of the environment, what would change a gateway under test; and all of its own variables."""


@dataclass(frozen=True, slots=True)
class Load:
    """What every contender has to bear: seconds of audio, and Turn messages a second and call."""

    seconds: float
    turns: float


async def measure(contender: Contender, load: Load, cores: Cores) -> Figures:
    """One measurement, in a world of its own: Redis, sink, contender, load.

    Raises:
        BenchError: the contender did not start, refused a call, closed all of them, or ended.
    """
    with tempfile.TemporaryFile() as heard, tempfile.TemporaryFile() as said:
        try:
            async with _world(contender, load, cores, (heard, said)) as (own, port, redis_port):
                figures = await _under_load(contender, load, cores, own.pid, port, redis_port)
        except BenchError as error:
            raise BenchError(f"{contender.name}: {error}\n{_last_words(said)}".rstrip()) from None
        return {**figures, **_upstream(heard, contender.calls)}


@asynccontextmanager
async def _world(
    contender: Contender, load: Load, cores: Cores, outputs: tuple[IO[bytes], IO[bytes]]
) -> AsyncIterator[tuple[Process, int, int | None]]:
    """Everything but the load. Yields the contender's process, its port, and Redis's if it needs one."""
    heard, said = outputs
    port, upstream = free_port(), free_port()
    sink = _module(cores, "upstream_sink", upstream, load.turns)
    async with embedded_redis() if contender.publishes else nullcontext() as redis:
        places = {"{port}": str(port), "{upstream}": str(upstream), "{redis}": redis.url if redis else ""}
        command = re.sub("|".join(map(re.escape, places)), lambda found: places[found[0]], contender.command)
        shell = pinned(cores.contender, "sh", "-c", command)
        async with (
            started(*sink, stdout=heard) as listener,
            started(*shell, stdout=said, stderr=said, env=_environment(), session=True) as own,
        ):
            await listening(listener, upstream)
            await listening(own, port)
            await asyncio.sleep(1)
            yield own, port, redis.port if redis else None


async def _under_load(
    contender: Contender, load: Load, cores: Cores, pid: int, port: int, redis_port: int | None
) -> Figures:
    idle = cpu_and_memory(pid)[1]
    carrier = _module(cores, "carrier_load", port, contender.calls, load.seconds, contender.path)
    async with started(*carrier, stdout=PIPE) as process:
        assert process.stdout is not None
        if (await process.stdout.readline()).strip() != b"ready":
            raise BenchError("the load could not start")
        await asyncio.sleep(SETTLE_SECONDS)
        figures = await _window(contender.calls, load, pid, idle, redis_port)
        last = (await process.stdout.read()).strip().splitlines()
    if not last:
        raise BenchError("the load did not end well")
    told = json.loads(last[-1])
    if told["dropped"] == contender.calls:
        raise BenchError("it closed every call; a gateway without calls is cheap, but that is no figure")
    return {**figures, "dropped": told["dropped"], "late_ticks": told["late_ticks"]}


async def _window(calls: int, load: Load, pid: int, idle: int, redis_port: int | None) -> Figures:
    """Cost, memory and the way back, over the steady window."""
    async with subscribed(redis_port) if redis_port else nullcontext() as way_back:
        before, start = cpu_and_memory(pid)[0], time.monotonic()
        await asyncio.sleep(load.seconds - MARGIN_SECONDS)
        (after, resident), end = cpu_and_memory(pid), time.monotonic()
        back = way_back.figures() if way_back else {}
    return {
        "cpu_ms_per_call_s": 1000 * (after - before) / (end - start) / calls,
        "rss_kib_per_call": (resident - idle) / 1024 / calls,
        "rss_idle_mib": idle / 2**20,
        **back,
    }


def _upstream(heard: IO[bytes], calls: int) -> Figures:
    """What the sink measured, of the seconds in which every call was up, without the first and the last two."""
    heard.seek(0)
    seconds = [json.loads(line) for line in heard if line.startswith(b"{")]
    steady = [second for second in seconds if second["open"] == calls and second["p50_ms"] is not None][2:-2]
    return {
        "p50_ms": median([second["p50_ms"] for second in steady]),
        "p99_ms": median([second["p99_ms"] for second in steady]),
        "audio_bytes_per_call_s": (median([second["bytes"] for second in steady]) or 0) / calls,
        "altered": sum(second["altered"] for second in seconds),
    }


def _module(cores: Cores, name: str, *arguments: object) -> tuple[str, ...]:
    return pinned(cores.load, sys.executable, "-m", f"tests.bench.{name}", *map(str, arguments))


def _environment() -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if not k.startswith(PREFIX) and k not in CUSTOMARY}


def _last_words(said: IO[bytes]) -> str:
    said.seek(0)
    return "\n".join(said.read().decode(errors="replace").splitlines()[-10:])
