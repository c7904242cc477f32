"""gateway.shell: what every command says, and how it ends."""

import asyncio
import os
import signal
import subprocess
import sys

import pytest
from rich.table import Table

from gateway import shell
from gateway.shell import ENDING_SIGNALS, Interrupted, until_interrupted

AT_A_TERMINAL = """
import fcntl, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
from gateway.shell import keys_unseen
def seen():
    return bool(termios.tcgetattr(0)[3] & termios.ECHOCTL)
before = seen()
with keys_unseen():
    within = seen()
print(before, within, seen())
"""


def test_what_comes_to_its_end_gives_its_result() -> None:
    async def main() -> str:
        return "done"

    assert until_interrupted(main) == "done"


@pytest.mark.parametrize("signum", ENDING_SIGNALS)
def test_whoever_is_told_to_end_cleans_up_and_has_the_status_of_that(signum: signal.Signals) -> None:
    cleaned = []

    async def main() -> None:
        try:
            os.kill(os.getpid(), signum)
            await asyncio.get_running_loop().create_future()
        finally:
            cleaned.append(True)

    with pytest.raises(Interrupted) as interrupted:
        until_interrupted(main)
    assert interrupted.value.status == 128 + signum
    assert cleaned


def test_nohup_is_heeded() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert shell.heeded() == [signal.SIGINT, signal.SIGTERM]
    finally:
        signal.signal(signal.SIGHUP, before)
    assert shell.heeded() == list(ENDING_SIGNALS)


def test_a_cancellation_that_no_signal_asked_for_is_not_hidden() -> None:
    async def main() -> None:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        until_interrupted(main)


def test_a_terminal_does_not_show_control_keys_while_a_picture_is_drawn() -> None:
    ours, theirs = os.openpty()
    try:
        done = subprocess.run(
            [sys.executable, "-c", AT_A_TERMINAL], stdin=theirs, start_new_session=True, capture_output=True, check=True
        )
    finally:
        os.close(ours)
        os.close(theirs)
    assert done.stdout == b"True False True\n"


def test_into_a_pipe_a_line_is_neither_broken_nor_filled_up(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table.grid(padding=(0, 1))
    table.add_row("a", "word " * 60)
    table.add_row("b", "c")
    shell.show(table)
    assert capsys.readouterr().out == f"a {('word ' * 60).strip()}\nb c\n"


def test_what_cannot_be_encoded_is_printed_as_far_as_it_can_be() -> None:
    code = "from gateway import shell; shell.print_what_can_be(); print('✓ fine')"
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    assert subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=True).stdout == (
        b"? fine\n"
    )
