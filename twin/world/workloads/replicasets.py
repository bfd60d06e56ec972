"""The ReplicaSet controller: keeps the desired number of pods of each ReplicaSet."""

import re
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from fake_vllm.distributions import Uniform
from formats.timestamps import format_time, parse_timestamp
from twin.apiserver import ApiError, Change
from twin.apiserver.meta.objects import (
    Object,
    condition,
    controller_uid,
    is_finished,
    is_terminating,
    is_true,
    key,
    owner_reference,
    split,
    with_conditions,
)
from twin.apiserver.meta.selectors import label_selector
from twin.world.context import WorldContext
from twin.world.names import pod_name
from twin.world.work import DelayedQueue
from twin.world.workloads.claims import claim_patches
from twin.world.workloads.retries import Retries, is_final
from twin.world.workloads.rollout import desired_replicas

DELAY = Uniform(0.010, 0.060)  # seconds until a controller handles a change; a lightly loaded control plane
SETS = "replicasets.apps"
_DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
_INTEGER = re.compile(r"-?[0-9]{1,10}")


class Index:
    """Objects of one resource, by key and by the uid of their controller."""

    def __init__(self) -> None:
        self.by_key: dict[str, Object] = {}
        self._by_owner: dict[str, dict[str, Object]] = {}
        self._in_order: dict[str, list[Object]] = {}
        """Results of `of` by uid, until an object changes."""

    def put(self, change: Change) -> None:
        """Apply a change."""
        name, owner = key(change.object), controller_uid(change.object)
        self._in_order.pop(owner, None)
        if change.old is not None and has_new_owner(change):
            self._by_owner.get(controller_uid(change.old), {}).pop(name, None)
            self._in_order.pop(controller_uid(change.old), None)
        if change.type == "DELETED":
            self.by_key.pop(name, None)
            self._by_owner.get(owner, {}).pop(name, None)
        else:
            self.by_key[name] = change.object
            self._by_owner.setdefault(owner, {})[name] = change.object

    def of(self, owner: Object) -> list[Object]:
        """Return the objects that `owner` controls, by creation time and name."""
        uid = owner["metadata"]["uid"]
        if uid not in self._in_order:
            objects = self._by_owner.get(uid, {}).values()
            self._in_order[uid] = sorted(objects, key=lambda item: (item["metadata"]["creationTimestamp"], key(item)))
        return list(self._in_order[uid])

    def without_controller(self) -> list[Object]:
        """Return the objects that nothing controls."""
        return list(self._by_owner.get("", {}).values())


def has_new_owner(change: Change) -> bool:
    """Return True if the owners of an existing object have changed."""
    before = change.old["metadata"] if change.old is not None else change.object["metadata"]
    return before.get("ownerReferences") is not change.object["metadata"].get("ownerReferences")


