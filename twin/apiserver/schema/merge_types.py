"""How values of a kind merge: which lists are maps by key, which are sets, what is one indivisible value.

Server-side apply and strategic merge patch both need to know. For builtin kinds it is written down here, as far as
their fields matter (source: the `+listType`, `+listMapKey`, `+mapType` and `patchMergeKey` markers in
`k8s.io/api`); for custom resources it comes from the `x-kubernetes-*` extensions of their schema. What is not
mentioned is granular if it is an object, and atomic if it is a list.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class MergeType:
    """How one value merges."""

    fields: Mapping[str, "MergeType"] = field(default_factory=dict)
    """Of an object: shapes of those fields that are not simply granular."""
    items: "MergeType | None" = None
    """Of a list, or of an object's values where `fields` does not name them."""
    keys: tuple[str, ...] = ()
    """Of a list: its elements are objects, told apart by these fields."""
    merge_key: str = ""
    """The one of `keys` that strategic merge patch goes by."""
    unique: bool = False
    """Of a list: a set of scalars."""
    atomic: bool = False
    """One value, owned and replaced as a whole."""

    def child(self, name: str) -> "MergeType":
        """The shape of a field."""
        return self.fields.get(name) or self.items or GRANULAR

    @property
    def element(self) -> "MergeType":
        """The shape of a list's elements."""
        return self.items or GRANULAR


GRANULAR = MergeType()
ATOMIC = MergeType(atomic=True)
SET = MergeType(unique=True)


def map_by_key(*keys: str, merge_key: str = "", items: MergeType | None = None) -> MergeType:
    """A list of objects told apart by `keys`."""
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


def of(**fields: MergeType) -> MergeType:
    """The shape of a whole object, its metadata included."""
    return MergeType(fields={"metadata": METADATA, **fields})


POD = of(spec=POD_SPEC, status=_POD_STATUS)
WORKLOAD = of(spec=_WORKLOAD, status=_CONDITIONED)
SERVICE = of(spec=_SERVICE_SPEC, status=_CONDITIONED)
NODE = of(spec=MergeType(fields={"podCIDRs": SET}), status=_NODE_STATUS)
EVENT = of(regarding=ATOMIC, involvedObject=ATOMIC, series=GRANULAR)
PLAIN = of(status=_CONDITIONED)


def from_schema(schema: Mapping[str, Any]) -> MergeType:
    """The shape that a structural OpenAPI schema declares."""
    if schema.get("x-kubernetes-map-type") == "atomic":
        return ATOMIC
    list_type = schema.get("x-kubernetes-list-type")
    if list_type == "set":
        return SET
    fields = {name: from_schema(child) for name, child in schema.get("properties", {}).items()}
    fields = {name: shape for name, shape in fields.items() if shape != GRANULAR}
    below = schema.get("items") if schema.get("type") == "array" else schema.get("additionalProperties")
    items = from_schema(below) if isinstance(below, Mapping) else None
    items = None if items == GRANULAR else items
    keys = tuple(schema.get("x-kubernetes-list-map-keys", ())) if list_type == "map" else ()
    return MergeType(fields=fields, items=items, keys=keys, merge_key=keys[0] if keys else "")
