"""Server-side apply: merge the fields of a manager, remove those it no longer sets, and refuse conflicts.

Source: `sigs.k8s.io/structured-merge-diff` and `k8s.io/apimachinery/pkg/util/managedfields`. A conflict is a field that
this apply would change and that another manager owns. A field that both managers set to the same value is shared.
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
    parse_owners,
    serialize_owners,
    with_managed,
    without,
)
from twin.apiserver.schema.merge_types import MergeType
from twin.apiserver.schema.resource_types import ResourceType

_KUBECTL, _LAST_APPLIED = "kubectl", "kubectl.kubernetes.io/last-applied-configuration"
BEFORE_FIRST_APPLY = "before-first-apply"  # managedfields/internal/lastappliedmanager.go


def check_request(kind: ResourceType, body: Any, name: str, manager: str) -> None:
    """Validate an apply request independently of the stored object.

    Raises:
        ApiError: 400 or 422.
    """
    if not manager:
        error = required("fieldManager", "is required for apply patch")
        raise unprocessable("PatchOptions", "meta.k8s.io", "", [error])
    if not isinstance(body, dict) or not body.get("apiVersion") or not body.get("kind"):
        raise bad_request(f"invalid object type: an apply of {kind.resource} has to name apiVersion and kind")
    meta = body.get("metadata") or {}
    if meta.get("managedFields"):
        raise bad_request("metadata.managedFields must be nil")
    if meta.get("name", name) != name:
        raise bad_request(f"the name of the object ({meta['name']}) does not match the name on the URL ({name})")


def with_first_owner(kind: ResourceType, new: Object, body: Object, owner: Owner, now: str) -> Object:
    """Return an object created by an apply: its manager owns the fields it set, and no defaults."""
    fields = frozenset(leaves(_without_nulls(owned_part(kind, body)), kind.merge_type))
    return with_managed(new, serialize_owners({owner: Ownership(fields, now)}))


def apply_configuration(
    kind: ResourceType, live: Object, body: Object, owner: Owner, *, force: bool, now: str
) -> tuple[Object, list[Object]]:
    """Return the object to store after an apply to `live`, and its managedFields.

    Raises:
        ApiError: 409 with the conflicting fields, unless `force`.
    """
    applied = _without_nulls(owned_part(kind, body, owner.subresource))
    own_fields = frozenset(leaves(applied, kind.merge_type))
    owners = parse_owners(live["metadata"]) or _owners_before_first_apply(kind, live)
    previous_fields = owners.pop(owner, Ownership(frozenset(), now)).fields
    desired = _merge(live, applied, kind.merge_type)
    subresource = owner.subresource
    changed, _ = diff(owned_part(kind, live, subresource), owned_part(kind, desired, subresource), kind.merge_type)
    if not force:
        _check_conflicts(owners, changed, _applied_by_kubectl(kind, live) if owner.manager == _KUBECTL else frozenset())
    for manager, owned in owners.items():
        owners[manager] = Ownership(owned.fields - (changed & own_fields), owned.time)
    removed = _unowned(previous_fields - own_fields, owners)
    for path in sorted(removed, key=lambda path: (len(path), path)):  # a whole element before the fields in it
        desired = _remove(desired, path, kind.merge_type)
    owners[owner] = Ownership(own_fields, now)
    return _with_precondition(kind, desired, body), serialize_owners(owners)


def _with_precondition(kind: ResourceType, desired: Object, body: Object) -> Object:
    """Return `desired` with the resourceVersion of the body, so that the update checks it; check the uid."""
    meta = body.get("metadata") or {}
    if meta.get("uid") not in (None, "", desired["metadata"]["uid"]):
        error = invalid("metadata.uid", meta["uid"], "field is immutable")
        raise unprocessable(kind.kind, kind.group, desired["metadata"]["name"], [error])
    version = meta.get("resourceVersion")
    if not version or version == desired["metadata"]["resourceVersion"]:
        return desired
    return {**desired, "metadata": {**desired["metadata"], "resourceVersion": version}}


def _owners_before_first_apply(kind: ResourceType, live: Object) -> Owners:
    owner = Owner(BEFORE_FIRST_APPLY, "Update", kind.api_version, "")
    fields = frozenset(leaves(owned_part(kind, live), kind.merge_type))
    return {owner: Ownership(fields, live["metadata"]["creationTimestamp"])}


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value


def _merge(live: Any, applied: Any, merge_type: MergeType) -> Any:
    """Return `live` with the applied values; `live` itself if nothing changes."""
    if json_equal(live, applied):
        return live
    if isinstance(live, dict) and isinstance(applied, dict) and not merge_type.atomic:
        merged = {**live}
        for name, item in applied.items():
            merged[name] = _merge(live[name], item, merge_type.child(name)) if name in live else item
        return live if json_equal(merged, live) else merged
    if isinstance(live, list) and isinstance(applied, list) and (merge_type.keys or merge_type.unique):
        by_step = {item_step(item, merge_type): item for item in live}
        for item in applied:
            step = item_step(item, merge_type)
            by_step[step] = _merge(by_step[step], item, merge_type.element) if step in by_step else item
        items = list(by_step.values())
        return live if json_equal(items, live) else items
    return applied


def _applied_by_kubectl(kind: ResourceType, live: Object) -> frozenset[Path]:
    """Return unchanged fields of client-side `kubectl apply`, which kubectl's server-side apply takes over."""
    annotations = live["metadata"].get("annotations") or {}
    try:
        applied = owned_part(kind, json.loads(annotations.get(_LAST_APPLIED, "")))
    except (ValueError, AttributeError):
        return frozenset()
    changed, removed = diff(applied, owned_part(kind, live), kind.merge_type)
    return without(frozenset(leaves(applied, kind.merge_type)) - changed, removed)


