"""What `turngate call` shows: how far the calls are, then what became of them."""

import asyncio
from collections.abc import Sequence

import msgspec
from rich.console import Console, Group, RenderableType
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar
from rich.table import Table
from rich.text import Text

from gateway.sandbox.caller.call import Progress
from gateway.sandbox.caller.report import CallReport, Summary, Violation

MAX_ROWS = 20
"""Reports shown of many calls; those that went wrong come first."""

_REFRESH = 0.1


async def watch(progress: Progress, *, calls: int, seconds: float, console: Console) -> None:
    """Shows the progress until it is cancelled.

    Args:
        progress: what the calls write to.
        calls: how many there will be.
        seconds: call time of one of them.
        console: where to.
    """
    columns = (
        TextColumn("calling"),
        BarColumn(),
        TextColumn("{task.fields[said]}"),
        TimeElapsedColumn(),
    )
    with Bar(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=seconds, said="")
        while True:
            counts = "" if calls == 1 else f"{progress.up} up, {progress.ended} of {calls} ended, "
            said = f"{counts}{progress.seconds:.1f} of {seconds:.1f} s, {progress.frames} frames"
            bar.update(task, completed=progress.seconds, said=said)
            await asyncio.sleep(_REFRESH)


def render(reports: Sequence[CallReport]) -> RenderableType:
    """One call as a list of facts; many as a table and their sum."""
    return _one(reports[0]) if len(reports) == 1 else _many(reports)


def as_json(reports: Sequence[CallReport]) -> str:
    """One JSON object a line: every field of the report, and whether it was ok."""
    lines = (
        msgspec.json.encode({**msgspec.to_builtins(report), "ok": report.ok, "verdict": report.verdict})
        for report in reports
    )
    return "\n".join(line.decode() for line in lines)


def _one(report: CallReport) -> RenderableType:
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="dim")
    facts.add_column(overflow="fold")
    facts.add_row("call", report.call_sid)
    facts.add_row("stream", report.stream_sid)
    facts.add_row("result", _verdict(report))
    if report.connected:
        for track, sent in report.sent.items():
            facts.add_row(track, f"{sent.frames} frames, {sent.audio_bytes} bytes, {sent.audio_bytes / 8000:.2f} s")
        facts.add_row("pace", f"{report.seconds:.2f} s of call time, at most {report.lateness_ms:.1f} ms late")
        got = report.received
        facts.add_row("received", f"{got.media} media, {got.mark} marks, {got.clear} clear, {got.pings} pings")
    for violation in report.violations:
        facts.add_row("rule broken", _violation(violation))
    return facts


def _many(reports: Sequence[CallReport]) -> RenderableType:
    table = Table(box=None, header_style="dim")
    for name in ("call", "frames", "seconds", "late ms"):
        table.add_column(name, justify="left" if name == "call" else "right", no_wrap=True)
    table.add_column("result", overflow="fold")
    shown = sorted(reports, key=lambda report: report.ok)[:MAX_ROWS]
    for report in shown:
        numbers = (str(report.frames), f"{report.seconds:.1f}", f"{report.lateness_ms:.1f}")
        table.add_row(report.call_sid, *numbers, _verdict(report))
    total = Summary.of(reports)
    left_out = f" ({len(reports) - len(shown)} more not shown)" if len(reports) > len(shown) else ""
    said = (
        f"{total.ok} of {total.calls} calls completed{left_out}, {total.accepted} accepted, "
        f"{total.frames} frames, {total.seconds:.1f} s of call time, "
        f"at most {total.lateness_ms:.1f} ms late, {total.violations} rules broken by the server"
    )
    return Group(table, Text(said, style="green" if total.ok == total.calls else "red"))


def _verdict(report: CallReport) -> Text:
    return Text(report.verdict, style="green" if report.ok else "red")


def _violation(violation: Violation) -> Text:
    times = "" if violation.count == 1 else f" ({violation.count} times)"
    return Text(f"the server {violation.message}{times} (Twilio error {violation.code})", style="yellow")
