"""Who may open a session: checked after the 101, as the service does (live captures)."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.sandbox.emulator.choices import Refusal
from gateway.sandbox.emulator.knobs import Knobs
from gateway.sandbox.emulator.tokens import LONGEST_SESSION, Tokens

SELF_HOSTED = "self-hosted"
"""What clients of a self-hosted service send in place of a key."""

_PREFIX = "Unauthorized Connection: "
_LIMIT = "Too many concurrent sessions"


@dataclass(frozen=True, slots=True)
class Refused:
    """The session ends with this Error."""

    code: int
    text: str


@dataclass(frozen=True, slots=True)
class Admitted:
    """The session may last this long, as far as its credential says."""

    session_seconds: int


_TEXTS = {
    Refusal.INVALID_KEY: "Invalid API key",
    Refusal.MISSING_HEADER: "Missing Authorization header",
    Refusal.EXPIRED: "Signature has expired",
}


def refusal(reason: Refusal) -> Refused:
    """The service's words for a reason."""
    return Refused(1008, _PREFIX + _TEXTS[reason])


def over_limit(code: int) -> Refused:
    """The session-start limit, which is told as 1008 by some sources and as 3009 by others."""
    return Refused(code, _PREFIX + _LIMIT if code == 1008 else _LIMIT)


def check(
    authorization: str | None, token: str | None, *, knobs: Knobs, tokens: Tokens, now: float
) -> Admitted | Refused:
    """Judge a session's credential.

    Args:
        authorization: the header: a raw key, `self-hosted`, or a temporary token; None when absent.
        token: the query's `token`; used when there is no header.
        knobs: which keys are valid.
        tokens: the issued tokens.
        now: the time on the tokens' clock.
    """
    if not authorization and not token:
        return refusal(Refusal.MISSING_HEADER)
    known = tokens.find(authorization or token or "")
    if known is not None:
        if now >= known.expires or (known.used and knobs.token_single_use):
            return refusal(Refusal.EXPIRED)
        known.used = True
        return Admitted(known.session_seconds)
    if authorization and is_key(authorization, knobs):
        return Admitted(LONGEST_SESSION)
    return refusal(Refusal.INVALID_KEY)


def is_key(authorization: str, knobs: Knobs) -> bool:
    """Whether a header is a valid raw key; `Bearer …` is not."""
    if authorization.lower().startswith("bearer "):
        return False
    if authorization == SELF_HOSTED:
        return True
    return authorization in knobs.keys if knobs.keys else "invalid" not in authorization
