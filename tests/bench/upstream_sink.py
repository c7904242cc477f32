"""Upstream for the benchmark: speaks just enough of AssemblyAI v3 to keep a gateway busy, and measures what arrives.

    python -m tests.bench.upstream_sink PORT TURNS_PER_SECOND

Every carrier frame bears its send time (monotonic ns, little endian) in its first 8 bytes, so the last 160 bytes of a
chunk tell how late the newest frame in it is. Every Turn's transcript begins with its own send time (`t<ns> word0 …`),
for whoever measures the way back. Prints one line of JSON a second: open sessions, messages, bytes, latency quantiles
in ms, chunks altered.

The emulator of the sandbox is not used here: it listens to the audio, and that costs more than what is measured.
"""

import asyncio
import json
import struct
import sys
import time

import uvloop
from picows import (  # type: ignore[import-not-found, unused-ignore] # Of the group `bench`: `make lint` may lack it.
    WSCloseCode,
    WSFrame,
    WSListener,
    WSMsgType,
    WSTransport,
    ws_create_server,
)

from tests.bench.figures import quantile

FRAME = 160
"""Bytes of a carrier's frame: 20 ms of 8 kHz mu-law."""

SILENCE = b"\xff" * (FRAME - 8)
WORDS = [f"word{i}" for i in range(8)]
WORD_MS = 100
TURN_MESSAGES = 8
"""The last of this many Turn messages is a turn's final one."""

BEGIN = {
    "type": "Begin",
    "id": "00000000-0000-4000-8000-000000000000",
    "configuration": {
        "model": "universal-streaming-english",
        "mode": None,
        "api_version": "2025-05-12",
        "speaker_labels": False,
        "redact_pii": False,
        "filter_profanity": False,
        "domain": None,
        "voice_focus": None,
    },
}
TERMINATION = b'{"audio_duration_seconds":1,"session_duration_seconds":1,"type":"Termination"}'


def begin() -> bytes:
    """Begin, of a session that expires in three hours."""
    return json.dumps(BEGIN | {"expires_at": int(time.time()) + 10800}).encode()


def turn(order: int, *, final: bool, heard_ms: int) -> bytes:
    """A Turn whose words end where the audio heard so far ends, as they would in a live call."""
    start = max(0, heard_ms - WORD_MS * len(WORDS))
    words = [
        {
            "start": start + WORD_MS * i,
            "end": start + WORD_MS * i + 90,
            "text": word,
            "confidence": 0.98,
            "word_is_final": True,
        }
        for i, word in enumerate(WORDS)
    ]
    message = {
        "turn_order": order,
        "turn_is_formatted": False,
        "end_of_turn": final,
        "transcript": f"t{time.monotonic_ns()} " + " ".join(WORDS),
        "end_of_turn_confidence": 0.9 if final else 0.2,
        "words": words,
        "utterance": "",
        "type": "Turn",
    }
    return json.dumps(message).encode()


class Tally:
    """What arrived since it was last taken."""

    def __init__(self) -> None:
        self.open = 0
        self._clear()

    def _clear(self) -> None:
        self.messages = self.bytes = self.altered = 0
        self._latency_ns: list[int] = []

    def count(self, audio: bytes) -> None:
        """Counts a chunk: whole frames are expected, and in the first of them what the carrier sent."""
        self.messages += 1
        self.bytes += len(audio)
        if len(audio) % FRAME or audio[8:FRAME] != SILENCE:
            self.altered += 1
        (sent,) = struct.unpack_from("<Q", audio, len(audio) - FRAME)
        self._latency_ns.append(time.monotonic_ns() - sent)

    def take(self) -> dict[str, float | None]:
        """The figures, and begins anew; the open sessions stay."""
        ms = sorted(ns / 1e6 for ns in self._latency_ns)
        figures: dict[str, float | None] = {
            "open": self.open,
            "messages": self.messages,
            "bytes": self.bytes,
            "altered": self.altered,
            "p50_ms": quantile(ms, 0.5),
            "p99_ms": quantile(ms, 0.99),
            "max_ms": quantile(ms, 1),
        }
        self._clear()
        return figures


class Session(WSListener):  # type: ignore[misc, unused-ignore] # As above: without picows, its classes are Any.
    """One AssemblyAI session.

    Args:
        tally: where its audio is counted.
        interval: seconds between Turn messages; 0 for none.
    """

    def __init__(self, tally: Tally, interval: float) -> None:
        super().__init__()
        self._tally = tally
        self._interval = interval
        self._heard = self._said = 0
        self._timer: asyncio.TimerHandle | None = None

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Says Begin, and goes on talking until it is disconnected."""
        self._tally.open += 1
        transport.send(WSMsgType.TEXT, begin())
        self._talk_later(transport)

    def _talk_later(self, transport: WSTransport) -> None:
        if self._interval:
            self._timer = asyncio.get_running_loop().call_later(self._interval, self._talk, transport)

    def _talk(self, transport: WSTransport) -> None:
        self._said += 1
        order, part = divmod(self._said, TURN_MESSAGES)
        transport.send(WSMsgType.TEXT, turn(order, final=part == TURN_MESSAGES - 1, heard_ms=self._heard // 8))
        self._talk_later(transport)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Audio is counted; ping, Terminate and close are answered."""
        payload = frame.get_payload_as_bytes()
        if frame.msg_type == WSMsgType.BINARY:
            self._heard += len(payload)
            self._tally.count(payload)
        elif frame.msg_type == WSMsgType.PING:
            transport.send_pong(payload)
        elif frame.msg_type == WSMsgType.TEXT and b"Terminate" in payload:
            transport.send(WSMsgType.TEXT, TERMINATION)
            transport.send_close(WSCloseCode.OK, b"Session Ended")
        elif frame.msg_type == WSMsgType.CLOSE:
            transport.disconnect()

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """Falls silent."""
        self._tally.open -= 1
        if self._timer is not None:
            self._timer.cancel()


async def main(port: int, turns_per_second: float) -> None:
    """Serves until it is killed."""
    tally = Tally()
    interval = 1 / turns_per_second if turns_per_second else 0
    await ws_create_server(lambda request: Session(tally, interval), "127.0.0.1", port)
    while True:
        await asyncio.sleep(1)
        sys.stdout.write(json.dumps(tally.take()) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), float(sys.argv[2])))
