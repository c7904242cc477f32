"""WAV files of every common kind become 8 kHz mu-law."""

from __future__ import annotations

import audioop
import math
import struct
from array import array
from pathlib import Path

import pytest

from gateway.sandbox import wav
from gateway.sandbox.wav import WavError

MULAW = bytes(range(256)) * 10


def sine(hertz: int, rate: int, *, ms: int = 500) -> bytes:
    return array(
        "h", (round(8000 * math.sin(2 * math.pi * hertz * at / rate)) for at in range(rate * ms // 1000))
    ).tobytes()


def chunk(name: bytes, body: bytes) -> bytes:
    return name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)


def form(tag: int, bits: int, *, channels: int = 1, rate: int = 8000, more: bytes = b"") -> bytes:
    align = channels * bits // 8
    return chunk(b"fmt ", struct.pack("<HHIIHH", tag, channels, rate, rate * align, align, bits) + more)


def written(path: Path, *chunks: bytes) -> Path:
    path /= "x.wav"
    path.write_bytes(chunk(b"RIFF", b"WAVE" + b"".join(chunks)))
    return path


def level(mulaw: bytes) -> int:
    return int(audioop.rms(audioop.ulaw2lin(mulaw, 2), 2))


def test_mulaw_at_8_khz_passes_unchanged(tmp_path: Path) -> None:
    read = wav.read(written(tmp_path, form(7, 8), chunk(b"data", MULAW)))

    assert read.tracks == (MULAW,)
    assert read.duration_ms == 320


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "two.wav"
    wav.write_mulaw(path, [MULAW, MULAW[::-1][:-9]])

    assert wav.read(path).tracks == (MULAW, MULAW[::-1][:-9] + b"\xff" * 9)


def test_writing_no_track_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least one track"):
        wav.write_mulaw(tmp_path / "none.wav", [])


LINEAR = audioop.ulaw2lin(MULAW, 2)
NORMAL = audioop.lin2ulaw(LINEAR, 2)
FLOATS = array("f", (x / 32767 for x in array("h", LINEAR))).tobytes()
EXTENSIBLE = struct.pack("<HHIH14s", 22, 24, 0, 1, b"\x00\x00\x00\x00\x10\x00\x80\x00\x00\xaa\x008\x9bq")


@pytest.mark.parametrize(
    ("tag", "bits", "data"),
    [
        (1, 16, LINEAR),
        (1, 24, audioop.lin2lin(LINEAR, 2, 3)),
        (1, 32, audioop.lin2lin(LINEAR, 2, 4)),
        (3, 32, FLOATS),
    ],
    ids=["16", "24", "32", "float"],
)
def test_linear_at_8_khz_becomes_its_mulaw(tmp_path: Path, tag: int, bits: int, data: bytes) -> None:
    assert wav.read(written(tmp_path, form(tag, bits), chunk(b"data", data))).tracks == (NORMAL,)


def test_the_extensible_format_names_its_encoding_further_back(tmp_path: Path) -> None:
    path = written(tmp_path, form(0xFFFE, 24, more=EXTENSIBLE), chunk(b"data", audioop.lin2lin(LINEAR, 2, 3)))

    assert wav.read(path).tracks == (NORMAL,)


def test_8_bit_pcm_is_unsigned(tmp_path: Path) -> None:
    (track,) = wav.read(written(tmp_path, form(1, 8), chunk(b"data", b"\x80" * 800))).tracks

    assert track == b"\xff" * 800


def test_alaw_is_converted(tmp_path: Path) -> None:
    tone = sine(440, 8000)
    (track,) = wav.read(written(tmp_path, form(6, 8), chunk(b"data", audioop.lin2alaw(tone, 2)))).tracks

    assert level(track) == pytest.approx(audioop.rms(tone, 2), rel=0.05)


def test_floats_beyond_full_scale_are_clipped_and_not_a_number_is_silent(tmp_path: Path) -> None:
    data = array("f", (7.0, -7.0, math.nan, math.inf)).tobytes()
    (track,) = wav.read(written(tmp_path, form(3, 32), chunk(b"data", data))).tracks

    assert track == bytes((0x80, 0x00, 0xFF, 0x80))


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 44100, 48000])
def test_any_rate_becomes_8_khz_at_the_same_level(tmp_path: Path, rate: int) -> None:
    read = wav.read(written(tmp_path, form(1, 16, rate=rate), chunk(b"data", sine(440, rate))))

    assert read.duration_ms in (499, 500)
    assert level(read.tracks[0]) == pytest.approx(8000 / math.sqrt(2), rel=0.03)


