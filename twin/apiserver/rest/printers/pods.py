"""Cells of a pod's row in `kubectl get pods`.

Source: `printPod` in `k8s.io/kubernetes/pkg/printers/internalversion/printers.go`.
"""

from datetime import datetime

from twin.apiserver.meta.errors import Object
from twin.apiserver.rest.printers.age import age
from twin.apiserver.rest.printers.jsonpath import find


def pod_ready(pod: Object, _now: datetime) -> str:
    """Return ready and total containers."""
    statuses = find(pod, ".status.containerStatuses") or []
    return f"{sum(bool(status.get('ready')) for status in statuses)}/{len(pod['spec'].get('containers') or ())}"


def pod_status(pod: Object, _now: datetime) -> str:
    """Return the status column: phase, or the reason of a container."""
    status = pod.get("status") or {}
    reason = str(status.get("reason") or status.get("phase") or "Unknown")
    running = False
    for container in reversed(status.get("containerStatuses") or ()):
        state = container.get("state") or {}
        waiting, ended = state.get("waiting") or {}, state.get("terminated") or {}
        if waiting.get("reason"):
            reason = waiting["reason"]
        elif ended:
            reason = ended.get("reason") or f"ExitCode:{ended.get('exitCode', 0)}"
        elif container.get("ready") and "running" in state:
            running = True
    if reason == "Completed" and running:
        reason = "Running" if find(pod, '.status.conditions[?(@.type=="Ready")].status') == "True" else "NotReady"
    if pod["metadata"].get("deletionTimestamp"):
        reason = "Unknown" if status.get("reason") == "NodeLost" else "Terminating"
    return reason


def pod_restarts(pod: Object, now: datetime) -> str:
    """Return the number of restarts and the age of the last one."""
    statuses = find(pod, ".status.containerStatuses") or []
    count = sum(status.get("restartCount", 0) for status in statuses)
    ends = [find(status, ".lastState.terminated.finishedAt") for status in statuses]
    last = max((end for end in ends if end), default="")
    return f"{count} ({age(last, now)} ago)" if count and last else str(count)


def pod_gates(pod: Object, _now: datetime) -> str:
    """Return passed and total readiness gates."""
    gates = pod["spec"].get("readinessGates") or ()
    return f"0/{len(gates)}" if gates else "<none>"
