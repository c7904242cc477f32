"""The carrier simulator: a phone carrier as Twilio is one, for `turngate call` and for tests.

    plan ─▶ schedule ─▶ call ─▶ line ─▶ wire ─▶ the server under test
                    messages ───▲  │
    report ◀── inbox, playout ◀────┘

It speaks Twilio's media-stream protocol over a real WebSocket and knows nothing of the gateway but how Twilio signs, so
it fits any server of that protocol. `place_call` runs one whole call from a plan; `dial` gives a connected line for
single messages.
"""

from gateway.sandbox.caller.call import Progress, place_call, place_calls
from gateway.sandbox.caller.line import Line, LineClosedError, dial
from gateway.sandbox.caller.plan import (
    Burst,
    Call,
    Digit,
    Ending,
    Gap,
    Raw,
    Repeat,
    StreamKind,
    Track,
    new_call_sid,
    new_stream_sid,
)
from gateway.sandbox.caller.report import (
    CallReport,
    Close,
    ClosedBy,
    Received,
    Refusal,
    Sent,
    Summary,
    Violation,
)
from gateway.sandbox.caller.wire import CallNotPlacedError, CallRefusedError, CallUnreachableError

__all__ = [
    "Burst",
    "Call",
    "CallNotPlacedError",
    "CallRefusedError",
    "CallReport",
    "CallUnreachableError",
    "Close",
    "ClosedBy",
    "Digit",
    "Ending",
    "Gap",
    "Line",
    "LineClosedError",
    "Progress",
    "Raw",
    "Received",
    "Refusal",
    "Repeat",
    "Sent",
    "StreamKind",
    "Summary",
    "Track",
    "Violation",
    "dial",
    "new_call_sid",
    "new_stream_sid",
    "place_call",
    "place_calls",
]
