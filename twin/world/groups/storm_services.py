"""The StormService controller of AIBrix: RoleSets of one template.

`RollingUpdate` replaces RoleSets (replica mode); `InPlaceUpdate` changes their spec, and each RoleSet replaces its pods
(pooled mode). Source: `pkg/controller/stormservice` of vllm-project/aibrix 0.7. Not simulated: revisions of single
roles, and scaling while a rollout is paused.
"""

import math
from typing import Any, ClassVar

from formats.timestamps import format_time
from twin.apiserver import Change
from twin.apiserver.meta.objects import Object, is_terminating, is_true, with_conditions
from twin.world.context import WorldContext
from twin.world.groups.group_controller import GroupController
from twin.world.groups.role_members import ROLE_SET_INDEX, SERVICE_NAME
from twin.world.groups.role_sets import RoleSets
from twin.world.names import pod_name, template_hash
from twin.world.workloads.replicasets import Index
from twin.world.workloads.rollout import desired_replicas, share

_REVISION = "storm-service-revision"
_REVISION_ANNOTATION = "stormservice.orchestration.aibrix.ai/revision"


class StormServices(GroupController):
    """Keeps the RoleSets of each StormService."""

    resource: ClassVar = "stormservices.orchestration.aibrix.ai"
    api_version: ClassVar = "orchestration.aibrix.ai/v1alpha1"
    kind: ClassVar = "StormService"
    manager: ClassVar[str] = "aibrix-controller-manager"

    def __init__(self, context: WorldContext, pods: Index) -> None:
        super().__init__(context, pods)
        self._sets = Index()

    def _start(self) -> None:
        self._store.subscribe(self._on_set, RoleSets.resource)

    def _on_set(self, change: Change) -> None:
        self._sets.put(change)
        self._on_pod(change)

    def _sync(self, name: str, obj: Object, pods: list[Object]) -> None:  # noqa: ARG002
        if is_terminating(obj):
            return
        meta, spec = obj["metadata"], obj["spec"]
        self._ensure_headless_service(obj, meta["name"], {SERVICE_NAME: meta["name"]}, self._reference(obj))
        revision = f"{meta['name']}-{template_hash(spec['template'])}"
        sets = self._sets.of(obj)
        if not self._scale(obj, sets, revision) and not spec.get("paused"):
            self._rollout(obj, sets, revision)
        self._write_group_status(name, obj, self._status(obj, sets, revision))

    def _scale(self, obj: Object, sets: list[Object], revision: str) -> bool:
        """Create or delete RoleSets until there are as many as desired; return True if it did."""
        replicas, (surge, unavailable) = desired_replicas(obj["spec"]), _limits(obj["spec"])
        active = [item for item in sets if not is_terminating(item)]
        missing = replicas - len(active)
        if missing > 0:
            created = min(missing, replicas + surge - len(sets))
            for index in range(created):
                self._create_set(obj, revision, index)
            return created > 0
        ready, deleted = sum(is_true(item, "Ready") for item in active), 0
        for item in sorted(active, key=lambda item: (_is_updated(item, revision), is_true(item, "Ready"))):
            if deleted == -missing or (is_true(item, "Ready") and ready <= replicas - unavailable):
                break
            self._delete_object(RoleSets.resource, item)
            ready -= is_true(item, "Ready")
            deleted += 1
        return deleted > 0

    def _rollout(self, obj: Object, sets: list[Object], revision: str) -> None:
        """Do the next step of an update."""
        replicas, (surge, unavailable) = desired_replicas(obj["spec"]), _limits(obj["spec"])
        outdated = [item for item in sets if not _is_updated(item, revision)]
        if sum(_is_updated(item, revision) for item in sets) == replicas:
            return
        if not _is_rolling(obj["spec"]):
            for item in outdated:
                self._update_set(obj, item, revision)
            return
        ready = sum(is_true(item, "Ready") for item in sets if not is_terminating(item))
        active = [item for item in outdated if not is_terminating(item)]
        for item in sorted(active, key=lambda item: is_true(item, "Ready")):
            if is_true(item, "Ready") and ready <= replicas - unavailable:
                break
            self._delete_object(RoleSets.resource, item)
            ready -= is_true(item, "Ready")
        updated = sum(_is_updated(item, revision) for item in sets if not is_terminating(item))
        for index in range(min(replicas + surge - len(sets), replicas - updated)):
            self._create_set(obj, revision, index)

    def _create_set(self, obj: Object, revision: str, index: int) -> None:
        meta = obj["metadata"]
        body = self._set_of(obj, revision, str(index))
        rng = self._context.streams.get(f"stormservice/{meta['namespace']}/{meta['name']}/roleset-names")
        body["metadata"]["name"] = pod_name(f"{meta['name']}-roleset", rng)
        self._create_missing(RoleSets.resource, body)

    def _update_set(self, obj: Object, role_set: Object, revision: str) -> None:
        meta = role_set["metadata"]
        body = self._set_of(obj, revision, (meta.get("annotations") or {}).get(ROLE_SET_INDEX, ""))
        patch = {"metadata": {key: body["metadata"][key] for key in ("labels", "annotations")}, "spec": body["spec"]}
        self._store.patch(RoleSets.resource, meta["namespace"], meta["name"], patch, manager=self.manager)

    def _set_of(self, obj: Object, revision: str, index: str) -> dict[str, Any]:
        meta, template = obj["metadata"], obj["spec"]["template"]
        own = template.get("metadata") or {}
        labels = {**(own.get("labels") or {}), SERVICE_NAME: meta["name"], _REVISION: revision}
        annotations = {**(own.get("annotations") or {}), _REVISION_ANNOTATION: revision, ROLE_SET_INDEX: index}
        return {
            "apiVersion": self.api_version,
            "kind": RoleSets.kind,
            "metadata": {
                "namespace": meta["namespace"],
                "labels": labels,
                "annotations": annotations,
                "ownerReferences": [self._reference(obj)],
            },
            "spec": template.get("spec") or {},
        }

    def _status(self, obj: Object, sets: list[Object], revision: str) -> dict[str, Any]:
        replicas, ready = desired_replicas(obj["spec"]), sum(is_true(item, "Ready") for item in sets)
        updated = [item for item in sets if _is_updated(item, revision)]
        before = (obj.get("status") or {}).get("currentRevision", revision)
        current = [item for item in sets if _is_updated(item, before)]
        complete = ready >= replicas == len(updated) == len(sets)
        true = {"type": "Ready" if complete else "Progressing", "status": "True"}
        true["reason"] = "Ready" if complete else "Processing"
        old = [item for item in (obj.get("status") or {}).get("conditions") or () if item["type"] == true["type"]]
        return {
            "observedGeneration": obj["metadata"].get("generation", 1),
            "replicas": len(sets),
            "readyReplicas": ready,
            "notReadyReplicas": len(sets) - ready,
            "currentReplicas": len(current) or len(updated),
            "updatedReplicas": len(updated),
            "updatedReadyReplicas": sum(is_true(item, "Ready") for item in updated),
            "currentRevision": before if current else revision,
            "updateRevision": revision,
            "scalingTargetSelector": f"{SERVICE_NAME}={obj['metadata']['name']}",
            "conditions": with_conditions(old, [true], format_time(self._now())),
        }


def _is_rolling(spec: Object) -> bool:
    return str((spec.get("updateStrategy") or {}).get("type", "RollingUpdate")) == "RollingUpdate"


def _limits(spec: Object) -> tuple[int, int]:
    """Return how many RoleSets more or fewer than desired an update may have."""
    replicas, strategy = desired_replicas(spec), spec.get("updateStrategy") or {}
    if not _is_rolling(spec):
        return 0, replicas
    surge = math.ceil(share(strategy.get("maxSurge", 0), replicas))
    unavailable = math.floor(share(strategy.get("maxUnavailable", 0), replicas))
    return surge, min(unavailable if surge or unavailable else 1, replicas)


def _is_updated(role_set: Object, revision: str) -> bool:
    return str((role_set["metadata"].get("labels") or {}).get(_REVISION, "")) == revision
