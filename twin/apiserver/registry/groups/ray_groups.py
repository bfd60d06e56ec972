"""Groups of a RayCluster's pods: the label of a pod's role, and the number of workers.

Source: `ray-operator/controllers/ray/utils` of ray-project/kuberay 1.7.
"""

from twin.apiserver.meta.errors import Object

NODE_TYPE = "ray.io/node-type"


def desired_workers(group: Object) -> int:
    """Return the pods of a worker group, within its limits."""
    if group.get("suspend"):
        return 0
    lowest, highest = group.get("minReplicas", 0), group.get("maxReplicas", 2147483647)
    return int(max(lowest, min(group.get("replicas", 0), highest)) * group.get("numOfHosts", 1))
