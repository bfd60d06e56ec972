"""A pod's status as its kubelet writes it."""

from collections.abc import Callable, Sequence
from typing import Any

from twin.apiserver.meta.objects import Object, with_conditions
from twin.world.kubelet.container_state import ContainerState

Stamp = Callable[[float], str]
"""Simulated seconds to a `metav1.Time`."""


def pod_status(
    pod: Object, containers: Sequence[ContainerState], *, ip: str, forced_unready: bool, now: float, at: Stamp
) -> dict[str, Any]:
    """The whole status. Before its containers are created (`ip` empty) a pod is Pending."""
    before: Object = pod.get("status") or {}
    ready = [container.ready and not forced_unready for container in containers]
    status: dict[str, Any] = {
        "phase": _phase(before, containers, ip),
        "conditions": with_conditions(before.get("conditions") or (), _conditions(containers, ready), at(now)),
        "startTime": before.get("startTime") or at(now),
        "containerStatuses": [_container(each, is_ready, at) for each, is_ready in zip(containers, ready, strict=True)],
    }
    if ip:
        status.update(podIP=ip, podIPs=[{"ip": ip}])
    return status


def _phase(before: Object, containers: Sequence[ContainerState], ip: str) -> str:
    ended = [container.last for container in containers if container.finished]
    if len(ended) == len(containers):
        return "Failed" if any(each is not None and each.code for each in ended) else "Succeeded"
    if before.get("phase") == "Running" or (ip and all(each.container_id for each in containers)):
        return "Running"
    return "Pending"


def _conditions(containers: Sequence[ContainerState], ready: list[bool]) -> list[dict[str, str]]:
    unready = [container.name for container, is_ready in zip(containers, ready, strict=True) if not is_ready]
    verdict = {"status": "True"}
    if unready:
        message = f"containers with unready status: [{' '.join(unready)}]"
        verdict = {"status": "False", "reason": "ContainersNotReady", "message": message}
    return [
        {"type": "PodScheduled", "status": "True"},
        {"type": "Initialized", "status": "True"},
        {"type": "ContainersReady", **verdict},
        {"type": "Ready", **verdict},
    ]


def _container(run: ContainerState, ready: bool, at: Stamp) -> dict[str, Any]:
    if run.state == "running":
        state: dict[str, Any] = {"running": {"startedAt": at(run.started_at)}}
    elif run.state == "terminated":
        state = _ended(run, at)
    else:
        state = {"waiting": {"reason": run.reason, **({"message": run.message} if run.message else {})}}
    result: dict[str, Any] = {
        "name": run.name,
        "image": run.image,
        "ready": ready,
        "started": run.started,
        "restartCount": run.restarts,
        "state": state,
    }
    if run.container_id:
        result["containerID"] = run.container_id
    if run.last is not None and run.state != "terminated":
        result["lastState"] = _ended(run, at)
    return result


def _ended(run: ContainerState, at: Stamp) -> dict[str, Any]:
    last = run.last
    if last is None:
        return {}
    ended: dict[str, Any] = {
        "containerID": last.container_id,
        "exitCode": last.code,
        "reason": last.reason,
        "startedAt": at(last.started_at),
        "finishedAt": at(last.finished_at),
    }
    if last.message:
        ended["message"] = last.message
    return {"terminated": ended}
