"""The carrier's side of a conversation, written as it is spoken: `carrier >> message << event`."""

import json
from typing import Any, Self

from gateway.protocol.dialects.twilio import TWILIO
from gateway.protocol.media_stream import Dialect, Event, MediaStream, State


class Carrier:
    """Speaks to a machine and checks what it makes of each message: `assert carrier >> message << event`.

    `>>` says a message (an object, or a text as it is); `<<` checks what it meant: an event, or None for nothing.
    Whatever was counted has to be told by `counts`, before anything else is said.
    """

    def __init__(self, dialect: Dialect = TWILIO) -> None:
        self.counted: list[str] = []
        self.machine = MediaStream(dialect, self.counted.append)
        self._meant: Event | None = None

    def __rshift__(self, message: dict[str, Any] | bytes) -> Self:
        assert self.counted == []
        self._meant = self.machine.receive(message if isinstance(message, bytes) else json.dumps(message).encode())
        return self

    def __lshift__(self, event: Event | None) -> Self:
        assert self._meant == event
        return self

    def counts(self, *kinds: str) -> Self:
        """The last message was counted as such, and nothing else was."""
        assert self.counted == list(kinds)
        self.counted.clear()
        return self

    def __bool__(self) -> bool:
        return not self.counted

    def state(self) -> State:
        """Where the stream is in its life."""
        return self.machine.state


CONNECTED = {"event": "connected", "protocol": "Call", "version": "1.0.0"}
STOP = {"event": "stop", "sequenceNumber": "9", "streamSid": "MZ1", "stop": {"accountSid": "AC1", "callSid": "CA1"}}


def start(**changes: Any) -> dict[str, Any]:
    """Twilio's start; `changes` are of its inner object."""
    inner = {
        "accountSid": "AC1",
        "streamSid": "MZ1",
        "callSid": "CA1",
        "tracks": ["inbound"],
        "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
        "customParameters": {},
    }
    return {"event": "start", "sequenceNumber": "1", "streamSid": "MZ1", "start": {**inner, **changes}}


def media(sequence: object, timestamp: object, payload: object = "f39/fw==", **changes: Any) -> dict[str, Any]:
    """Twilio's media, of four bytes."""
    inner = {"track": "inbound", "chunk": "1", "timestamp": timestamp, "payload": payload}
    return {"event": "media", "sequenceNumber": sequence, "streamSid": "MZ1", "media": {**inner, **changes}}
