"""A pod's status as its kubelet writes it."""

from collections.abc import Callable, Sequence
from typing import Any

from twin.apiserver.meta.objects import Object, condition, with_conditions
from twin.world.kubelet.container_state import ContainerState

Stamp = Callable[[float], str]
"""Converts seconds to a `metav1.Time`."""


def pod_status(
    pod: Object,
    containers: Sequence[ContainerState],
    *,
    ips: Sequence[str],
    forced_unready: bool,
    now: float,
    at: Stamp,
) -> dict[str, Any]:
    """Return the whole status. Before its containers are created (`ips` is empty) a pod is Pending."""
    before: Object = pod.get("status") or {}
    ready = [
        container.initialized if container.completes else container.ready and not forced_unready
        for container in containers
    ]
    described = [(item, _container(item, is_ready, at)) for item, is_ready in zip(containers, ready, strict=True)]
    status: dict[str, Any] = {
        "phase": _phase(before, containers, started=bool(ips)),
        "conditions": with_conditions(before.get("conditions") or (), _conditions(pod, containers, ready), at(now)),
        "startTime": before.get("startTime") or at(now),
        "containerStatuses": [status for item, status in described if not item.is_init],
    }
    if any(item.is_init for item in containers):
        status["initContainerStatuses"] = [status for item, status in described if item.is_init]
    if ips:
        status.update(podIP=ips[0], podIPs=[{"ip": ip} for ip in ips])
    return status


def _phase(before: Object, containers: Sequence[ContainerState], *, started: bool) -> str:
    main = [container for container in containers if not container.is_init]
    exits = [container.last for container in main if container.finished]
    if any(item.completes and item.finished and not item.initialized for item in containers):
        return "Failed"
    if len(exits) == len(main):
        return "Failed" if any(item is not None and item.code for item in exits) else "Succeeded"
    if before.get("phase") == "Running" or (started and all(item.container_id for item in containers)):
        return "Running"
    return "Pending"


def _conditions(pod: Object, containers: Sequence[ContainerState], ready: list[bool]) -> list[dict[str, str]]:
    unready = [
        container.name
        for container, is_ready in zip(containers, ready, strict=True)
        if not is_ready and not container.completes
    ]
    status = {"status": "True"}
    if unready:
        message = f"containers with unready status: [{' '.join(unready)}]"
        status = {"status": "False", "reason": "ContainersNotReady", "message": message}
    waiting = [container.name for container in containers if container.is_init and not container.initialized]
    initialized = {"status": "True"}
    if waiting:
        message = f"containers with incomplete status: [{' '.join(waiting)}]"
        initialized = {"status": "False", "reason": "ContainersNotInitialized", "message": message}
    return [
        {"type": "PodScheduled", "status": "True"},
        {"type": "Initialized", **initialized},
        {"type": "ContainersReady", **status},
        {"type": "Ready", **(status if unready else _passed_gates(pod))},
    ]


def _passed_gates(pod: Object) -> dict[str, str]:
    """Return status, reason and message of `Ready` when all containers are ready (`GeneratePodReadyCondition`)."""
    messages = []
    for gate in pod["spec"].get("readinessGates") or ():
        name = gate["conditionType"]
        found = condition(pod, name)
        if found is None:
            messages.append(f'corresponding condition of pod readiness gate "{name}" does not exist.')
        elif found["status"] != "True":
            messages.append(f'the status of pod readiness gate "{name}" is not "True", but {found["status"]}')
    if not messages:
        return {"status": "True"}
    return {"status": "False", "reason": "ReadinessGatesNotReady", "message": ", ".join(messages)}


def _container(container: ContainerState, ready: bool, at: Stamp) -> dict[str, Any]:
    if container.state == "running":
        state: dict[str, Any] = {"running": {"startedAt": at(container.started_at)}}
    elif container.state == "terminated":
        state = _terminated_state(container, at)
    else:
        message = {"message": container.message} if container.message else {}
        state = {"waiting": {"reason": container.reason, **message}}
    result: dict[str, Any] = {
        "name": container.name,
        "image": container.image,
        "ready": ready,
        "started": container.started,
        "restartCount": container.restarts,
        "state": state,
    }
    if container.container_id:
        result["containerID"] = container.container_id
    if container.last is not None and container.state != "terminated":
        result["lastState"] = _terminated_state(container, at)
    return result


def _terminated_state(container: ContainerState, at: Stamp) -> dict[str, Any]:
    last = container.last
    if last is None:
        return {}
    terminated: dict[str, Any] = {
        "containerID": last.container_id,
        "exitCode": last.code,
        "reason": last.reason,
        "startedAt": at(last.started_at),
        "finishedAt": at(last.finished_at),
    }
    if last.message:
        terminated["message"] = last.message
    return {"terminated": terminated}
