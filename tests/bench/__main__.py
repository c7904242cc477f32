"""CPU a call and added latency of the gateway, against the floor.

    make bench ARGS="--calls 200 --seconds 20 --rounds 3 --turns 4"

Contenders run in turn, round by round. Others can be named, another build for example:

    make bench ARGS="'old=cd ../old && exec env … .venv/bin/turngate serve'"

What the figures mean is in docs/performance.md.
"""

import argparse
import asyncio
import json
import math
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from gateway.sandbox.redis import RedisError
from tests.bench import contender as contenders
from tests.bench.contender import Contender
from tests.bench.figures import COST, Figures, faults, summary
from tests.bench.machine import Cores, build_floor, find_cores, raise_file_limit
from tests.bench.measurement import Load, measure
from tests.bench.processes import BenchError
from tests.bench.report import table

SHORTEST = 12.0
"""Seconds of a round: with fewer there is no steady window worth the name."""

progress = Console(stderr=True, highlight=False)


def at_least(least: float) -> Callable[[str], float]:
    """A number for argparse."""

    def number(text: str) -> float:
        value = float(text)
        if not least <= value < math.inf:
            raise argparse.ArgumentTypeError(f"{text} is not a number from {least:g} up")
        return value

    return number


def warn(text: str) -> None:
    """Says what this machine lacks."""
    progress.print(text, style="yellow", markup=False, soft_wrap=True)


async def run_rounds(entries: list[Contender], load: Load, cores: Cores, rounds: int) -> list[dict[str, Figures]]:
    """All rounds. SIGINT and SIGTERM cancel them; no process is left behind.

    Raises:
        BenchError: a contender can't be measured.
    """
    task = asyncio.current_task()
    assert task is not None
    for signum in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(signum, task.cancel)
    measured = []
    for number in range(1, rounds + 1):
        figures: dict[str, Figures] = {}
        for entry in entries:
            figures[entry.name] = await measure(entry, load, cores)
            cost = f"{figures[entry.name][COST]:.3f}"
            progress.print(f"round {number} of {rounds}: {entry.name} {cost} CPU ms a call-second", markup=False)
        measured.append(figures)
    return measured


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="make bench", description="What a call costs, against the floor.")
    parser.add_argument("--calls", type=int, default=200, help="calls at once (200)")
    parser.add_argument("--seconds", type=at_least(SHORTEST), default=20.0, help="of audio a round (20)")
    parser.add_argument("--rounds", type=int, default=3, help="each contender once a round (3)")
    parser.add_argument("--turns", type=at_least(0), default=4.0, help="Turn messages a second and call (4)")
    parser.add_argument(
        "--json", action="store_true", help="one JSON object a contender on stdout; the table on stderr"
    )
    parser.add_argument(
        "contender", nargs="*", help="NAME[@CALLS][/PATH]=COMMAND with {port}, {upstream} and {redis}, beside turngate"
    )
    given = parser.parse_args()
    if given.calls < 1 or given.rounds < 1:
        parser.error("--calls and --rounds begin at 1")
    try:
        given.contender = [contenders.parse(text, given.calls) for text in given.contender]
    except ValueError as error:
        parser.error(str(error))
    names = ["floor", "turngate", *(entry.name for entry in given.contender)]
    if len(set(names)) < len(names):
        parser.error("each contender needs a name of its own; floor and turngate are taken")
    return given


def report(entries: list[Contender], results: dict[str, Figures], *, as_json: bool) -> int:
    """Prints the table, and JSON if it is wanted. Returns the exit status: 1 where audio or calls were harmed."""
    (progress if as_json else Console()).print(table(results))
    if as_json:
        for entry in entries:
            line = {"name": entry.name, "calls": entry.calls, **results[entry.name]}
            sys.stdout.write(json.dumps(line) + "\n")
    harmed = {name: faults(figures) for name, figures in results.items() if faults(figures)}
    for name, words in harmed.items():
        progress.print(f"{name}: {words}. Its other figures don't count.", style="red", markup=False, soft_wrap=True)
    return 1 if harmed else 0


def main() -> int:
    """Measures, and reports. Returns the exit status."""
    given = arguments()
    raise_file_limit()
    cores = find_cores(warn)
    with tempfile.TemporaryDirectory() as directory:
        floor = build_floor(Path(directory), warn)
        entries = [contenders.floor(floor, given.calls)] if floor else []
        entries += [contenders.turngate(given.calls), *given.contender]
        try:
            rounds = asyncio.run(run_rounds(entries, Load(given.seconds, given.turns), cores, given.rounds))
        except (BenchError, RedisError) as error:
            progress.print(str(error), style="red", markup=False, soft_wrap=True)
            return 1
        except asyncio.CancelledError:
            return 130
    return report(entries, {entry.name: summary(entry.name, rounds) for entry in entries}, as_json=given.json)


if __name__ == "__main__":
    sys.exit(main())
