"""What is measured, by name, and how rounds become one set of figures.

| figure | what it is |
| --- | --- |
| `cpu_ms_per_call_s` | user and system time of the contender's processes, ms per call and second |
| `x_floor` | the same, as a multiple of the floor's in the same round |
| `rss_kib_per_call`, `rss_idle_mib` | resident memory a call (KiB), and before the first one (MiB) |
| `p50_ms`, `p99_ms` | carrier sent a frame → it arrived upstream; quantiles of a second, median over the seconds |
| `events`, `event_p50_ms`, `event_p99_ms` | Turn sent → a subscriber of Redis has it |
| `audio_bytes_per_call_s` | 8000 when nothing is lost |
| `altered` | chunks that are not whole frames, or whose first frame is not what was sent |
| `dropped` | calls that the gateway closed before their end |
| `late_ticks` | the load's milliseconds that came more than 5 ms late; many, and no figure is to be trusted |
"""

import statistics
from collections.abc import Sequence

Figures = dict[str, float | None]

FLOOR = "floor"
COST = "cpu_ms_per_call_s"
FAULTS = frozenset({"altered", "dropped"})
"""They add up over rounds: the median of 0, 0 and 7 would hide what matters most."""


def faults(figures: Figures) -> str:
    """What went wrong, in words; empty where nothing did. Cost and latency of such a run don't count."""
    return ", ".join(f"{figures[key]:g} {key}" for key in sorted(FAULTS) if figures.get(key))


def quantile(ascending: Sequence[float], q: float) -> float | None:
    """The value at the share `q` (0..1) of an ascending row; None of an empty one."""
    return round(ascending[min(len(ascending) - 1, int(len(ascending) * q))], 3) if ascending else None


def median(values: Sequence[float | None]) -> float | None:
    """Of the values that are there."""
    there = [value for value in values if value is not None]
    return statistics.median(there) if there else None


def summary(name: str, rounds: Sequence[dict[str, Figures]]) -> Figures:
    """A contender's figures over all rounds: medians, sums of faults, and the median of its ratios to the floor."""
    rows = [figures[name] for figures in rounds]
    summed: Figures = {}
    for key in rows[0]:
        values = [row[key] for row in rows]
        value = sum(v for v in values if v is not None) if key in FAULTS else median(values)
        if value is not None:
            summed[key] = round(value, 3)
    ratio = median([_ratio(figures, name) for figures in rounds])
    return summed if ratio is None else {**summed, "x_floor": round(ratio, 2)}


def _ratio(figures: dict[str, Figures], name: str) -> float | None:
    own, floor = figures[name][COST], figures.get(FLOOR, {}).get(COST)
    return own / floor if own is not None and floor else None
