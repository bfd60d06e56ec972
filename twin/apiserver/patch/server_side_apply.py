"""Server-side apply: merge what a manager wants, drop what it wants no more, refuse what is another's.

Source: `sigs.k8s.io/structured-merge-diff` and `k8s.io/apimachinery/pkg/util/managedfields`. A conflict is a field that
this apply would change while another manager owns it; a field that both set to the same value they share.
"""

import json
from typing import Any

from twin.apiserver.meta.errors import ApiError, Object, bad_request, invalid, required, unprocessable
from twin.apiserver.patch.json_patch import json_equal
from twin.apiserver.patch.managed_fields import (
    Owner,
    Owners,
    Ownership,
    Path,
    diff,
    item_step,
    leaves,
    owned_part,
    read,
    with_managed,
    without,
    write,
)
from twin.apiserver.schema.merge_types import MergeType
from twin.apiserver.schema.resource_types import ResourceType

_KUBECTL, _LAST_APPLIED = "kubectl", "kubectl.kubernetes.io/last-applied-configuration"
BEFORE_FIRST_APPLY = "before-first-apply"  # managedfields/internal/lastappliedmanager.go


def check_request(kind: ResourceType, body: Any, name: str, manager: str) -> None:
    """Refuse an apply that no server would take, whatever the state."""
    if not manager:
        fault = required("fieldManager", "is required for apply patch")
        raise unprocessable("PatchOptions", "meta.k8s.io", "", [fault])
    if not isinstance(body, dict) or not body.get("apiVersion") or not body.get("kind"):
        raise bad_request(f"invalid object type: an apply of {kind.resource} has to name apiVersion and kind")
    meta = body.get("metadata") or {}
    if meta.get("managedFields"):
        raise bad_request("metadata.managedFields must be nil")
    if meta.get("name", name) != name:
        raise bad_request(f"the name of the object ({meta['name']}) does not match the name on the URL ({name})")


def with_first_owner(kind: ResourceType, new: Object, body: Object, owner: Owner, now: str) -> Object:
    """A new object that an apply has created: its manager owns what it asked for, and no default."""
    fields = frozenset(leaves(_without_nulls(owned_part(kind, body)), kind.merge_type))
    return with_managed(new, write({owner: Ownership(fields, now)}))


def apply_configuration(
    kind: ResourceType, live: Object, body: Object, owner: Owner, *, force: bool, now: str
) -> tuple[Object, list[Object]]:
    """What an apply makes of `live`: the object to store, and its managedFields.

    Raises:
        ApiError: 409, with the fields that are other managers', unless `force`.
    """
    wanted = _without_nulls(owned_part(kind, body, owner.subresource))
    mine = frozenset(leaves(wanted, kind.merge_type))
    owners = read(live["metadata"]) or _everything_before(kind, live)
    before = owners.pop(owner, Ownership(frozenset(), now)).fields
    desired = _merge(live, wanted, kind.merge_type)
    part = owner.subresource
    changed, _ = diff(owned_part(kind, live, part), owned_part(kind, desired, part), kind.merge_type)
    if not force:
        _check_conflicts(owners, changed, _applied_by_kubectl(kind, live) if owner.manager == _KUBECTL else frozenset())
    for other, owned in owners.items():
        owners[other] = Ownership(owned.fields - (changed & mine), owned.time)
    dropped = _unowned(before - mine, owners)
    for path in sorted(dropped, key=lambda path: (len(path), path)):  # a whole element before the fields in it
        desired = _remove(desired, path, kind.merge_type)
    owners[owner] = Ownership(mine, now)
    return _with_precondition(kind, desired, body), write(owners)


def _with_precondition(kind: ResourceType, desired: Object, body: Object) -> Object:
    """What was applied to one object is not for another of that name, nor for another state of it."""
    meta = body.get("metadata") or {}
    if meta.get("uid") not in (None, "", desired["metadata"]["uid"]):
        fault = invalid("metadata.uid", meta["uid"], "field is immutable")
        raise unprocessable(kind.kind, kind.group, desired["metadata"]["name"], [fault])
    version = meta.get("resourceVersion")
    if not version or version == desired["metadata"]["resourceVersion"]:
        return desired
    return {**desired, "metadata": {**desired["metadata"], "resourceVersion": version}}


