"""What the end of a session means: a verdict for each code and text.

The close that ends a session bears the same code as the Error message before it, and one code can have several
meanings, so the text of the Error decides (Universal-Streaming v3, "Common session errors and closures"). Where the
vendor's documents disagree with what was measured, the row says so.
"""

from dataclasses import dataclass
from enum import Enum

from gateway.errors import Outcome


class Retry(Enum):
    """Whether another session may help."""

    NO = "no"
    SOON = "soon"
    BACKOFF = "backoff"
    """The service asked for fewer or slower starts."""

    ON_DEMAND = "on_demand"
    """Nothing is wrong: another one opens with the next audio."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the end of a session means.

    `reason` is a label for metrics, `outcome` what it makes of the stream where nothing helps, and `advice` says in
    plain words what happened and what to do.
    """

    reason: str
    outcome: Outcome
    retry: Retry
    advice: str


DONE = Verdict("terminated", Outcome.STOPPED, Retry.ON_DEMAND, "The session ended as asked.")
UNANSWERED = Verdict(
    "no_termination", Outcome.UNAVAILABLE, Retry.ON_DEMAND, "AssemblyAI did not answer Terminate in time."
)
NO_BEGIN = Verdict("no_begin", Outcome.UNAVAILABLE, Retry.SOON, "AssemblyAI did not begin the session in time.")
UNREACHABLE = Verdict(
    "unreachable", Outcome.UNAVAILABLE, Retry.SOON, "AssemblyAI could not be reached: check the network and the host."
)
LOST = Verdict("lost", Outcome.UNAVAILABLE, Retry.SOON, "The connection to AssemblyAI was lost.")
DROPPED = Verdict("dropped", Outcome.INTERNAL, Retry.NO, "The gateway dropped the session: time had run out.")
FAULT = Verdict("internal", Outcome.INTERNAL, Retry.NO, "The gateway had an error of its own.")

_UNAUTHORIZED = Verdict(
    "unauthorized",
    Outcome.UNAUTHORIZED,
    Retry.NO,
    "AssemblyAI refused the API key: check ASSEMBLYAI_API_KEY, and that the key belongs to this host's region.",
)
_ACCOUNT = Verdict(
    "account",
    Outcome.UNAUTHORIZED,
    Retry.NO,
    "AssemblyAI refused the account: check its balance and plan in AssemblyAI's dashboard.",
)
_EXPIRED_TOKEN = Verdict(
    "unauthorized",
    Outcome.UNAUTHORIZED,
    Retry.NO,
    "The temporary token has expired: mint a new one, or use an API key.",
)
_LIMIT = Verdict(
    "limit",
    Outcome.UNAVAILABLE,
    Retry.BACKOFF,
    "AssemblyAI's limit of new sessions per minute is reached: start fewer, or have the limit raised.",
)
_PARAMETER = Verdict(
    "invalid_parameter",
    Outcome.INVALID_PARAMETER,
    Retry.NO,
    "AssemblyAI refused a parameter or a message: correct the setting that it names.",
)
_INACTIVE = Verdict("inactive", Outcome.UNAVAILABLE, Retry.ON_DEMAND, "AssemblyAI closed a session that was silent.")
_RATE = Verdict("rate", Outcome.UNAVAILABLE, Retry.BACKOFF, "AssemblyAI took the audio to come faster than real time.")
_DURATION = Verdict(
    "chunk_duration",
    Outcome.INTERNAL,
    Retry.NO,
    "AssemblyAI refused the duration of a message: this is a fault of the gateway, please report it.",
)
_EXPIRED = Verdict("expired", Outcome.UNAVAILABLE, Retry.SOON, "The session reached AssemblyAI's limit of its length.")
_SERVER = Verdict("server", Outcome.UNAVAILABLE, Retry.SOON, "AssemblyAI had an error of its own.")
_CLOSED = Verdict("closed", Outcome.UNAVAILABLE, Retry.SOON, "AssemblyAI closed the session without Termination.")
_WRONG_URL = Verdict(
    "wrong_url",
    Outcome.INVALID_PARAMETER,
    Retry.NO,
    "The host does not speak v3 at this path: check TURNGATE_ASSEMBLYAI_URL.",
)
_UNKNOWN = Verdict("unknown", Outcome.UNAVAILABLE, Retry.SOON, "AssemblyAI ended the session for a reason that is new.")

VERDICTS: tuple[tuple[int | None, str, Verdict], ...] = (
    # Two meanings share 1008, and the newer documents give the limit 3009: both are read.
    (1008, "too many concurrent sessions", _LIMIT),
    (1008, "signature has expired", _EXPIRED_TOKEN),
    (1008, "", _UNAUTHORIZED),
    (3009, "", _LIMIT),
    (4029, "", _RATE),
    (4102, "", _LIMIT),
    (429, "", _LIMIT),
    (3006, "inactivity", _INACTIVE),
    (3006, "", _PARAMETER),
    (4031, "", _INACTIVE),
    (3007, "transmission rate", _RATE),
    (3007, "", _DURATION),
    (3008, "", _EXPIRED),
    (4008, "", _EXPIRED),
    (3005, "", _SERVER),
    (1011, "", _SERVER),
    (1013, "", _SERVER),
    (500, "", _SERVER),
    (502, "", _SERVER),
    (503, "", _SERVER),
    (504, "", _SERVER),
    (4001, "", _UNAUTHORIZED),
    (401, "", _UNAUTHORIZED),
    (403, "", _UNAUTHORIZED),
    (4002, "", _ACCOUNT),
    (4003, "", _ACCOUNT),
    (402, "", _ACCOUNT),
    (400, "", _PARAMETER),
    (4000, "", _PARAMETER),
    (4101, "", _PARAMETER),
    (404, "", _WRONG_URL),
    (410, "", _WRONG_URL),
    # Something between us and the service wants to know who we are, or took too long, or asks to come again.
    (407, "", UNREACHABLE),
    (408, "", _SERVER),
    (425, "", _SERVER),
    (1000, "", _CLOSED),
    (1001, "", _CLOSED),
    (None, "", LOST),
    (1006, "", LOST),
)
"""Code, a part of the text (lower case), verdict; the first row that fits counts.

Codes under 1000 are HTTP statuses at the handshake. The 4xxx are of the older protocol: the vendor's clients still list
them, no capture of v3 has them. None: the connection broke without a close.
"""

ALL: tuple[Verdict, ...] = tuple(
    dict.fromkeys(
        (DONE, UNANSWERED, NO_BEGIN, UNREACHABLE, LOST, DROPPED, FAULT, _UNKNOWN, *(row[2] for row in VERDICTS))
    )
)
"""Every verdict that there is; those that no code tells are the session's own."""


def judge(code: int | None, text: str) -> Verdict:
    """The verdict on a session that ended with `code` and `text`. What no row names may be tried again, in bounds."""
    lowered = text.lower()
    for row_code, part, verdict in VERDICTS:
        if row_code == code and part in lowered:
            return verdict
    return _UNKNOWN
