"""The DaemonSet controller: one pod on each node that the template allows.

Source: `podsShouldBeOnNode` and `rollingUpdate` in Kubernetes' `pkg/controller/daemon`. A pod is bound by the scheduler
and may only run on its node. Not simulated: `maxSurge`, and the delay before a failed pod is replaced.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from twin.apiserver import Change
from twin.apiserver.meta.objects import Object, is_finished, is_terminating, is_true, key
from twin.apiserver.registry.controllers import TEMPLATE_GENERATION
from twin.world.context import WorldContext
from twin.world.names import pod_name
from twin.world.scheduling.node_affinity import is_allowed
from twin.world.scheduling.scheduler import tolerates
from twin.world.workloads.pod_controller import PodController, pod_from_template
from twin.world.workloads.replicasets import Index
from twin.world.workloads.revisions import HASH, Revisions
from twin.world.workloads.rollout import share

DAEMON_SETS = "daemonsets.apps"
_NODE = "node.kubernetes.io"
_TOLERATIONS = (
    *({"key": f"{_NODE}/{name}", "operator": "Exists", "effect": "NoExecute"} for name in ("not-ready", "unreachable")),
    *(
        {"key": f"{_NODE}/{name}", "operator": "Exists", "effect": "NoSchedule"}
        for name in ("disk-pressure", "memory-pressure", "pid-pressure", "unschedulable")
    ),
)
"""Tolerations of every daemon pod: `AddOrUpdateDaemonPodTolerations`."""


class DaemonSets(PodController):
    """Keeps the pods of each DaemonSet."""

    resource: ClassVar = DAEMON_SETS
    api_version: ClassVar = "apps/v1"
    kind: ClassVar = "DaemonSet"

    def __init__(self, context: WorldContext, pods: Index) -> None:
        super().__init__(context, pods)
        self._revisions = Revisions(self._store, self.api_version, self.kind)

    def _start(self) -> None:
        super()._start()
        self._store.subscribe(self._on_node, "nodes")

    def _on_node(self, change: Change) -> None:
        if change.old is None or _placement(change.old) != _placement(change.object):
            for name in self._objects:
                self._queue.add(name)

    def _sync(self, name: str, obj: Object, pods: list[Object]) -> None:
        revision = self._revisions.update_revision(obj)
        hash_ = revision["metadata"]["labels"][HASH]
        nodes = {node["metadata"]["name"]: node for node in self._store.list("nodes").items}
        by_node = _by_target(pods)
        if not is_terminating(obj):
            self._manage(name, obj, by_node, nodes, hash_)
            by_node = _by_target(self._pods.of(obj))  # pods that were created just now are unavailable
            if (obj["spec"].get("updateStrategy") or {}).get("type", "RollingUpdate") == "RollingUpdate":
                for pod in self._outdated(obj, by_node, hash_, _count_desired(obj, nodes)):
                    self._delete_pod(pod)
        self._write_status(name, obj, self._status(obj, by_node, nodes, hash_))
        hashes = {(pod["metadata"].get("labels") or {}).get(HASH, "") for pod in pods}
        used = {item["metadata"]["name"] for item in self._revisions.of(obj)}
        used = {item for item in used if item.rpartition("-")[2] in {hash_, *hashes}}
        self._revisions.trim(obj, used)

    def _manage(
        self, name: str, obj: Object, by_node: Mapping[str, list[Object]], nodes: Mapping[str, Object], hash_: str
    ) -> None:
        """Create missing pods; delete ended ones, second ones, and those that may not run on their node."""
        for node_name, node in nodes.items():
            runs, stays = _should_run(obj, node)
            pods = by_node.get(node_name, [])
            if runs and not pods:
                self._create(name, obj, node_name, hash_)
            active = [pod for pod in pods if not is_terminating(pod)]
            kept = [pod for pod in active if not is_finished(pod)][:1] if stays else []
            for pod in active:
                if pod not in kept:
                    self._delete_pod(pod)
        for node_name in by_node.keys() - nodes.keys():
            for pod in by_node[node_name]:
                if not pod["spec"].get("nodeName"):
                    self._delete_pod(pod)

    def _create(self, name: str, obj: Object, node: str, hash_: str) -> None:
        template = obj["spec"]["template"]
        spec = template["spec"]
        generation = (obj["metadata"].get("annotations") or {}).get(TEMPLATE_GENERATION, "1")
        pod = pod_from_template(
            template,
            obj,
            self._reference(obj),
            labels={HASH: hash_, "pod-template-generation": generation},
            affinity=_bound_to(spec.get("affinity") or {}, node),
            tolerations=[*(spec.get("tolerations") or ()), *_TOLERATIONS],
        )
        rng = self._context.streams.get(f"daemonset/{name}/pod-names")
        created = None
        while created is None:
            pod["metadata"]["name"] = pod_name(obj["metadata"]["name"], rng)
            created = self._create_pod(obj, pod)

    def _outdated(self, obj: Object, by_node: dict[str, list[Object]], hash_: str, desired: int) -> list[Object]:
        """Return the pods to delete because of their template: unavailable ones, and as many as may be missing."""
        rolling = (obj["spec"].get("updateStrategy") or {}).get("rollingUpdate") or {}
        allowed = max(1, math.ceil(share(rolling.get("maxUnavailable", 1), desired)))
        replaced: list[Object] = []
        candidates: list[Object] = []
        unavailable = 0
        for pods in by_node.values():
            active = [pod for pod in pods if not is_terminating(pod)]
            old = [pod for pod in active if (pod["metadata"].get("labels") or {}).get(HASH) != hash_]
            available = bool(active) and self._is_available(obj, active[0])
            unavailable += not available
            if old and available:
                candidates.append(old[0])
            elif old:
                replaced.append(old[0])
        return [*replaced, *candidates[: max(0, allowed - unavailable)]]

    def _is_available(self, obj: Object, pod: Object) -> bool:
        return self._until_available(pod, obj["spec"].get("minReadySeconds") or 0) == 0

    def _status(
        self, obj: Object, by_node: Mapping[str, list[Object]], nodes: Mapping[str, Object], hash_: str
    ) -> dict[str, Any]:
        running = {name for name, node in nodes.items() if _should_run(obj, node)[0]}
        first = [by_node[name][0] for name in nodes if name in running and name in by_node]
        available = sum(self._is_available(obj, pod) for pod in first)
        status = {
            "observedGeneration": obj["metadata"].get("generation", 1),
            "desiredNumberScheduled": len(running),
            "currentNumberScheduled": len(first),
            "numberMisscheduled": sum(name in nodes and name not in running for name in by_node),
            "numberReady": sum(is_true(pod, "Ready") for pod in first),
            "updatedNumberScheduled": sum((pod["metadata"].get("labels") or {}).get(HASH) == hash_ for pod in first),
            "numberAvailable": available,
            "numberUnavailable": len(running) - available,
        }
        waits = [wait for pod in first if (wait := self._until_available(pod, obj["spec"].get("minReadySeconds") or 0))]
        if waits:
            self._later(key(obj), min(waits))
        return {name: value for name, value in status.items() if value or name in _ALWAYS}


_ALWAYS = ("currentNumberScheduled", "numberMisscheduled", "desiredNumberScheduled", "numberReady")


def _should_run(obj: Object, node: Object) -> tuple[bool, bool]:
    """Return whether a pod should be created on the node, and whether a pod there stays."""
    spec = obj["spec"]["template"]["spec"]
    if not is_allowed(spec, node) or spec.get("nodeName", node["metadata"]["name"]) != node["metadata"]["name"]:
        return False, False
    pod = {"spec": {"tolerations": [*(spec.get("tolerations") or ()), *_TOLERATIONS]}}
    untolerated = [taint["effect"] for taint in node["spec"].get("taints") or () if tolerates(pod, taint) is None]
    return not {"NoSchedule", "NoExecute"} & set(untolerated), "NoExecute" not in untolerated


def _count_desired(obj: Object, nodes: Mapping[str, Object]) -> int:
    return sum(_should_run(obj, node)[0] for node in nodes.values())


def _bound_to(affinity: Object, node: str) -> Object:
    """Return an affinity that only allows one node."""
    terms = [{"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]}]
    nodes = {**(affinity.get("nodeAffinity") or {})}
    nodes["requiredDuringSchedulingIgnoredDuringExecution"] = {"nodeSelectorTerms": terms}
    return {**affinity, "nodeAffinity": nodes}


def _target(pod: Object) -> str:
    """Return the node of a daemon pod: where it is, or the one that its affinity names."""
    if pod["spec"].get("nodeName"):
        return str(pod["spec"]["nodeName"])
    required = ((pod["spec"].get("affinity") or {}).get("nodeAffinity") or {}).get(
        "requiredDuringSchedulingIgnoredDuringExecution"
    )
    for term in (required or {}).get("nodeSelectorTerms") or ():
        for field in term.get("matchFields") or ():
            if field["key"] == "metadata.name":
                return str(field["values"][0])
    return ""


def _by_target(pods: list[Object]) -> dict[str, list[Object]]:
    by_node: dict[str, list[Object]] = {}
    for pod in pods:
        by_node.setdefault(_target(pod), []).append(pod)
    return by_node


def _placement(node: Object) -> Sequence[Any]:
    return node["metadata"].get("labels"), node["spec"].get("taints")
