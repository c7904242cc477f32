"""The messages of Twilio Media Streams, carrier to server (Twilio, "Media Streams: WebSocket messages").

Whatever is counted is a string; the only integers are the sample rate and the channels. `sequenceNumber`
counts the messages of the socket from 1, which is `start`; `connected` has none. `chunk` counts media
messages over both tracks: the documents' example has chunk 1 outbound, chunk 2 inbound. No asyncio here:
messages come out as text.
"""

import base64

import msgspec

from gateway.sandbox.caller.plan import Call, Track

_encode = msgspec.json.Encoder().encode


def _text(message: dict[str, object]) -> str:
    return _encode(message).decode()


class Messages:
    """Builds the messages of one stream in the order in which they are sent; holds its counters."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._sequence = 0
        self._chunk = 0

    def connected(self) -> str:
        """The first message of every stream."""
        return _text({"event": "connected", "protocol": "Call", "version": "1.0.0"})

    def start(self) -> str:
        """What the stream is; straight after `connected`, once."""
        call = self._call
        return self._numbered(
            "start",
            start={
                "accountSid": call.account_sid,
                "streamSid": call.stream_sid,
                "callSid": call.call_sid,
                "tracks": [str(track) for track in call.tracks],
                "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
                "customParameters": dict(call.parameters),
            },
        )

    def media(self, payload: bytes, *, track: Track, timestamp_ms: int) -> str:
        """One frame of a track; `timestamp_ms` counts from the stream's start."""
        self._chunk += 1
        return self._numbered(
            "media",
            media={
                "track": str(track),
                "chunk": str(self._chunk),
                "timestamp": str(timestamp_ms),
                "payload": base64.b64encode(payload).decode("ascii"),
            },
        )

    def dtmf(self, digit: str) -> str:
        """A key was pressed. The track is spelled `inbound_track` here, unlike in media."""
        return self._numbered("dtmf", dtmf={"track": "inbound_track", "digit": digit})

    def mark(self, name: str) -> str:
        """The audio that the server queued before its mark `name` has been played, or was cleared."""
        return self._numbered("mark", mark={"name": name})

    def stop(self) -> str:
        """The stream was stopped or the call ended."""
        call = self._call
        return self._numbered("stop", stop={"accountSid": call.account_sid, "callSid": call.call_sid})

    def _numbered(self, event: str, **body: object) -> str:
        self._sequence += 1
        head: dict[str, object] = {"event": event, "sequenceNumber": str(self._sequence)}
        return _text(head | {"streamSid": self._call.stream_sid} | body)
