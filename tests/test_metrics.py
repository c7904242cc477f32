"""Metrics: closed sets of labels, all there from the start, and names as Prometheus wants them."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import Counter, Histogram, generate_latest
from prometheus_client.metrics import MetricWrapperBase

import gateway
from gateway.errors import Outcome
from gateway.metrics import Metrics

SOURCES = [
    path
    for path in Path(gateway.__file__).parent.rglob("*.py")
    if "sandbox" not in path.relative_to(path.parents[2]).parts
]


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


def families(metrics: Metrics) -> Iterator[tuple[str, MetricWrapperBase]]:
    for name, value in vars(metrics).items():
        if isinstance(value, MetricWrapperBase):
            yield name, value


def series(metrics: Metrics) -> list[str]:
    lines = generate_latest(metrics.registry).decode().splitlines()
    return [line.rpartition(" ")[0] for line in lines if not line.startswith("#")]


def literals(called: str) -> set[str]:
    """The first argument of every call of something named so in the package, where it is a text."""
    found = set()
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and node.args and ast.unparse(node.func).endswith(called):
                first = node.args[0]
                if isinstance(first, ast.Constant) and isinstance(first.value, str):
                    found.add(first.value)
    return found


def test_names_are_as_prometheus_wants_them(metrics: Metrics) -> None:
    for family in metrics.registry.collect():
        if family.name.startswith("process_"):
            continue
        assert re.fullmatch(r"turngate_[a-z]+(_[a-z]+)*", family.name)
        assert family.documentation.endswith(".")
        samples = {sample.name for sample in family.samples}
        if family.type == "counter":
            assert samples == {family.name + "_total"}
        elif family.type == "histogram":
            assert family.name.endswith("_seconds"), "base units"
            assert samples == {family.name + end for end in ("_bucket", "_count", "_sum")}
        for sample in family.samples:
            assert set(sample.labels) <= {
                *("result", "reason", "dialect", "track", "kind", "final", "cause", "le", "version")
            }


def test_every_labelled_family_has_its_children_from_the_start(metrics: Metrics) -> None:
    for name, family in families(metrics):
        if family._labelnames:
            assert family._metrics, f"{name} is empty until something happens"


def test_outcomes_are_there_from_the_start(metrics: Metrics) -> None:
    for outcome in Outcome:
        labels = {"result": str(outcome.result), "reason": outcome.reason}
        assert metrics.registry.get_sample_value("turngate_streams_ended_total", labels) == 0


def test_every_label_that_is_used_is_known_from_the_start(metrics: Metrics) -> None:
    before = series(metrics)
    for reason in literals("_refuse"):
        metrics.refused.labels(reason)
    for reason in literals("dropped.labels"):
        metrics.dropped.labels(reason)
    assert series(metrics) == before
    assert literals("disorder.labels") == set(), "kinds of disorder are members of closed sets"


def test_no_series_tells_when_it_was_made(metrics: Metrics) -> None:
    assert not [name for name in series(metrics) if "_created" in name]


def test_there_are_few_series(metrics: Metrics) -> None:
    assert len(series(metrics)) < 400


def test_counters_and_histograms_start_at_zero(metrics: Metrics) -> None:
    for _, family in families(metrics):
        if isinstance(family, Counter | Histogram):
            assert all(sample.value == 0 for metric in family.collect() for sample in metric.samples)


def test_two_gateways_do_not_share_their_figures() -> None:
    one, two = Metrics(), Metrics()
    one.published.inc()
    assert two.registry.get_sample_value("turngate_events_published_total") == 0


def test_the_process_and_the_build_are_told(metrics: Metrics) -> None:
    value = metrics.registry.get_sample_value
    assert value("turngate_build_info", {"version": gateway.__version__}) == 1
    assert (value("process_resident_memory_bytes") or 0) > 0
