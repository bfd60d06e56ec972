"""Each invariant declares the lines that concern it, so that it need not be called with the others."""

import pickle
from collections.abc import Iterator

import pytest

from tests.twin.synthetic import a_run
from twin.evaluate.invariants import check
from twin.evaluate.invariants.base import EVERY_LINE, Invariant
from twin.evaluate.invariants.safety import SAFETY
from twin.evaluate.invariants.state import ClusterState
from twin.trace.lines import (
    AdapterLine,
    AnswerLine,
    ApiLine,
    ControllerLine,
    Counts,
    EngineLine,
    EventLine,
    FaultLine,
    HeldLine,
    IdleLine,
    LeakLine,
    LeaseLine,
    Line,
    LogLine,
    PodLine,
    RefusedLine,
    RequestLine,
    Run,
    SecretLine,
    SliceLine,
    TrafficLine,
)

RUN = Run(
    t=0.0, name="x", seed=0, version="1", duration=600.0, epoch="2026-01-01T00:00:00Z", policy="least-adapters",
    replicas=2, stable_for=5.0, retry_waits=[5.0], pod_cooldown=300.0, audit_interval=60.0, notice=1.0,
    max_requests_per_pod=2, load_timeout=30.0, pod_start=60.0,
)  # fmt: skip
A, P = "default/a", "default/p"
LINES: tuple[Line, ...] = (
    ControllerLine(t=1.0, by="c-0", event="leading"),
    LeaseLine(t=1.0, by="c-0", until=16.0),
    PodLine(t=2.0, object=P, event="created", uid="p", ip="10.0.0.1", ready=True, engine="e", port=8000),
    EngineLine(t=2.0, object=P, engine="e", event="started"),
    ApiLine(t=2.5, object=A, by="c-0", verb="patch", resource="modeladapters", code=200),
    AdapterLine(t=3.0, object=A, event="created", uid="a", generation=1, artifact="s3://b/a", wanted=1),
    SecretLine(t=4.0, object="default/key", event="updated", version="9"),
    RequestLine(t=5.0, object=P, id=1, event="sent", by="c-0", verb="load", adapter="a", engine="e", root="s3://b/a"),
    EngineLine(t=6.0, object=P, engine="e", event="loaded", adapter="a", root="s3://b/a"),
    SliceLine(t=7.0, object="default/a-ipv4", event="created", adapter=A, pods=["p"], addresses=["10.0.0.1"]),
    ApiLine(t=7.0, object=A, by="c-0", verb="patch", resource="modeladapters", code=409, reason="Conflict"),
    RefusedLine(t=7.5, object=A, verb="create", resource="modeladapters", code=403, reason="Forbidden"),
    EventLine(t=8.0, object=A, type="Normal", reason="UnloadAbandoned", note="on pod p: gone", count=1),
    AnswerLine(t=9.0, object=A, pod=P, engine="e", sent=8.0, weights="s3://b/a"),
    TrafficLine(t=10.0, object=A, seconds=1.0, requests=1),
    HeldLine(t=10.1, object=A, id=2, event="held"),
    IdleLine(t=10.2, object=A, idle_seconds=60.0, last_started=8.0, last_ended=9.0),
    LogLine(t=11.0, by="c-0", level="error", text="x"),
    LeakLine(t=12.0, object=A, where="LogLine"),
    FaultLine(t=13.0, id=0, fault="node-down", event="begin", targets=[P]),
    Counts(t=60.0, seconds=60.0, counts={"reconciles.total": 10_000}),
)


def test_the_lines_of_this_test_are_of_all_kinds() -> None:
    assert {type(line) for line in LINES} == EVERY_LINE - {Run}


@pytest.mark.parametrize("rule", SAFETY)
def test_a_line_of_another_kind_changes_nothing_in_an_invariant(rule: type[Invariant]) -> None:
    for checked, before, after in _steps(rule):
        assert checked or before == after


def test_a_trace_is_judged_as_if_each_invariant_saw_all_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    trace = [RUN, *LINES, *(line for line in a_run(20, 4, 300.0) if not isinstance(line, Run) and line.t > 60.0)]
    report = check(trace)
    for rule in SAFETY:
        monkeypatch.setattr(rule, "kinds", EVERY_LINE)
    assert report.violations
    assert check(trace) == report


def _steps(rule: type[Invariant]) -> Iterator[tuple[bool, bytes, bytes]]:
    """Call an invariant with all lines; yield whether it declares the line, and its own state before and after."""
    state = ClusterState(RUN)
    invariant = rule(state)  # type: ignore[call-arg]
    for index, line in enumerate(LINES, start=1):
        state.see(line, index)
        before = pickle.dumps(invariant)
        invariant.see(line)
        yield type(line) in rule.kinds, before, pickle.dumps(invariant)
