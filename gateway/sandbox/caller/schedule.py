"""When what is sent: an absolute schedule in call time, with the faults already in it. No clock here."""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from operator import attrgetter

from gateway.sandbox.caller.plan import BYTES_PER_SECOND, SILENCE, Burst, Call, Digit, Gap, Raw, Repeat, Track


@dataclass(frozen=True, slots=True)
class Frame:
    """One media message: `copies` of it are sent; the timestamp is in ms of call time."""

    track: Track
    timestamp_ms: int
    payload: bytes
    copies: int = 1


@dataclass(frozen=True, slots=True)
class Step:
    """Something to send `due` seconds of call time after `start`."""

    due: float
    what: Frame | Digit | Raw


def steps(call: Call) -> Iterator[Step]:
    """Everything between `start` and the ending, in the order in which it goes out.

    Frame n of each track is due at n times the frame's length, whatever happened before: lateness never adds
    up. A gap drops the frames that begin in it. A burst holds everything of its time until its end, so order
    is kept.
    """
    events = (Step(item.at, item) for item in (*call.digits, *call.faults) if isinstance(item, Digit | Raw))
    in_order = heapq.merge(_frames(call), sorted(events, key=attrgetter("due")), key=attrgetter("due"))
    bursts = [fault for fault in call.faults if isinstance(fault, Burst)]
    return (Step(_held(step.due, bursts), step.what) for step in in_order)


def _frames(call: Call) -> Iterator[Step]:
    """The audio as frames, a frame of each track at a time; the shorter track goes on in silence."""
    size = call.frame_bytes
    audio = {track: call.inbound if track is Track.INBOUND else call.outbound for track in call.tracks}
    gaps = [range(_offset(gap.at), _offset(gap.at + gap.seconds)) for gap in call.faults if isinstance(gap, Gap)]
    repeats = sorted((_offset(again.at) for again in call.faults if isinstance(again, Repeat)), reverse=True)
    for offset in range(0, max(map(len, audio.values())), size):
        if any(offset in gap for gap in gaps):
            continue
        due = offset / BYTES_PER_SECOND
        copies = 1
        while repeats and repeats[-1] <= offset:
            repeats.pop()
            copies += 1
        for track, data in audio.items():
            payload = data[offset : offset + size].ljust(size, SILENCE)
            yield Step(due, Frame(track, offset * 1000 // BYTES_PER_SECOND, payload, copies))
            copies = 1


def _offset(seconds: float) -> int:
    """The byte of a track that is heard at `seconds`."""
    return round(seconds * BYTES_PER_SECOND)


def _held(due: float, bursts: list[Burst]) -> float:
    """When something due at `due` really goes out."""
    return max((b.at + b.seconds for b in bursts if b.at <= due < b.at + b.seconds), default=due)
