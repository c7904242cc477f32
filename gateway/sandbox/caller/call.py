"""Whole calls: a plan played over a line at its own pace, one or many at once."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from gateway.sandbox.caller.line import Line, LineClosedError, dial
from gateway.sandbox.caller.plan import Call, Digit, Ending, Raw
from gateway.sandbox.caller.report import CallReport
from gateway.sandbox.caller.schedule import Frame, Step, steps
from gateway.sandbox.caller.wire import CallNotPlacedError


@dataclass(slots=True)
class Progress:
    """What is going on, for somebody who watches; shared by all calls of one run.

    Attributes:
        up: calls on the line now.
        ended: calls that are over, refused ones too.
        frames: media messages sent.
        seconds: call time of the call that is furthest on.
        begun: for each call that was dialled, what gives its report as it stands.
    """

    up: int = 0
    ended: int = 0
    frames: int = 0
    seconds: float = 0.0
    begun: list[Callable[[], CallReport]] = field(default_factory=list, compare=False, repr=False)

    def interrupted(self) -> list[CallReport]:
        """The reports after all was given up: of the calls that are over, and of those that were on the line."""
        reports = [report() for report in self.begun]
        return [
            report if report.finished or report.refusal else replace(report, interrupted=True) for report in reports
        ]


async def place_call(call: Call, *, progress: Progress | None = None) -> CallReport:
    """Plays the plan to its end, or until the server ends it.

    Never raises for what a server does: the report tells.

    Every message is sent at its time after `start`, so that lateness does not add up; the report has the
    greatest.
    """
    progress = Progress() if progress is None else progress
    try:
        async with dial(call) as line:
            progress.up += 1
            player = _Player(line, progress)
            progress.begun.append(player.report)
            try:
                await player.play()
            finally:
                progress.up -= 1
    except CallNotPlacedError as error:
        refused = _refused(call, error)
        progress.begun.append(lambda: refused)
        return refused
    finally:
        progress.ended += 1
    return player.report()


async def place_calls(
    call: Call, count: int, *, spread: float = 1.0, progress: Progress | None = None
) -> list[CallReport]:
    """Places `count` calls of one plan at once, each with its own SIDs (the first keeps the plan's).

    Args:
        call: the plan.
        count: how many.
        spread: seconds over which they begin, evenly.
        progress: counts all of them together.

    Returns:
        Their reports in the order in which they began.
    """
    calls = [call, *(call.renewed() for _ in range(count - 1))]
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(_place_later(one, number * spread / count, progress), name=f"call-{one.call_sid}")
            for number, one in enumerate(calls)
        ]
    return [task.result() for task in tasks]


async def _place_later(call: Call, delay: float, progress: Progress | None) -> CallReport:
    await asyncio.sleep(delay)
    return await place_call(call, progress=progress)


def _refused(call: Call, error: CallNotPlacedError) -> CallReport:
    return CallReport(url=call.url, call_sid=call.call_sid, stream_sid=call.stream_sid, refusal=error.refusal, sent={})


class _Player:
    """Plays the plan of one line.

    Attributes:
        finished: everything was sent, the ending too.
        lateness_ms: of the latest message.
    """

    def __init__(self, line: Line, progress: Progress) -> None:
        self._line = line
        self._progress = progress
        self.finished = False
        self.lateness_ms = 0.0

    def report(self) -> CallReport:
        """What the call has seen up to now."""
        return replace(self._line.report(), finished=self.finished, lateness_ms=self.lateness_ms)

    async def play(self) -> None:
        """Sends all of it; returns early if the line goes."""
        try:
            await self._line.connected()
            await self._line.start()
            for step in steps(self._line.call):
                await self._send(step)
            await self._line.until(self._line.call.seconds)
            await self._end()
        except LineClosedError:
            return
        self.finished = True

    async def _send(self, step: Step) -> None:
        self.lateness_ms = max(self.lateness_ms, await self._line.until(step.due))
        match step.what:
            case Frame(track, timestamp_ms, payload, copies):
                await self._line.media(payload, track=track, timestamp_ms=timestamp_ms, copies=copies)
                self._progress.frames += copies
                self._progress.seconds = max(self._progress.seconds, step.due)
            case Digit(_, digit):
                await self._line.dtmf(digit)
            case Raw(_, str() as text):
                await self._line.send_text(text)
            case Raw(_, bytes() as data):
                await self._line.send_bytes(data)

    async def _end(self) -> None:
        match self._line.call.ending:
            case Ending.STOP:
                await self._line.stop()
                await self._line.close()
            case Ending.CLOSE:
                await self._line.close()
            case Ending.RESET:
                await self._line.reset()
            case Ending.VANISH:
                await self._line.vanish(self._line.call.vanish_seconds)
