"""The PodSet controller of AIBrix: the pods of one replica of a role whose `podGroupSize` is above 1.

Pods are called `PODSET-INDEX`. Missing ones are created again (`ReplaceUnhealthy`), or all of them once none is left
(`Recreate`). Source: `pkg/controller/podset` of vllm-project/aibrix 0.7. Not simulated: gang scheduling.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

from twin.apiserver import Change
from twin.apiserver.meta.objects import Object, is_finished, is_terminating, is_true, key
from twin.world.groups.group_controller import GroupController
from twin.world.groups.role_members import SERVICE_NAME, shortened, with_variables
from twin.world.workloads.pod_controller import pod_from_template

POD_SETS = "podsets.orchestration.aibrix.ai"
_NAME = "stormservice.orchestration.aibrix.ai/podset-name"
_INDEX = "stormservice.orchestration.aibrix.ai/pod-group-index"
_FINALIZER = "orchestration.aibrix.ai/podset-finalizer"


class PodSets(GroupController):
    """Keeps the pods of each PodSet."""

    resource: ClassVar = POD_SETS
    api_version: ClassVar = "orchestration.aibrix.ai/v1alpha1"
    kind: ClassVar = "PodSet"
    manager: ClassVar[str] = "aibrix-controller-manager"

    def _on_object(self, change: Change) -> None:
        super()._on_object(change)
        if change.type != "DELETED" and is_terminating(change.object):
            self._queue.add(key(change.object))

    def _sync(self, name: str, obj: Object, pods: list[Object]) -> None:
        if is_terminating(obj):
            self._finalize(obj, pods)
            return
        if _FINALIZER not in (obj["metadata"].get("finalizers") or ()):
            finalizers = [*(obj["metadata"].get("finalizers") or ()), _FINALIZER]
            self._patch(obj, {"metadata": {"finalizers": finalizers}})
        active = [pod for pod in pods if not is_finished(pod)]
        size = obj["spec"]["podGroupSize"]
        if len(active) < size:
            self._fill(obj, active, size)
        for pod in sorted(active, key=_index)[size:]:
            self._delete_once(pod)
        self._write_group_status(name, obj, _status(obj, self._pods.of(obj)))

    def _fill(self, obj: Object, active: list[Object], size: int) -> None:
        """Create missing pods; restarted ones, or with `Recreate` all that are left, go first."""
        if obj["spec"].get("recoveryPolicy") == "Recreate":
            leaving = active
        else:
            leaving = [pod for pod in active if _has_restarted(pod)]
        for pod in leaving:
            self._delete_once(pod)
        present = {_index(pod) for pod in active}
        for index in range(size) if not leaving else ():
            if index not in present:
                self._create_allowed(obj, self._pod(obj, index))

    def _finalize(self, obj: Object, pods: list[Object]) -> None:
        for pod in pods:
            self._delete_once(pod)
        finalizers = obj["metadata"].get("finalizers") or ()
        if not self._pods.of(obj) and _FINALIZER in finalizers:
            kept = [item for item in finalizers if item != _FINALIZER]
            self._patch(obj, {"metadata": {"finalizers": kept or None}})

    def _delete_once(self, pod: Object) -> None:
        if not is_terminating(pod):
            self._delete_pod(pod)

    def _patch(self, obj: Object, body: Mapping[str, Any]) -> None:
        meta = obj["metadata"]
        self._store.patch(POD_SETS, meta["namespace"], meta["name"], body, manager=self.manager)

    def _pod(self, obj: Object, index: int) -> dict[str, Any]:
        meta, spec = obj["metadata"], obj["spec"]
        name = shortened(f"{meta['name']}-{index}")
        template = spec["template"].get("metadata") or {}
        labels = {**(meta.get("labels") or {}), **(template.get("labels") or {}), _NAME: meta["name"]}
        pod = pod_from_template(
            spec["template"], obj, self._reference(obj), labels={**labels, _INDEX: str(index)}, hostname=name
        )
        if service := (meta.get("labels") or {}).get(SERVICE_NAME):
            pod["spec"]["subdomain"] = service
        size = str(spec["podGroupSize"])
        variables = {"PODSET_NAME": meta["name"], "POD_GROUP_INDEX": str(index), "POD_GROUP_SIZE": size}
        for part in ("initContainers", "containers"):
            if pod["spec"].get(part):
                pod["spec"][part] = [with_variables(item, variables) for item in pod["spec"][part]]
        annotations = {**(meta.get("annotations") or {}), **(template.get("annotations") or {})}
        pod["metadata"] |= {"name": name, "annotations": annotations}
        del pod["metadata"]["generateName"]
        return pod


def _index(pod: Object) -> int:
    index = (pod["metadata"].get("labels") or {}).get(_INDEX, "")
    return int(index) if index.isdecimal() else 2**31


def _has_restarted(pod: Object) -> bool:
    statuses = (pod.get("status") or {}).get("containerStatuses") or ()
    return any(item.get("restartCount", 0) for item in statuses)


def _status(obj: Object, pods: list[Object]) -> dict[str, Any]:
    active = [pod for pod in pods if not is_finished(pod)]
    ready = sum(is_true(pod, "Ready") for pod in active)
    phase = "Running" if ready else "Pending"
    phase = "Ready" if ready == obj["spec"]["podGroupSize"] else phase
    return {"readyPods": ready, "totalPods": len(active), "phase": phase}
