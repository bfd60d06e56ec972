"""Read single facts from Kubernetes objects: owner and readiness of a pod, placements of an adapter."""

from datetime import datetime

from controller.api import annotations
from formats.timestamps import parse_timestamp
from twin.capture.client import Object
from twin.world.kubelet.pod_spec import engine_of


def workload_of(pod: Object) -> str:
    """Return the name of the Deployment that owns a pod, or the pod's own name if nothing owns it."""
    meta = pod["metadata"]
    owner = next((o for o in meta.get("ownerReferences") or () if o.get("controller")), None)
    if owner is None:
        return str(meta["name"])
    template = (meta.get("labels") or {}).get("pod-template-hash", "")
    name = str(owner.get("name", ""))
    return name.removesuffix(f"-{template}") if template else name


def object_key(item: Object) -> str:
    """Return `namespace/name`, or the name of a cluster-scoped object."""
    meta = item["metadata"]
    return f"{meta['namespace']}/{meta['name']}" if meta.get("namespace") else str(meta["name"])


def is_true(item: Object, condition_type: str) -> bool:
    conditions = (item.get("status") or {}).get("conditions") or ()
    return any(
        condition.get("type") == condition_type and condition.get("status") == "True" for condition in conditions
    )


def persisted_state(item: Object | None) -> annotations.PersistedState:
    return annotations.read((item or {"metadata": {}})["metadata"].get("annotations") or {})


def instances(item: Object | None) -> set[str]:
    return set(((item or {}).get("status") or {}).get("instances") or ())


def load_failure_cause(adapter: Object, pod: str) -> str:
    """Return the cause of the last failed load on a pod, from the condition `Loaded` (`POD: cause; POD: cause`)."""
    for condition in (adapter.get("status") or {}).get("conditions") or ():
        if condition.get("type") == "Loaded" and condition.get("status") != "True":
            for part in str(condition.get("message", "")).split("; "):
                if part.startswith(f"{pod}: "):
                    return part.removeprefix(f"{pod}: ")
    return ""


def engine_status(pod: Object) -> Object | None:
    """Return the status of the engine's container."""
    name = engine_of(pod["metadata"], pod["spec"])
    statuses = (pod.get("status") or {}).get("containerStatuses") or ()
    return next((status for status in statuses if status.get("name") == name), None)


def probe_delay(pod: Object) -> float:
    """Return the mean delay in seconds between an engine that listens and the probe that notices it."""
    name = engine_of(pod["metadata"], pod["spec"])
    container: Object = next((item for item in pod["spec"]["containers"] if item["name"] == name), {})
    probe = container.get("startupProbe") or container.get("readinessProbe") or {}
    return float(probe.get("periodSeconds", 10)) / 2 if probe else 0.0


def ready_since(pod: Object) -> datetime | None:
    for condition in (pod.get("status") or {}).get("conditions") or ():
        if condition.get("type") == "Ready" and condition.get("status") == "True":
            return parse_time(condition.get("lastTransitionTime"))
    return None


def parse_time(text: str | None) -> datetime | None:
    try:
        return parse_timestamp(text) if text else None
    except ValueError:
        return None
