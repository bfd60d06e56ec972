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
    initializing = _initializing(pod)
    reason = initializing or reason
    running = False
    for container in () if initializing else reversed(status.get("containerStatuses") or ()):
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


def _initializing(pod: Object) -> str:
    """Return the status of the first init container that is not done, such as `Init:0/2`; empty if all are."""
    statuses = find(pod, ".status.initContainerStatuses") or []
    specs = {item["name"]: item for item in pod["spec"].get("initContainers") or ()}
    for index, container in enumerate(statuses):
        state = container.get("state") or {}
        ended, waiting = state.get("terminated") or {}, state.get("waiting") or {}
        is_sidecar = specs.get(container["name"], {}).get("restartPolicy") == "Always"
        if (ended and not ended.get("exitCode")) or (is_sidecar and container.get("started")):
            continue
        if ended:
            return f"Init:{ended.get('reason') or 'ExitCode:' + str(ended.get('exitCode'))}"
        if waiting.get("reason") not in (None, "", "PodInitializing", "ContainerCreating"):
            return f"Init:{waiting['reason']}"
        return f"Init:{index}/{len(specs)}"
    return ""


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
