"""Who owns which fields: `metadata.managedFields`, read, written and kept up.

Fields are paths as in FieldsV1: `("f:spec", "f:replicas")`, with `k:{"type":"Ready"}` for an element of a list that
is a map and `v:"x"` for one of a set. Owners of what comes over HTTP are tracked from its creation, as on a real
server; of what the simulated world writes, from an object's first server-side apply on: only an apply asks who owns
what, and tracking would cost every write.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from twin.apiserver.meta.errors import Object
from twin.apiserver.patch.json_patch import json_equal
from twin.apiserver.schema.merge_types import MergeType
from twin.apiserver.schema.resource_types import ResourceType

Path = tuple[str, ...]
_ABSENT: Any = object()

_UNOWNED_TOP = frozenset({"apiVersion", "kind"})
_UNOWNED_META = frozenset(
    {
        *("name", "namespace", "generateName", "uid", "resourceVersion", "generation", "selfLink"),
        *("creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "managedFields"),
    }
)
_KEY_DEFAULTS = {"protocol": "TCP"}  # the one list key with a default: corev1 ServicePort and ContainerPort


class Owner(NamedTuple):
    """Whose fields an entry of managedFields lists."""

    manager: str
    operation: str
    api_version: str
    subresource: str


def updater(kind: ResourceType, manager: str, subresource: str = "") -> Owner:
    """Return the owner of fields that are written without an apply."""
    return Owner(manager or "unknown", "Update", kind.api_version, subresource)


@dataclass(frozen=True, slots=True)
class Ownership:
    """The fields of one owner, and when it last changed any."""

    fields: frozenset[Path]
    time: str


Owners = dict[Owner, Ownership]


def owned_part(kind: ResourceType, obj: Object, subresource: str = "") -> Object:
    """What of an object can be owned: no identity, no bookkeeping, and of a status only through its subresource."""
    if subresource == "status":
        return {"status": obj["status"]} if "status" in obj else {}
    hidden = _UNOWNED_TOP | {"status"} if kind.status else _UNOWNED_TOP
    part = {key: value for key, value in obj.items() if key not in hidden and value is not None}
    meta = {key: value for key, value in obj.get("metadata", {}).items() if key not in _UNOWNED_META}
    if meta:
        part["metadata"] = meta
    else:
        part.pop("metadata", None)
    return part


@lru_cache(maxsize=4096)
def _name_step(name: str) -> str:
    return f"f:{name}"


def item_step(item: Any, shape: MergeType) -> str:
    """The step of a path to an element of a list that is a map or a set."""
    if shape.unique:
        return "v:" + json.dumps(item)
    found = {key: item.get(key, _KEY_DEFAULTS.get(key)) for key in sorted(shape.keys)}
    return "k:" + json.dumps({key: value for key, value in found.items() if value is not None}, separators=(",", ":"))


def leaves(value: Any, shape: MergeType, at: Path = ()) -> set[Path]:
    """The paths of all fields that a value sets."""
    found: set[Path] = set()
    _add_leaves(value, shape, at, found)
    return found


def _add_leaves(value: Any, shape: MergeType, at: Path, found: set[Path]) -> None:
    if isinstance(value, dict) and not shape.atomic:
        if not value and at:
            found.add(at)
        for name, item in value.items():
            _add_leaves(item, shape.child(name), (*at, _name_step(name)), found)
    elif isinstance(value, list) and (shape.keys or shape.unique):
        for item in value:
            step = (*at, item_step(item, shape))
            found.add(step)
            if shape.keys:
                _add_leaves(item, shape.element, step, found)
    else:
        found.add(at)


def diff(old: Any, new: Any, shape: MergeType, at: Path = ()) -> tuple[set[Path], set[Path]]:
    """The paths that are new or different in `new`, and those that are in `old` alone."""
    changed: set[Path] = set()
    removed: set[Path] = set()
    _add_diff(old, new, shape, at, changed, removed)
    return changed, removed


def _add_diff(old: Any, new: Any, shape: MergeType, at: Path, changed: set[Path], removed: set[Path]) -> None:
    if json_equal(old, new):
        return
    if new is _ABSENT:
        removed |= leaves(old, shape, at) | {at}
        return
    if old is _ABSENT:
        changed |= leaves(new, shape, at)
        return
    before, after = _parts(old, shape), _parts(new, shape)
    if before is None or after is None:
        removed |= leaves(old, shape, at) - {at}
        changed |= leaves(new, shape, at)
        return
    for step in {**before, **after}:
        below = _below(step, shape)
        _add_diff(before.get(step, _ABSENT), after.get(step, _ABSENT), below, (*at, step), changed, removed)


def _parts(value: Any, shape: MergeType) -> dict[str, Any] | None:
    """A value's fields or elements by step; None if it is one piece."""
    if isinstance(value, dict) and not shape.atomic:
        return {_name_step(name): item for name, item in value.items()}
    if isinstance(value, list) and (shape.keys or shape.unique):
        return {item_step(item, shape): item for item in value}
    return None


