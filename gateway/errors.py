"""Who broke the rules, and how a stream ends.

`Outcome` is the one table that the carrier socket's close code, the labels of the metrics, the log line and the event
`stream.ended` all come from. A new way to end is a new row here and nowhere else.
"""

from enum import Enum, StrEnum


class Result(StrEnum):
    """Whose success or fault the end of a stream is."""

    COMPLETED = "completed"
    CARRIER_ERROR = "carrier_error"
    UPSTREAM_ERROR = "upstream_error"
    GATEWAY_ERROR = "gateway_error"
    INDETERMINATE = "indeterminate"


class Outcome(Enum):
    """How a stream ended: result, reason, and the close code for the carrier (None: its socket is gone already)."""

    STOPPED = (Result.COMPLETED, "stopped", 1000)
    HANGUP = (Result.COMPLETED, "hangup", None)
    LIMIT = (Result.COMPLETED, "limit", 1000)
    CONTROLLED = (Result.COMPLETED, "controlled", 1000)
    DRAINED = (Result.COMPLETED, "drained", 1012)
    HANDSHAKE_TIMEOUT = (Result.CARRIER_ERROR, "handshake_timeout", 1008)
    HANDSHAKE_INVALID = (Result.CARRIER_ERROR, "handshake_invalid", 1002)
    PROTOCOL_ERROR = (Result.CARRIER_ERROR, "protocol_error", 1002)
    UNSUPPORTED_DATA = (Result.CARRIER_ERROR, "unsupported_data", 1003)
    TOO_BIG = (Result.CARRIER_ERROR, "too_big", 1009)
    UNACCEPTABLE = (Result.CARRIER_ERROR, "unacceptable", 1008)
    TOO_FAST = (Result.CARRIER_ERROR, "too_fast", 1008)
    TIMEOUT = (Result.CARRIER_ERROR, "timeout", 1001)
    UNAUTHORIZED = (Result.UPSTREAM_ERROR, "unauthorized", 1011)
    INVALID_PARAMETER = (Result.UPSTREAM_ERROR, "invalid_parameter", 1011)
    UNAVAILABLE = (Result.UPSTREAM_ERROR, "unavailable", 1011)
    INTERNAL = (Result.GATEWAY_ERROR, "internal", 1011)
    GATEWAY_LOST = (Result.INDETERMINATE, "gateway_lost", None)

    def __init__(self, result: Result, reason: str, close_code: int | None) -> None:
        self.result = result
        self.reason = reason
        self.close_code = close_code


class CarrierError(Exception):
    """The carrier broke its protocol, or asked for what is not offered.

    Args:
        outcome: how the stream ends because of it.
        detail: a sentence that says what was wrong and what was expected. It never holds what was received, because
            it goes to logs and to the carrier.
    """

    def __init__(self, outcome: Outcome, detail: str) -> None:
        super().__init__(detail)
        self.outcome = outcome
        self.detail = detail


class ConfigError(Exception):
    """Settings that can't work. `faults` has a sentence for each, all of them at once."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults
