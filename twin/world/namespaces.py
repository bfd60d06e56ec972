"""The namespace controller: empties a namespace that is being deleted, then lets it go.

Source: Kubernetes' `pkg/controller/namespace`. Pods are deleted first and with their grace period; other objects follow
once no pod is left. What remains because of finalizers is in the conditions of the namespace.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from fake_vllm.distributions import Constant
from formats.timestamps import format_time, parse_timestamp
from twin.apiserver import ApiError, Change
from twin.apiserver.meta.objects import Object, is_finished, is_terminating, with_conditions
from twin.apiserver.schema.resource_types import ResourceType
from twin.world.context import WorldContext
from twin.world.work import DelayedQueue

DELAY = Constant(5.0)  # seconds; namespaceDeletionGracePeriod
_FINALIZER = "kubernetes"
_FINALIZERS_TAKE = 15.0  # seconds; finalizerEstimateSeconds
_MANAGER = "kube-controller-manager"
_FINE = (
    ("NamespaceDeletionDiscoveryFailure", "ResourcesDiscovered", "All resources successfully discovered"),
    ("NamespaceDeletionGroupVersionParsingFailure", "ParsedGroupVersions", "All legacy kube types successfully parsed"),
    (
        "NamespaceDeletionContentFailure",
        "ContentDeleted",
        "All content successfully deleted, may be waiting on finalization",
    ),
    ("NamespaceContentRemaining", "ContentRemoved", "All content successfully removed"),
    ("NamespaceFinalizersRemaining", "ContentHasNoFinalizers", "All content-preserving finalizers finished"),
)


@dataclass(slots=True)
class _Remaining:
    """Objects that are left in a namespace: numbers by resource and by finalizer, and seconds that they need."""

    resources: Counter[str] = field(default_factory=Counter)
    finalizers: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    def add(self, kind: ResourceType, objects: Iterable[Object]) -> None:
        for obj in objects:
            self.resources[f"{kind.plural}.{kind.group}"] += 1
            self.finalizers.update(obj["metadata"].get("finalizers") or ())


class Namespaces:
    """Follows namespaces; does nothing until one is deleted."""

    def __init__(self, context: WorldContext) -> None:
        self._context = context
        self._store = context.store
        self._queue = DelayedQueue(context, "namespace-controller", DELAY, self._sync)
        self._store.subscribe(self._on_namespace, "namespaces")

    def _on_namespace(self, change: Change) -> None:
        if change.type != "DELETED" and is_terminating(change.object):
            self._queue.add(change.object["metadata"]["name"])

    def _sync(self, name: str) -> None:
        try:
            namespace = self._store.get("namespaces", "", name)
        except ApiError:
            return  # removed in the meantime
        finalizers = (namespace.get("spec") or {}).get("finalizers") or []
        if not is_terminating(namespace) or _FINALIZER not in finalizers:
            return
        remaining = self._empty(name, parse_timestamp(namespace["metadata"]["deletionTimestamp"]).timestamp())
        if remaining.resources:
            wait = remaining.seconds // 2 + 1
            self._context.env.timeout(wait).callbacks.append(lambda _: self._sync(name))
            return
        body = {"spec": {"finalizers": [item for item in finalizers if item != _FINALIZER] or None}}
        self._store.patch("namespaces", "", name, body, subresource="finalize", manager=_MANAGER)

    def _empty(self, name: str, deleted_at: float) -> _Remaining:
        """Delete what is in the namespace, write its conditions, and return what is left."""
        remaining = _Remaining()
        kinds = [kind for kind in list(self._store.kinds) if kind.namespaced]
        pods = next(kind for kind in kinds if kind.resource == "pods")
        graces = [_grace(pod) for pod in self._store.list("pods", namespace=name).items]
        remaining.add(pods, self._delete_all(pods, name))
        if remaining.resources:
            passed = self._context.now().timestamp() - deleted_at
            remaining.seconds = max((grace for grace in graces if grace > passed), default=0.0)
            self._write_conditions(name, _Remaining())
            return remaining
        for kind in kinds:
            if kind is not pods:
                remaining.add(kind, self._delete_all(kind, name))
        remaining.seconds = _FINALIZERS_TAKE if remaining.finalizers else 0.0
        self._write_conditions(name, remaining)
        return remaining

    def _delete_all(self, kind: ResourceType, namespace: str) -> list[Object]:
        """Delete all objects of a kind; return those that are still there."""
        for obj in self._store.list(kind.resource, namespace=namespace).items:
            if not is_terminating(obj):
                try:
                    self._store.delete(kind.resource, namespace, obj["metadata"]["name"])
                except ApiError as error:
                    if error.code != 404:  # deleted with its owner
                        raise
        return list(self._store.list(kind.resource, namespace=namespace).items)

    def _write_conditions(self, name: str, remaining: _Remaining) -> None:
        namespace = self._store.get("namespaces", "", name)
        before = (namespace.get("status") or {}).get("conditions") or ()
        conditions = with_conditions(before, _conditions(remaining), format_time(self._context.now()))
        body = {"status": {"conditions": conditions}}
        self._store.patch("namespaces", "", name, body, subresource="status", manager=_MANAGER)


def _grace(pod: Object) -> float:
    return 0.0 if is_finished(pod) else float(pod["spec"].get("terminationGracePeriodSeconds", 30))


def _conditions(remaining: _Remaining) -> list[dict[str, str]]:
    left = {
        "NamespaceContentRemaining": _left(
            "SomeResourcesRemain",
            "Some resources are remaining: ",
            [f"{name} has {count} resource instances" for name, count in remaining.resources.items()],
        ),
        "NamespaceFinalizersRemaining": _left(
            "SomeFinalizersRemain",
            "Some content in the namespace has finalizers remaining: ",
            [f"{name} in {count} resource instances" for name, count in remaining.finalizers.items()],
        ),
    }
    return [
        {"type": type_, **(left.get(type_) or {"status": "False", "reason": reason, "message": message})}
        for type_, reason, message in _FINE
    ]


def _left(reason: str, opening: str, items: list[str]) -> dict[str, str]:
    """Return the fields of a condition that something is left; empty if nothing is."""
    return {"status": "True", "reason": reason, "message": opening + ", ".join(sorted(items))} if items else {}
