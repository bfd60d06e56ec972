"""Measures of what single adapters, tenants and GPUs got out of a run."""

import pytest

from tests.twin.synthetic import Writer
from twin.evaluate.availability import Availability
from twin.evaluate.gpu_use import GpuUse
from twin.evaluate.invariants import check
from twin.evaluate.measures import summarise
from twin.evaluate.traffic_measures import TrafficSummary
from twin.trace.lines import EventLine, PodLine, TrafficLine


def traffic(adapter: str, ok: int, requests: int, *first: float, good: int | None = None) -> TrafficLine:
    return TrafficLine(
        t=60, object=adapter, seconds=60, requests=requests, ok=ok, good=good, first_token_seconds=list(first)
    )


def test_fairness_is_jains_index_of_the_shares_of_requests_that_were_answered() -> None:
    measured = TrafficSummary()
    for line in (traffic("a/x", 40, 40), traffic("a/y", 20, 40), traffic("b/z", 10, 40), traffic("b/rare", 0, 2)):
        measured.see(line)
    adapters, a, b = (1 + 0.5 + 0.25) ** 2 / (3 * (1 + 0.25 + 0.0625)), 60 / 80, 10 / 42
    fairness = measured.summary()["fairness"]
    assert fairness["adapters"] == pytest.approx(adapters, abs=1e-6)
    assert fairness["namespaces"] == pytest.approx((a + b) ** 2 / (2 * (a * a + b * b)), abs=1e-6)


def test_with_an_objective_only_requests_that_meet_it_are_served() -> None:
    measured = TrafficSummary()
    for line in (traffic("a/x", 40, 40, good=40), traffic("a/y", 40, 40, good=0)):
        measured.see(line)
    assert measured.summary()["fairness"] == {"adapters": 0.5, "namespaces": None}


def test_the_worst_time_to_the_first_token_is_that_of_one_adapter_and_of_one_tenant() -> None:
    measured = TrafficSummary()
    for line in (
        traffic("a/slow", 20, 20, *[3.0] * 20),
        traffic("a/fast", 480, 480, *[0.1] * 480),
        traffic("b/middle", 40, 40, *[0.5] * 40),
        traffic("b/rare", 1, 1, 9.0),
    ):
        measured.see(line)
    assert measured.summary()["ttft_worst_seconds"] == {"adapter": 3.0, "namespace": 0.5}


def test_the_worst_availability_is_that_of_one_adapter_and_of_one_tenant() -> None:
    measured = Availability()
    measured.add("a/x", 300, available=True)
    measured.add("a/x", 100, available=False)
    measured.add("a/y", 400, available=True)
    measured.add("b/z", 1000, available=True)
    measured.add("b/brief", 10, available=False)
    assert measured.unavailable == 110
    assert measured.worst() == {"adapter": 0.75, "namespace": 0.875}
    assert Availability().worst() == {"adapter": None, "namespace": None}


def test_gpu_hours_begin_with_the_node_and_end_with_the_pod() -> None:
    use = GpuUse({"base": 2})
    pods = [
        PodLine(t=0, object="d/base-1", event="created", uid="1", workload="base"),
        PodLine(t=100, object="d/base-1", event="updated", uid="1", workload="base", node="n"),
        PodLine(t=200, object="d/base-1", event="updated", uid="1", workload="base", node="n"),
        PodLine(t=1900, object="d/base-1", event="deleted", uid="1", workload="base", node="n"),
        PodLine(t=1900, object="d/base-2", event="created", uid="2", workload="base", node="n"),
        PodLine(t=0, object="d/other", event="created", uid="3", node="n"),
    ]
    for line in pods:
        use.see(line)
    assert use.hours(3700) == 2 * (1800 + 1800) / 3600


def test_moves_are_counted_by_their_events_once_each() -> None:
    writer = Writer()
    moved, cancelled = "Moved from pod a to pod b", "No longer moving from pod a to pod b: pod b is not ready"
    for t, adapter, reason, note, count in (
        (10, "d/x", "Moved", moved, 1),
        (20, "d/x", "Moved", moved, 2),
        (30, "d/y", "Moved", moved, 1),
        (40, "d/y", "MoveCancelled", cancelled, 1),
        (50, "d/y", "Moving", moved, 1),
    ):
        writer.rest.append(EventLine(t=t, object=adapter, type="Normal", reason=reason, note=note, count=count))
    summary = summarise(writer.lines, check(writer.lines))
    assert summary["rebalancing"] == {"moved": 3, "cancelled": 1}
    assert summary["gpu_hours"] is None
