"""`turngate emulate`: the emulator from the command line, one flag per knob."""

from __future__ import annotations

import asyncio
import inspect
import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from gateway import shell
from gateway.sandbox import recordings
from gateway.sandbox.emulator.knobs import Knob, Knobs, declared
from gateway.sandbox.emulator.server import Emulator
from gateway.sandbox.recordings import Recording
from gateway.sandbox.wav import WavError


def _emulate(
    *,
    port: int,
    host: str,
    recording: Sequence[Path] | None,
    tls_cert: Path | None,
    tls_key: Path | None,
    **values: Any,
) -> None:
    """Run a local emulator of AssemblyAI Universal-Streaming v3. It needs no account and no network."""
    values["keys"] = tuple(values["keys"] or ())
    try:
        knobs = Knobs(**values)
        known = tuple(track for path in recording or () for track in recordings.load(path))
        context = _tls(tls_cert, tls_key)
    except (ValueError, WavError, OSError) as error:
        raise typer.BadParameter(str(error)) from error
    try:
        shell.until_interrupted(lambda: _serve(knobs, known, host, port, context))
    except shell.Interrupted:
        return
    except BrokenPipeError:
        shell.nobody_reads()
    except OSError as error:
        raise shell.failed([f"cannot listen on {host}:{port}: {error.strerror}"], status=1) from error


async def _serve(
    knobs: Knobs, known: Sequence[Recording], host: str, port: int, context: ssl.SSLContext | None
) -> None:
    emulator, up = Emulator(knobs, known, host=host, port=port, ssl_context=context), False
    try:
        async with emulator:
            up = True
            http = emulator.url.replace("ws", "http", 1)
            typer.echo(f"AssemblyAI v3 emulator on {emulator.url}/v3/ws")
            typer.echo(f"Point the gateway at it with TURNGATE_ASSEMBLYAI_URL={emulator.url}")
            typer.echo(f"Sessions and knobs: {http}/emulator/sessions and /emulator/knobs")
            await asyncio.get_running_loop().create_future()
    finally:
        if up:
            typer.echo(_sum(emulator))


def _sum(emulator: Emulator) -> str:
    """What was used until now."""
    total = len(emulator.sessions)
    leaked = sum(not session.terminated for session in emulator.sessions)
    counted = f"{total} session{'s' * (total != 1)}, {emulator.billed_seconds} billed seconds"
    return f"{counted}, {leaked} without Terminate"


def _tls(certificate: Path | None, key: Path | None) -> ssl.SSLContext | None:
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        raise ValueError("TLS needs both --tls-cert and --tls-key")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    return context


def _knob_parameter(knob: Knob) -> inspect.Parameter:
    flags = f"{knob.flag}/--no-{knob.flag[2:]}" if knob.kind is bool else knob.flag
    doc = f"{knob.doc} (unconfirmed)" if knob.unconfirmed else knob.doc
    option = typer.Option(flags, help=doc, rich_help_panel="Faults" if knob.fault else "Knobs")
    several = knob.name == "keys"
    return inspect.Parameter(
        knob.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=None if several else knob.default,
        annotation=Annotated[list[str] | None if several else knob.kind, option],
    )


def _option(name: str, kind: Any, default: Any, doc: str, **limits: Any) -> inspect.Parameter:
    option = typer.Option(help=doc, **limits)
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, option])


def emulate(**values: Any) -> None:
    """See `_emulate`; its signature below has one parameter per knob."""
    _emulate(**values)


emulate.__doc__ = _emulate.__doc__
emulate.__annotations__ = {}
emulate.__signature__ = inspect.Signature(  # type: ignore[attr-defined]  # typer builds the flags from it
    [
        _option("port", int, 8090, "Port to listen on; 0: a free one.", min=0, max=65535),
        _option("host", str, "127.0.0.1", "Address to listen on."),
        _option("recording", list[Path] | None, None, "A WAV with its words in a JSON beside it; may be repeated."),
        _option("tls_cert", Path | None, None, "Serve TLS with this certificate (PEM)."),
        _option("tls_key", Path | None, None, "The certificate's key (PEM)."),
        *map(_knob_parameter, declared()),
    ]
)
