"""Reading Kubernetes objects as the plain JSON that the store keeps, and building the pieces they share."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

Object = Mapping[str, Any]
"""A JSON object that nobody mutates."""

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
"""Wall time at t = 0."""


def key(obj: Object) -> str:
    """`namespace/name`, or the bare name of what has no namespace."""
    meta = obj["metadata"]
    namespace = meta.get("namespace")
    return f"{namespace}/{meta['name']}" if namespace else str(meta["name"])


def split(name: str) -> tuple[str, str]:
    """Namespace and name of a key."""
    namespace, _, rest = name.rpartition("/")
    return namespace, rest


def controller_uid(obj: Object) -> str:
    """The uid of the owner that controls it, empty if none does."""
    for owner in obj["metadata"].get("ownerReferences") or ():
        if owner.get("controller"):
            return str(owner["uid"])
    return ""


def owned_by(owner: Object, api_version: str, kind: str) -> dict[str, Any]:
    """A controller's owner reference to `owner`."""
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
    """Whether its deletion has been asked for."""
    return "deletionTimestamp" in obj["metadata"]


def is_finished(pod: Object) -> bool:
    """Whether all of a pod's containers have ended for good."""
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def condition(obj: Object, type_: str) -> Object | None:
    """The condition of that type, if it is there."""
    for each in (obj.get("status") or {}).get("conditions") or ():
        if each["type"] == type_:
            return each  # type: ignore[no-any-return]
    return None


def is_true(obj: Object, type_: str) -> bool:
    """Whether the condition of that type is True."""
    found = condition(obj, type_)
    return found is not None and found["status"] == "True"


def with_conditions(old: Iterable[Object], new: Iterable[Object], now: str) -> list[Object]:
    """`old` with `new` put in; a transition time changes only where a status does.

    Conditions that are equal to the old ones but for time are the old objects themselves.
    """
    result = {each["type"]: each for each in old}
    for each in new:
        before = result.get(each["type"])
        moved = before is None or before["status"] != each["status"]
        since = now if moved or before is None else before.get("lastTransitionTime", now)
        result[each["type"]] = {**each, "lastTransitionTime": since}
    return list(result.values())
