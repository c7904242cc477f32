"""WAV files as 8 kHz mu-law, one byte string per channel.

The standard library's ``wave`` module reads linear PCM only, so the RIFF container is read here. Format
tags are those of Microsoft's ``mmreg.h``.
"""

from __future__ import annotations

import audioop
import math
import struct
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

RATE: Final = 8000
"""Samples a second of everything that leaves this module; a mu-law byte is one sample."""

_PCM, _FLOAT, _ALAW, _MULAW, _EXTENSIBLE = 0x0001, 0x0003, 0x0006, 0x0007, 0xFFFE
_MAX_BYTES: Final = 1 << 30
_EXPECTED: Final = "expected a WAV with PCM of 8, 16, 24 or 32 bits, 32-bit float, mu-law or A-law"
_REMEDY: Final = "convert it, for example with: sox IN -r 8000 -e mu-law OUT.wav"


class WavError(ValueError):
    """The file is not a WAV that can be read; the text says what is wrong and what to do."""


@dataclass(frozen=True, slots=True)
class Wav:
    """What a WAV file holds: one 8 kHz mu-law byte string per channel, all of the same length."""

    tracks: tuple[bytes, ...]

    @property
    def duration_ms(self) -> int:
        """How long it plays."""
        return len(self.tracks[0]) * 1000 // RATE


@dataclass(frozen=True, slots=True)
class _Format:
    tag: int
    channels: int
    rate: int
    bits: int


def read(path: Path | str) -> Wav:
    """Read a WAV file of any rate and any number of channels.

    Mu-law at 8 kHz comes out byte for byte; everything else is converted.

    Args:
        path: The file.

    Returns:
        Its channels.

    Raises:
        WavError: It cannot be read, is no WAV, or has an encoding that is not known here.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise WavError(f"{path}: cannot be read ({error.strerror}); {_EXPECTED}") from error
    try:
        return Wav(_tracks(content))
    except WavError as error:
        raise WavError(f"{path}: {error}") from None


def write_mulaw(path: Path | str, tracks: Sequence[bytes]) -> None:
    """Write an 8 kHz mu-law WAV file.

    Args:
        path: The file; an existing one is replaced.
        tracks: One mu-law byte string per channel; shorter ones are filled up with silence.

    Raises:
        ValueError: There is no track.
    """
    count = len(tracks)
    if not count:
        raise ValueError("a WAV needs at least one track")
    frames = max(map(len, tracks))
    data = bytearray(frames * count)
    for channel, track in enumerate(tracks):
        data[channel::count] = track.ljust(frames, b"\xff")
    form = struct.pack("<HHIIHHH", _MULAW, count, RATE, RATE * count, count, 8, 0)
    chunks = b"".join(
        _chunk(name, body)
        for name, body in ((b"fmt ", form), (b"fact", struct.pack("<I", frames)), (b"data", bytes(data)))
    )
    Path(path).write_bytes(_chunk(b"RIFF", b"WAVE" + chunks))


def _chunk(name: bytes, body: bytes) -> bytes:
    return name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)


def _tracks(content: bytes) -> tuple[bytes, ...]:
    form, data = _parts(content)
    if form.tag == _MULAW and form.bits == 8 and form.rate == RATE:
        data = data[: len(data) - len(data) % form.channels]
        return tuple(data[channel :: form.channels] for channel in range(form.channels))
    linear = array("h", _linear(form, data))
    del linear[len(linear) - len(linear) % form.channels :]
    return tuple(_mulaw(linear[channel :: form.channels].tobytes(), form.rate) for channel in range(form.channels))


def _parts(content: bytes) -> tuple[_Format, bytes]:
    """Find the format and the samples; a data chunk that was cut short counts as far as it goes."""
    if len(content) > _MAX_BYTES:
        raise WavError(f"is {len(content)} bytes long; at most {_MAX_BYTES} are read; cut it into shorter files")
    if content[:4] != b"RIFF" or content[8:12] != b"WAVE":
        raise WavError(f"does not begin as a RIFF/WAVE file does; {_EXPECTED}; {_REMEDY}")
    form: _Format | None = None
    for name, body in _chunks(content):
        if name == b"fmt ":
            form = _format(body)
        elif name == b"data":
            if form is None:
                break
            if len(body) < form.channels * form.bits // 8:
                raise WavError(f"holds no audio: its data chunk is empty; {_EXPECTED}")
            return form, body
    raise WavError(f"has no {'fmt chunk before its data' if form is None else 'data chunk'}: cut short?; {_EXPECTED}")


def _chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 12
    while at + 8 <= len(content):
        name, size = struct.unpack_from("<4sI", content, at)
        yield name, content[at + 8 : at + 8 + size]
        at += 8 + size + size % 2


def _format(body: bytes) -> _Format:
    if len(body) < 16:
        raise WavError(f"has a fmt chunk of {len(body)} bytes where 16 or more belong; {_EXPECTED}; {_REMEDY}")
    tag, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", body)
    if tag == _EXTENSIBLE and len(body) >= 26:
        tag = struct.unpack_from("<H", body, 24)[0]
    if (tag, bits) not in _READERS:
        raise WavError(f"has encoding 0x{tag:04x} with {bits} bits a sample; {_EXPECTED}; {_REMEDY}")
    if not (1 <= channels <= 64 and 1000 <= rate <= 768_000):
        raise WavError(
            f"says {channels} channel(s) at {rate} Hz; expected 1 to 64 channels at 1000 to 768000 Hz; {_REMEDY}"
        )
    return _Format(tag, channels, rate, bits)


def _float(data: bytes) -> bytes:
    return array(
        "h", (round(max(-1.0, min(1.0, x)) * 32767) if not math.isnan(x) else 0 for x in array("f", data))
    ).tobytes()


_READERS: Final[dict[tuple[int, int], Callable[[bytes], bytes]]] = {
    (_PCM, 8): lambda data: audioop.lin2lin(audioop.bias(data, 1, 128), 1, 2),
    (_PCM, 16): bytes,
    (_PCM, 24): lambda data: audioop.lin2lin(data, 3, 2),
    (_PCM, 32): lambda data: audioop.lin2lin(data, 4, 2),
    (_FLOAT, 32): _float,
    (_ALAW, 8): lambda data: audioop.alaw2lin(data, 2),
    (_MULAW, 8): lambda data: audioop.ulaw2lin(data, 2),
}
"""Encoding and bits to a function that makes 16-bit linear of whole samples."""


def _linear(form: _Format, data: bytes) -> bytes:
    return _READERS[form.tag, form.bits](data[: len(data) - len(data) % (form.bits // 8)])


def _mulaw(linear: bytes, rate: int) -> bytes:
    """16-bit linear mono to 8 kHz mu-law."""
    if rate != RATE:
        linear, _ = audioop.ratecv(_smoothed(linear, rate // RATE), 2, 1, rate, RATE, None)
    return audioop.lin2ulaw(linear, 2)


def _smoothed(linear: bytes, width: int) -> bytes:
    """Average over ``width`` samples, twice.

    `audioop.ratecv` filters nothing: what lies above 4 kHz would otherwise fold down into speech.
    """
    for _ in range(2 if width > 1 else 0):
        total = bytes(len(linear))
        for shift in range(width):
            shifted = linear[shift * 2 :].ljust(len(linear), b"\0")
            total = audioop.add(total, audioop.mul(shifted, 2, 1 / width), 2)
        linear = total
    return linear
