"""The command line: `turngate serve`, `check`, and the sandbox's commands."""

import asyncio
import signal
import sys

import typer
import uvloop
from rich.console import Console

from gateway import __version__, config, logs
from gateway.app import Gateway
from gateway.app import serve as serve_until
from gateway.errors import ConfigError

app = typer.Typer(
    name="turngate",
    help="Phone calls in, AssemblyAI turns out: live call transcripts in Redis.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _fail(lines: list[str], *, status: int = 2) -> typer.Exit:
    console = Console(stderr=True, highlight=False)
    for line in lines:
        console.print(f"[bold red]✗[/] {line}", soft_wrap=True)
    return typer.Exit(status)


def _settings() -> config.Settings:
    try:
        return config.load()
    except ConfigError as error:
        raise _fail([*error.faults, "`turngate check` shows all settings."]) from None


@app.command()
def serve() -> None:
    """Run the gateway until SIGTERM or SIGINT. Settings come from the environment (see `turngate check`)."""
    settings = _settings()
    logs.configure(settings.log_format, settings.log_level)
    try:
        uvloop.run(_serve(settings))
    except OSError as error:
        raise _fail([f"could not listen: {error}. Is another gateway running? See TURNGATE_MEDIA_PORT."]) from None


async def _serve(settings: config.Settings) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stop.set)
    await serve_until(settings, stop, _announce)


def _announce(gateway: Gateway) -> None:
    if sys.stderr.isatty():
        Console(stderr=True).print(
            f"[bold]turngate {__version__}[/]: media on port {gateway.media_port}, health and metrics on port "
            f"{gateway.admin_port}. Ctrl-C ends it politely."
        )


@app.command()
def version() -> None:
    """Print the version."""
    Console().print(__version__)
