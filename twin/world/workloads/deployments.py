"""The Deployment controller: creates, scales and removes ReplicaSets.

The arithmetic is in `rollout.py`, the status in `deployment_status.py`. Order of steps as in Kubernetes' deployment
controller (`pkg/controller/deployment/deployment_controller.go`), held to recordings of a real one
(`tests/conformance_kubernetes`).
"""

from collections.abc import Sequence
from functools import partial

from twin.apiserver import ApiError, Change
from twin.apiserver.meta.objects import (
    Object,
    controller_uid,
    is_finished,
    is_terminating,
    key,
    owner_reference,
    split,
)
from twin.world.context import WorldContext
from twin.world.names import replica_set_name, template_hash
from twin.world.work import DelayedQueue, Timer
from twin.world.workloads.claims import claim_patches
from twin.world.workloads.deployment_status import (
    Sets,
    has_deadline,
    is_complete,
    plain_status,
    resumed,
    rollout_status,
    seconds_left,
    with_progress,
)
from twin.world.workloads.replicasets import DELAY, SETS, ReplicaSets
from twin.world.workloads.rollout import (
    ReplicaCounts,
    Strategy,
    desired_replicas,
    is_saturated,
    next_sizes,
    proportional_sizes,
)

HASH = "pod-template-hash"
REVISION = "deployment.kubernetes.io/revision"
HISTORY = 10  # old ReplicaSets kept; Kubernetes docs, "Deployments": revisionHistoryLimit
RESTARTED_AT = "kubectl.kubernetes.io/restartedAt"
DEPLOYMENTS = "deployments.apps"
_DESIRED, _MAXIMUM = "deployment.kubernetes.io/desired-replicas", "deployment.kubernetes.io/max-replicas"
_HISTORY = "deployment.kubernetes.io/revision-history"
_MANAGER = "kube-controller-manager"
_DEADLINE_SLACK = 1.0  # seconds; times of conditions have no fractions


