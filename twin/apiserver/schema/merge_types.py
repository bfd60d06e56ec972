"""Merge types: which lists are maps by key, which are sets, and which values are atomic.

Server-side apply and strategic merge patch need them. Those of builtin kinds are listed here, as far as they matter
(source: the `+listType`, `+listMapKey`, `+mapType` and `patchMergeKey` markers in `k8s.io/api`); those of custom
resources come from the `x-kubernetes-*` extensions of their schema. Other objects are granular, other lists atomic.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class MergeType:
    """Merge rule of a value.

    Attributes:
        fields: merge types of an object's fields that are not simply granular.
        items: merge type of a list's elements, or of an object's other fields.
        keys: fields that identify the elements of a list of objects.
        merge_key: the one of `keys` that strategic merge patch uses.
        unique: the list is a set of scalars.
        atomic: the value is owned and replaced as a whole.
    """

    fields: Mapping[str, "MergeType"] = field(default_factory=dict)
    items: "MergeType | None" = None
    keys: tuple[str, ...] = ()
    merge_key: str = ""
    unique: bool = False
    atomic: bool = False

    def child(self, name: str) -> "MergeType":
        """Return the merge type of a field."""
        return self.fields.get(name) or self.items or GRANULAR

    @property
    def element(self) -> "MergeType":
        """Merge type of a list's elements."""
        return self.items or GRANULAR


GRANULAR = MergeType()
ATOMIC = MergeType(atomic=True)
SET = MergeType(unique=True)


def map_by_key(*keys: str, merge_key: str = "", items: MergeType | None = None) -> MergeType:
    """Return the merge type of a list of objects identified by `keys`."""
    return MergeType(keys=keys, merge_key=merge_key or keys[0], items=items)


METADATA = MergeType(fields={"finalizers": SET, "ownerReferences": map_by_key("uid"), "managedFields": ATOMIC})
CONDITIONS = map_by_key("type")

_ENV = map_by_key("name", items=MergeType(fields={"valueFrom": MergeType(items=ATOMIC)}))
_CONTAINER = MergeType(
    fields={
        "env": _ENV,
        "ports": map_by_key("containerPort", "protocol", merge_key="containerPort"),
        "volumeMounts": map_by_key("mountPath"),
        "volumeDevices": map_by_key("devicePath"),
        "resources": MergeType(fields={"claims": map_by_key("name")}),
    }
)
POD_SPEC = MergeType(
    fields={
        "containers": map_by_key("name", items=_CONTAINER),
        "initContainers": map_by_key("name", items=_CONTAINER),
        "ephemeralContainers": map_by_key("name", items=_CONTAINER),
        "volumes": map_by_key("name"),
        "imagePullSecrets": map_by_key("name", items=ATOMIC),
        "hostAliases": map_by_key("ip"),
        "topologySpreadConstraints": map_by_key("topologyKey", "whenUnsatisfiable", merge_key="topologyKey"),
        "nodeSelector": ATOMIC,
        "schedulingGates": map_by_key("name"),
    }
)
_POD_STATUS = MergeType(fields={"conditions": CONDITIONS, "podIPs": map_by_key("ip"), "hostIPs": ATOMIC})
_TEMPLATE = MergeType(fields={"metadata": METADATA, "spec": POD_SPEC})
_WORKLOAD = MergeType(fields={"template": _TEMPLATE, "selector": ATOMIC})
_CONDITIONED = MergeType(fields={"conditions": CONDITIONS})
_SERVICE_SPEC = MergeType(
    fields={"ports": map_by_key("port", "protocol", merge_key="port"), "selector": ATOMIC, "clusterIPs": ATOMIC}
)
_NODE_STATUS = MergeType(fields={"conditions": CONDITIONS, "addresses": map_by_key("type")})


def object_type(**fields: MergeType) -> MergeType:
    """Return the merge type of a whole object, including its metadata."""
    return MergeType(fields={"metadata": METADATA, **fields})


POD = object_type(spec=POD_SPEC, status=_POD_STATUS)
WORKLOAD = object_type(spec=_WORKLOAD, status=_CONDITIONED)
SERVICE = object_type(spec=_SERVICE_SPEC, status=_CONDITIONED)
NODE = object_type(spec=MergeType(fields={"podCIDRs": SET}), status=_NODE_STATUS)
EVENT = object_type(regarding=ATOMIC, involvedObject=ATOMIC, series=GRANULAR)
PLAIN = object_type(status=_CONDITIONED)


def from_schema(schema: Mapping[str, Any]) -> MergeType:
    """Return the merge type that a structural OpenAPI schema declares."""
    if schema.get("x-kubernetes-map-type") == "atomic":
        return ATOMIC
    list_type = schema.get("x-kubernetes-list-type")
    if list_type == "set":
        return SET
    fields = {name: from_schema(child) for name, child in schema.get("properties", {}).items()}
    fields = {name: merge_type for name, merge_type in fields.items() if merge_type != GRANULAR}
    child_schema = schema.get("items") if schema.get("type") == "array" else schema.get("additionalProperties")
    items = from_schema(child_schema) if isinstance(child_schema, Mapping) else None
    items = None if items == GRANULAR else items
    keys = tuple(schema.get("x-kubernetes-list-map-keys", ())) if list_type == "map" else ()
    return MergeType(fields=fields, items=items, keys=keys, merge_key=keys[0] if keys else "")
