"""The write that binds a pod to a node (`assignPod` in `pkg/registry/core/pod/storage`)."""

from twin.apiserver.meta.objects import Object, with_conditions


def bound(pod: Object, node: str, now: str) -> Object:
    """Return the patch that binds a pod at time `now`: its node, and the condition that it is scheduled.

    It is sent to the subresource `binding`, because a binding does not change the pod's generation.
    """
    conditions = (pod.get("status") or {}).get("conditions") or ()
    scheduled = {"type": "PodScheduled", "status": "True"}
    return {"spec": {"nodeName": node}, "status": {"conditions": with_conditions(conditions, [scheduled], now)}}