class Deployments:
    """Creates, scales and removes ReplicaSets."""

    def __init__(self, context: WorldContext, sets: ReplicaSets) -> None:
        self._store = store = context.store
        self._env = context.env
        self._now = context.now
        self._deadlines: dict[str, Timer] = {}
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
        if deployment is None:
            return
        if is_terminating(deployment):
            self._write_status(name, plain_status(deployment, self._sets_of(deployment), self._now()))
            return
        self._claim(deployment)
        if (status := resumed(deployment, self._now())) is not None:
            self._write_status(name, status)
            deployment = self._deployments[name]
        if deployment["spec"].get("paused") or self._is_scaled(deployment):
            self._scale(deployment)
            self._write_status(name, plain_status(deployment, self._sets_of(deployment), self._now()))
        else:
            self._roll(name, deployment)

    def _claim(self, deployment: Object) -> None:
        """Adopt ReplicaSets that match the selector and belong to nothing."""
        if free := self._sets.without_controller():
            reference = owner_reference(deployment, "apps/v1", "Deployment")
            for item, body in claim_patches(deployment, reference, free, ()):
                meta = item["metadata"]
                self._store.patch(SETS, meta["namespace"], meta["name"], body, manager=_MANAGER)

    def _roll(self, name: str, deployment: Object) -> None:
        sets = self._sets_of(deployment)
        if sets.new is None and not self._waits_for_old_pods(deployment, sets):
            self._create_set(deployment, sets)
            return  # its creation triggers the next sync
        if sets.new is None:
            self._set_sizes(deployment, sets.old, [0] * len(sets.old))
        else:
            self._resize(deployment, sets.new, sets.old)
        sets = self._sets_of(deployment)
        status = rollout_status(deployment, sets, self._now())
        if sets.new is not None and is_complete(deployment, status):
            self._remove_old_sets(deployment, sets.old)
        self._write_status(name, status)
        self._watch_deadline(name)

    def _sets_of(self, deployment: Object) -> Sets:
        """Return the ReplicaSets, the old ones oldest first; number the new one as the latest revision."""
        owned = self._sets.of(deployment)
        hash_ = template_hash(deployment["spec"]["template"])
        new = next((item for item in owned if item["metadata"].get("labels", {}).get(HASH) == hash_), None)
        old = [item for item in owned if item is not new]
        if new is not None:
            new = self._numbered(deployment, new, 1 + max((_revision(item) for item in old), default=0))
        return Sets(new, old)

    def _numbered(self, deployment: Object, new: Object, revision: int) -> Object:
        """Return the new ReplicaSet with at least that revision, and write it to both objects."""
        before = _revision(new)
        if before < revision:
            annotations = new["metadata"].get("annotations") or {}
            history = [text for text in (annotations.get(_HISTORY), str(before)) if text]
            new = self._annotate_set(new, {REVISION: str(revision), _HISTORY: ",".join(history)})
        self._annotate(deployment, max(before, revision))
        return new

    def _create_set(self, deployment: Object, sets: Sets) -> None:
        meta, spec = deployment["metadata"], deployment["spec"]
        template, hash_ = spec["template"], template_hash(spec["template"])
        labels = {**template.get("metadata", {}).get("labels", {}), HASH: hash_}
        selector, revision = spec["selector"], 1 + max((_revision(item) for item in sets.old), default=0)
        sizes = tuple(self._size(old) for old in sets.old)
        body = {
            "apiVersion": "apps/v1",
            "kind": "ReplicaSet",
            "metadata": {
                "name": replica_set_name(meta["name"], template),
                "namespace": meta["namespace"],
                "labels": labels,
                "annotations": {REVISION: str(revision), **_announced(spec)},
                "ownerReferences": [owner_reference(deployment, "apps/v1", "Deployment")],
            },
            "spec": {
                "replicas": next_sizes(desired_replicas(spec), Strategy.of(spec), ReplicaCounts(), sizes)[0],
                "minReadySeconds": spec.get("minReadySeconds") or 0,
                "selector": {**selector, "matchLabels": {**(selector.get("matchLabels") or {}), HASH: hash_}},
                "template": {**template, "metadata": {**template.get("metadata", {}), "labels": labels}},
            },
        }
        try:
            created = self._store.create(SETS, body, namespace=meta["namespace"], manager=_MANAGER)
        except ApiError as error:
            if error.reason != "Forbidden":  # its namespace is being deleted
                raise
            return
        self._annotate(deployment, revision)
        if has_deadline(deployment):
            message = f'Created new replica set "{created["metadata"]["name"]}"'
            self._write_status(key(deployment), with_progress(deployment, "NewReplicaSetCreated", message, self._now()))

    def _annotate(self, deployment: Object, revision: int) -> None:
        meta = deployment["metadata"]
        if meta.get("annotations", {}).get(REVISION) != str(revision):
            body = {"metadata": {"annotations": {REVISION: str(revision)}}}
            self._store.patch(DEPLOYMENTS, meta["namespace"], meta["name"], body, manager=_MANAGER)

    def _annotate_set(self, replica_set: Object, annotations: dict[str, str]) -> Object:
        meta, body = replica_set["metadata"], {"metadata": {"annotations": annotations}}
        return self._store.patch(SETS, meta["namespace"], meta["name"], body, manager=_MANAGER)

    def _waits_for_old_pods(self, deployment: Object, sets: Sets) -> bool:
        """Return True if the new ReplicaSet is created only when no pod of the old ones is left."""
        if not Strategy.of(deployment["spec"]).recreate:
            return False
        return any(not is_finished(pod) for old in sets.old for pod in self._pods.of(old))

    def _is_scaled(self, deployment: Object) -> bool:
        """Return True if the size in the annotation of a ReplicaSet is not the size of its Deployment."""
        active = [item for item in self._sets.of(deployment) if desired_replicas(item["spec"])]
        announced = [item["metadata"].get("annotations", {}).get(_DESIRED) for item in active]
        return any(size is not None and int(size) != desired_replicas(deployment["spec"]) for size in announced)

    def _scale(self, deployment: Object) -> None:
        """Set the sizes of the ReplicaSets after the Deployment was scaled or paused."""
        sets, spec = self._sets_of(deployment), deployment["spec"]
        desired, strategy = desired_replicas(spec), Strategy.of(spec)
        active = [item for item in sets.all if desired_replicas(item["spec"])]
        if len(active) <= 1:
            only = active or ([sets.new] if sets.new is not None else list(sets.old[-1:]))
            self._set_sizes(deployment, only, [desired] * len(only))
        elif sets.new is not None and is_saturated(desired, self._size(sets.new), _annotated(sets.new, _DESIRED)):
            self._set_sizes(deployment, sets.old, [0] * len(sets.old))
        elif not strategy.recreate:
            grows = desired + strategy.surge > sum(desired_replicas(item["spec"]) for item in active)
            ordered = sorted(reversed(active) if grows else active, key=lambda item: -desired_replicas(item["spec"]))
            before = [_annotated(item, _MAXIMUM) or desired for item in ordered]
            counts = [self._size(item) for item in ordered]
            sizes = proportional_sizes(desired, strategy, counts, before)
            self._set_sizes(deployment, ordered, sizes, always=True)

    def _resize(self, deployment: Object, new: Object, olds: Sequence[Object]) -> None:
        spec = deployment["spec"]
        sizes = next_sizes(
            desired_replicas(spec), Strategy.of(spec), self._size(new), tuple(self._size(old) for old in olds)
        )
        self._set_sizes(deployment, [new, *olds], [sizes[0], *sizes[1]])

    def _set_sizes(
        self, deployment: Object, sets: Sequence[Object], sizes: Sequence[int], *, always: bool = False
    ) -> None:
        """Set replicas, and announce the Deployment's size; with `always` also to sets that keep theirs."""
        announced = _announced(deployment["spec"])
        for replica_set, size in zip(sets, sizes, strict=True):
            meta = replica_set["metadata"]
            if desired_replicas(replica_set["spec"]) != size:
                body = {"metadata": {"annotations": announced}, "spec": {"replicas": size}}
                self._store.patch(SETS, meta["namespace"], meta["name"], body, manager=_MANAGER)
            elif always and not announced.items() <= meta.get("annotations", {}).items():
                self._annotate_set(replica_set, announced)

    def _size(self, replica_set: Object) -> ReplicaCounts:
        available = (replica_set.get("status") or {}).get("availableReplicas", 0)
        return ReplicaCounts(desired_replicas(replica_set["spec"]), available, len(self._pods.of(replica_set)))

    def _remove_old_sets(self, deployment: Object, olds: Sequence[Object]) -> None:
        limit = deployment["spec"].get("revisionHistoryLimit", HISTORY)
        for old in sorted(olds, key=_revision)[: max(0, len(olds) - limit)]:
            if not desired_replicas(old["spec"]) and not (old.get("status") or {}).get("replicas"):
                self._store.delete(SETS, old["metadata"]["namespace"], old["metadata"]["name"])

    def _write_status(self, name: str, status: Object) -> None:
        deployment = self._deployments.get(name)
        if deployment is not None and (deployment.get("status") or {}) != status:
            namespace, short = split(name)
            body = {"status": status}
            self._store.patch(DEPLOYMENTS, namespace, short, body, subresource="status", manager=_MANAGER)

    def _watch_deadline(self, name: str) -> None:
        """Look at the Deployment again when it has made no progress for too long."""
        deployment = self._deployments.get(name)
        left = None if deployment is None else seconds_left(deployment, self._now())
        timer = self._deadlines.get(name)
        if left is None:
            if timer is not None:
                timer.cancel()
            return
        if timer is None:
            timer = self._deadlines[name] = Timer(self._env, partial(self._queue.add, name))
        timer.set(self._env.now + max(left, 0.0) + _DEADLINE_SLACK)


def _revision(replica_set: Object) -> int:
    return int(replica_set["metadata"].get("annotations", {}).get(REVISION, 0))


def _annotated(replica_set: Object, annotation: str) -> int | None:
    text = replica_set["metadata"].get("annotations", {}).get(annotation)
    return None if text is None else int(text)


def _announced(spec: Object) -> dict[str, str]:
    """Return the annotations of a ReplicaSet that hold the Deployment's size."""
    desired = desired_replicas(spec)
    return {_DESIRED: str(desired), _MAXIMUM: str(desired + Strategy.of(spec).surge)}
