"""The assignment of a pod to a node; `pkg/registry/core/pod/storage`, `assignPod`.

It is no change of the pod by a user: the generation stays.
"""

from twin.apiserver.meta.errors import Object, conflict
from twin.apiserver.meta.objects import with_conditions


def bound(pod: Object, node: str, now: str) -> Object:
    """Return the pod on a node, with the condition that says so.

    Raises:
        ApiError: 409 if it is assigned to a node already.
    """
    current, name = pod["spec"].get("nodeName"), pod["metadata"]["name"]
    if current:
        raise conflict("pods/binding", "", name, f'pod {name} is already assigned to node "{current}"')
    status = pod.get("status") or {}
    conditions = with_conditions(status.get("conditions") or (), [{"type": "PodScheduled", "status": "True"}], now)
    return {**pod, "spec": {**pod["spec"], "nodeName": node}, "status": {**status, "conditions": conditions}}
