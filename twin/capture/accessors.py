"""What single fields of objects say: whose a pod is and since when it is ready, what an adapter's loads came to."""

from datetime import datetime

from controller.api import annotations
from formats.timestamps import parse_timestamp
from twin.capture.client import Object
from twin.world.kubelet.pod_spec import engine_index


def workload_of(pod: Object) -> str:
    """Name of the Deployment that made a pod, or the strip_server_fields pod's own."""
    meta = pod["metadata"]
    owner = next((o for o in meta.get("ownerReferences") or () if o.get("controller")), None)
    if owner is None:
        return str(meta["name"])
    template = (meta.get("labels") or {}).get("pod-template-hash", "")
    name = str(owner.get("name", ""))
    return name.removesuffix(f"-{template}") if template else name


def key(item: Object) -> str:
    meta = item["metadata"]
    return f"{meta['namespace']}/{meta['name']}" if meta.get("namespace") else str(meta["name"])


def is_true(item: Object, condition: str) -> bool:
    found = (item.get("status") or {}).get("conditions") or ()
    return any(each.get("type") == condition and each.get("status") == "True" for each in found)


def remembered(item: Object | None) -> annotations.PersistedState:
    return annotations.read((item or {"metadata": {}})["metadata"].get("annotations") or {})


def instances(item: Object | None) -> set[str]:
    return set(((item or {}).get("status") or {}).get("instances") or ())


def cause(adapter: Object, pod: str) -> str:
    """What the operator said of the last failure on a pod: `POD: cause`, several with semicolons between."""
    for condition in (adapter.get("status") or {}).get("conditions") or ():
        if condition.get("type") == "Loaded" and condition.get("status") != "True":
            for part in str(condition.get("message", "")).split("; "):
                if part.startswith(f"{pod}: "):
                    return part.removeprefix(f"{pod}: ")
    return ""


def engine(pod: Object) -> Object | None:
    """The status of the engine's container."""
    containers = pod["spec"].get("containers") or ()
    statuses = (pod.get("status") or {}).get("containerStatuses") or ()
    if not containers:
        return None
    name = containers[engine_index(list(containers))]["name"]
    return next((status for status in statuses if status.get("name") == name), None)


def probe_delay(pod: Object) -> float:
    """Seconds on average from when an engine listens until a probe has seen it."""
    container = pod["spec"]["containers"][engine_index(list(pod["spec"]["containers"]))]
    probe = container.get("startupProbe") or container.get("readinessProbe") or {}
    return float(probe.get("periodSeconds", 10)) / 2 if probe else 0.0


def ready_since(pod: Object) -> datetime | None:
    for condition in (pod.get("status") or {}).get("conditions") or ():
        if condition.get("type") == "Ready" and condition.get("status") == "True":
            return moment(condition.get("lastTransitionTime"))
    return None


def moment(text: str | None) -> datetime | None:
    try:
        return parse_timestamp(text) if text else None
    except ValueError:
        return None
