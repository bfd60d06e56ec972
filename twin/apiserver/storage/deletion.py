"""Deletion of objects that cannot be removed immediately: finalizers, the grace period of pods, and namespaces.

Source: `k8s.io/apiserver/pkg/registry/rest/delete.go` and the pod strategy's `CheckGracefulDelete`.
"""

from datetime import datetime, timedelta
from typing import Literal

from formats.timestamps import format_time
from twin.apiserver.meta.errors import ApiError, Object, forbidden, not_found
from twin.apiserver.schema.resource_types import ResourceType

Propagation = Literal["Default", "Background", "Foreground", "Orphan"]
"""`Default` is a request without a policy: in the background, unless an earlier request has chosen otherwise."""

FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"
_FINALIZERS = {"Foreground": FOREGROUND, "Orphan": ORPHAN}
_IMMORTAL = ("default", "kube-public", "kube-system")
TERMINATING = "NamespaceTerminating"
"""Cause with which a namespace that is being deleted refuses objects (`corev1.NamespaceTerminatingCause`)."""
DEFAULT_GRACE = 30  # seconds; corev1.DefaultTerminationGracePeriodSeconds


def is_removable(obj: Object) -> bool:
    """Return whether an object is being deleted and neither a finalizer nor a grace period keeps it."""
    meta = obj["metadata"]
    if "deletionTimestamp" not in meta or meta.get("finalizers") or meta.get("deletionGracePeriodSeconds"):
        return False
    return obj.get("kind") != "Namespace" or not (obj.get("spec") or {}).get("finalizers")


def check_accepting(kind: ResourceType, obj: Object, namespace: Object | None, name: str) -> None:
    """Check that an object can be created in the namespace of this name; `namespace` is None if it does not exist.

    Source: `apiserver/pkg/admission/plugin/namespace/lifecycle`.

    Raises:
        ApiError: 404 if the namespace does not exist, 403 if it is being deleted.
    """
    if namespace is None:
        raise not_found("namespaces", "", name)
    if "deletionTimestamp" not in namespace["metadata"]:
        return
    meta = obj.get("metadata") or {}
    own = meta.get("name") or meta.get("generateName") or "Unknown"
    cause = {
        "reason": TERMINATING,
        "message": f"namespace {name} is being terminated",
        "field": "metadata.namespace",
    }
    reason = f"unable to create new content in namespace {name} because it is being terminated"
    raise forbidden(kind.plural, kind.group, own, reason, causes=[cause])


def check_deletable(kind: ResourceType, name: str) -> None:
    """Check that an object may be deleted at all; `apiserver/pkg/admission/plugin/namespace/lifecycle`.

    Raises:
        ApiError: 403 for the namespaces of the cluster itself.
    """
    if kind.resource == "namespaces" and name in _IMMORTAL:
        raise ApiError(403, "Forbidden", f'namespaces "{name}" is forbidden: this namespace may not be deleted')


def mark_deleted(
    kind: ResourceType, obj: Object, now: datetime, propagation: Propagation, grace_period: float | None
) -> Object:
    """Return `obj` with deletion timestamp, grace period and finalizers; `obj` itself if nothing changes."""
    meta = obj["metadata"]
    grace = _grace(obj, grace_period) if kind.resource == "pods" else 0
    finalizers = _finalizers(meta, propagation)
    changes: Object = {}
    if finalizers != (meta.get("finalizers") or []):
        changes["finalizers"] = finalizers
    if "deletionTimestamp" not in meta or grace < meta.get("deletionGracePeriodSeconds", 0):
        changes["deletionTimestamp"] = format_time(now + timedelta(seconds=grace))
        changes["deletionGracePeriodSeconds"] = grace
        if "deletionTimestamp" not in meta and meta.get("generation"):
            changes["generation"] = meta["generation"] + 1
    if not changes:
        return obj
    merged = {**meta, **changes}
    if not merged.get("finalizers"):
        merged.pop("finalizers", None)
    if kind.resource == "namespaces":
        obj = {**obj, "status": {**(obj.get("status") or {}), "phase": "Terminating"}}
    return {**obj, "metadata": merged}


def _grace(pod: Object, requested: float | None) -> int:
    """Return the grace period of a pod, in seconds."""
    meta, spec = pod["metadata"], pod.get("spec") or {}
    if not spec.get("nodeName") or (pod.get("status") or {}).get("phase") in ("Failed", "Succeeded"):
        return 0
    if requested is None:
        current = meta.get("deletionGracePeriodSeconds")
        return int(current if current is not None else spec.get("terminationGracePeriodSeconds", DEFAULT_GRACE))
    return max(0, int(requested))


def _finalizers(meta: Object, propagation: Propagation) -> list[str]:
    if propagation == "Default":
        return list(meta.get("finalizers") or ())
    kept = [name for name in meta.get("finalizers") or [] if name not in (FOREGROUND, ORPHAN)]
    added = _FINALIZERS.get(propagation)
    return [*kept, added] if added else kept
