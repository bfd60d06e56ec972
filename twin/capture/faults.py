"""Turn observed failures into faults of a scenario.

Pods have other names in the simulation, so a fault of a pod selects one pod of the same Deployment. Repeated failures
of one pod are one fault, so that they affect one pod there too.
"""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import Any

from formats.durations import format_duration
from twin.capture.client import DEPLOYMENTS, Object
from twin.capture.history import History, Interval

_SLACK = 0.5
"""Seconds that a fault is active before the first and after the last failure."""


def faults(
    history: History, engines: Sequence[Object], lead: float, end: float, notes: list[str]
) -> Iterator[dict[str, Any]]:
    """Yield all faults for a scenario in which the capture begins at `lead` and lasts `end` seconds."""
    kinds = {item["metadata"]["name"]: item["kind"] for item in engines}

    def select_pod(pod: str) -> dict[str, Any] | None:
        workload = history.workloads.get(pod, "")
        if workload not in kinds:
            return None
        return {"names": [workload]} if kinds[workload] == "Pod" else {"of": workload, "count": 1}

    yield from _failing(history, select_pod, lead, notes)
    for pod, intervals in history.unready.items():
        own = [interval for interval in intervals if not history.node_was_down(pod, interval.start)]
        if own and (pods := select_pod(pod)) is not None:
            yield _flapping(pods, own, lead, end)
    for kind, events in (("engine-restart", history.restarts), ("pod-kill", _kills(history))):
        for t, pod in events:
            if not history.node_was_down(pod, t) and (pods := select_pod(pod)) is not None:
                yield {"kind": kind, "pods": pods, "at": at(lead + t)}
    for t, workload in history.rollouts:
        if kinds.get(workload) == "Deployment":
            yield {"kind": "rollout", "deployment": workload, "at": at(lead + t)}
    for node, intervals in history.nodes_down.items():
        for interval in intervals:
            until = {"until": at(lead + interval.until)} if interval.until is not None else {}
            yield {"kind": "node-down", "nodes": {"names": [node]}, "from": at(lead + interval.start), **until}


_CAUSES = (
    (re.compile("refused", re.I), {"kind": "connection-refused"}),
    (re.compile("timed? ?out|no answer", re.I), {"kind": "timeout"}),
    (re.compile(r"\b(401|403)\b"), {"kind": "unauthorized"}),
    (re.compile(r"reset|closed|disconnect", re.I), {"kind": "connection-reset"}),
)
_STATUS = re.compile(r"\b([45]\d\d)\b")


def _failing(history: History, select_pod: Any, lead: float, notes: list[str]) -> Iterator[dict[str, Any]]:
    """Yield a fault for each pod and cause, from the first failure to the last, with the observed probability."""
    groups: dict[tuple[str, str], list[float]] = defaultdict(list)
    kinds: dict[str, dict[str, Any]] = {}
    for failure in history.failures:
        fault = _fault_of(failure.cause)
        if fault is None:
            notes.append(f"ignored a failed load whose cause matches no kind of fault: {failure.cause[:100]}")
            continue
        kinds[str(fault)] = fault
        groups[failure.pod, str(fault)].append(failure.t)
    for (pod, name), times in groups.items():
        start, until = min(times) - _SLACK, max(times) + _SLACK
        attempts = sum(start <= t <= until for t in history.attempts[pod])
        probability = min(len(times) / max(attempts, 1), 1.0)
        if (pods := select_pod(pod)) is not None:
            share = {} if probability == 1 else {"probability": round(probability, 3)}
            period = {"from": at(lead + start), "until": at(lead + until)}
            yield {**kinds[name], "pods": pods, **share, **period}


def _fault_of(cause: str) -> dict[str, Any] | None:
    for pattern, fault in _CAUSES:
        if pattern.search(cause):
            return dict(fault)
    status = _STATUS.search(cause)
    return {"kind": "http-error", "status": int(status[1])} if status else None


def _flapping(pods: Mapping[str, Any], intervals: Sequence[Interval], lead: float, end: float) -> dict[str, Any]:
    """Return one fault for all unready periods of a pod, with their median length and distance."""
    ends = [interval.until if interval.until is not None else end for interval in intervals]
    down = median(until - interval.start for interval, until in zip(intervals, ends, strict=True))
    ups = [after.start - until for until, after in zip(ends, intervals[1:], strict=False)]
    up = median(ups) if ups else 1.0
    return {
        "kind": "readiness-flap",
        "pods": dict(pods),
        "from": at(lead + intervals[0].start),
        "until": at(lead + ends[-1]),
        "unready_for": at(max(down, 0.1)),
        "ready_for": at(max(up, 0.1)),
    }


def _kills(history: History) -> list[tuple[float, str]]:
    """Return the deletions of pods that neither a rollout nor a changed replica count explains."""
    rollouts = {workload: t for t, workload in reversed(history.rollouts)}
    scaled = Counter(name for _, kind, _, name, _ in history.edits if kind == DEPLOYMENTS.kind)
    return [
        (t, pod)
        for t, pod in history.kills
        if (workload := history.workloads.get(pod, "")) not in scaled and t < rollouts.get(workload, math.inf)
    ]


def at(seconds: float) -> str:
    """Return a time as a duration, to the millisecond."""
    return format_duration(round(seconds, 3))
