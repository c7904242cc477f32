"""Who is measured: the floor, the gateway of this working tree, and whoever is named on the command line.

A contender is a shell command that listens on a port of loopback and opens one upstream session a call.
"""

import re
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.bench.figures import FLOOR

MEDIA_PATH = "/media/twilio"
ROOT = Path(__file__).parent.parent.parent

TURNGATE = {
    "ASSEMBLYAI_API_KEY": "bench",
    "REDIS_URL": "{redis}",
    "TURNGATE_ASSEMBLYAI_URL": "ws://127.0.0.1:{upstream}",
    "TURNGATE_ASSEMBLYAI_SESSIONS_PER_MINUTE": "1000000",  # All calls start at once here.
    "TURNGATE_ALLOW_UNAUTHENTICATED": "true",
    "TURNGATE_MEDIA_HOST": "127.0.0.1",
    "TURNGATE_MEDIA_PORT": "{port}",
    "TURNGATE_ADMIN_PORT": "0",
}


@dataclass(frozen=True, slots=True)
class Contender:
    """Who is measured.

    Args:
        name: in the table.
        command: for the shell; `{port}`, `{upstream}` (ports) and `{redis}` (a URL) are filled in.
        calls: at once.
        path: its media route.
    """

    name: str
    command: str
    calls: int
    path: str = MEDIA_PATH

    @property
    def publishes(self) -> bool:
        """Whether events are expected of it."""
        return self.name != FLOOR


def floor(program: Path, calls: int) -> Contender:
    """The yardstick itself."""
    return Contender(FLOOR, f"exec {shlex.quote(str(program))} {{port}} {{upstream}}", calls)


def turngate(calls: int) -> Contender:
    """The gateway of this working tree."""
    settings = " ".join(f"{name}={value}" for name, value in TURNGATE.items())
    serve = f"{shlex.quote(sys.executable)} -m gateway serve"
    return Contender("turngate", f"cd {shlex.quote(str(ROOT))} && exec env {settings} {serve}", calls)


def parse(text: str, calls: int) -> Contender:
    """A contender from the command line: `NAME[@CALLS][/PATH]=COMMAND`.

    Raises:
        ValueError: it is not of this form.
    """
    found = re.fullmatch(r"([\w.-]+)(?:@([1-9]\d*))?(/[^=]*)?=(.+)", text, re.DOTALL)
    if found is None:
        raise ValueError(f"NAME[@CALLS][/PATH]=COMMAND is expected, not {text!r}")
    name, own_calls, path, command = found.groups()
    return Contender(name, command, int(own_calls or calls), path or MEDIA_PATH)