def _below(step: str, shape: MergeType) -> MergeType:
    return shape.child(step[2:]) if step.startswith("f:") else shape.element


def read(meta: Mapping[str, Any]) -> Owners:
    """The owners that an object's metadata name."""
    owners: Owners = {}
    for entry in meta.get("managedFields") or ():
        owner = Owner(
            entry.get("manager", ""),
            entry.get("operation", ""),
            entry.get("apiVersion", ""),
            entry.get("subresource", ""),
        )
        owners[owner] = Ownership(frozenset(_decode(entry.get("fieldsV1") or {}, ())), entry.get("time", ""))
    return owners


def _decode(node: Mapping[str, Any], at: Path) -> Iterable[Path]:
    if not node:
        yield at
    for step, below in node.items():
        if step == ".":
            yield at
        else:
            yield from _decode(below, (*at, step))


def _encode(fields: Iterable[Path]) -> Object:
    root: Object = {}
    for path in sorted(fields):
        node = root
        for step in path:
            node = node.setdefault(step, {})
    for path in sorted(fields):
        node = root
        for step in path:
            node = node[step]
        if node:
            node["."] = {}
    return root


def write(owners: Owners) -> list[Object]:
    """The entries of managedFields, applied ones first, then by time, as a real server sorts them."""
    entries: list[Object] = []
    order = sorted(owners.items(), key=lambda entry: (entry[0].operation, entry[1].time, entry[0]))
    for owner, owned in order:
        if not owned.fields:
            continue
        entry: Object = {
            "manager": owner.manager,
            "operation": owner.operation,
            "apiVersion": owner.api_version,
            "time": owned.time,
            "fieldsType": "FieldsV1",
            "fieldsV1": _encode(owned.fields),
        }
        entries.append({**entry, "subresource": owner.subresource} if owner.subresource else entry)
    return entries


def with_managed(obj: Object, managed: list[Object]) -> Object:
    """`obj` with those managedFields; `obj` itself if it has them."""
    if json_equal(obj["metadata"].get("managedFields"), managed):
        return obj
    return {**obj, "metadata": {**obj["metadata"], "managedFields": managed}}


def with_client_owners(old: Object, sent: Object) -> Object:
    """`old` with the owners that a client has sent, if it changes them and they can be read.

    So kubectl hands over what it has applied by itself to server-side apply.
    """
    given = (sent.get("metadata") or {}).get("managedFields")
    if not isinstance(given, list) or not given or json_equal(given, old["metadata"]["managedFields"]):
        return old
    readable = all(isinstance(entry, dict) and isinstance(entry.get("fieldsV1"), dict) for entry in given)
    return with_managed(old, given) if readable else old


def equal_but_for_time(left: list[Object], right: list[Object]) -> bool:
    """Whether two managedFields differ in nothing but times."""

    def timeless(entries: list[Object]) -> list[Object]:
        return [{**entry, "time": ""} for entry in entries]

    return sorted(timeless(left), key=repr) == sorted(timeless(right), key=repr)


def without(fields: frozenset[Path], removed: set[Path]) -> frozenset[Path]:
    """`fields` less those in `removed`, and whatever is below them."""
    if not removed:
        return fields
    return frozenset(path for path in fields if not any(path[:length] in removed for length in range(1, len(path) + 1)))


def track_update(kind: ResourceType, old: Object, new: Object, writer: Owner, now: str) -> Object:
    """`new` with managedFields that say: `writer` has set what differs from `old`."""
    part = writer.subresource
    changed, removed = diff(owned_part(kind, old, part), owned_part(kind, new, part), kind.merge_type)
    if not changed and not removed:
        return new
    owners = read(old["metadata"])
    for owner, owned in owners.items():
        left = without(owned.fields, removed)
        owners[owner] = Ownership(left if owner == writer else left - changed, owned.time)
    if changed:
        mine = owners.get(writer, Ownership(frozenset(), now)).fields
        owners[writer] = Ownership(mine | changed, now)
    return with_managed(new, write(owners))
