"""Temporary tokens: `GET /v3/token` and what they open.

Shapes as captured live: 200 with a long opaque token, 422 with a FastAPI body for anything missing or out of range.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

LONGEST_SESSION = 10_800
KEPT = 10_000
"""Tokens remembered; beyond it the oldest is forgotten and reads as invalid."""


@dataclass(slots=True)
class Token:
    """One issued token: until when it opens sessions (clock of the caller) and for how many seconds each."""

    expires: float
    session_seconds: int
    used: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer: status and JSON body."""

    status: int
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Range:
    name: str
    least: int
    most: int
    default: int | None


_EXPIRES = _Range("expires_in_seconds", 1, 600, None)
_SESSION = _Range("max_session_duration_seconds", 60, LONGEST_SESSION, LONGEST_SESSION)


class Tokens:
    """Issues tokens and knows the issued ones."""

    def __init__(self) -> None:
        self._issued: dict[str, Token] = {}

    def mint(self, now: float, *, credential: str | None, query: Mapping[str, str]) -> Answer:
        """Answer a token request.

        Args:
            now: the time, in seconds.
            credential: the Authorization header, raw or Bearer; None when there is none.
            query: the request's parameters.
        """
        details = [] if credential else [_detail("missing", "header", "authorization", "Field required", None)]
        values: list[int] = []
        for allowed in (_EXPIRES, _SESSION):
            value = _read(allowed, query.get(allowed.name))
            if isinstance(value, int):
                values.append(value)
            else:
                details.append(value)
        if details:
            return Answer(422, {"detail": details})
        expires_in, session_seconds = values
        token = secrets.token_urlsafe(1900)
        while len(self._issued) >= KEPT:
            del self._issued[next(iter(self._issued))]
        self._issued[token] = Token(now + expires_in, session_seconds)
        return Answer(200, {"token": token, "expires_in_seconds": expires_in})

    def find(self, token: str) -> Token | None:
        """The token, expired or not; None when it was never issued."""
        return self._issued.get(token)


def refused(status: int) -> Answer:
    """An answer in the documented form of a refusal."""
    names = {401: "Unauthorized", 429: "Too Many Requests"}
    return Answer(status, {"error": names.get(status, "Error"), "code": status, "details": "Set by a knob."})


def _read(allowed: _Range, text: str | None) -> int | dict[str, Any]:
    if text is None:
        missing = _detail("missing", "query", allowed.name, "Field required", None)
        return missing if allowed.default is None else allowed.default
    if not text.removeprefix("-").isascii() or not text.removeprefix("-").isdigit():
        message = "Input should be a valid integer, unable to parse string as an integer"
        return _detail("int_parsing", "query", allowed.name, message, text)
    value = int(text) if len(text) < 12 else allowed.most + 1
    if value < allowed.least:
        message = f"Input should be greater than or equal to {allowed.least}"
        return _detail("greater_than_equal", "query", allowed.name, message, text) | {"ctx": {"ge": allowed.least}}
    if value > allowed.most:
        message = f"Input should be less than or equal to {allowed.most}"
        return _detail("less_than_equal", "query", allowed.name, message, text) | {"ctx": {"le": allowed.most}}
    return value


def _detail(kind: str, where: str, name: str, message: str, value: str | None) -> dict[str, Any]:
    return {"type": kind, "loc": [where, name], "msg": message, "input": value}
