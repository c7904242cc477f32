"""gateway.sandbox.caller.view: what a person reads after calling."""

import asyncio
import io
import json
from contextlib import suppress

from rich.console import Console

from gateway.sandbox.caller import CallReport, Close, ClosedBy, Progress, Refusal, Sent, Violation
from gateway.sandbox.caller.view import MAX_ROWS, as_json, render, watch

GOOD = CallReport(
    url="ws://x",
    call_sid="CA1",
    stream_sid="MZ1",
    finished=True,
    sent={"inbound": Sent(50, 8000)},
    seconds=1.0,
    lateness_ms=0.42,
    violations=(Violation(31924, "sent a message", 2),),
    close=Close(ClosedBy.CALLER, 1000),
)
REFUSED = CallReport(
    url="ws://x", call_sid="CA2", stream_sid="MZ2", sent={}, refusal=Refusal(503, 31920, "503: draining")
)


def shown(*reports: CallReport) -> str:
    out = io.StringIO()
    Console(file=out, width=200).print(render(reports))
    return out.getvalue()


def test_one_call_is_a_list_of_facts() -> None:
    text = shown(GOOD)
    for fact in ("CA1", "MZ1", "completed", "50 frames, 8000 bytes, 1.00 s", "0.4 ms late", "(2 times)", "31924"):
        assert fact in text


def test_a_refused_call_says_why_and_no_more() -> None:
    text = shown(REFUSED)
    assert "503: draining" in text
    assert "pace" not in text


def test_many_calls_are_a_table_with_a_sum_and_the_bad_ones_first() -> None:
    text = shown(*[GOOD] * (MAX_ROWS + 5), REFUSED)
    assert text.index("CA2") < text.index("CA1")
    assert f"{MAX_ROWS + 5} of {MAX_ROWS + 6} calls completed (6 more not shown)" in text


def test_json_is_one_object_a_line_with_the_verdict() -> None:
    good, refused = (json.loads(line) for line in as_json([GOOD, REFUSED]).splitlines())
    assert (good["ok"], good["sent"]["inbound"]["frames"], good["close"]["code"]) == (True, 50, 1000)
    assert (refused["ok"], refused["refusal"]["status"]) == (False, 503)


async def test_the_progress_is_shown_until_it_is_cancelled() -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=120)
    progress = Progress(up=2, ended=1, frames=120, seconds=1.5)
    watcher = asyncio.create_task(watch(progress, calls=3, seconds=3.0, console=console))
    await asyncio.sleep(0)
    watcher.cancel()
    with suppress(asyncio.CancelledError):
        await watcher
    assert "2 up, 1 of 3 ended, 1.5 of 3.0 s, 120 frames" in out.getvalue()
