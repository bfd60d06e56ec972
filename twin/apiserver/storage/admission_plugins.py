"""The admission plugins of the API server that look at other objects: Priority, LimitRanger, ResourceQuota.

They run at each creation, whichever client sends it, and cost nothing while a namespace has no such objects.
"""

from collections.abc import Iterator, Mapping

from twin.apiserver.meta.errors import Object, forbidden
from twin.apiserver.registry import strategy
from twin.apiserver.schema.resource_types import Registry, ResourceType
from twin.apiserver.storage.limit_ranges import check_limits, with_defaults
from twin.apiserver.storage.quotas import QUOTAS, applies, check_quota, used
from twin.apiserver.storage.resource_store import ResourceStore

RANGES, CLASSES = "limitranges", "priorityclasses.scheduling.k8s.io"
SYSTEM_CLASSES = {"system-cluster-critical": 2_000_000_000, "system-node-critical": 2_000_001_000}
"""Priorities of the classes that every cluster has."""


class AdmissionPlugins:
    """Reads the objects of a store."""

    def __init__(self, kinds: Registry, objects: Mapping[str, ResourceStore]) -> None:
        self._kinds = kinds
        self._objects = objects

    def mutate(self, kind: ResourceType, obj: Object, namespace: str) -> Object:
        """Return an object to create with the defaults of its namespace; only pods have any.

        Raises:
            ApiError: 403 if its PriorityClass does not exist, 400 if a field has the wrong type.
        """
        if kind.resource != "pods":
            return obj
        spec, has_ranges = obj.get("spec"), self._objects[RANGES].has_any(namespace)
        has_class = isinstance(spec, dict) and bool(spec.get("priorityClassName"))
        has_class = has_class or self._objects[CLASSES].has_any()
        if has_class or has_ranges:
            strategy.check_types(kind, obj)
        if has_class:
            obj = self._with_priority(obj)
        if has_ranges:
            obj = with_defaults(obj, list(self._objects[RANGES].objects(namespace)))
        return obj

    def validate(self, kind: ResourceType, new: Object, namespace: str) -> None:
        """Check a new object with all defaults.

        Raises:
            ApiError: 403 if it is beyond a limit.
        """
        if kind.resource == "pods" and self._objects[RANGES].has_any(namespace):
            check_limits(new, list(self._objects[RANGES].objects(namespace)))
        if namespace and self._objects[QUOTAS].has_any(namespace):
            for quota in self._objects[QUOTAS].objects(namespace):
                if applies(quota):
                    check_quota(quota, kind, new, used(quota, self.in_namespace(namespace)))

    def in_namespace(self, namespace: str) -> Iterator[tuple[ResourceType, Object]]:
        """Yield all objects of a namespace with their kinds."""
        for kind in self._kinds:
            if kind.namespaced:
                yield from ((kind, obj) for obj in self._objects[kind.resource].objects(namespace))

    def _with_priority(self, pod: Object) -> Object:
        """Return a pod with the priority of its class, or of the cluster's default class."""
        spec = pod.get("spec") or {}
        name, classes = spec.get("priorityClassName", ""), list(self._objects[CLASSES].objects())
        if name in SYSTEM_CLASSES:
            return {**pod, "spec": {**spec, "priority": SYSTEM_CLASSES[name]}}
        found = next((item for item in classes if item["metadata"]["name"] == name), None)
        if name and found is None:
            title = str((pod.get("metadata") or {}).get("name", ""))
            raise forbidden("pods", "", title, f"no PriorityClass with name {name} was found")
        defaults = [item for item in classes if item.get("globalDefault")]
        found = found or max(defaults, key=lambda item: -item["value"], default=None)
        if found is None:
            return pod
        policy = found.get("preemptionPolicy", "PreemptLowerPriority")
        own = {"priorityClassName": found["metadata"]["name"], "priority": found["value"], "preemptionPolicy": policy}
        return {**pod, "spec": {**spec, **own}}
