"""The README tells the truth: its generated parts are up to date, its verbs and commands exist, its example runs."""

import asyncio
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from typer.main import get_command

from gateway.cli import app
from gateway.sandbox import tones
from gateway.sandbox.caller import Call, place_call
from tests.conftest import AUTH_TOKEN, SIGNED_URL, media_url
from tools.readme import README, generated

CALL = "CA00000000000000000000000000000001"
TEXT = README.read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)


def test_generated_parts_are_up_to_date() -> None:
    assert generated(TEXT) == TEXT, "run `make readme`"


def test_every_command_it_shows_exists() -> None:
    commands = get_command(app).commands  # type: ignore[attr-defined]
    shown = set(re.findall(r"^turngate (\w+)", "\n".join(blocks("sh")), re.MULTILINE))
    assert shown
    assert shown <= set(commands)


def test_every_verb_it_shows_exists() -> None:
    verbs = set(re.findall(r"^([a-z-]+):", Path("Makefile").read_text(), re.MULTILINE))
    shown = set(re.findall(r"^make ([a-z-]+)", "\n".join(blocks("sh")), re.MULTILINE))
    assert shown
    assert shown <= verbs


def test_every_link_leads_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", TEXT):
        assert (README.parent / target).exists(), target


async def test_its_subscriber_prints_the_turns(
    start_gateway: Callable[..., Any], redis_url: str, prefix: str, tmp_path: Path
) -> None:
    gateway = await start_gateway()
    (example,) = blocks("python")
    example = example.replace('"redis://127.0.0.1:6379/0"', f'"{redis_url}", prefix="{prefix}"')
    script = tmp_path / "subscribe.py"
    script.write_text(example)
    subscriber = await asyncio.create_subprocess_exec(sys.executable, script, stdout=asyncio.subprocess.PIPE)
    call = Call(
        url=media_url(gateway),
        call_sid=CALL,
        inbound=tones.speak("one two three"),
        auth_token=AUTH_TOKEN,
        signed_url=SIGNED_URL,
        speed=20.0,
    )
    report = await place_call(call)
    assert report.ok
    said, _ = await subscriber.communicate()
    assert said.decode() == "inbound: one two three\n"
    assert subscriber.returncode == 0
