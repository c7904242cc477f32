"""The machine: its cores, its compiler, its limits. What it lacks is said, and done without."""

import os
import resource
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).parent / "floor.c"
Warn = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Cores:
    """Where processes run: the contender alone on one core, the load and the sink on another. None: anywhere."""

    contender: int | None = None
    load: int | None = None


def pinned(core: int | None, *command: str) -> tuple[str, ...]:
    """The command, on a core."""
    return command if core is None else ("taskset", "-c", str(core), *command)


def find_cores(warn: Warn) -> Cores:
    """The first two cores that this process may use."""
    if shutil.which("taskset") is None:
        warn("taskset is missing (Debian: util-linux): nothing is pinned to a core, the figures are noisier.")
        return Cores()
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        warn("There is one core only: gateway, load and sink share it, the latencies say little.")
        return Cores()
    return Cores(contender=cores[0], load=cores[1])


def build_floor(directory: Path, warn: Warn) -> Path | None:
    """Compiles the floor. Returns None where that is not possible: there are no ratios then."""
    compiler = shutil.which("cc")
    if compiler is None:
        warn("cc is missing (Debian: gcc, libc6-dev): without the floor there are no ratios.")
        return None
    floor = directory / "floor"
    built = subprocess.run([compiler, "-O2", "-o", floor, SOURCE], capture_output=True, text=True, check=False)
    if built.returncode:
        warn(f"cc could not build floor.c (it needs Linux): without the floor there are no ratios.\n{built.stderr}")
        return None
    return floor


def raise_file_limit() -> None:
    """Lets processes open as many files as they may: a call needs two sockets in the gateway."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
