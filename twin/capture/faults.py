"""What broke while somebody looked, as faults of a scenario.

Pods have other names there, so a fault of a pod hits one of the same Deployment; what one pod went through several
times is one fault, so that it is one pod again.
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
"""Seconds around failures in which a fault is in force."""


def faults(
    found: History, engines: Sequence[Object], lead: float, end: float, notes: list[str]
) -> Iterator[dict[str, Any]]:
    """All of them, for a scenario in which the look begins at `lead` and ends so many seconds later."""
    kinds = {item["metadata"]["name"]: item["kind"] for item in engines}

    def one_of(pod: str) -> dict[str, Any] | None:
        workload = found.workloads.get(pod, "")
        if workload not in kinds:
            return None
        return {"names": [workload]} if kinds[workload] == "Pod" else {"of": workload, "count": 1}

    yield from _failing(found, one_of, lead, notes)
    for pod, spells in found.unready.items():
        own = [spell for spell in spells if not found.node_was_down(pod, spell.start)]
        if own and (pods := one_of(pod)) is not None:
            yield _flapping(pods, own, lead, end)
    for kind, moments in (("engine-restart", found.restarts), ("pod-kill", _kills(found))):
        for t, pod in moments:
            if not found.node_was_down(pod, t) and (pods := one_of(pod)) is not None:
                yield {"kind": kind, "pods": pods, "at": at(lead + t)}
    for t, workload in found.rollouts:
        if kinds.get(workload) == "Deployment":
            yield {"kind": "rollout", "deployment": workload, "at": at(lead + t)}
    for node, spells in found.nodes_down.items():
        for spell in spells:
            until = {"until": at(lead + spell.until)} if spell.until is not None else {}
            yield {"kind": "node-down", "nodes": {"names": [node]}, "from": at(lead + spell.start), **until}


_CAUSES = (
    (re.compile("refused", re.I), {"kind": "connection-refused"}),
    (re.compile("timed? ?out|no answer", re.I), {"kind": "timeout"}),
    (re.compile(r"\b(401|403)\b"), {"kind": "unauthorized"}),
    (re.compile(r"reset|closed|disconnect", re.I), {"kind": "connection-reset"}),
)
_STATUS = re.compile(r"\b([45]\d\d)\b")


def _failing(found: History, one_of: Any, lead: float, notes: list[str]) -> Iterator[dict[str, Any]]:
    """A fault for each pod and cause, from the first failure to the last, as likely as it was then."""
    groups: dict[tuple[str, str], list[float]] = defaultdict(list)
    what: dict[str, dict[str, Any]] = {}
    for failure in found.failures:
        fault = _fault_of(failure.cause)
        if fault is None:
            notes.append(f"a load failed for a reason that no fault stands for, and is left out: {failure.cause[:100]}")
            continue
        what[str(fault)] = fault
        groups[failure.pod, str(fault)].append(failure.t)
    for (pod, name), times in groups.items():
        start, until = min(times) - _SLACK, max(times) + _SLACK
        tried = sum(start <= t <= until for t in found.attempts[pod])
        chance = min(len(times) / max(tried, 1), 1.0)
        if (pods := one_of(pod)) is not None:
            share = {} if chance == 1 else {"probability": round(chance, 3)}
            spell = {"from": at(lead + start), "until": at(lead + until)}
            yield {**what[name], "pods": pods, **share, **spell}


def _fault_of(cause: str) -> dict[str, Any] | None:
    for pattern, fault in _CAUSES:
        if pattern.search(cause):
            return dict(fault)
    status = _STATUS.search(cause)
    return {"kind": "http-error", "status": int(status[1])} if status else None


def _flapping(pods: Mapping[str, Any], spells: Sequence[Interval], lead: float, end: float) -> dict[str, Any]:
    """One fault for all of a pod's spells: as long down and up as they were by the median."""
    ends = [spell.until if spell.until is not None else end for spell in spells]
    down = median(until - spell.start for spell, until in zip(spells, ends, strict=True))
    ups = [after.start - until for until, after in zip(ends, spells[1:], strict=False)]
    up = median(ups) if ups else 1.0
    return {
        "kind": "readiness-flap",
        "pods": dict(pods),
        "from": at(lead + spells[0].start),
        "until": at(lead + ends[-1]),
        "unready_for": at(max(down, 0.1)),
        "ready_for": at(max(up, 0.1)),
    }


def _kills(found: History) -> list[tuple[float, str]]:
    """Deletions that neither a rollout nor a smaller number of replicas explains."""
    begun = {workload: t for t, workload in reversed(found.rollouts)}
    scaled = Counter(name for _, kind, _, name, _ in found.edits if kind == DEPLOYMENTS.kind)
    return [
        (t, pod)
        for t, pod in found.kills
        if (workload := found.workloads.get(pod, "")) not in scaled and t < begun.get(workload, math.inf)
    ]


def at(seconds: float) -> str:
    """A moment, to the millisecond."""
    return format_duration(round(seconds, 3))
