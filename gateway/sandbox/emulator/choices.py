"""What some knobs choose between."""

from enum import StrEnum


class Refusal(StrEnum):
    """How the session is refused after the 101, whatever its credential says."""

    NONE = "none"
    INVALID_KEY = "invalid-key"
    MISSING_HEADER = "missing-header"
    EXPIRED = "expired"
    LIMIT = "limit"


class Formatting(StrEnum):
    """What `format_turns=true` does on a Universal-Streaming (US) model."""

    DOUBLE = "double"
    SINGLE = "single"
    ALL = "all-formatted"


class IdleForce(StrEnum):
    """What ForceEndpoint does when nothing is pending."""

    NOTHING = "nothing"
    EMPTY_FINAL = "empty-final"


class Ending(StrEnum):
    """How Terminate is answered."""

    NORMAL = "normal"
    SILENT = "silent"
    DROP = "drop"
    NO_TERMINATION = "no-termination"
    NO_CLOSE = "no-close"


class Fault(StrEnum):
    """What goes wrong in the middle of a session."""

    NONE = "none"
    ERROR = "error"
    CLOSE = "close"
    DROP = "drop"
    STALL = "stall"
    SLOW_READER = "slow-reader"
    HALF_OPEN = "half-open"


class Moment(StrEnum):
    """When the fault happens."""

    CONNECT = "connect"
    BEGIN = "begin"
    AUDIO = "audio"
