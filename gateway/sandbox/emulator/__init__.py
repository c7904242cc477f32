"""A local emulator of AssemblyAI Universal-Streaming v3.

The core is sans-I/O: `session` is one session, `turns` and its two profiles make Turn messages of the words that
`gateway.sandbox.hearing` hears, `validation` and `credentials` refuse what the service refuses. `link` and `server` put
sockets around it. Every behaviour that can be chosen is a field of `Knobs`.
"""

from gateway.sandbox.emulator.choices import Ending, Fault, Formatting, IdleForce, Moment, Refusal
from gateway.sandbox.emulator.knobs import Knobs
from gateway.sandbox.emulator.record import EmulatedSession
from gateway.sandbox.emulator.server import Emulator

__all__ = [
    "EmulatedSession",
    "Emulator",
    "Ending",
    "Fault",
    "Formatting",
    "IdleForce",
    "Knobs",
    "Moment",
    "Refusal",
]