def _check_conflicts(owners: Owners, changed: set[Path], own: frozenset[Path]) -> None:
    """Check that an apply changes no fields of other managers.

    Raises:
        ApiError: 409, unless all conflicting fields are among the manager's `own` from client-side apply.
    """
    conflicts = [(owner, path) for owner, owned in owners.items() for path in sorted(owned.fields & changed)]
    if own.issuperset(path for _, path in conflicts):
        return
    causes = [
        {
            "reason": "FieldManagerConflict",
            "message": f"conflict with {_describe_owner(owner)}",
            "field": _format_path(path),
        }
        for owner, path in conflicts
    ]
    if len(conflicts) == 1:
        text = f"1 conflict: {causes[0]['message']}: {causes[0]['field']}"
    else:
        by_owner: dict[str, list[str]] = {}
        for cause in causes:
            by_owner.setdefault(cause["message"].removeprefix("conflict "), []).append(cause["field"])
        lines = [f"conflicts {manager}:\n- " + "\n- ".join(fields) for manager, fields in by_owner.items()]
        text = f"{len(conflicts)} conflicts: " + "\n".join(lines)
    raise ApiError(409, "Conflict", f"Apply failed with {text}", details={"causes": causes})


def _describe_owner(owner: Owner) -> str:
    text = f'"{owner.manager}"'
    if owner.subresource:
        text += f' with subresource "{owner.subresource}"'
    return f"{text} using {owner.api_version}" if owner.operation == "Update" else text


def _format_path(path: Path) -> str:
    return "".join(f".{step[2:]}" if step.startswith("f:") else f"[{_format_step(step)}]" for step in path)


def _format_step(step: str) -> str:
    return step[3:-1].replace('":', "=").replace('"', "", 1) if step.startswith("k:") else f"={step[2:]}"


def _unowned(paths: frozenset[Path], owners: Owners) -> set[Path]:
    """Return the paths that no other manager owns, nor anything below them."""
    others = {path[:length] for owned in owners.values() for path in owned.fields for length in range(1, len(path) + 1)}
    return {path for path in paths if path not in others}


def _remove(value: Any, path: Path, merge_type: MergeType) -> Any:
    """Return `value` without the field at `path`, and without containers that become empty."""
    step, rest = path[0], path[1:]
    if step.startswith("f:") and isinstance(value, dict):
        name = step[2:]
        if name not in value:
            return value
        remaining = _remove(value[name], rest, merge_type.child(name)) if rest else None
        if rest and remaining is value[name]:
            return value
        if remaining in (None, {}, []):
            return {key: item for key, item in value.items() if key != name}
        return {**value, name: remaining}
    if isinstance(value, list) and (merge_type.keys or merge_type.unique):
        items = []
        for item in value:
            if item_step(item, merge_type) != step:
                items.append(item)
            elif rest:
                items.append(_remove(item, rest, merge_type.element))
        return (
            items if len(items) != len(value) or any(a is not b for a, b in zip(items, value, strict=True)) else value
        )
    return value
