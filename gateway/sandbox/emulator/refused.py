"""How a session fails: one Error, then a close with its code."""

from __future__ import annotations

from gateway.sandbox.emulator import messages
from gateway.sandbox.emulator.agenda import Action, Agenda, Close, Send
from gateway.sandbox.emulator.credentials import Refused
from gateway.sandbox.emulator.knobs import Knobs

SEE_ERROR = "See Error message for details"
"""The close reason that every failed session has (live captures)."""


class RefusedSession:
    """A socket whose session was refused: it says why and closes, whatever comes."""

    def __init__(self, refused: Refused, knobs: Knobs, *, now: float) -> None:
        self._agenda = Agenda(latency=knobs.latency)
        fail(self._agenda, knobs, refused, now)

    def receive_text(self, text: str, now: float) -> None:
        """Ignored."""

    def receive_binary(self, frame: bytes, now: float) -> None:
        """Ignored."""

    def tick(self, now: float) -> list[Action]:
        """See `Session.tick`."""
        return self._agenda.take(now)

    def due(self) -> float:
        """See `Session.due`."""
        return self._agenda.due()


def fail(agenda: Agenda, knobs: Knobs, refused: Refused, now: float) -> None:
    """Say an Error and close with its code, as the service does; no Termination follows."""
    error = messages.Error(error_code=refused.code, error=refused.text)
    text = messages.encode(error, unknown_fields=knobs.unknown_fields)
    said = agenda.add(now, Send(text), delay=knobs.error_delay)
    agenda.add(said, Close(refused.code, SEE_ERROR), delay=knobs.close_delay)
