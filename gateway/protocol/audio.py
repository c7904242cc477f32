"""Frames to lawful chunks, and the backlog between the carrier and the session.

AssemblyAI takes 50 to 1000 ms of audio in a message and closes with 3007 otherwise (Universal-Streaming v3, "Input
duration"); carriers send 20 ms. Bytes are never altered: they are gathered, or a long run of them is cut. Only the
tail, where it is under the minimum, is filled up with silence.
"""

from dataclasses import dataclass

MULAW_SILENCE = b"\xff"
"""The mu-law code for zero (ITU-T G.711). A zero byte would be a full-scale click."""


@dataclass(frozen=True, slots=True)
class ChunkRule:
    """What a lawful chunk is, in bytes, for one encoding.

    `target` is what is gathered before a chunk goes; `least` is what a shorter tail is filled up to; `most` is the
    service's limit; `limit` is the bound of the backlog.

    Raises:
        ValueError: no chunk could follow the rule.
    """

    target: int
    least: int
    most: int
    limit: int
    silence: bytes = MULAW_SILENCE

    def __post_init__(self) -> None:
        if not 0 < self.target <= min(self.most, self.limit) or self.least > self.most:
            raise ValueError("a chunk must have audio, and fit into a message and into the backlog")

    @classmethod
    def mulaw(cls, *, chunk_ms: int = 60, backlog_seconds: float = 30.0) -> "ChunkRule":
        """The rule for mu-law at 8 kHz, 8 bytes a millisecond.

        A tail is filled up to 60 ms: the service's minimum of 50 ms, in whole frames of 20 ms.
        """
        return cls(target=chunk_ms * 8, least=480, most=8000, limit=int(backlog_seconds * 8000))


class Backlog:
    """A bounded ring of one track's audio that has not gone upstream yet.

    Overflow drops the oldest audio; `append` says how much, so that the caller counts and declares it. `start` is the
    track's position, in bytes, of the first byte that is held.
    """

    __slots__ = ("_audio", "_most", "_rule", "start")

    def __init__(self, rule: ChunkRule) -> None:
        self._audio = bytearray()
        self._rule = rule
        # A run of many frames is cut at a multiple of the target, so that frames stay whole where they can.
        self._most = rule.most - rule.most % rule.target
        self.start = 0

    def __len__(self) -> int:
        return len(self._audio)

    def append(self, frame: bytes) -> int:
        """Takes a frame in. Returns how many bytes of the oldest audio had to go for it."""
        audio = self._audio
        audio += frame
        over = len(audio) - self._rule.limit
        if over <= 0:
            return 0
        del audio[:over]
        self.start += over
        return over

    def take(self) -> bytes | None:
        """The next chunk, lawful by itself, or None until enough has been gathered."""
        audio = self._audio
        size = len(audio)
        if size < self._rule.target:
            return None
        if size <= self._rule.most:
            chunk = bytes(audio)
            audio.clear()
        else:
            size = self._most
            chunk = bytes(audio[:size])
            del audio[:size]
        self.start += size
        return chunk

    def clear(self) -> None:
        """Lets go of all that is held: it will not go up."""
        self.start += len(self._audio)
        self._audio.clear()

    def take_tail(self) -> tuple[bytes, int]:
        """What is left once `take` has nothing more: the last chunk, filled up with silence where it is short.

        Returns:
            The chunk (empty if nothing is left) and how many of its bytes are real.
        """
        tail = bytes(self._audio)
        self.clear()
        padded = tail.ljust(self._rule.least, self._rule.silence) if tail else tail
        return padded, len(tail)