def _everything_before(kind: ResourceType, live: Object) -> Owners:
    owner = Owner(BEFORE_FIRST_APPLY, "Update", kind.api_version, "")
    fields = frozenset(leaves(owned_part(kind, live), kind.merge_type))
    return {owner: Ownership(fields, live["metadata"]["creationTimestamp"])}


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value


def _merge(live: Any, wanted: Any, shape: MergeType) -> Any:
    """`live` with what is wanted put into it; `live` itself where nothing changes."""
    if json_equal(live, wanted):
        return live
    if isinstance(live, dict) and isinstance(wanted, dict) and not shape.atomic:
        merged = {**live}
        for name, item in wanted.items():
            merged[name] = _merge(live[name], item, shape.child(name)) if name in live else item
        return live if json_equal(merged, live) else merged
    if isinstance(live, list) and isinstance(wanted, list) and (shape.keys or shape.unique):
        by_step = {item_step(item, shape): item for item in live}
        for item in wanted:
            step = item_step(item, shape)
            by_step[step] = _merge(by_step[step], item, shape.element) if step in by_step else item
        items = list(by_step.values())
        return live if json_equal(items, live) else items
    return wanted


def _applied_by_kubectl(kind: ResourceType, live: Object) -> frozenset[Path]:
    """What `kubectl apply` has set by itself before, as far as nobody has changed it since: kubectl takes that over."""
    annotations = live["metadata"].get("annotations") or {}
    try:
        before = owned_part(kind, json.loads(annotations.get(_LAST_APPLIED, "")))
    except (ValueError, AttributeError):
        return frozenset()
    changed, removed = diff(before, owned_part(kind, live), kind.merge_type)
    return without(frozenset(leaves(before, kind.merge_type)) - changed, removed)


def _check_conflicts(owners: Owners, changed: set[Path], own: frozenset[Path]) -> None:
    """Refuse what changes fields of others, unless all of them are the manager's `own` from before."""
    conflicts = [(owner, path) for owner, owned in owners.items() for path in sorted(owned.fields & changed)]
    if own.issuperset(path for _, path in conflicts):
        return
    causes = [
        {
            "reason": "FieldManagerConflict",
            "message": f"conflict with {_described(owner)}",
            "field": _readable(path),
        }
        for owner, path in conflicts
    ]
    if len(conflicts) == 1:
        said = f"1 conflict: {causes[0]['message']}: {causes[0]['field']}"
    else:
        by_owner: dict[str, list[str]] = {}
        for cause in causes:
            by_owner.setdefault(cause["message"].removeprefix("conflict "), []).append(cause["field"])
        lines = [f"conflicts {who}:\n- " + "\n- ".join(fields) for who, fields in by_owner.items()]
        said = f"{len(conflicts)} conflicts: " + "\n".join(lines)
    raise ApiError(409, "Conflict", f"Apply failed with {said}", details={"causes": causes})


def _described(owner: Owner) -> str:
    text = f'"{owner.manager}"'
    if owner.subresource:
        text += f' with subresource "{owner.subresource}"'
    return f"{text} using {owner.api_version}" if owner.operation == "Update" else text


def _readable(path: Path) -> str:
    return "".join(f".{step[2:]}" if step.startswith("f:") else f"[{_listed(step)}]" for step in path)


def _listed(step: str) -> str:
    return step[3:-1].replace('":', "=").replace('"', "", 1) if step.startswith("k:") else f"={step[2:]}"


def _unowned(given_up: frozenset[Path], owners: Owners) -> set[Path]:
    """Those paths that nobody else owns, nor anything below them."""
    others = {path[:length] for owned in owners.values() for path in owned.fields for length in range(1, len(path) + 1)}
    return {path for path in given_up if path not in others}


def _remove(value: Any, path: Path, shape: MergeType) -> Any:
    """`value` without what is at `path`, nor the containers that are left empty by that."""
    step, rest = path[0], path[1:]
    if step.startswith("f:") and isinstance(value, dict):
        name = step[2:]
        if name not in value:
            return value
        left = _remove(value[name], rest, shape.child(name)) if rest else None
        if rest and left is value[name]:
            return value
        if left in (None, {}, []):
            return {key: item for key, item in value.items() if key != name}
        return {**value, name: left}
    if isinstance(value, list) and (shape.keys or shape.unique):
        items = []
        for item in value:
            if item_step(item, shape) != step:
                items.append(item)
            elif rest:
                items.append(_remove(item, rest, shape.element))
        return (
            items if len(items) != len(value) or any(a is not b for a, b in zip(items, value, strict=True)) else value
        )
    return value
