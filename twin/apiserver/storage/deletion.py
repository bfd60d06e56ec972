"""What a delete does to an object that cannot go at once: finalizers, and the grace period of pods.

Source: `k8s.io/apiserver/pkg/registry/rest/delete.go` and the pod strategy's `CheckGracefulDelete`.
"""

from datetime import UTC, datetime, timedelta
from typing import Literal

from twin.apiserver.meta.errors import Object
from twin.apiserver.schema.resource_types import ResourceType

Propagation = Literal["Background", "Foreground", "Orphan"]

FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"
_FINALIZERS = {"Foreground": FOREGROUND, "Orphan": ORPHAN}
DEFAULT_GRACE = 30  # seconds; corev1.DefaultTerminationGracePeriodSeconds


def timestamp(moment: datetime) -> str:
    """A `metav1.Time`: RFC 3339 in UTC, whole seconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def is_due(obj: Object) -> bool:
    """Whether an object is deleted and nothing holds it any more."""
    meta = obj["metadata"]
    return "deletionTimestamp" in meta and not meta.get("finalizers") and not meta.get("deletionGracePeriodSeconds")


def marked(
    kind: ResourceType, obj: Object, now: datetime, propagation: Propagation, grace_period: float | None
) -> Object:
    """`obj` with the marks of a delete; `obj` itself if it bears them all already."""
    meta = obj["metadata"]
    grace = _grace(obj, grace_period) if kind.resource == "pods" else 0
    finalizers = _finalizers(meta, propagation)
    changes: Object = {}
    if finalizers != (meta.get("finalizers") or []):
        changes["finalizers"] = finalizers
    if "deletionTimestamp" not in meta or grace < meta.get("deletionGracePeriodSeconds", 0):
        changes["deletionTimestamp"] = timestamp(now + timedelta(seconds=grace))
        changes["deletionGracePeriodSeconds"] = grace
        if "deletionTimestamp" not in meta and meta.get("generation"):
            changes["generation"] = meta["generation"] + 1
    if not changes:
        return obj
    merged = {**meta, **changes}
    if not merged.get("finalizers"):
        merged.pop("finalizers", None)
    return {**obj, "metadata": merged}


def _grace(pod: Object, asked: float | None) -> int:
    """Seconds that the kubelet gets to stop a pod's containers."""
    meta, spec = pod["metadata"], pod.get("spec") or {}
    if not spec.get("nodeName") or (pod.get("status") or {}).get("phase") in ("Failed", "Succeeded"):
        return 0
    if asked is None:
        current = meta.get("deletionGracePeriodSeconds")
        return int(current if current is not None else spec.get("terminationGracePeriodSeconds", DEFAULT_GRACE))
    return max(0, int(asked))


def _finalizers(meta: Object, propagation: Propagation) -> list[str]:
    kept = [name for name in meta.get("finalizers") or [] if name not in (FOREGROUND, ORPHAN)]
    wanted = _FINALIZERS.get(propagation)
    return [*kept, wanted] if wanted else kept