class ReplicaSets:
    """Keeps the desired number of pods of each ReplicaSet."""

    def __init__(self, context: WorldContext) -> None:
        self._env = context.env
        self._store = store = context.store
        self._streams = context.streams
        self._now = context.now
        self.pods = Index()
        self.sets = Index()
        self._keys: dict[str, str] = {}  # uid -> key
        self._relabelled: set[str] = set()  # uids of sets with a pod that has got other labels
        self._queue = DelayedQueue(context, "replicaset-controller", DELAY, self._sync)
        self._retries = Retries(context.env, self._queue.add)
        store.subscribe(self._on_set, SETS)
        store.subscribe(self._on_pod, "pods")

    def _on_set(self, change: Change) -> None:
        self.sets.put(change)
        uid, name = change.object["metadata"]["uid"], key(change.object)
        if change.type == "DELETED":
            self._keys.pop(uid, None)
            return
        self._keys[uid] = name
        if change.old is None or change.old["spec"] != change.object["spec"]:
            self._queue.add(name)

    def set_of(self, pod: Object) -> Object | None:
        """Return the ReplicaSet that controls a pod."""
        name = self._keys.get(controller_uid(pod))
        return None if name is None else self.sets.by_key.get(name)

    def _on_pod(self, change: Change) -> None:
        self.pods.put(change)
        uid = controller_uid(change.object)
        owner = self._keys.get(uid)
        if owner is not None and change.old is not None and _has_other_labels(change):
            self._relabelled.add(uid)
            self._queue.add(owner)
        if owner is not None and (change.old is None or change.type == "DELETED" or _affects_count(change)):
            self._queue.add(owner)
        if not uid and change.type != "DELETED":
            self._find_owner(change)

    def _find_owner(self, change: Change) -> None:
        """Wake the ReplicaSets that lose or may adopt a pod without a controller."""
        pod = change.object
        before = controller_uid(change.old) if change.old is not None else ""
        if before in self._keys:
            self._queue.add(self._keys[before])
        if change.old is not None and not before and not _has_other_labels(change):
            return
        labels, namespace = pod["metadata"].get("labels") or {}, pod["metadata"]["namespace"]
        for name, replica_set in self.sets.by_key.items():
            if split(name)[0] == namespace and label_selector(replica_set["spec"]["selector"])(labels):
                self._queue.add(name)

    def _sync(self, name: str) -> None:
        replica_set = self.sets.by_key.get(name)
        if replica_set is None:
            return
        if not is_terminating(replica_set):
            self._claim(replica_set)
        pods = [pod for pod in self.pods.of(replica_set) if not is_terminating(pod) and not is_finished(pod)]
        missing = 0 if is_terminating(replica_set) else desired_replicas(replica_set["spec"]) - len(pods)
        refused: ApiError | None = None
        for _ in range(missing):
            if (refused := self._create_pod(name, replica_set)) is not None:
                break
        for pod in deletion_order(pods)[:-missing] if missing < 0 else ():
            namespace, short = split(key(pod))
            self._store.delete("pods", namespace, short, uid=pod["metadata"]["uid"])
        if refused is not None and is_final(refused):
            refused = None
        self._retry(name, refused)
        self._write_status(name, replica_set, pods, "" if refused is None else refused.message)

    def _retry(self, name: str, refused: ApiError | None) -> None:
        """Try again later after a refusal."""
        if refused is None:
            self._retries.forget(name)
        else:
            self._retries.plan(name)

    def _claim(self, replica_set: Object) -> None:
        """Adopt pods that match the selector, and release those that do not any more."""
        free = self.pods.without_controller()
        uid = replica_set["metadata"]["uid"]
        if not free and uid not in self._relabelled:
            return
        self._relabelled.discard(uid)
        reference = owner_reference(replica_set, "apps/v1", "ReplicaSet")
        for pod, body in claim_patches(replica_set, reference, free, self.pods.of(replica_set)):
            namespace, name = split(key(pod))
            self._store.patch("pods", namespace, name, body, manager="kube-controller-manager")

    def _create_pod(self, name: str, replica_set: Object) -> ApiError | None:
        """Create a pod; return the error if the API server refuses it, as by a quota."""
        namespace, short = split(name)
        template = replica_set["spec"]["template"]
        rng = self._streams.get(f"replicaset/{name}/pod-names")
        while True:
            metadata = {
                **template.get("metadata", {}),
                "name": pod_name(short, rng),
                "generateName": f"{short}-",
                "namespace": namespace,
                "ownerReferences": [owner_reference(replica_set, "apps/v1", "ReplicaSet")],
            }
            pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}
            try:
                self._store.create("pods", pod, namespace=namespace, manager="kube-controller-manager")
            except ApiError as error:
                if error.reason == "Forbidden":
                    return error
                if error.reason != "AlreadyExists":
                    raise
            else:
                return None

    def _write_status(self, name: str, replica_set: Object, pods: list[Object], refused: str) -> None:
        """Write the status; `refused` is the message of the API server that refused a pod."""
        min_ready = replica_set["spec"].get("minReadySeconds") or 0
        ready = [pod for pod in pods if is_true(pod, "Ready")]
        waits = [self._until_available(pod, min_ready) for pod in ready]
        terminating = [pod for pod in self.pods.of(replica_set) if is_terminating(pod) and not is_finished(pod)]
        status = {
            "replicas": len(pods),
            "fullyLabeledReplicas": len(pods),
            "readyReplicas": len(ready),
            "availableReplicas": sum(wait <= 0 for wait in waits),
            "terminatingReplicas": len(terminating),
            "observedGeneration": replica_set["metadata"].get("generation", 1),
        }
        before = replica_set.get("status") or {}
        if conditions := _conditions(before, refused, self._now()):
            status["conditions"] = conditions
        if before != status:
            namespace, short = split(name)
            body = {"status": {**({"conditions": None} if "conditions" in before else {}), **status}}
            self._store.patch(SETS, namespace, short, body, subresource="status", manager="kube-controller-manager")
        later = [wait for wait in waits if wait > 0]
        if later:
            self._env.timeout(min(later)).callbacks.append(lambda _: self._queue.add(name))

    def _until_available(self, pod: Object, min_ready: float) -> float:
        """Return the seconds until a ready pod counts as available."""
        since = (condition(pod, "Ready") or {}).get("lastTransitionTime")
        if not min_ready or since is None:
            return 0.0
        return min_ready - (self._now() - parse_timestamp(since)).total_seconds()


