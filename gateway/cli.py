"""The command line: `turngate serve`, `check`, `tail`, and the sandbox's commands.

Each command imports what it needs when it runs, so that `turngate --help` and a mistyped option answer at once.
"""

# ruff: noqa: PLC0415 - the docstring says why imports are inside.

try:
    import asyncio
    import errno
    import os
    import sys
    from collections.abc import Callable
    from itertools import chain, repeat
    from typing import TYPE_CHECKING, Annotated, Any

    import typer
    from rich.console import Console

    from gateway import __version__, shell
except KeyboardInterrupt:
    # Ctrl-C while Python still loads: that is no fault to trace.
    raise SystemExit(130) from None

if TYPE_CHECKING:
    from gateway.app import Gateway
    from gateway.config import Settings
    from gateway.sandbox.demo import DemoOptions

app = typer.Typer(
    name="turngate",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

_PASSED_ON = {"ignore_unknown_options": True, "allow_extra_args": True}

_REDIS_URL = ["REDIS_URL", "TURNGATE_REDIS_URL"]
RedisUrl = Annotated[str, typer.Option(envvar=_REDIS_URL, show_envvar=True, help="Where the gateway's events are.")]
Prefix = Annotated[
    str, typer.Option(envvar="TURNGATE_REDIS_PREFIX", show_envvar=True, help="What keys and channels begin with.")
]


def _settings() -> "Settings":
    from gateway import config
    from gateway.errors import ConfigError

    try:
        return config.load()
    except ConfigError as error:
        raise shell.failed([*error.faults, "`turngate check` shows all settings."]) from None


@app.command()
def serve() -> None:
    """Run the gateway until SIGTERM, SIGINT or SIGHUP. Settings come from the environment (see `turngate check`).

    The first signal ends it politely: streams get their last turns, Redis gets their events. The second, at once.
    """
    import uvloop

    from gateway import logs

    settings = _settings()
    logs.configure(settings.log_format, settings.log_level)
    try:
        uvloop.run(_serve(settings))
    except OSError as error:
        hint = "TURNGATE_MEDIA_HOST and TURNGATE_ADMIN_HOST say where; `turngate check` looks at both."
        if error.errno == errno.EADDRINUSE:
            hint = "Is another gateway running? TURNGATE_MEDIA_PORT and TURNGATE_ADMIN_PORT choose others."
        raise shell.failed([f"could not listen: {error.strerror or error}. {hint}"], status=1) from None


async def _serve(settings: "Settings") -> None:
    from gateway.app import serve as serve_until

    loop = asyncio.get_running_loop()
    stop, hurry = asyncio.Event(), asyncio.Event()
    stages = chain((stop,), repeat(hurry))
    for signum in shell.heeded():
        loop.add_signal_handler(signum, lambda: next(stages).set())
    await serve_until(settings, stop, _announce, hurry)


def _announce(gateway: "Gateway") -> None:
    if sys.stderr.isatty():
        Console(stderr=True).print(
            f"[bold]turngate {__version__}[/]: media on port {gateway.media_port}, health and metrics on port "
            f"{gateway.admin_port}. Ctrl-C ends it politely, a second one at once."
        )


@app.command()
def check() -> None:
    """Show all settings, what is wrong with them, and whether Redis takes events.

    The exit status is 0 if `serve` could start and Redis answers, 1 if only Redis does not, 2 if a setting is wrong.
    """
    from gateway.check import examine, settings_grid, try_redis

    findings = examine()
    shell.show(settings_grid(findings.table))
    for warning in findings.warnings:
        shell.warn(warning)
    trouble = asyncio.run(try_redis(*findings.redis)) if findings.redis else None
    if findings.faults or trouble:
        raise shell.failed([*findings.faults, *([trouble] if trouble else [])], status=2 if findings.faults else 1)
    shell.mark("✓", "bold green", "`turngate serve` can start, and Redis takes events.")


@app.command()
def tail(
    call_id: Annotated[str | None, typer.Argument(help="The carrier's call id. Without one: all calls.")] = None,
    *,
    json: Annotated[bool, typer.Option("--json", help="Print events as they are published, one a line.")] = False,
    linger: Annotated[
        float, typer.Option(min=0, help="A call is over when it has had no stream for so many seconds.")
    ] = 3.0,
    redis_url: RedisUrl = "redis://127.0.0.1:6379/0",
    prefix: Prefix = "turngate",
) -> None:
    """Show what is said in a call, or in all calls: what was said before, then live. Ctrl-C ends it."""
    from redis.exceptions import RedisError

    from gateway import tail as tails
    from gateway.client import Transcripts
    from gateway.protocol.media_stream import IDENTIFIER

    if call_id is not None and not IDENTIFIER.fullmatch(call_id):
        raise shell.failed(
            [f"{call_id!r} is no call id: 1 to 128 of the characters A-Z a-z 0-9 . _ : @ + - are expected"]
        )

    async def run() -> None:
        async with Transcripts(redis_url, prefix) as transcripts:
            if json:
                await tails.write_json(transcripts, call_id, sys.stdout.buffer, shell.warn, linger=linger)
            elif call_id is not None:
                await tails.tail_call(transcripts, call_id, Console(), shell.warn, linger=linger)
            else:
                await tails.tail_calls(transcripts, Console(), shell.warn, linger=linger)

    try:
        shell.until_interrupted(run)
    except shell.Interrupted:
        pass  # That is how it ends.
    except BrokenPipeError:
        shell.nobody_reads()
    except (RedisError, ValueError) as error:
        raise shell.failed(_redis_away(redis_url, error)) from None


def _redis_away(url: str, error: Exception) -> list[str]:
    from gateway.check import without_password

    if isinstance(error, ValueError):
        return [f"REDIS_URL: {error}"]
    hint = "Is it running? REDIS_URL says where: give the gateway's. `turngate demo` brings a Redis of its own."
    return [f"Redis at {without_password(url)}: {str(error).rstrip('.')}. {hint}"]


@app.command()
def demo(
    *,
    speed: Annotated[float, typer.Option(min=0.1, max=50, help="Times real time.")] = 1.0,
    live: Annotated[bool, typer.Option("--live", help="AssemblyAI itself: needs ASSEMBLYAI_API_KEY; costs.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="With --live: do not ask.")] = False,
    model: Annotated[str, typer.Option(help="With --live: the model.")] = "universal-streaming-english",
    redis_url: Annotated[
        str, typer.Option(envvar=_REDIS_URL, show_envvar=True, help="A Redis to use. Without one: its own.")
    ] = "",
    prefix: Prefix = "turngate",
) -> None:
    """Show a recorded call going through the gateway, with an emulator of AssemblyAI and a Redis of its own.

    The exit status is 0 if the transcript came through right.
    """
    from redis.exceptions import RedisError

    from gateway.errors import ConfigError
    from gateway.sandbox.demo import DemoOptions, run_demo
    from gateway.sandbox.redis import RedisError as NoServer

    options = DemoOptions(speed=speed, redis_url=redis_url or None, redis_prefix=prefix)
    if live:
        options = _live(options, model, yes=yes)
    try:
        faults = shell.until_interrupted(lambda: run_demo(options, Console()))
    except shell.Interrupted as error:
        raise shell.failed(["interrupted"], status=error.status) from None
    except ConfigError as error:
        raise shell.failed(error.faults) from None
    except NoServer as error:
        hint = "With a Redis of your own: REDIS_URL=redis://127.0.0.1:6379/0 turngate demo"
        raise shell.failed([f"{error}. {hint}"]) from None
    except RedisError as error:
        raise shell.failed(_redis_away(redis_url, error)) from None
    raise typer.Exit(int(bool(faults)))


def _live(options: "DemoOptions", model: str, *, yes: bool) -> "DemoOptions":
    """The options for AssemblyAI itself, once the price is agreed to."""
    from dataclasses import replace

    from gateway.sandbox.demo import cost

    key = os.environ.get("ASSEMBLYAI_API_KEY") or os.environ.get("TURNGATE_ASSEMBLYAI_API_KEY")
    if not key:
        raise shell.failed(
            ["ASSEMBLYAI_API_KEY: is not set, and --live needs it. Without --live the demo needs no key."]
        )
    if options.speed != 1:
        raise shell.failed(["--speed: AssemblyAI takes audio in real time only."])
    price = cost(model)
    said = f"at most ${price:.4f}" if price is not None else "an amount that is not known here for this model"
    typer.echo(f"This opens two paid sessions of AssemblyAI, 40 s each, with {model}: {said}.", err=True)
    if not yes and not typer.confirm("Go on?", err=True):
        raise typer.Exit(1)
    url = os.environ.get("TURNGATE_ASSEMBLYAI_URL") or options.assemblyai_url
    return replace(options, live_key=key, model=model, assemblyai_url=url)


@app.command(context_settings=_PASSED_ON, add_help_option=False)
def emulate(context: typer.Context) -> None:
    """Run a local emulator of AssemblyAI Universal-Streaming v3. It needs no account and no network."""
    from gateway.sandbox.emulator.cli import emulate as command

    _pass_on(context, command)


@app.command(context_settings=_PASSED_ON, add_help_option=False)
def call(context: typer.Context) -> None:
    """Place phone calls to a media-stream server, as Twilio does."""
    from gateway.sandbox.caller.cli import call as command

    _pass_on(context, command)


def _pass_on(context: typer.Context, command: Callable[..., Any]) -> None:
    """Runs a command that is made only now, because its options take long to make."""
    # Plain help: in columns, 80 characters leave too little for the names of the options.
    made = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    made.command()(command)
    made(args=context.args, prog_name=context.command_path)


@app.command()
def redis(
    *,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0: a free one.")] = 6379,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
) -> None:
    """Run a Redis of your own to develop with, until Ctrl-C. It has no password, and it keeps nothing."""
    from gateway.sandbox.redis import RedisError, embedded_redis

    async def run() -> None:
        async with embedded_redis(host=host, port=port) as server:
            typer.echo(f"Redis on {server.url}; Ctrl-C ends it, and forgets what is in it")
            await server.ended()

    try:
        shell.until_interrupted(run)
    except shell.Interrupted:
        return
    except BrokenPipeError:
        shell.nobody_reads()
        return
    except RedisError as error:
        taken = f"port {port} of {host} is in use; is a Redis running already? --port takes another"
        raise shell.failed([taken if "already in use" in str(error) else str(error)], status=1) from None
    raise shell.failed(["the server ended by itself"], status=1)


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(__version__)


def _print_version(wanted: bool) -> None:
    if wanted:
        version()
        raise typer.Exit


@app.callback()
def prepare(
    *,
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Phone calls in, AssemblyAI turns out: live call transcripts in Redis."""
    shell.print_what_can_be()
