"""Derive events from the observed changes of objects: loads, failures, pods and nodes that appeared and disappeared.

A load is the time between its announcement (the placement that the operator writes before the request) and the pod's
name in `status.instances`. A failed attempt shows in the retry count of the next one, its cause in the condition
`Loaded`. All of this is visible with `kubectl get -w`; no request is sent to an engine.
"""

import itertools
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from twin.capture import accessors
from twin.capture.client import ADAPTERS, DEPLOYMENTS, NODES, PODS, Object
from twin.capture.watcher import Change, Observation

RUNNING = "Running"
_NODE_RECOVERY = 60.0
"""Seconds after a node becomes ready again in which changes of its pods are attributed to it."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A failed load."""

    t: float
    pod: str
    cause: str


@dataclass(frozen=True, slots=True)
class Interval:
    """A period of time; until the end of the capture if `until` is None."""

    start: float
    until: float | None = None


@dataclass(slots=True)
class History:
    """Events of a capture. Pods and adapters are `namespace/name`; times are seconds since the start of the capture."""

    loads: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    """Durations of successful loads, by workload."""
    unloads: int = 0
    attempts: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    """Times at which loads were announced, by pod."""
    failures: list[Failure] = field(default_factory=list)
    startups: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    """Time from the start of the engine's container until its probe succeeded, by workload."""
    pod_starts: list[float] = field(default_factory=list)
    """Time from the creation of a pod until its engine's container ran."""
    unready: dict[str, list[Interval]] = field(default_factory=lambda: defaultdict(list))
    """Periods in which a pod was not ready although its engine kept running, by pod."""
    restarts: list[tuple[float, str]] = field(default_factory=list)
    """Restarts of engine containers: time and pod."""
    kills: list[tuple[float, str]] = field(default_factory=list)
    """Deletions of pods that belong to a workload: time and pod."""
    rollouts: list[tuple[float, str]] = field(default_factory=list)
    """Time and name of the Deployment."""
    nodes_down: dict[str, list[Interval]] = field(default_factory=lambda: defaultdict(list))
    arrivals: dict[str, tuple[float, Object]] = field(default_factory=dict)
    departures: dict[str, float] = field(default_factory=dict)
    edits: list[tuple[float, str, str, str, Object]] = field(default_factory=list)
    """Time, kind, namespace, name, merge patch."""
    phases: dict[str, list[tuple[float, str]]] = field(default_factory=lambda: defaultdict(list))
    """Start of each phase, by adapter, for adapters created during the capture."""
    workloads: dict[str, str] = field(default_factory=dict)
    """Workload by pod."""
    nodes: dict[str, str] = field(default_factory=dict)
    """Node by pod."""

    def node_was_down(self, pod: str, t: float) -> bool:
        """Return True if the node of a pod was down, or had just recovered, at that time."""
        return any(
            interval.start - 1 <= t and (interval.until is None or t <= interval.until + _NODE_RECOVERY)
            for interval in self.nodes_down.get(self.nodes.get(pod, ""), ())
        )


def build_history(observation: Observation) -> History:
    """Return the events of an observation."""
    builder = _HistoryBuilder(observation)
    for change in observation.changes:
        builder.add(change)
    return builder.history


