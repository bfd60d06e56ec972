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
class Shape:
    """How one value merges."""

    fields: Mapping[str, "Shape"] = field(default_factory=dict)
    """Of an object: shapes of those fields that are not simply granular."""
    items: "Shape | None" = None
    """Of a list, or of an object's values where `fields` does not name them."""
    keys: tuple[str, ...] = ()
    """Of a list: its elements are objects, told apart by these fields."""
    merge_key: str = ""
    """The one of `keys` that strategic merge patch goes by."""
    unique: bool = False
    """Of a list: a set of scalars."""
    atomic: bool = False
    """One value, owned and replaced as a whole."""

    def child(self, name: str) -> "Shape":
        """The shape of a field."""
        return self.fields.get(name) or self.items or GRANULAR

    @property
    def element(self) -> "Shape":
        """The shape of a list's elements."""
        return self.items or GRANULAR


GRANULAR = Shape()
ATOMIC = Shape(atomic=True)
SET = Shape(unique=True)


def keyed(*keys: str, merge_key: str = "", items: Shape | None = None) -> Shape:
    """A list of objects told apart by `keys`."""
    return Shape(keys=keys, merge_key=merge_key or keys[0], items=items)


METADATA = Shape(fields={"finalizers": SET, "ownerReferences": keyed("uid"), "managedFields": ATOMIC})
CONDITIONS = keyed("type")

_ENV = keyed("name", items=Shape(fields={"valueFrom": Shape(items=ATOMIC)}))
_CONTAINER = Shape(
    fields={
        "env": _ENV,
        "ports": keyed("containerPort", "protocol", merge_key="containerPort"),
        "volumeMounts": keyed("mountPath"),
        "volumeDevices": keyed("devicePath"),
        "resources": Shape(fields={"claims": keyed("name")}),
    }
)
POD_SPEC = Shape(
    fields={
        "containers": keyed("name", items=_CONTAINER),
        "initContainers": keyed("name", items=_CONTAINER),
        "ephemeralContainers": keyed("name", items=_CONTAINER),
        "volumes": keyed("name"),
        "imagePullSecrets": keyed("name", items=ATOMIC),
        "hostAliases": keyed("ip"),
        "topologySpreadConstraints": keyed("topologyKey", "whenUnsatisfiable", merge_key="topologyKey"),
        "nodeSelector": ATOMIC,
        "schedulingGates": keyed("name"),
    }
)
_POD_STATUS = Shape(fields={"conditions": CONDITIONS, "podIPs": keyed("ip"), "hostIPs": ATOMIC})
_TEMPLATE = Shape(fields={"metadata": METADATA, "spec": POD_SPEC})
_WORKLOAD = Shape(fields={"template": _TEMPLATE, "selector": ATOMIC})
_CONDITIONED = Shape(fields={"conditions": CONDITIONS})
_SERVICE_SPEC = Shape(
    fields={"ports": keyed("port", "protocol", merge_key="port"), "selector": ATOMIC, "clusterIPs": ATOMIC}
)
_NODE_STATUS = Shape(fields={"conditions": CONDITIONS, "addresses": keyed("type")})


def of(**fields: Shape) -> Shape:
    """The shape of a whole object, its metadata included."""
    return Shape(fields={"metadata": METADATA, **fields})


POD = of(spec=POD_SPEC, status=_POD_STATUS)
WORKLOAD = of(spec=_WORKLOAD, status=_CONDITIONED)
SERVICE = of(spec=_SERVICE_SPEC, status=_CONDITIONED)
NODE = of(spec=Shape(fields={"podCIDRs": SET}), status=_NODE_STATUS)
EVENT = of(regarding=ATOMIC, involvedObject=ATOMIC, series=GRANULAR)
PLAIN = of(status=_CONDITIONED)


def from_schema(schema: Mapping[str, Any]) -> Shape:
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
    return Shape(fields=fields, items=items, keys=keys, merge_key=keys[0] if keys else "")
