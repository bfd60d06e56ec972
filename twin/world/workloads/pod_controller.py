"""Base of the controllers that create pods themselves: StatefulSets, DaemonSets, Jobs.

A controller follows its own objects from the beginning and pods only once there is such an object, so that a cluster
without them pays nothing. It adopts pods that match an object's selector and have no controller, and releases pods that
match no longer; source: `pkg/controller/controller_ref_manager.go`.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from formats.timestamps import parse_timestamp
from twin.apiserver import ApiError, Change
from twin.apiserver.meta.objects import (
    Object,
    condition,
    controller_uid,
    is_terminating,
    is_true,
    key,
    owner_reference,
    split,
)
from twin.apiserver.meta.selectors import label_selector
from twin.world.context import WorldContext
from twin.world.work import DelayedQueue
from twin.world.workloads.replicasets import DELAY, Index
from twin.world.workloads.retries import Retries, is_final

MANAGER = "kube-controller-manager"


class PodController(ABC):
    """Keeps the pods of each object of one kind."""

    resource: ClassVar[str]
    api_version: ClassVar[str]
    kind: ClassVar[str]
    manager: ClassVar[str] = MANAGER

    def __init__(self, context: WorldContext, pods: Index) -> None:
        """Follow the objects; `pods` is an index of all pods that is kept by another subscriber."""
        self._context = context
        self._store = context.store
        self._now = context.now
        self._pods = pods
        self._objects: dict[str, Object] = {}
        self._keys: dict[str, str] = {}  # uid -> key
        self._started = False
        self._queue = DelayedQueue(context, f"{self.kind.lower()}-controller", DELAY, self._process)
        self._retries = Retries(context.env, self._queue.add)
        self._store.subscribe(self._on_object, self.resource)

    @abstractmethod
    def _sync(self, name: str, obj: Object, pods: list[Object]) -> None:
        """Bring an object's pods and status closer to its spec; `pods` are those that it controls."""

    def _start(self) -> None:
        """Follow what the controller depends on; called before the first object is handled."""
        self._store.subscribe(self._on_pod, "pods")

    def _on_object(self, change: Change) -> None:
        if not self._started:
            self._started = True
            self._start()
        uid, name = change.object["metadata"]["uid"], key(change.object)
        if change.type == "DELETED":
            self._keys.pop(uid, None)
            self._objects.pop(name, None)
            return
        self._keys[uid] = name
        self._objects[name] = change.object
        if change.old is None or change.old["spec"] != change.object["spec"]:
            self._queue.add(name)

    def _on_pod(self, change: Change) -> None:
        uids = {controller_uid(change.object): None, controller_uid(change.old or change.object): None}
        for uid in uids:
            if uid in self._keys:
                self._queue.add(self._keys[uid])
        if "" in uids and change.type != "DELETED":
            for name, obj in self._objects.items():
                if self._adopts(obj, change.object):
                    self._queue.add(name)

    def _process(self, name: str) -> None:
        obj = self._objects.get(name)
        if obj is None:
            return
        if not is_terminating(obj):
            self._claim(obj)
        try:
            self._sync(name, obj, self._pods.of(obj))
        except ApiError as error:
            if error.reason != "Forbidden":
                raise
            if not is_final(error):
                self._retries.plan(name)
        else:
            self._retries.forget(name)

    def _claim(self, obj: Object) -> None:
        matches = label_selector(obj["spec"]["selector"])
        for pod in self._pods.without_controller():
            if self._adopts(obj, pod):
                owners = [*(pod["metadata"].get("ownerReferences") or ()), self._reference(obj)]
                self._patch_pod(pod, {"metadata": {"ownerReferences": owners}})
        for pod in self._pods.of(obj):
            if not matches(pod["metadata"].get("labels") or {}) and not is_terminating(pod):
                uid = obj["metadata"]["uid"]
                kept = [owner for owner in pod["metadata"]["ownerReferences"] if owner["uid"] != uid]
                self._patch_pod(pod, {"metadata": {"ownerReferences": kept or None}})

    def _adopts(self, obj: Object, pod: Object) -> bool:
        """Return True if a pod without controller matches an object's selector."""
        if is_terminating(obj) or is_terminating(pod) or controller_uid(pod):
            return False
        meta = pod["metadata"]
        if meta["namespace"] != obj["metadata"]["namespace"]:
            return False
        return label_selector(obj["spec"]["selector"])(meta.get("labels") or {})

    def _reference(self, obj: Object) -> dict[str, Any]:
        return owner_reference(obj, self.api_version, self.kind)

    def _patch_pod(self, pod: Object, body: Object) -> None:
        namespace, name = split(key(pod))
        self._store.patch("pods", namespace, name, body, manager=self.manager)

    def _create_pod(self, obj: Object, pod: dict[str, Any]) -> Object | None:
        """Create a pod; return None if one of that name exists."""
        namespace = obj["metadata"]["namespace"]
        try:
            return self._store.create("pods", pod, namespace=namespace, manager=self.manager)
        except ApiError as error:
            if error.reason != "AlreadyExists":
                raise
            return None

    def _delete_pod(self, pod: Object) -> None:
        namespace, name = split(key(pod))
        self._store.delete("pods", namespace, name, uid=pod["metadata"]["uid"])

    def _write_status(self, name: str, obj: Object, status: Mapping[str, Any]) -> None:
        before = obj.get("status") or {}
        if before == status:
            return
        namespace, short = split(name)
        body = {"status": {**dict.fromkeys(before), **status}}
        self._store.patch(self.resource, namespace, short, body, subresource="status", manager=self.manager)

    def _later(self, name: str, seconds: float) -> None:
        """Handle an object again after some time."""
        self._context.env.timeout(seconds).callbacks.append(lambda _: self._queue.add(name))

    def _until_available(self, pod: Object, min_ready: float) -> float | None:
        """Return the seconds until a pod is available, 0 if it is, None if it is not ready."""
        if not is_true(pod, "Ready"):
            return None
        since = (condition(pod, "Ready") or {}).get("lastTransitionTime")
        if not min_ready or since is None:
            return 0.0
        return max(0.0, min_ready - (self._now() - parse_timestamp(since)).total_seconds())


def pod_from_template(
    template: Object, owner: Object, reference: Object, *, labels: Mapping[str, str], **spec: Any
) -> dict[str, Any]:
    """Return a pod of a template; `labels` are added to its labels, `spec` to its spec."""
    metadata = {
        **(template.get("metadata") or {}),
        "generateName": f"{owner['metadata']['name']}-",
        "namespace": owner["metadata"]["namespace"],
        "ownerReferences": [reference],
    }
    metadata["labels"] = {**((template.get("metadata") or {}).get("labels") or {}), **labels}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {**template["spec"], **spec}}
