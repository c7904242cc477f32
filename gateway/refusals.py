"""Who was turned away at the door: counted, and told in the log sparingly.

Strangers can make as many requests as they like, so a few lines a second tell of single ones, and then one how many
more there were. What a request held is never told: its path and its headers are where tokens and signatures are.
"""

import asyncio
import logging
from collections.abc import MutableMapping
from typing import Any

import structlog
from aiohttp.http_exceptions import HttpProcessingError

from gateway.metrics import Metrics

LINES = 3
"""Refusals that are told singly within `WINDOW`."""

WINDOW = 1.0
"""In seconds."""


class Refusals:
    """See the module's docstring."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._told = 0
        self._more = 0
        self._log = structlog.get_logger("gateway.refusals")

    def add(self, reason: str, status: int) -> None:
        """A request was answered with `status`. `reason` is one of `metrics.REFUSALS`."""
        self._metrics.refused.labels(reason).inc()
        if self._told >= LINES:
            self._more += 1
            return
        if not self._told:
            asyncio.get_running_loop().call_later(WINDOW, self._sum_up)
        self._told += 1
        self._log.warning("request refused", reason=reason, status=status)

    def _sum_up(self) -> None:
        if self._more:
            self._log.warning("more requests refused", count=self._more)
        self._told = self._more = 0


class HttpLog(logging.LoggerAdapter[logging.Logger]):
    """What aiohttp's server logs through: a request that is none is a refusal, and not shown, as aiohttp would."""

    def __init__(self, refusals: Refusals) -> None:
        super().__init__(logging.getLogger("aiohttp.server"))
        self._refusals = refusals

    def log(self, level: int, msg: object, *args: object, **kwargs: Any) -> None:
        """See `logging.LoggerAdapter`."""
        error = kwargs.get("exc_info")
        if isinstance(error, HttpProcessingError):
            self._refusals.add("malformed", error.code)
        else:
            super().log(level, msg, *args, **kwargs)

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """See `logging.LoggerAdapter`: nothing is added."""
        return msg, kwargs
