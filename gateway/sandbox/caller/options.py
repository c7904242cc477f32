"""What the options of `turngate call` mean, as data.

Every function raises ValueError, with a sentence for the user, for a text that means nothing.
"""

import math
from collections.abc import Iterable, Sequence
from enum import StrEnum
from pathlib import Path

from gateway.sandbox import tones, wav
from gateway.sandbox.caller.plan import BYTES_PER_SECOND, SILENCE, Burst, Call, Digit, Ending, Fault, Gap, Repeat

CONVERSATION = Path(__file__).parent.parent / "assets" / "conversation.wav"
"""The built-in conversation: left is the caller, right is the agent."""

DIGITS = frozenset("0123456789*#ABCD")

_WHAT = {"--gap": "AT:SECONDS", "--burst": "AT:SECONDS", "--dtmf": "AT:DIGIT"}


class Sides(StrEnum):
    """Which tracks a stream carries."""

    INBOUND = "inbound"
    OUTBOUND = "outbound"
    BOTH = "both"


def audio_of(file: Path | None, say: str | None, silence: float, sides: Sides) -> tuple[bytes, bytes]:
    """The audio of the inbound and the outbound track; empty where the stream has no such track.

    A mono file is what the only track carries. Words to say come after the file, on the inbound track if
    there is one; without a file they are all there is, and with neither it is the built-in conversation.
    """
    if say is not None and not say.split():
        raise ValueError("--say takes words; `turngate call --words` prints which")
    if file is None and say is None:
        file = CONVERSATION
    channels = wav.read(file).tracks if file is not None else ()
    if sides is Sides.BOTH and len(channels) == 1:
        raise ValueError(f"{file} has one channel; --tracks both takes a stereo file (caller, called)")
    inbound, outbound = (channels * 2)[:2] if channels else (b"", b"")
    spoken, rest = tones.speak(say or ""), SILENCE * round(silence * BYTES_PER_SECOND)
    match sides:
        case Sides.INBOUND:
            return inbound + spoken + rest, b""
        case Sides.OUTBOUND:
            return b"", outbound + spoken + rest
        case Sides.BOTH:
            outbound = (outbound + SILENCE * len(spoken) + rest) or SILENCE
            return inbound + spoken + rest, outbound


def pairs_of(option: str, given: Iterable[str] | None) -> dict[str, str]:
    """`NAME=VALUE` texts as a mapping; the last of a name counts."""
    pairs = {}
    for text in given or ():
        name, equals, value = text.partition("=")
        if not (name and equals):
            raise ValueError(f"{option} takes NAME=VALUE, not {text!r}")
        pairs[name] = value
    return pairs


def digits_of(given: Iterable[str] | None) -> tuple[Digit, ...]:
    """`SECONDS:DIGIT` texts; a digit is 0-9, *, # or A-D."""
    digits = []
    for text in given or ():
        at, _, digit = text.partition(":")
        if digit not in DIGITS:
            raise ValueError(f"--dtmf takes {_WHAT['--dtmf']}, one of 0-9, *, #, A-D; not {text!r}")
        digits.append(Digit(_seconds("--dtmf", at, text), digit))
    return tuple(digits)


def faults_of(
    gaps: Iterable[str] | None, bursts: Iterable[str] | None, repeats: Iterable[float] | None
) -> tuple[Fault, ...]:
    """All faults together."""
    return (
        *(Gap(*_span("--gap", text)) for text in gaps or ()),
        *(Burst(*_span("--burst", text)) for text in bursts or ()),
        *(Repeat(at) for at in repeats or ()),
    )


def never_happening(call: Call) -> list[str]:
    """What goes wrong too late to go wrong at all, in sentences."""
    seconds = max(len(call.inbound), len(call.outbound)) / BYTES_PER_SECOND
    late = [fault for fault in call.faults if isinstance(fault, Gap | Burst | Repeat) and fault.at >= seconds]
    return [
        f"--{type(fault).__name__.lower()} at {fault.at:g} s never happens: the audio lasts {seconds:g} s"
        for fault in late
    ]


def ending_of(*, no_stop: bool, reset: bool, vanish: float | None) -> Ending:
    """How the call ends; an ordinary `stop` unless one of them says otherwise."""
    asked = (Ending.CLOSE, no_stop), (Ending.RESET, reset), (Ending.VANISH, vanish is not None)
    chosen: Sequence[Ending] = [ending for ending, wanted in asked if wanted]
    if len(chosen) > 1:
        raise ValueError("a call ends once: give one of --no-stop, --reset and --vanish")
    return chosen[0] if chosen else Ending.STOP


def _span(option: str, text: str) -> tuple[float, float]:
    at, _, seconds = text.partition(":")
    return _seconds(option, at, text), _seconds(option, seconds, text)


def _seconds(option: str, number: str, text: str) -> float:
    try:
        seconds = float(number)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise ValueError(f"{option} takes {_WHAT[option]} with seconds of at least 0; not {text!r}")
    return seconds
