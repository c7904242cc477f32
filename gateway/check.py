"""`turngate check`: every setting, what is wrong with it, and whether Redis takes events. Nothing is started."""

import errno
import os
import socket
from dataclasses import dataclass
from urllib.parse import urlsplit

import msgspec
from redis.exceptions import (
    AuthenticationError,
    NoPermissionError,
    ReadOnlyError,
    RedisError,
)
from rich.table import Table

from gateway import config
from gateway.errors import ConfigError
from gateway.protocol.parameters import Parameters
from gateway.redis_write import WRITE, redis_client
from gateway.upstream import is_loopback
from gateway.view import clean

SELF_HOSTED = "self-hosted"
"""What stands for a key with AssemblyAI's self-hosted stack, which has no TLS of its own."""

NOT_USED_YET = frozenset({"TURNGATE_ADMIN_TOKEN", "TURNGATE_ASSEMBLYAI_SESSIONS_PER_MINUTE"})
"""Variables that people may set already, though what they are for is still to come."""

_PRIVATE = frozenset({"assemblyai_api_key", "twilio_auth_token"})
_NAMES_ONLY = frozenset({"assemblyai_parameters"})
_TRIAL_SECONDS = 10


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting as it is: the variable, its value for people, and whether the environment has it."""

    variable: str
    value: str
    given: bool


@dataclass(frozen=True, slots=True)
class Findings:
    """What the settings amount to.

    Attributes:
        table: all of them.
        faults: why `serve` could not start.
        warnings: it could, but look.
        redis: URL and prefix; None if they are at fault.
    """

    table: list[Setting]
    faults: list[str]
    warnings: list[str]
    redis: tuple[str, str] | None


def without_password(url: str) -> str:
    """A URL that may be shown."""
    try:
        password = urlsplit(url).password
    except ValueError:
        return "(not a URL)"
    return url.replace(f":{password}@", ":•••@", 1) if password else url


def examine() -> Findings:
    """Looks at the settings that the environment gives."""
    warnings = [_stranger(name) for name in config.unknown_variables()]
    table = [_setting(name) for name in config.Settings.model_fields]
    try:
        settings = config.load()
    except ConfigError as error:
        redis = (_value("redis_url"), _value("redis_prefix"))
        at_fault = any(fault.startswith(("REDIS_URL:", "TURNGATE_REDIS_PREFIX:")) for fault in error.faults)
        return Findings(table, error.faults, warnings, None if at_fault else redis)
    faults, taken = _places(settings)
    warnings += [*_worries(settings), *taken]
    return Findings(table, faults, warnings, (settings.redis_url, settings.redis_prefix))


async def try_redis(url: str, prefix: str) -> str | None:
    """Writes to Redis as the gateway does, under a key of its own that expires. Returns what is wrong, or None."""
    where = without_password(url)
    try:
        client = redis_client(url)
    except ValueError as error:
        return f"REDIS_URL: {error}"
    try:
        await client.ping()
        key = f"{prefix}:check"
        await client.eval(WRITE, 1, key, "check", "{}", 1, _TRIAL_SECONDS, 0)
    except (RedisError, OSError) as error:
        return f"Redis at {where} {_trouble(error)}"
    finally:
        await client.aclose()
    return None


def _trouble(error: Exception) -> str:
    """What is wrong with Redis, and what to do."""
    if isinstance(error, AuthenticationError):
        return f"refuses the password or the user ({error}): put them into REDIS_URL, redis://USER:PASSWORD@HOST:6379/0"
    if isinstance(error, NoPermissionError):
        return (
            f"does not let this user write ({error}): it needs +xadd +xrevrange +expire +publish +eval +evalsha +script"
        )
    if isinstance(error, ReadOnlyError):
        return "is a replica, which takes no writes: name its primary in REDIS_URL"
    return (
        f"does not answer as it should ({error}): is it running, and is REDIS_URL right? The gateway would start, and "
        "hold events until it is back. One to try with: `turngate redis`"
    )


def _stranger(variable: str) -> str:
    if variable in NOT_USED_YET:
        return f"{variable}: is not used yet by this version; it has no effect"
    return f"{variable}: is no setting; is it misspelt?"


def _setting(name: str) -> Setting:
    variable = config.variable(name)
    given = _given(name)
    if name in _PRIVATE:
        return Setting(variable, "not set" if given is None else "set", given is not None)
    if given is None:
        return Setting(variable, _default(name), given=False)
    return Setting(variable, _names(given) if name in _NAMES_ONLY else without_password(given), given=True)


def _given(name: str) -> str | None:
    both = (config.variable(name), config.PREFIX + name.upper())
    return next((text for variable in both if (text := os.environ.get(variable))), None)


def _value(name: str) -> str:
    return _given(name) or _default(name)


def _default(name: str) -> str:
    default = config.Settings.model_fields[name].get_default(call_default_factory=True)
    if isinstance(default, bool):
        return str(default).lower()
    return "" if default in (None, (), {}) else str(default)


def _names(text: str) -> str:
    """The names in a JSON object; its values may be secret."""
    try:
        return ", ".join(msgspec.json.decode(text, type=dict[str, msgspec.Raw])) or "none"
    except msgspec.MsgspecError:
        return "(not a JSON object)"


def _worries(settings: config.Settings) -> list[str]:
    """What works, but may not be meant."""
    worries = []
    upstream = urlsplit(settings.assemblyai_url)
    key = settings.assemblyai_api_key.get_secret_value() if settings.assemblyai_api_key else ""
    if upstream.scheme == "ws" and key != SELF_HOSTED and not is_loopback(upstream.hostname or ""):
        worries.append(
            "TURNGATE_ASSEMBLYAI_URL: the key and the audio go over the network in the clear; use wss:// (for "
            f"AssemblyAI's self-hosted stack, set ASSEMBLYAI_API_KEY={SELF_HOSTED})"
        )
    if strange := Parameters(speech_model="", more=settings.assemblyai_parameters).unknown():
        worries.append(
            "TURNGATE_ASSEMBLYAI_PARAMETERS: AssemblyAI ignores parameters that it does not know: "
            f"{clean(', '.join(strange))}"
        )
    if settings.allow_unauthenticated and not settings.twilio_auth_token:
        worries.append(
            "TURNGATE_ALLOW_UNAUTHENTICATED: whoever reaches the media site may stream, and spend the key; set "
            "TWILIO_AUTH_TOKEN and TURNGATE_PUBLIC_URL for anything but development"
        )
    return worries


def _places(settings: config.Settings) -> tuple[list[str], list[str]]:
    """Faults and warnings of where the two sites are to listen."""
    faults, warnings = [], []
    for name in ("media", "admin"):
        host, port = getattr(settings, f"{name}_host"), getattr(settings, f"{name}_port")
        trouble = _trouble_listening(host, port)
        if trouble is None:
            continue
        if trouble.errno == errno.EADDRINUSE:
            where = config.variable(f"{name}_port")
            warnings.append(f"{where}: port {port} is in use; if that is not this gateway, `serve` could not listen")
        else:
            where = config.variable(f"{name}_port" if trouble.errno == errno.EACCES else f"{name}_host")
            faults.append(f"{where}: nothing can listen on {clean(host)}:{port}: {trouble.strerror}.")
    return faults, warnings


def _trouble_listening(host: str, port: int) -> OSError | None:
    try:
        for family, kind, protocol, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            with socket.socket(family, kind, protocol) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    # As servers do, so that `::` and `0.0.0.0` are two places.
                    probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                probe.bind(address)
    except OSError as error:
        return error
    return None


def settings_grid(table: list[Setting]) -> Table:
    """The settings for people."""
    grid = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
    grid.add_column("variable", no_wrap=True)
    grid.add_column("value", overflow="fold")
    grid.add_column("from", no_wrap=True)
    for setting in table:
        style = "bold" if setting.given else "dim"
        grid.add_row(setting.variable, clean(setting.value), "env" if setting.given else "default", style=style)
    return grid
