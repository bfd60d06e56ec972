"""The cells of a pod's row: what `kubectl get pods` makes of its phase, containers and deletion.

Source: `printPod` in `k8s.io/kubernetes/pkg/printers/internalversion/printers.go`.
"""

from datetime import datetime

from twin.apiserver.meta.errors import Object
from twin.apiserver.rest.printers.age import age
from twin.apiserver.rest.printers.jsonpath import find


def pod_ready(pod: Object, _now: datetime) -> str:
    """Ready containers of all."""
    statuses = find(pod, ".status.containerStatuses") or []
    return f"{sum(bool(each.get('ready')) for each in statuses)}/{len(pod['spec'].get('containers') or ())}"


def pod_status(pod: Object, _now: datetime) -> str:
    """One word for how it is."""
    status = pod.get("status") or {}
    said = str(status.get("reason") or status.get("phase") or "Unknown")
    running = False
    for each in reversed(status.get("containerStatuses") or ()):
        state = each.get("state") or {}
        waiting, ended = state.get("waiting") or {}, state.get("terminated") or {}
        if waiting.get("reason"):
            said = waiting["reason"]
        elif ended:
            said = ended.get("reason") or f"ExitCode:{ended.get('exitCode', 0)}"
        elif each.get("ready") and "running" in state:
            running = True
    if said == "Completed" and running:
        said = "Running" if find(pod, '.status.conditions[?(@.type=="Ready")].status') == "True" else "NotReady"
    if pod["metadata"].get("deletionTimestamp"):
        said = "Unknown" if status.get("reason") == "NodeLost" else "Terminating"
    return said


def pod_restarts(pod: Object, now: datetime) -> str:
    """How often its containers were restarted, and when last."""
    statuses = find(pod, ".status.containerStatuses") or []
    count = sum(each.get("restartCount", 0) for each in statuses)
    ends = [find(each, ".lastState.terminated.finishedAt") for each in statuses]
    last = max((end for end in ends if end), default="")
    return f"{count} ({age(last, now)} ago)" if count and last else str(count)


def pod_gates(pod: Object, _now: datetime) -> str:
    """Readiness gates that are open, of all."""
    gates = pod["spec"].get("readinessGates") or ()
    return f"0/{len(gates)}" if gates else "<none>"