class _HistoryBuilder:
    def __init__(self, observation: Observation) -> None:
        self.history = History()
        self._objects: dict[tuple[str, str], Object] = {}
        self._causes: dict[tuple[str, str], str] = {}
        """By adapter and pod name: cause of the last failed load; the next attempt removes it from the object."""
        self._announced: dict[tuple[str, str], float] = {}
        """By adapter and pod name: time at which the current attempt was announced."""
        self._templates: dict[str, str] = {}
        """Hash of the newest pod template of each Deployment, by namespace and name."""
        for kind, items in observation.first.items():
            for item in items:
                self._objects[kind, accessors.object_key(item)] = item
                if kind == PODS.kind:
                    self._started(item)
        handlers: Mapping[str, Any] = {
            ADAPTERS.kind: self._adapter,
            PODS.kind: self._pod,
            DEPLOYMENTS.kind: self._deployment,
            NODES.kind: self._node,
        }
        self._handlers = handlers

    def add(self, change: Change) -> None:
        key = (change.kind, accessors.object_key(change.object))
        before = self._objects.get(key)
        if change.type == "DELETED":
            self._objects.pop(key, None)
        else:
            self._objects[key] = change.object
        if change.kind in self._handlers:
            self._handlers[change.kind](change, before)

    # -- adapters

    def _adapter(self, change: Change, before: Object | None) -> None:
        name, item, history = accessors.object_key(change.object), change.object, self.history
        if change.type == "DELETED" or item["metadata"].get("deletionTimestamp"):
            history.departures.setdefault(name, change.t)
            return
        if before is None:
            history.arrivals[name] = (change.t, item)
            history.departures.pop(name, None)
        elif before.get("spec") != item.get("spec"):
            self._edited(change, {"spec": merge_patch(before.get("spec") or {}, item.get("spec") or {})})
        if name in history.arrivals:
            phase = (item.get("status") or {}).get("phase", "")
            phases = history.phases[name]
            if not phases or phases[-1][1] != phase:
                phases.append((change.t, phase))
        self._loads(change, before)

    def _loads(self, change: Change, before: Object | None) -> None:
        name, item = accessors.object_key(change.object), change.object
        previous, current = accessors.persisted_state(before), accessors.persisted_state(item)
        old_instances, instances = accessors.instances(before), accessors.instances(item)
        self._causes.update(
            {(name, pod): cause for pod in current.placements if (cause := accessors.load_failure_cause(item, pod))}
        )
        for pod in current.placements:
            old, new = previous.attempt(pod), current.attempt(pod)
            if new is not None and old != new:
                self._attempted(change.t, item, pod, new.retries)
        for pod in instances - old_instances:
            start = self._announced.pop((name, pod), None)
            if start is not None:
                self.history.loads[self._workload(item, pod)].append(change.t - start)
        self.history.unloads += len(old_instances - instances)

    def _attempted(self, t: float, adapter: Object, pod: str, retries: int) -> None:
        """Record an attempt. A retry means that the previous attempt, announced at that time, failed."""
        full_name, key = f"{adapter['metadata']['namespace']}/{pod}", (accessors.object_key(adapter), pod)
        self.history.attempts[full_name].append(t)
        if retries > 0:
            self.history.failures.append(Failure(self._announced.get(key, t), full_name, self._causes.get(key, "")))
        self._announced[key] = t

    def _workload(self, adapter: Object, pod: str) -> str:
        return self.history.workloads.get(f"{adapter['metadata']['namespace']}/{pod}", "")

    # -- pods

    def _started(self, pod: Object) -> None:
        """Record the start of a pod that is ready, from the timestamps on the object (in whole seconds)."""
        self._placed(pod)
        engine = accessors.engine_status(pod)
        ready = accessors.ready_since(pod)
        if engine is None or ready is None or engine.get("restartCount"):
            return
        started = accessors.parse_time((engine.get("state") or {}).get("running", {}).get("startedAt"))
        created = accessors.parse_time(pod["metadata"].get("creationTimestamp"))
        if started and ready >= started:
            seconds = (ready - started).total_seconds() - accessors.probe_delay(pod)
            self.history.startups[accessors.workload_of(pod)].append(max(seconds, 0.0))
        if started and created and started >= created:
            self.history.pod_starts.append((started - created).total_seconds())

    def _placed(self, pod: Object) -> None:
        self.history.workloads[accessors.object_key(pod)] = accessors.workload_of(pod)
        self.history.nodes[accessors.object_key(pod)] = pod["spec"].get("nodeName", "")

    def _pod(self, change: Change, before: Object | None) -> None:
        pod, name = change.object, accessors.object_key(change.object)
        self._placed(pod)
        gone = change.type == "DELETED" or "deletionTimestamp" in pod["metadata"]
        if before is None:
            self._new_template(change.t, pod)
            return
        if gone:
            if "deletionTimestamp" not in before["metadata"] and before["metadata"].get("ownerReferences"):
                self.history.kills.append((change.t, name))
            return
        old, new = accessors.engine_status(before) or {}, accessors.engine_status(pod) or {}
        if new.get("restartCount", 0) > old.get("restartCount", 0):
            self.history.restarts.append((change.t, name))
        same = old.get("containerID") == new.get("containerID") and "running" in (new.get("state") or {})
        was_ready, is_ready = accessors.is_true(before, "Ready"), accessors.is_true(pod, "Ready")
        if was_ready and not is_ready and same:
            self.history.unready[name].append(Interval(change.t))
        elif (
            is_ready
            and not was_ready
            and self.history.unready.get(name)
            and self.history.unready[name][-1].until is None
        ):
            self.history.unready[name][-1] = Interval(self.history.unready[name][-1].start, change.t)
        elif is_ready and not was_ready:
            self._started(pod)

    def _new_template(self, t: float, pod: Object) -> None:
        """Record a rollout if a pod has another template than the existing pods of its Deployment."""
        template = (pod["metadata"].get("labels") or {}).get("pod-template-hash", "")
        deployment = f"{pod['metadata'].get('namespace')}/{accessors.workload_of(pod)}"
        others = {
            (other["metadata"].get("labels") or {}).get("pod-template-hash", "")
            for (kind, _), other in self._objects.items()
            if kind == PODS.kind and other is not pod and accessors.workload_of(other) == accessors.workload_of(pod)
        }
        if template and others and template not in others and self._templates.get(deployment) != template:
            self.history.rollouts.append((t, accessors.workload_of(pod)))
        self._templates[deployment] = template or self._templates.get(deployment, "")

    def _deployment(self, change: Change, before: Object | None) -> None:
        if before is None or change.type == "DELETED":
            return
        old, new = (item.get("spec", {}).get("replicas") for item in (before, change.object))
        if old != new:
            self._edited(change, {"spec": {"replicas": new}})

    def _node(self, change: Change, before: Object | None) -> None:
        if before is None or change.type == "DELETED":
            return
        intervals = self.history.nodes_down[accessors.object_key(change.object)]
        was_ready, is_ready = accessors.is_true(before, "Ready"), accessors.is_true(change.object, "Ready")
        if was_ready and not is_ready:
            intervals.append(Interval(change.t))
        elif is_ready and not was_ready and intervals and intervals[-1].until is None:
            intervals[-1] = Interval(intervals[-1].start, change.t)

    def _edited(self, change: Change, patch: Object) -> None:
        meta = change.object["metadata"]
        self.history.edits.append((change.t, change.kind, meta.get("namespace", ""), meta["name"], patch))


def merge_patch(before: Object, after: Object) -> Object:
    """Return the JSON merge patch from one object to the other."""
    patch: Object = {name: None for name in before if name not in after}
    for name, value in after.items():
        old = before.get(name)
        if old == value:
            continue
        patch[name] = merge_patch(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return patch


def phase_seconds(phases: list[tuple[float, str]]) -> Iterator[tuple[str, float]]:
    """Yield the seconds in each phase until an adapter first ran, and their sum; nothing if it never ran.

    Time before the operator's first status counts as Pending.
    """
    ran = next((t for t, phase in phases if phase == RUNNING), None)
    if ran is None:
        return
    spent: dict[str, float] = defaultdict(float)
    for (start, phase), (end, _) in itertools.pairwise(phases):
        if start < ran:
            spent[phase or "Pending"] += end - start
    yield from spent.items()
    yield "until Running", ran - phases[0][0]
