"""The Deployment controller: creates, scales and removes ReplicaSets.

The arithmetic is in `rollout.py`. Not simulated: proportional scaling during a rollout, and rollbacks other than by
restoring the old template. A paused Deployment is left unchanged.
"""

from formats.timestamps import format_time
from twin.apiserver import ApiError, Change
from twin.apiserver.meta.objects import (
    Object,
    controller_uid,
    is_terminating,
    key,
    owner_reference,
    split,
    with_conditions,
)
from twin.world.context import WorldContext
from twin.world.names import replica_set_name, template_hash
from twin.world.work import DelayedQueue
from twin.world.workloads.replicasets import DELAY, SETS, ReplicaSets
from twin.world.workloads.rollout import ReplicaCounts, Strategy, desired_replicas, next_sizes

HASH = "pod-template-hash"
REVISION = "deployment.kubernetes.io/revision"
HISTORY = 10  # old ReplicaSets kept; Kubernetes docs, "Deployments": revisionHistoryLimit
RESTARTED_AT = "kubectl.kubernetes.io/restartedAt"
DEPLOYMENTS = "deployments.apps"


class Deployments:
    """Creates, scales and removes ReplicaSets."""

    def __init__(self, context: WorldContext, sets: ReplicaSets) -> None:
        self._store = store = context.store
        self._now = context.now
        self._controller = sets
        self._sets = sets.sets
        self._pods = sets.pods
        self._deployments: dict[str, Object] = {}
        self._keys: dict[str, str] = {}
        self._queue = DelayedQueue(context, "deployment-controller", DELAY, self._sync)
        store.subscribe(self._on_deployment, DEPLOYMENTS)
        store.subscribe(self._on_set, SETS)
        store.subscribe(self._on_pod, "pods")

    def _on_deployment(self, change: Change) -> None:
        uid, name = change.object["metadata"]["uid"], key(change.object)
        if change.type == "DELETED":
            self._keys.pop(uid, None)
            self._deployments.pop(name, None)
            return
        self._keys[uid] = name
        self._deployments[name] = change.object
        if change.old is None or change.old["spec"] != change.object["spec"]:
            self._queue.add(name)

    def _on_set(self, change: Change) -> None:
        self._enqueue(controller_uid(change.object))

    def _on_pod(self, change: Change) -> None:
        if change.type == "DELETED":  # Recreate waits until the last old pod is deleted
            replica_set = self._controller.set_of(change.object)
            if replica_set is not None:
                self._enqueue(controller_uid(replica_set))

    def _enqueue(self, uid: str) -> None:
        name = self._keys.get(uid)
        if name is not None:
            self._queue.add(name)

    def _sync(self, name: str) -> None:
        deployment = self._deployments.get(name)
        if deployment is None or is_terminating(deployment) or deployment["spec"].get("paused"):
            return
        hash_ = template_hash(deployment["spec"]["template"])
        owned = self._sets.of(deployment)
        new = next((item for item in owned if item["metadata"].get("labels", {}).get(HASH) == hash_), None)
        if new is None:
            revision = 1 + max((_revision(item) for item in owned), default=0)
            self._create_set(deployment, hash_, revision)
            self._annotate(deployment, revision)
            return  # its creation triggers the next sync
        olds = [item for item in owned if item is not new]
        self._resize(deployment, new, olds)
        self._write_status(name, deployment, new, owned)
        self._remove_old_sets(deployment, olds)

    def _create_set(self, deployment: Object, hash_: str, revision: int) -> None:
        meta, spec = deployment["metadata"], deployment["spec"]
        template = spec["template"]
        labels = {**template.get("metadata", {}).get("labels", {}), HASH: hash_}
        selector = spec["selector"]
        body = {
            "apiVersion": "apps/v1",
            "kind": "ReplicaSet",
            "metadata": {
                "name": replica_set_name(meta["name"], template),
                "namespace": meta["namespace"],
                "labels": labels,
                "annotations": {REVISION: str(revision)},
                "ownerReferences": [owner_reference(deployment, "apps/v1", "Deployment")],
            },
            "spec": {
                "replicas": 0,
                "minReadySeconds": spec.get("minReadySeconds") or 0,
                "selector": {**selector, "matchLabels": {**(selector.get("matchLabels") or {}), HASH: hash_}},
                "template": {**template, "metadata": {**template.get("metadata", {}), "labels": labels}},
            },
        }
        try:
            self._store.create(SETS, body, namespace=meta["namespace"], manager="kube-controller-manager")
        except ApiError as error:
            if error.reason != "Forbidden":  # its namespace is being deleted
                raise

    def _annotate(self, deployment: Object, revision: int) -> None:
        meta = deployment["metadata"]
        body = {"metadata": {"annotations": {REVISION: str(revision)}}}
        self._store.patch(DEPLOYMENTS, meta["namespace"], meta["name"], body, manager="kube-controller-manager")

    def _resize(self, deployment: Object, new: Object, olds: list[Object]) -> None:
        spec = deployment["spec"]
        sizes = next_sizes(
            desired_replicas(spec), Strategy.of(spec), self._size(new), tuple(self._size(old) for old in olds)
        )
        for replica_set, size in zip([new, *olds], [sizes[0], *sizes[1]], strict=True):
            if desired_replicas(replica_set["spec"]) != size:
                meta, body = replica_set["metadata"], {"spec": {"replicas": size}}
                self._store.patch(SETS, meta["namespace"], meta["name"], body, manager="kube-controller-manager")

    def _size(self, replica_set: Object) -> ReplicaCounts:
        available = (replica_set.get("status") or {}).get("availableReplicas", 0)
        return ReplicaCounts(desired_replicas(replica_set["spec"]), available, len(self._pods.of(replica_set)))

    def _remove_old_sets(self, deployment: Object, olds: list[Object]) -> None:
        limit = deployment["spec"].get("revisionHistoryLimit", HISTORY)
        empty = [old for old in olds if not desired_replicas(old["spec"]) and not self._pods.of(old)]
        for old in sorted(empty, key=_revision)[: max(0, len(olds) - limit)]:
            self._store.delete(SETS, old["metadata"]["namespace"], old["metadata"]["name"])

    def _write_status(self, name: str, deployment: Object, new: Object, owned: list[Object]) -> None:
        desired, available = desired_replicas(deployment["spec"]), _total(owned, "availableReplicas")
        updated = _total([new], "replicas")
        strategy = Strategy.of(deployment["spec"])
        done = updated == desired == available == _total(owned, "replicas")
        conditions = [
            _available_condition(available >= desired - strategy.unavailable),
            _progressing_condition(new["metadata"]["name"], done),
        ]
        before: Object = deployment.get("status") or {}
        status = {
            "observedGeneration": deployment["metadata"].get("generation", 1),
            "replicas": _total(owned, "replicas"),
            "updatedReplicas": updated,
            "readyReplicas": _total(owned, "readyReplicas"),
            "availableReplicas": available,
            "unavailableReplicas": max(0, max(desired, _total(owned, "replicas")) - available),
            "conditions": with_conditions(before.get("conditions") or (), conditions, format_time(self._now())),
        }
        if before != status:
            namespace, short = split(name)
            body = {"status": status}
            self._store.patch(
                DEPLOYMENTS, namespace, short, body, subresource="status", manager="kube-controller-manager"
            )


def _revision(replica_set: Object) -> int:
    return int(replica_set["metadata"].get("annotations", {}).get(REVISION, 0))


def _total(sets: list[Object], field: str) -> int:
    return sum((item.get("status") or {}).get(field, 0) for item in sets)


def _available_condition(is_available: bool) -> dict[str, str]:
    if is_available:
        return _condition("Available", True, "MinimumReplicasAvailable", "Deployment has minimum availability.")
    return _condition(
        "Available", False, "MinimumReplicasUnavailable", "Deployment does not have minimum availability."
    )


def _progressing_condition(replica_set: str, done: bool) -> dict[str, str]:
    if done:
        message = f'ReplicaSet "{replica_set}" has successfully progressed.'
        return _condition("Progressing", True, "NewReplicaSetAvailable", message)
    return _condition("Progressing", True, "ReplicaSetUpdated", f'ReplicaSet "{replica_set}" is progressing.')


def _condition(type_: str, is_true: bool, reason: str, message: str) -> dict[str, str]:
    return {"type": type_, "status": "True" if is_true else "False", "reason": reason, "message": message}
