"""One write to Redis: the client, the script, and what an answer means."""

import re
import socket
from typing import Any
from urllib.parse import urlsplit

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    BusyLoadingError,
    ClusterDownError,
    MasterDownError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
    TryAgainError,
)
from redis.exceptions import (
    ConnectionError as RedisConnectionError,
)
from redis.exceptions import (
    TimeoutError as RedisTimeoutError,
)

WRITE = """
local key = KEYS[1]
if ARGV[5] ~= '0' then
  local recent = redis.call('XREVRANGE', key, '+', '-', 'COUNT', ARGV[5])
  for _, entry in ipairs(recent) do
    if entry[2][2] == ARGV[1] then return 0 end
  end
end
redis.call('XADD', key, 'MAXLEN', '~', ARGV[3], '*', 'id', ARGV[1], 'event', ARGV[2])
redis.call('EXPIRE', key, ARGV[4])
redis.call('PUBLISH', key, ARGV[2])
return 1
"""
"""Keys: the call's. Arguments: the event's id, the event, the greatest length of the history, its life in seconds, and
how many of the history's last entries are looked through for the id: none, unless this may be a repeat.
"""

TRANSIENT = (
    BusyLoadingError,
    ClusterDownError,
    MasterDownError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisConnectionError,
    RedisTimeoutError,
    TryAgainError,
)
TRANSIENT_PREFIXES = ("BUSY ", "MISCONF ", "NOREPLICAS ")
"""What passes: the write is tried again until it succeeds. Any other answer is about the event, which is given up."""

TIMEOUT = 2.0
"""Seconds that Redis may take to be connected to, and to answer."""

GIVE_UP_MS = 1500
"""Milliseconds after which the kernel drops what Redis has not acknowledged.

It is shorter than the timeout, so a write that was given up can't arrive behind its own repeat, unlooked for.
"""


def redis_client(url: str) -> Redis:
    """A client that writes: short time-outs, and no repeats of its own, because ours know what may be repeated.

    Raises:
        ValueError: the URL can't be read.
    """
    options: dict[str, Any] = {}
    if not url.startswith("unix:"):
        options["socket_keepalive_options"] = _keepalive()
    return Redis.from_url(
        url, socket_timeout=TIMEOUT, socket_connect_timeout=TIMEOUT, retry=Retry(NoBackoff(), 0), **options
    )


def _keepalive() -> dict[int, int]:
    """Options of the socket, of those that the platform has."""
    wanted = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": GIVE_UP_MS}
    return {getattr(socket, name): value for name, value in wanted.items() if hasattr(socket, name)}


def is_redis_url(url: str) -> bool:
    """Whether `redis_client` reads in `url` what stands there."""
    try:
        redis_client(url)
    except ValueError:
        return False
    parts = urlsplit(url)
    # The client would take what it can't read for its default: localhost, or database 0.
    return parts.scheme == "unix" or bool(parts.hostname and re.fullmatch(r"/?|/\d+", parts.path))


def is_transient(answer: object) -> bool:
    """Whether an answer is an error that passes."""
    return isinstance(answer, TRANSIENT) or (
        isinstance(answer, ResponseError) and str(answer).startswith(TRANSIENT_PREFIXES)
    )
