"""Make the demo's recorded conversation: gateway/sandbox/assets/conversation.wav and conversation.json.

    python tools/make_conversation.py [DIRECTORY]

Needs Debian's `flite` (its shared libraries are called directly, because only they tell when each word is
spoken) and `sox`. The result is the same bytes on every run with the same versions. Left is the inbound track,
the caller (voice rms); right is the outbound track, the agent (voice slt).
"""

import argparse
import ctypes
import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gateway.sandbox.wav import write_mulaw

ASSETS = Path(__file__).parent.parent / "gateway" / "sandbox" / "assets"

VOICES = {"inbound": "rms", "outbound": "slt"}
STRETCH = {"inbound": 0.84, "outbound": 0.92}
"""Slower and faster than the voice by nature: flite reads rms slowly."""

CONVERSATION = (
    ("outbound", "Good morning, Harbor Deliveries, how can I help you?"),
    ("inbound", "Hi, I have a parcel coming today, but I will not be home."),
    ("outbound", "No problem. Can you tell me the order number, please?"),
    ("inbound", "Yes, it is four seven two nine one."),
    ("outbound", "Thank you. I see one box for Mister Parker. Which day is better for you?"),
    ("inbound", "Could you bring it on Thursday, after three?"),
    ("outbound", "Thursday between three and five is free. Shall I book that?"),
    ("inbound", "Yes please, and ask the driver to call me before he comes."),
    ("outbound", "Done. You will get a text message in a minute. Is there anything else?"),
    ("inbound", "No, that is all. Thank you and goodbye."),
)

RATE = 8000
LEAD_MS, TAIL_MS = 500, 1000
PAUSE_MS = 350
"""Between speakers."""
MARGIN_MS = 40
"""Kept of the quiet around an utterance, so that it does not begin or end with a click."""

SOURCE = (
    "Synthesised with Flite 2.2 (Carnegie Mellon University) from text written for this project: inbound is the "
    "voice cmu_us_rms, outbound is the voice cmu_us_slt; word times are the synthesiser's own; made by "
    "tools/make_conversation.py. Flite and its voices are free software (a BSD-like licence by Carnegie Mellon "
    "University); the recording is under the licence of this project."
)


@dataclass(frozen=True, slots=True)
class Spoken:
    """One utterance: 8 kHz mu-law, and its words with their times in ms."""

    audio: bytes
    words: tuple[tuple[str, int, int], ...]


class _Wave(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_char_p),
        ("sample_rate", ctypes.c_int),
        ("num_samples", ctypes.c_int),
        ("num_channels", ctypes.c_int),
        ("samples", ctypes.POINTER(ctypes.c_short)),
    )


