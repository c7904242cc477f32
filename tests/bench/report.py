"""Figures to a table for people."""

from collections.abc import Mapping

from rich.table import Table

from tests.bench.figures import COST, Figures

COLUMNS = (
    (COST, "CPU ms\na call-s", 2),
    ("x_floor", "times\nfloor", 2),
    ("rss_kib_per_call", "KiB\na call", 0),
    ("p50_ms", "audio\np50 ms", 2),
    ("p99_ms", "\np99 ms", 2),
    ("event_p50_ms", "events\np50 ms", 2),
    ("event_p99_ms", "\np99 ms", 2),
    ("altered", "\naltered", 0),
    ("dropped", "\ndropped", 0),
    ("late_ticks", "load\nlate", 0),
)
"""Figure, heading, decimals."""


def table(results: Mapping[str, Figures]) -> Table:
    """One row a contender."""
    made = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    made.add_column("", no_wrap=True)
    for _, heading, _ in COLUMNS:
        made.add_column(heading, justify="right", no_wrap=True)
    for name, figures in results.items():
        made.add_row(name, *(_cell(figures.get(key), decimals) for key, _, decimals in COLUMNS))
    return made


def _cell(value: float | None, decimals: int) -> str:
    return "-" if value is None else f"{value:.{decimals}f}"
