"""Every series that is exported. Labels come from closed sets; no series is named after a call, a number or an address.

Children are resolved once, and what happens fifty times a second and call is counted by the stream itself and handed
over in sums.
"""

from collections.abc import Iterable
from typing import get_args

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.core import CounterMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from gateway import __version__
from gateway.errors import Outcome, Result
from gateway.events import Cause
from gateway.logs import WRITER
from gateway.protocol import transcription, verdicts
from gateway.protocol.dialects import DIALECTS
from gateway.protocol.media_stream import Disorder

LIFETIMES = (1, 5, 15, 30, 60, 120, 180, 300, 600, 900, 1800, 3600, 5400, 7200, 10800, 14400, 28800, 43200, 86400)
"""Buckets for the lives of streams and sessions, in seconds, to 24 h."""

LATENCIES = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
CONNECTS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0)

REFUSALS = ("signature", "draining", "upgrade", "malformed")
TRACKS = ("inbound", "outbound")
DROPS = ("overflow", "refused", "unsent")

# A gauge beside every counter and histogram would tell when it was made, and double what is stored.
disable_created_metrics()  # type: ignore[no-untyped-call]


class _DroppedLines(Collector):
    """The process's log has its own count."""

    def collect(self) -> Iterable[Metric]:
        """See `Collector`."""
        yield CounterMetricFamily(
            "turngate_log_lines_dropped", "Log lines that found no room or no reader.", value=WRITER.dropped
        )


class Metrics:
    """The series of one gateway, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        Info("turngate_build", "What is running.", registry=registry).info({"version": __version__})

        self.streams_active = Gauge("turngate_streams_active", "Carrier streams alive now.", registry=registry)
        self.streams_started = Counter(
            "turngate_streams_started", "Carrier streams that sent a valid start.", ["dialect"], registry=registry
        )
        self.streams_ended = Counter(
            "turngate_streams_ended",
            "Carrier sockets that ended, by the result and reason of their outcome.",
            ["result", "reason"],
            registry=registry,
        )
        self.stream_duration = Histogram(
            "turngate_stream_duration_seconds",
            "From a carrier socket's upgrade to its outcome.",
            ["result"],
            buckets=LIFETIMES,
            registry=registry,
        )
        self.session_duration = Histogram(
            "turngate_session_duration_seconds",
            "From an AssemblyAI session's connection to its close: what is billed.",
            buckets=LIFETIMES,
            registry=registry,
        )
        self.sessions_active = Gauge("turngate_sessions_active", "AssemblyAI sessions open now.", registry=registry)
        self.sessions_ended = Counter(
            "turngate_sessions_ended", "AssemblyAI sessions that ended, by verdict.", ["reason"], registry=registry
        )
        self.connect_seconds = Histogram(
            "turngate_upstream_connect_seconds",
            "From the decision to open an AssemblyAI session to its Begin.",
            buckets=CONNECTS,
            registry=registry,
        )
        self.refused = Counter(
            "turngate_refused_upgrades", "Requests for a stream that were refused.", ["reason"], registry=registry
        )
        self.frames = Counter("turngate_media_frames", "Frames of audio received.", ["track"], registry=registry)
        self.bytes = Counter("turngate_media_bytes", "Bytes of audio received.", ["track"], registry=registry)
        self.disorder = Counter(
            "turngate_media_disorder", "What a carrier sent that was odd but harmless.", ["kind"], registry=registry
        )
        self.upstream_disorder = Counter(
            "turngate_upstream_disorder", "What AssemblyAI sent that was out of order.", ["kind"], registry=registry
        )
        self.turns = Counter("turngate_turns", "Turn events published.", ["final"], registry=registry)
        self.gaps = Counter("turngate_gaps", "Gaps declared.", ["cause"], registry=registry)
        self.lost_seconds = Counter(
            "turngate_gap_seconds", "Audio that lies in declared gaps.", ["cause"], registry=registry
        )
        self.published = Counter("turngate_events_published", "Events that Redis has confirmed.", registry=registry)
        self.dropped = Counter(
            "turngate_events_dropped",
            "Events that were given up: the outbox was full, Redis refused them, or time ran out at the end.",
            ["reason"],
            registry=registry,
        )
        self.outbox_faults = Counter(
            "turngate_outbox_faults", "Writes to Redis that failed through a fault of our own.", registry=registry
        )
        self.publish_seconds = Histogram(
            "turngate_publish_latency_seconds",
            "From an event's making to Redis's confirmation.",
            buckets=LATENCIES,
            registry=registry,
        )
        self.outbox_bytes = Gauge("turngate_outbox_bytes", "Bytes of events that wait for Redis.", registry=registry)
        registry.register(_DroppedLines())
        self.redis_up = Gauge("turngate_redis_up", "Whether the last write to Redis succeeded.", registry=registry)
        self._from_the_start()

    def _from_the_start(self) -> None:
        """Every combination of labels is there before its first event, so that rates and alerts see the first one."""
        known: list[tuple[Counter | Histogram, Iterable[tuple[str, ...]]]] = [
            (self.streams_ended, [(outcome.result, outcome.reason) for outcome in Outcome]),
            (self.stream_duration, [(result,) for result in Result]),
            (self.streams_started, zip(DIALECTS)),
            (self.refused, zip(REFUSALS)),
            (self.sessions_ended, [(verdict.reason,) for verdict in verdicts.ALL]),
            (self.frames, zip(TRACKS)),
            (self.bytes, zip(TRACKS)),
            (self.disorder, zip(Disorder)),
            (self.upstream_disorder, zip(transcription.DISORDERS)),
            (self.turns, zip(("true", "false"))),
            (self.gaps, zip(get_args(Cause))),
            (self.lost_seconds, zip(get_args(Cause))),
            (self.dropped, zip(DROPS)),
        ]
        for metric, combinations in known:
            for labels in combinations:
                metric.labels(*labels)