class Flite:
    """The synthesiser, by way of its C library."""

    _FUNCTIONS = (
        ("flite_synth_text", ctypes.c_void_p, (ctypes.c_char_p, ctypes.c_void_p)),
        ("feat_set_float", None, (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_float)),
        ("utt_relation", ctypes.c_void_p, (ctypes.c_void_p, ctypes.c_char_p)),
        ("relation_head", ctypes.c_void_p, (ctypes.c_void_p,)),
        ("item_next", ctypes.c_void_p, (ctypes.c_void_p,)),
        ("ffeature_string", ctypes.c_char_p, (ctypes.c_void_p, ctypes.c_char_p)),
        ("ffeature_float", ctypes.c_float, (ctypes.c_void_p, ctypes.c_char_p)),
        ("utt_wave", ctypes.POINTER(_Wave), (ctypes.c_void_p,)),
    )

    def __init__(self) -> None:
        self._lib = ctypes.CDLL("libflite.so.1", mode=ctypes.RTLD_GLOBAL)
        for name in ("usenglish", "cmulex"):
            ctypes.CDLL(f"libflite_{name}.so.1", mode=ctypes.RTLD_GLOBAL)
        for function, result, arguments in self._FUNCTIONS:
            getattr(self._lib, function).restype = result
            getattr(self._lib, function).argtypes = arguments
        self._lib.flite_init()
        self._voices = {track: self._voice(name, STRETCH[track]) for track, name in VOICES.items()}

    def say(self, track: str, text: str) -> Spoken:
        """Speaks a text with a track's voice."""
        utterance = self._lib.flite_synth_text(text.encode(), self._voices[track])
        wave = self._lib.utt_wave(utterance).contents
        samples = ctypes.string_at(wave.samples, wave.num_samples * 2)
        words = tuple(self._words(utterance))
        first, last = words[0][1] - MARGIN_MS, words[-1][2] + MARGIN_MS
        audio = _telephone(samples, wave.sample_rate)[first * RATE // 1000 : last * RATE // 1000]
        return Spoken(audio, tuple((word, start - first, end - first) for word, start, end in words))

    def _voice(self, name: str, stretch: float) -> ctypes.c_void_p:
        register = getattr(ctypes.CDLL(f"libflite_cmu_us_{name}.so.1"), f"register_cmu_us_{name}")
        register.restype, register.argtypes = ctypes.c_void_p, (ctypes.c_char_p,)
        voice = ctypes.c_void_p(register(None))
        # The voice's features are the second field of cst_voice, behind its name.
        features = ctypes.cast(voice, ctypes.POINTER(ctypes.c_void_p))[1]
        self._lib.feat_set_float(features, b"duration_stretch", stretch)
        return voice

    def _words(self, utterance: int) -> Iterator[tuple[str, int, int]]:
        """Each word with the times of its first and last sound; the words are those of the text, lower case."""
        item = self._lib.relation_head(self._lib.utt_relation(utterance, b"Word"))
        while item:
            start = self._lib.ffeature_float(item, b"R:SylStructure.daughter1.daughter1.R:Segment.p.end")
            end = self._lib.ffeature_float(item, b"R:SylStructure.daughtern.daughtern.R:Segment.end")
            name = self._lib.ffeature_string(item, b"name").decode()
            yield name, round(start * 1000), round(end * 1000)
            item = self._lib.item_next(item)


def _telephone(samples: bytes, rate: int) -> bytes:
    """16-bit linear to 8 kHz mu-law, with a telephone's band and an even level."""
    raw = ("-t", "raw", "-c", "1")
    command = ("sox", "-D", *raw, "-r", str(rate), "-e", "signed", "-b", "16", "-", *raw, "-r", str(RATE))
    effects = ("highpass", "200", "lowpass", "3400", "norm", "-4")
    done = subprocess.run(
        (*command, "-e", "mu-law", "-b", "8", "-", *effects), input=samples, capture_output=True, check=True
    )
    return done.stdout


def make() -> tuple[dict[str, bytes], dict[str, list[dict[str, str | int]]]]:
    """The audio and the words of both tracks."""
    flite, at = Flite(), LEAD_MS
    audio = {track: bytearray() for track in VOICES}
    words: dict[str, list[dict[str, str | int]]] = {track: [] for track in VOICES}
    for track, text in CONVERSATION:
        spoken = flite.say(track, text)
        audio[track] = audio[track].ljust(at * RATE // 1000, b"\xff") + spoken.audio
        for word, start, end in spoken.words:
            words[track].append({"text": word, "start_ms": at + start, "end_ms": at + end})
        at += len(spoken.audio) * 1000 // RATE + PAUSE_MS
    length = (at - PAUSE_MS + TAIL_MS) * RATE // 1000
    return {track: bytes(data.ljust(length, b"\xff")) for track, data in audio.items()}, words


def main() -> None:
    """Writes both files."""
    parser = argparse.ArgumentParser(description="Make the demo's recorded conversation.")
    parser.add_argument("directory", nargs="?", type=Path, default=ASSETS)
    directory = parser.parse_args().directory
    audio, words = make()
    write_mulaw(directory / "conversation.wav", tuple(audio.values()))
    tracks = [{"name": track, "words": words[track]} for track in audio]
    document = {"source": SOURCE, "tracks": tracks}
    (directory / "conversation.json").write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
