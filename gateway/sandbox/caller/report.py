"""What a call saw, as data and in words, with Twilio's error numbers (Twilio, "Errors and warnings")."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

_REFUSALS: Mapping[int, str] = {
    400: "the request is not one that it understands; is the path a media-stream path?",
    401: "it wants a credential: give one with --auth-token or --header",
    403: "the signature or the credential was refused: check the auth token, and --signed-url "
    "if the server checks its public URL",
    404: "there is nothing at this path: check it, and that the dialect is enabled",
    405: "the path exists but takes no WebSocket",
    426: "it wants another protocol: is this a WebSocket path?",
    429: "too many calls or streams",
    502: "a proxy in front cannot reach the server",
    503: "it takes no new calls: draining, full, or not ready",
    504: "a proxy in front got no answer from the server",
}


def refusal_in_words(status: int) -> str:
    """Why a server answers the upgrade with `status`, as far as the number tells."""
    if status in _REFUSALS:
        return _REFUSALS[status]
    if 200 <= status < 300:
        return "it answered as a web page, not as a WebSocket: check the path"
    if 300 <= status < 400:
        return "it redirects, which a carrier does not follow: call the final URL"
    return "a fault of the server's own" if status >= 500 else "the server does not want this request"


class ClosedBy(StrEnum):
    """Who ended the connection."""

    CALLER = "caller"
    SERVER = "server"


@dataclass(frozen=True, slots=True)
class Close:
    """How the connection ended. `code` is the code the server sent, None without a closing frame from it."""

    by: ClosedBy
    code: int | None = None
    reason: str = ""

    def __str__(self) -> str:
        how = f"with {self.code}" if self.code is not None else "without a closing frame"
        return f"closed by the {self.by} {how}" + (f" ({self.reason})" if self.reason else "")


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why there was no call. `status` is the HTTP status, None if the server was not reached."""

    status: int | None
    twilio_error: int
    message: str


@dataclass(frozen=True, slots=True)
class Sent:
    """Media sent on one track; a repeated message counts twice."""

    frames: int = 0
    audio_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Received:
    """Messages that the server sent, and the audio in them. `other` is what Twilio would not understand."""

    media: int = 0
    mark: int = 0
    clear: int = 0
    other: int = 0
    audio_bytes: int = 0
    pings: int = 0


@dataclass(frozen=True, slots=True)
class Violation:
    """A rule of Twilio's that the server broke: Twilio's error number, the first reason, how often."""

    code: int
    message: str
    count: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class CallReport:
    """What one call saw.

    Attributes:
        refusal: None if the server accepted the stream.
        finished: everything that was planned was sent, the ending too.
        interrupted: the caller was told to give it up.
        seconds: call time that passed from `start` to the ending.
        lateness_ms: how late the latest message was against its own schedule, in real milliseconds.
        close: None without a connection.
    """

    url: str
    call_sid: str
    stream_sid: str
    refusal: Refusal | None = None
    finished: bool = False
    interrupted: bool = False
    sent: Mapping[str, Sent]
    seconds: float = 0.0
    lateness_ms: float = 0.0
    received: Received = Received()
    violations: tuple[Violation, ...] = ()
    close: Close | None = None

    @property
    def connected(self) -> bool:
        """Whether the server accepted the stream."""
        return self.refusal is None

    @property
    def ok(self) -> bool:
        """Accepted, played to its end, and not ended by the server with an error at the end."""
        return self.finished and not self._cut_at_the_end

    @property
    def frames(self) -> int:
        """Media messages sent on all tracks."""
        return sum(sent.frames for sent in self.sent.values())

    @property
    def verdict(self) -> str:
        """How the call went, in one sentence."""
        if self.refusal is not None:
            what = "not reached" if self.refusal.status is None else "refused"
            return f"{what}: {self.refusal.message} (Twilio error {self.refusal.twilio_error})"
        if self.interrupted:
            return f"interrupted after {self.seconds:.1f} s"
        if self.close is None:
            return "still up"
        if self.ok:
            return f"completed, {self.close}"
        when = "at its end" if self.finished else f"after {self.seconds:.1f} s, before its end"
        return f"cut {when}: {self.close} (Twilio error 31921)"

    @property
    def _cut_at_the_end(self) -> bool:
        return self.close is not None and self.close.by is ClosedBy.SERVER and self.close.code not in {None, 1000, 1001}


@dataclass(frozen=True, slots=True)
class Summary:
    """The sum of many calls."""

    calls: int
    accepted: int
    ok: int
    frames: int
    seconds: float
    lateness_ms: float
    violations: int

    @classmethod
    def of(cls, reports: Sequence[CallReport]) -> "Summary":
        """Adds the reports up; the lateness is that of the latest."""
        return cls(
            calls=len(reports),
            accepted=sum(report.connected for report in reports),
            ok=sum(report.ok for report in reports),
            frames=sum(report.frames for report in reports),
            seconds=math.fsum(report.seconds for report in reports),
            lateness_ms=max((report.lateness_ms for report in reports), default=0.0),
            violations=sum(violation.count for report in reports for violation in report.violations),
        )