def _conditions(before: Object, refused: str, now: datetime) -> list[Object]:
    """Return the conditions: `ReplicaFailure` while pods are refused (`calculateStatus` in Kubernetes)."""
    if not refused:
        return [item for item in before.get("conditions") or () if item["type"] != "ReplicaFailure"]
    if any(item["type"] == "ReplicaFailure" for item in before.get("conditions") or ()):
        return list(before["conditions"])
    failure = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": refused}
    return with_conditions(before.get("conditions") or (), [failure], format_time(now))


def deletion_order(pods: Iterable[Object]) -> list[Object]:
    """Return pods in the order in which a ReplicaSet deletes them (`ActivePodsWithRanks` in Kubernetes).

    Unassigned before assigned, pending before running, unready before ready, then by deletion cost, restarts, and newer
    first.
    """

    def rank(pod: Object) -> tuple[Any, ...]:
        status: Object = pod.get("status") or {}
        ready = condition(pod, "Ready") or {}
        is_ready = ready.get("status") == "True"
        restarts = max((item.get("restartCount", 0) for item in status.get("containerStatuses") or ()), default=0)
        return (
            bool(pod["spec"].get("nodeName")),
            status.get("phase") == "Running",
            is_ready,
            _deletion_cost(pod),
            _newest_first(ready.get("lastTransitionTime", "")) if is_ready else 0.0,
            -restarts,
            _newest_first(pod["metadata"]["creationTimestamp"]),
            pod["metadata"]["name"],
        )

    return sorted(pods, key=rank)


def _deletion_cost(pod: Object) -> int:
    text = (pod["metadata"].get("annotations") or {}).get(_DELETION_COST, "")
    return int(text) if _INTEGER.fullmatch(text) else 0


def _newest_first(timestamp: str) -> float:
    return -parse_timestamp(timestamp).timestamp() if timestamp else 0.0


def _has_other_labels(change: Change) -> bool:
    old = change.old or change.object
    return old["metadata"].get("labels") is not change.object["metadata"].get("labels")


def _affects_count(change: Change) -> bool:
    """Return True if a pod's change may alter a ReplicaSet's count."""
    old, new = change.old or {}, change.object
    if is_terminating(old) != is_terminating(new) or is_finished(old) != is_finished(new):
        return True
    before, after = condition(old, "Ready") or {}, condition(new, "Ready") or {}
    return bool(before.get("status") != after.get("status"))
