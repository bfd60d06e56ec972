"""What happened, told from the changes of objects: loads and how long they took, failures, pods that came and went.

A load is what lies between its announcement (the placement that the operator writes before it asks an engine) and the
pod's name in `status.instances`. An attempt that failed shows as the next one's retry count; why, the condition
`Loaded` says. All of it is what `kubectl get -w` shows: no engine is asked.
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
_BOOTS = 60.0
"""Seconds after a node is ready again in which what its pods do is still its doing."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A load that failed."""

    t: float
    pod: str
    cause: str


@dataclass(frozen=True, slots=True)
class Interval:
    """A time in which something held; to the end of the look if `until` is None."""

    start: float
    until: float | None = None


@dataclass(slots=True)
class History:
    """Pods and adapters are `namespace/name`; times are seconds since the look began."""

    loads: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    """Seconds of loads that succeeded, by workload."""
    unloads: int = 0
    attempts: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    """When loads were announced, by pod."""
    failures: list[Failure] = field(default_factory=list)
    startups: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    """From the engine container's start until it listened, by workload; by the probes, which come a little later."""
    pod_starts: list[float] = field(default_factory=list)
    """From a pod's creation until its engine's container ran."""
    unready: dict[str, list[Interval]] = field(default_factory=lambda: defaultdict(list))
    """Times in which a pod was not ready though its engine ran on, by pod."""
    restarts: list[tuple[float, str]] = field(default_factory=list)
    """Engine containers that restarted in place: when, and the pod."""
    kills: list[tuple[float, str]] = field(default_factory=list)
    """Pods that were deleted and whose workload made another."""
    rollouts: list[tuple[float, str]] = field(default_factory=list)
    """When, and the Deployment's name."""
    nodes_down: dict[str, list[Interval]] = field(default_factory=lambda: defaultdict(list))
    arrivals: dict[str, tuple[float, Object]] = field(default_factory=dict)
    departures: dict[str, float] = field(default_factory=dict)
    edits: list[tuple[float, str, str, str, Object]] = field(default_factory=list)
    """When, kind, namespace, name, merge patch."""
    phases: dict[str, list[tuple[float, str]]] = field(default_factory=lambda: defaultdict(list))
    """When each phase began, by adapter; of those that arrived during the look."""
    workloads: dict[str, str] = field(default_factory=dict)
    """The workload of each pod."""
    nodes: dict[str, str] = field(default_factory=dict)
    """The node of each pod."""

    def node_was_down(self, pod: str, t: float) -> bool:
        """Whether what became of a pod then is its node's doing."""
        return any(
            spell.start - 1 <= t and (spell.until is None or t <= spell.until + _BOOTS)
            for spell in self.nodes_down.get(self.nodes.get(pod, ""), ())
        )


def build_history(seen: Observation) -> History:
    """All that can be told from a look."""
    teller = _HistoryBuilder(seen)
    for change in seen.changes:
        teller.hear(change)
    return teller.found


