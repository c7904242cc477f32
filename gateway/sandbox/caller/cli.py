"""`turngate call`: the carrier simulator on the command line."""

import asyncio
import textwrap
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from gateway import shell
from gateway.sandbox import tones
from gateway.sandbox.caller.call import Progress, place_calls
from gateway.sandbox.caller.options import Sides, audio_of, digits_of, ending_of, faults_of, never_happening, pairs_of
from gateway.sandbox.caller.plan import FRAME_BYTES, Call, StreamKind, new_call_sid, new_stream_sid
from gateway.sandbox.caller.report import CallReport
from gateway.sandbox.caller.view import as_json, render, watch

_about = partial(typer.Option, rich_help_panel="The call")
_carrier = partial(typer.Option, rich_help_panel="Who the carrier is")
_fault = partial(typer.Option, rich_help_panel="What goes wrong")


def _print_words(wanted: bool) -> None:
    if wanted:
        typer.echo(textwrap.fill(" ".join(tones.VOCABULARY), 78))
        raise typer.Exit


def call(
    file: Annotated[
        Path | None,
        typer.Argument(help="WAV to play; stereo is caller, called. Default: the built-in conversation."),
    ] = None,
    *,
    url: Annotated[str, _about(help="WebSocket URL of the server.")] = "ws://127.0.0.1:8080/media/twilio",
    tracks: Annotated[Sides, _about(help="Which tracks the stream carries.")] = Sides.INBOUND,
    say: Annotated[
        str | None,
        _about(help="Words as tones that `turngate emulate` hears, after the file's audio (--words: which)."),
    ] = None,
    words: Annotated[
        bool,
        _about("--words", callback=_print_words, is_eager=True, help="Print the words that can be said, and exit."),
    ] = False,
    silence: Annotated[float, _about(min=0, help="Seconds of silence at the end.")] = 0.0,
    dtmf: Annotated[
        list[str] | None,
        _about(metavar="AT:DIGIT", help="Press a key; makes the stream --connect."),
    ] = None,
    connect: Annotated[
        bool,
        _about("--connect", help="A <Connect> stream: the server may speak."),
    ] = False,
    calls: Annotated[int, _about(min=1, help="How many calls at once.")] = 1,
    spread: Annotated[float, _about(min=0, help="Seconds over which many calls begin.")] = 1.0,
    speed: Annotated[float, _about(min=0.01, help="Times real time.")] = 1.0,
    frame_bytes: Annotated[
        int,
        _about(min=1, max=8000, help="Audio in a message; 8 bytes are 1 ms."),
    ] = FRAME_BYTES,
    json: Annotated[bool, _about("--json", help="Print the reports as JSON lines.")] = False,
    auth_token: Annotated[
        str | None,
        _carrier(envvar="TWILIO_AUTH_TOKEN", show_envvar=True, help="Sign as Twilio does."),
    ] = None,
    signed_url: Annotated[
        str | None,
        _carrier(help="The server's public URL, if it is not --url."),
    ] = None,
    header: Annotated[
        list[str] | None,
        _carrier(metavar="NAME=VALUE", help="One more header on the upgrade."),
    ] = None,
    call_sid: Annotated[str, _carrier(help="Random by default.")] = "",
    stream_sid: Annotated[str, _carrier(help="Random by default.")] = "",
    parameter: Annotated[
        list[str] | None,
        _carrier(metavar="NAME=VALUE", help="A custom parameter of the stream."),
    ] = None,
    gap: Annotated[
        list[str] | None,
        _fault(metavar="AT:SECONDS", help="Audio is lost; timestamps jump."),
    ] = None,
    burst: Annotated[
        list[str] | None,
        _fault(metavar="AT:SECONDS", help="Audio is held, then comes at once."),
    ] = None,
    repeat: Annotated[
        list[float] | None,
        _fault(metavar="AT", help="A message comes twice."),
    ] = None,
    no_stop: Annotated[bool, _fault("--no-stop", help="Close without `stop`.")] = False,
    reset: Annotated[bool, _fault("--reset", help="End with a TCP reset.")] = False,
    vanish: Annotated[
        float | None,
        _fault(metavar="SECONDS", min=0, help="Fall silent for so long without closing."),
    ] = None,
) -> None:
    """Place phone calls to a media-stream server, as Twilio does.

    The exit status is 0 if every call was accepted and none was cut.
    """
    try:
        inbound, outbound = audio_of(file, say, silence, tracks)
        plan = Call(
            url=url,
            inbound=inbound,
            outbound=outbound,
            auth_token=auth_token,
            signed_url=signed_url,
            headers=pairs_of("--header", header),
            call_sid=call_sid or new_call_sid(),
            stream_sid=stream_sid or new_stream_sid(),
            parameters=pairs_of("--parameter", parameter),
            kind=StreamKind.CONNECT if connect else None,
            speed=speed,
            frame_bytes=frame_bytes,
            digits=digits_of(dtmf),
            faults=faults_of(gap, burst, repeat),
            ending=ending_of(no_stop=no_stop, reset=reset, vanish=vanish),
            vanish_seconds=vanish or 0.0,
        )
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    for warning in never_happening(plan):
        shell.warn(warning)
    reports, status = _reports(plan, calls, spread)
    if json:
        typer.echo(as_json(reports))
    elif reports:
        shell.show(render(reports))
    else:
        shell.warn("interrupted before any call was answered")
    raise typer.Exit(status)


def _reports(plan: Call, calls: int, spread: float) -> tuple[list[CallReport], int]:
    """Places the calls. Returns what they saw, and the exit status."""
    progress = Progress()
    try:
        reports = shell.until_interrupted(lambda: _place(plan, calls, spread, progress))
    except shell.Interrupted as error:
        return progress.interrupted(), error.status
    return reports, 0 if all(report.ok for report in reports) else 1


async def _place(plan: Call, calls: int, spread: float, progress: Progress) -> list[CallReport]:
    console = Console(stderr=True)
    async with asyncio.TaskGroup() as group:
        watcher = group.create_task(
            watch(progress, calls=calls, seconds=plan.seconds, console=console), name="progress"
        )
        reports = await place_calls(plan, calls, spread=spread, progress=progress)
        watcher.cancel()
    return reports