def test_what_8_khz_cannot_carry_does_not_fold_down_into_speech(tmp_path: Path) -> None:
    (track,) = wav.read(written(tmp_path, form(1, 16, rate=48000), chunk(b"data", sine(7000, 48000)))).tracks

    assert level(track) < 8000 / math.sqrt(2) / 10


def test_channels_are_kept_apart(tmp_path: Path) -> None:
    stereo = audioop.add(audioop.tostereo(sine(440, 8000), 2, 1, 0), audioop.tostereo(sine(440, 8000), 2, 0, 0.1), 2)
    left, right = wav.read(written(tmp_path, form(1, 16, channels=2), chunk(b"data", stereo))).tracks

    assert level(left) == pytest.approx(10 * level(right), rel=0.05)


def test_other_chunks_are_passed_over(tmp_path: Path) -> None:
    path = written(tmp_path, chunk(b"LIST", b"odd"), form(7, 8), chunk(b"fact", b"\0" * 4), chunk(b"data", MULAW))

    assert wav.read(path).tracks == (MULAW,)


def test_data_that_is_cut_short_counts_as_far_as_it_goes(tmp_path: Path) -> None:
    path = written(tmp_path, form(1, 16, channels=2), b"data\xff\xff\xff\xff" + LINEAR[:-2])
    left, right = wav.read(path).tracks

    assert len(left) == len(right) == len(MULAW) // 2 - 1


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "does not begin as a RIFF/WAVE file"),
        (b"ID3\x04 an mp3, perhaps", "does not begin as a RIFF/WAVE file"),
        (chunk(b"RIFF", b"WAVE"), "no fmt chunk"),
        (chunk(b"RIFF", b"WAVE" + chunk(b"data", MULAW)), "no fmt chunk"),
        (chunk(b"RIFF", b"WAVE" + form(7, 8)), "no data chunk"),
        (chunk(b"RIFF", b"WAVE" + form(7, 8) + chunk(b"data", b"")), "holds no audio"),
        (chunk(b"RIFF", b"WAVE" + chunk(b"fmt ", b"\1\0")), "fmt chunk of 2 bytes"),
        (chunk(b"RIFF", b"WAVE" + form(0x55, 0)), "encoding 0x0055 with 0 bits"),
        (chunk(b"RIFF", b"WAVE" + form(1, 12)), "encoding 0x0001 with 12 bits"),
        (chunk(b"RIFF", b"WAVE" + form(7, 8, channels=0)), r"0 channel\(s\)"),
        (chunk(b"RIFF", b"WAVE" + form(7, 8, rate=0)), "at 0 Hz"),
    ],
)
def test_a_bad_file_is_named_with_what_is_wrong_and_what_was_expected(
    tmp_path: Path, content: bytes, complaint: str
) -> None:
    path = tmp_path / "bad.wav"
    path.write_bytes(content)

    with pytest.raises(WavError, match=complaint) as caught:
        wav.read(path)
    assert "bad.wav" in str(caught.value)
    assert "expected" in str(caught.value)


def test_a_missing_file_is_a_wav_error_too(tmp_path: Path) -> None:
    with pytest.raises(WavError, match=r"none\.wav: cannot be read \(No such file or directory\)"):
        wav.read(tmp_path / "none.wav")