class _HistoryBuilder:
    def __init__(self, seen: Observation) -> None:
        self.found = History()
        self._objects: dict[tuple[str, str], Object] = {}
        self._causes: dict[tuple[str, str], str] = {}
        """By adapter and pod name: what was said last of a failed load; the next attempt wipes it off the object."""
        self._announced: dict[tuple[str, str], float] = {}
        """By adapter and pod name: when the attempt under way was announced."""
        self._templates: dict[str, str] = {}
        """The newest pod template of each Deployment, by namespace and name."""
        for kind, items in seen.first.items():
            for item in items:
                self._objects[kind, accessors.key(item)] = item
                if kind == PODS.kind:
                    self._stood(item)
        tell: Mapping[str, Any] = {
            ADAPTERS.kind: self._adapter,
            PODS.kind: self._pod,
            DEPLOYMENTS.kind: self._deployment,
            NODES.kind: self._node,
        }
        self._tell = tell

    def hear(self, change: Change) -> None:
        place = (change.kind, accessors.key(change.object))
        before = self._objects.get(place)
        if change.type == "DELETED":
            self._objects.pop(place, None)
        else:
            self._objects[place] = change.object
        if change.kind in self._tell:
            self._tell[change.kind](change, before)

    # -- adapters

    def _adapter(self, change: Change, before: Object | None) -> None:
        name, item, found = accessors.key(change.object), change.object, self.found
        if change.type == "DELETED" or item["metadata"].get("deletionTimestamp"):
            found.departures.setdefault(name, change.t)
            return
        if before is None:
            found.arrivals[name] = (change.t, item)
            found.departures.pop(name, None)
        elif before.get("spec") != item.get("spec"):
            self._edited(change, {"spec": merged(before.get("spec") or {}, item.get("spec") or {})})
        if name in found.arrivals:
            phase = (item.get("status") or {}).get("phase", "")
            told = found.phases[name]
            if not told or told[-1][1] != phase:
                told.append((change.t, phase))
        self._loads(change, before)

    def _loads(self, change: Change, before: Object | None) -> None:
        name, item = accessors.key(change.object), change.object
        was, now = accessors.remembered(before), accessors.remembered(item)
        had, has = accessors.instances(before), accessors.instances(item)
        self._causes.update({(name, pod): cause for pod in now.placements if (cause := accessors.cause(item, pod))})
        for pod in now.placements:
            one, two = was.attempt(pod), now.attempt(pod)
            if two is not None and one != two:
                self._attempted(change.t, item, pod, two.retries)
        for pod in has - had:
            start = self._announced.pop((name, pod), None)
            if start is not None:
                self.found.loads[self._workload(item, pod)].append(change.t - start)
        self.found.unloads += len(had - has)

    def _attempted(self, t: float, adapter: Object, pod: str, retries: int) -> None:
        """Another attempt says that the one before has failed, and that one is when it build_history."""
        place, own = f"{adapter['metadata']['namespace']}/{pod}", (accessors.key(adapter), pod)
        self.found.attempts[place].append(t)
        if retries > 0:
            self.found.failures.append(Failure(self._announced.get(own, t), place, self._causes.get(own, "")))
        self._announced[own] = t

    def _workload(self, adapter: Object, pod: str) -> str:
        return self.found.workloads.get(f"{adapter['metadata']['namespace']}/{pod}", "")

    # -- pods

    def _stood(self, pod: Object) -> None:
        """One that was there already: its start is on it, in whole seconds."""
        self._placed(pod)
        engine = accessors.engine(pod)
        ready = accessors.ready_since(pod)
        if engine is None or ready is None or engine.get("restartCount"):
            return
        started = accessors.moment((engine.get("state") or {}).get("running", {}).get("startedAt"))
        created = accessors.moment(pod["metadata"].get("creationTimestamp"))
        if started and ready >= started:
            seconds = (ready - started).total_seconds() - accessors.probe_delay(pod)
            self.found.startups[accessors.workload_of(pod)].append(max(seconds, 0.0))
        if started and created and started >= created:
            self.found.pod_starts.append((started - created).total_seconds())

    def _placed(self, pod: Object) -> None:
        self.found.workloads[accessors.key(pod)] = accessors.workload_of(pod)
        self.found.nodes[accessors.key(pod)] = pod["spec"].get("nodeName", "")

    def _pod(self, change: Change, before: Object | None) -> None:
        pod, name = change.object, accessors.key(change.object)
        self._placed(pod)
        gone = change.type == "DELETED" or "deletionTimestamp" in pod["metadata"]
        if before is None:
            self._new_template(change.t, pod)
            return
        if gone:
            if "deletionTimestamp" not in before["metadata"] and before["metadata"].get("ownerReferences"):
                self.found.kills.append((change.t, name))
            return
        one, two = accessors.engine(before) or {}, accessors.engine(pod) or {}
        if two.get("restartCount", 0) > one.get("restartCount", 0):
            self.found.restarts.append((change.t, name))
        same = one.get("containerID") == two.get("containerID") and "running" in (two.get("state") or {})
        was, now = accessors.is_true(before, "Ready"), accessors.is_true(pod, "Ready")
        if was and not now and same:
            self.found.unready[name].append(Interval(change.t))
        elif now and not was and self.found.unready.get(name) and self.found.unready[name][-1].until is None:
            self.found.unready[name][-1] = Interval(self.found.unready[name][-1].start, change.t)
        elif now and not was:
            self._stood(pod)

    def _new_template(self, t: float, pod: Object) -> None:
        """A pod of another template than the ones before: its Deployment is being rolled out."""
        template = (pod["metadata"].get("labels") or {}).get("pod-template-hash", "")
        place = f"{pod['metadata'].get('namespace')}/{accessors.workload_of(pod)}"
        others = {
            (other["metadata"].get("labels") or {}).get("pod-template-hash", "")
            for (kind, _), other in self._objects.items()
            if kind == PODS.kind and other is not pod and accessors.workload_of(other) == accessors.workload_of(pod)
        }
        if template and others and template not in others and self._templates.get(place) != template:
            self.found.rollouts.append((t, accessors.workload_of(pod)))
        self._templates[place] = template or self._templates.get(place, "")

    def _deployment(self, change: Change, before: Object | None) -> None:
        if before is None or change.type == "DELETED":
            return
        one, two = (item.get("spec", {}).get("replicas") for item in (before, change.object))
        if one != two:
            self._edited(change, {"spec": {"replicas": two}})

    def _node(self, change: Change, before: Object | None) -> None:
        if before is None or change.type == "DELETED":
            return
        spells = self.found.nodes_down[accessors.key(change.object)]
        was, now = accessors.is_true(before, "Ready"), accessors.is_true(change.object, "Ready")
        if was and not now:
            spells.append(Interval(change.t))
        elif now and not was and spells and spells[-1].until is None:
            spells[-1] = Interval(spells[-1].start, change.t)

    def _edited(self, change: Change, patch: Object) -> None:
        meta = change.object["metadata"]
        self.found.edits.append((change.t, change.kind, meta.get("namespace", ""), meta["name"], patch))


def merged(before: Object, after: Object) -> Object:
    """The merge patch from one value to the other."""
    patch: Object = {name: None for name in before if name not in after}
    for name, value in after.items():
        old = before.get(name)
        if old == value:
            continue
        patch[name] = merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return patch


def phase_seconds(phases: list[tuple[float, str]]) -> Iterator[tuple[str, float]]:
    """How long one adapter was in each phase until it first ran, and all of it together; nothing if it never ran.

    What the operator has not looked at yet counts as Pending.
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
