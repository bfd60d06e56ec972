"""Owners of fields: `metadata.managedFields`, parsed, updated and serialized.

Fields are paths as in FieldsV1: `("f:spec", "f:replicas")`, with `k:{"type":"Ready"}` for an element of a list that is
a map and `v:"x"` for an element of a set. Owners of objects created over HTTP are tracked from the start, as on a real
server. Owners of other objects are tracked from their first server-side apply: only an apply needs them, and tracking
would slow down every write.
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
_KEY_DEFAULTS = {"protocol": "TCP"}  # the only list key with a default: corev1 ServicePort and ContainerPort


class Owner(NamedTuple):
    """Key of an entry of managedFields."""

    manager: str
    operation: str
    api_version: str
    subresource: str


def updater(kind: ResourceType, manager: str, subresource: str = "") -> Owner:
    """Return the owner of fields that are written without an apply."""
    return Owner(manager or "unknown", "Update", kind.api_version, subresource)


@dataclass(frozen=True, slots=True)
class Ownership:
    """The fields of one owner, and the time of its last change."""

    fields: frozenset[Path]
    time: str


Owners = dict[Owner, Ownership]


def owned_part(kind: ResourceType, obj: Object, subresource: str = "") -> Object:
    """Return the part of an object that can be owned; the status only if it is the subresource."""
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


def item_step(item: Any, merge_type: MergeType) -> str:
    """Return the path step of an element of a list that is a map or a set."""
    if merge_type.unique:
        return "v:" + json.dumps(item)
    values = {key: item.get(key, _KEY_DEFAULTS.get(key)) for key in sorted(merge_type.keys)}
    return "k:" + json.dumps({key: value for key, value in values.items() if value is not None}, separators=(",", ":"))


def leaves(value: Any, merge_type: MergeType, path: Path = ()) -> set[Path]:
    """Return the paths of all fields that a value sets."""
    paths: set[Path] = set()
    _add_leaves(value, merge_type, path, paths)
    return paths


def _add_leaves(value: Any, merge_type: MergeType, path: Path, paths: set[Path]) -> None:
    if isinstance(value, dict) and not merge_type.atomic:
        if not value and path:
            paths.add(path)
        for name, item in value.items():
            _add_leaves(item, merge_type.child(name), (*path, _name_step(name)), paths)
    elif isinstance(value, list) and (merge_type.keys or merge_type.unique):
        for item in value:
            step = (*path, item_step(item, merge_type))
            paths.add(step)
            if merge_type.keys:
                _add_leaves(item, merge_type.element, step, paths)
    else:
        paths.add(path)


def diff(old: Any, new: Any, merge_type: MergeType, path: Path = ()) -> tuple[set[Path], set[Path]]:
    """Return the paths that are new or changed in `new`, and those that are only in `old`."""
    changed: set[Path] = set()
    removed: set[Path] = set()
    _add_diff(old, new, merge_type, path, changed, removed)
    return changed, removed


def _add_diff(old: Any, new: Any, merge_type: MergeType, path: Path, changed: set[Path], removed: set[Path]) -> None:
    if json_equal(old, new):
        return
    if new is _ABSENT:
        removed |= leaves(old, merge_type, path) | {path}
        return
    if old is _ABSENT:
        changed |= leaves(new, merge_type, path)
        return
    before, after = _parts(old, merge_type), _parts(new, merge_type)
    if before is None or after is None:
        removed |= leaves(old, merge_type, path) - {path}
        changed |= leaves(new, merge_type, path)
        return
    for step in {**before, **after}:
        child_type = _child_type(step, merge_type)
        _add_diff(before.get(step, _ABSENT), after.get(step, _ABSENT), child_type, (*path, step), changed, removed)


def _parts(value: Any, merge_type: MergeType) -> dict[str, Any] | None:
    """Return a value's fields or elements by path step, or None if it is atomic."""
    if isinstance(value, dict) and not merge_type.atomic:
        return {_name_step(name): item for name, item in value.items()}
    if isinstance(value, list) and (merge_type.keys or merge_type.unique):
        return {item_step(item, merge_type): item for item in value}
    return None


def _child_type(step: str, merge_type: MergeType) -> MergeType:
    return merge_type.child(step[2:]) if step.startswith("f:") else merge_type.element


def parse_owners(meta: Mapping[str, Any]) -> Owners:
    """Return the owners in an object's metadata."""
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


def _decode(node: Mapping[str, Any], path: Path) -> Iterable[Path]:
    if not node:
        yield path
    for step, child in node.items():
        if step == ".":
            yield path
        else:
            yield from _decode(child, (*path, step))


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


def serialize_owners(owners: Owners) -> list[Object]:
    """Return the entries of managedFields in the order of a real server: applies first, then by time."""
    entries: list[Object] = []
    sorted_owners = sorted(owners.items(), key=lambda entry: (entry[0].operation, entry[1].time, entry[0]))
    for owner, owned in sorted_owners:
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
    """Return `obj` with these managedFields; `obj` itself if nothing changes."""
    if json_equal(obj["metadata"].get("managedFields"), managed):
        return obj
    return {**obj, "metadata": {**obj["metadata"], "managedFields": managed}}


def with_client_owners(old: Object, sent: Object) -> Object:
    """Return `old` with the managedFields that a client sent, if they differ and are well-formed.

    kubectl uses it to migrate from client-side to server-side apply.
    """
    managed = (sent.get("metadata") or {}).get("managedFields")
    if not isinstance(managed, list) or not managed or json_equal(managed, old["metadata"]["managedFields"]):
        return old
    well_formed = all(isinstance(entry, dict) and isinstance(entry.get("fieldsV1"), dict) for entry in managed)
    return with_managed(old, managed) if well_formed else old


def equal_but_for_time(left: list[Object], right: list[Object]) -> bool:
    """Return whether two managedFields differ at most in times."""

    def timeless(entries: list[Object]) -> list[Object]:
        return [{**entry, "time": ""} for entry in entries]

    return sorted(timeless(left), key=repr) == sorted(timeless(right), key=repr)


def without(fields: frozenset[Path], removed: set[Path]) -> frozenset[Path]:
    """Return `fields` without those in `removed` and everything below them."""
    if not removed:
        return fields
    return frozenset(path for path in fields if not any(path[:length] in removed for length in range(1, len(path) + 1)))


def track_update(kind: ResourceType, old: Object, new: Object, writer: Owner, now: str) -> Object:
    """Return `new` with managedFields in which `writer` owns what differs from `old`."""
    subresource = writer.subresource
    changed, removed = diff(owned_part(kind, old, subresource), owned_part(kind, new, subresource), kind.merge_type)
    if not changed and not removed:
        return new
    owners = parse_owners(old["metadata"])
    for owner, owned in owners.items():
        kept = without(owned.fields, removed)
        owners[owner] = Ownership(kept if owner == writer else kept - changed, owned.time)
    if changed:
        own_fields = owners.get(writer, Ownership(frozenset(), now)).fields
        owners[writer] = Ownership(own_fields | changed, now)
    return with_managed(new, serialize_owners(owners))
