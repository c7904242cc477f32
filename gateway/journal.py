"""A stream's events: numbered without holes, stamped, and handed to the outbox.

Durable events count `seq` up. A live-only one carries the last `seq` and its own `part`. The id holds the epoch too,
which no other owner of the stream has, so that no two of them ever write the same id.
"""

import secrets
from collections.abc import Callable
from datetime import datetime
from typing import Any

from msgspec import UNSET

from gateway import events

Publish = Callable[[events.Event], None]
"""The outbox: takes an event for Redis. Never waits and never raises for a want of room."""


class Journal:
    """See the module's docstring.

    Args:
        publish: the outbox.
        wall: the clock of the world, in UTC.
        call_id: of the stream's call; with `stream_id`, what every event bears.
    """

    __slots__ = ("_call_id", "_part", "_publish", "_stream_id", "_wall", "epoch", "seq")

    def __init__(self, publish: Publish, wall: Callable[[], datetime], call_id: str, stream_id: str) -> None:
        self._call_id = call_id
        self._stream_id = stream_id
        self.epoch = secrets.token_hex(4)
        self.seq = 0
        """Of the last durable event."""

        self._part = 0
        self._publish = publish
        self._wall = wall

    def write(self, kind: type[events.Event], **fields: Any) -> None:
        """Numbers an event and puts it into the outbox. `fields` are those of its type, beyond the common ones."""
        durable = events.is_durable(kind, fields)
        seq, part = (self.seq + 1, 0) if durable else (self.seq, self._part + 1)
        number = f"{self._stream_id}:{self.epoch}:{seq}"
        event = kind(
            id=number if durable else f"{number}:{part}",
            call_id=self._call_id,
            stream_id=self._stream_id,
            seq=seq,
            part=UNSET if durable else part,
            at=self.at(),
            **fields,
        )
        self._publish(event)
        # Only now: an event that could not be written leaves no hole.
        self.seq, self._part = seq, part

    def at(self) -> str:
        """Now, as events write it."""
        return self._wall().isoformat(timespec="milliseconds").replace("+00:00", "Z")
