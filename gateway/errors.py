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
    """How a stream ended.

    Attributes:
        result: whose success or fault it is.
        reason: what it was; no two outcomes share one.
        close_code: of the carrier's socket (RFC 6455, section 7.4). None: it is gone already.
        meaning: what happened, in words.
    """

    STOPPED = (Result.COMPLETED, "stopped", 1000, "the carrier sent its stop")
    HANGUP = (Result.COMPLETED, "hangup", None, "the carrier closed or dropped the socket without a stop")
    LIMIT = (Result.COMPLETED, "limit", 1000, "a budget was spent: the stream's length, or its sessions' seconds")
    CONTROLLED = (Result.COMPLETED, "controlled", 1000, "somebody asked for its end by live control")
    DRAINED = (Result.COMPLETED, "drained", 1012, "the gateway was shut down")
    HANDSHAKE_TIMEOUT = (Result.CARRIER_ERROR, "handshake_timeout", 1008, "no start came in time")
    HANDSHAKE_INVALID = (Result.CARRIER_ERROR, "handshake_invalid", 1002, "it did not begin as the dialect says")
    PROTOCOL_ERROR = (
        Result.CARRIER_ERROR,
        "protocol_error",
        1002,
        "a second start, or a message that is not JSON, has wrong types, or base64 that is none",
    )
    UNSUPPORTED_DATA = (Result.CARRIER_ERROR, "unsupported_data", 1003, "a binary message where text belongs")
    TOO_BIG = (Result.CARRIER_ERROR, "too_big", 1009, "a message over 64 KiB")
    UNACCEPTABLE = (Result.CARRIER_ERROR, "unacceptable", 1008, "a call id or an encoding that is not taken")
    TOO_FAST = (Result.CARRIER_ERROR, "too_fast", 1008, "audio or messages came much faster than real time for seconds")
    TIMEOUT = (Result.CARRIER_ERROR, "timeout", 1001, "nothing came for a minute, not even a pong")
    UNAUTHORIZED = (Result.UPSTREAM_ERROR, "unauthorized", 1011, "AssemblyAI refused the credential or the account")
    INVALID_PARAMETER = (Result.UPSTREAM_ERROR, "invalid_parameter", 1011, "AssemblyAI refused a parameter")
    UNAVAILABLE = (Result.UPSTREAM_ERROR, "unavailable", 1011, "AssemblyAI was gone, and not to be had again in time")
    INTERNAL = (Result.GATEWAY_ERROR, "internal", 1011, "a fault of the gateway's own")
    GATEWAY_LOST = (Result.INDETERMINATE, "gateway_lost", None, "the gateway that held the stream vanished")

    def __init__(self, result: Result, reason: str, close_code: int | None, meaning: str) -> None:
        self.result = result
        self.reason = reason
        self.close_code = close_code
        self.meaning = meaning


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
