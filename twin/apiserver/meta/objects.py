"""Helpers for Kubernetes objects as plain JSON."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

Object = Mapping[str, Any]
"""A JSON object that is not mutated."""

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
"""Wall-clock time at t = 0."""


def key(obj: Object) -> str:
    """Return `namespace/name`, or the name of an object without a namespace."""
    meta = obj["metadata"]
    namespace = meta.get("namespace")
    return f"{namespace}/{meta['name']}" if namespace else str(meta["name"])


def split(name: str) -> tuple[str, str]:
    """Return namespace and name of a key."""
    namespace, _, rest = name.rpartition("/")
    return namespace, rest


def controller_uid(obj: Object) -> str:
    """Return the uid of the controlling owner, or ""."""
    for owner in obj["metadata"].get("ownerReferences") or ():
        if owner.get("controller"):
            return str(owner["uid"])
    return ""


def owner_reference(owner: Object, api_version: str, kind: str) -> dict[str, Any]:
    """Return a controller's owner reference to `owner`."""
    meta = owner["metadata"]
    return {
        "apiVersion": api_version,
        "kind": kind,
        "name": meta["name"],
        "uid": meta["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def is_terminating(obj: Object) -> bool:
    """Return whether an object is being deleted."""
    return "deletionTimestamp" in obj["metadata"]


def is_finished(pod: Object) -> bool:
    """Return whether all containers of a pod have terminated for good."""
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def condition(obj: Object, type_: str) -> Object | None:
    """Return the condition of a type, or None."""
    for item in (obj.get("status") or {}).get("conditions") or ():
        if item["type"] == type_:
            return item  # type: ignore[no-any-return]
    return None


def is_true(obj: Object, type_: str) -> bool:
    """Return whether the condition of a type is True."""
    item = condition(obj, type_)
    return item is not None and item["status"] == "True"


def with_conditions(old: Iterable[Object], new: Iterable[Object], now: str) -> list[Object]:
    """Return `old` updated with `new`; a transition time changes only if the status changes."""
    result = {item["type"]: item for item in old}
    for item in new:
        previous = result.get(item["type"])
        changed = previous is None or previous["status"] != item["status"]
        since = now if changed or previous is None else previous.get("lastTransitionTime", now)
        result[item["type"]] = {**item, "lastTransitionTime": since}
    return list(result.values())
