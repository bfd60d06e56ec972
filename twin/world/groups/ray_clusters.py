"""The RayCluster controller of KubeRay: one head pod and groups of worker pods.

Workers wait in an init container until the head answers. A pod that has ended, or whose Ray container has ended with
`restartPolicy: Never`, is deleted and replaced. Source: `ray-operator/controllers/ray` of ray-project/kuberay 1.7.
Not simulated: Ray itself (jobs, Serve, its autoscaler) and changes of templates of existing pods.
"""

from typing import Any, ClassVar

from twin.apiserver.meta.objects import Object, is_finished, is_terminating, is_true
from twin.apiserver.registry.groups.ray_groups import NODE_TYPE, desired_workers
from twin.world.groups.group_controller import GroupController
from twin.world.names import pod_name
from twin.world.workloads.pod_controller import pod_from_template

_CLUSTER, _GROUP = "ray.io/cluster", "ray.io/group"
_HEAD_GROUP = "headgroup"
_OVERWRITE = "ray.io/overwrite-container-cmd"
_LONGEST_PREFIX = 50
_ULIMIT = "ulimit -n 65536"
_PORT = "6379"  # of Ray's global control store


class RayClusters(GroupController):
    """Keeps the pods of each RayCluster."""

    resource: ClassVar = "rayclusters.ray.io"
    api_version: ClassVar = "ray.io/v1"
    kind: ClassVar = "RayCluster"
    manager: ClassVar[str] = "kuberay-operator"

    def _sync(self, name: str, obj: Object, pods: list[Object]) -> None:
        if is_terminating(obj):
            return
        spec, meta = obj["spec"], obj["metadata"]
        selector = {_CLUSTER: meta["name"], NODE_TYPE: "head"}
        self._ensure_headless_service(obj, f"{meta['name']}-head-svc", selector, self._reference(obj))
        groups: dict[str, list[Object]] = {}
        for pod in pods:
            groups.setdefault((pod["metadata"].get("labels") or {}).get(_GROUP, ""), []).append(pod)
        self._keep(obj, groups.get(_HEAD_GROUP, []), 0 if spec.get("suspend") else 1, None)
        for group in spec.get("workerGroupSpecs") or ():
            wanted = 0 if spec.get("suspend") else desired_workers(group)
            self._keep(obj, groups.get(group["groupName"], []), wanted, group)
        self._write_group_status(name, obj, _status(obj, pods))

    def _keep(self, obj: Object, pods: list[Object], wanted: int, group: Object | None) -> None:
        """Bring one group (None: the head) to its number of pods."""
        ended = [pod for pod in pods if _has_ended(pod)]
        for pod in ended:
            if not is_terminating(pod):
                self._delete_pod(pod)
        if ended:
            return
        for pod in pods[: max(0, len(pods) - wanted)]:
            if not is_terminating(pod):
                self._delete_pod(pod)
        for _ in range(wanted - len(pods)):
            pod = self._head(obj) if group is None else self._worker(obj, group)
            self._create_allowed(obj, pod)

    def _head(self, obj: Object) -> dict[str, Any]:
        name = obj["metadata"]["name"]
        pod = self._pod(obj, obj["spec"]["headGroupSpec"]["template"], "head", _HEAD_GROUP)
        pod["metadata"]["name"] = f"{name[:_LONGEST_PREFIX]}-head".lower()
        del pod["metadata"]["generateName"]
        return pod

    def _worker(self, obj: Object, group: Object) -> dict[str, Any]:
        meta = obj["metadata"]
        pod = self._pod(obj, group["template"], "worker", group["groupName"])
        base = f"{meta['name']}-{group['groupName']}"[:_LONGEST_PREFIX].lower() + "-worker"
        rng = self._context.streams.get(f"raycluster/{meta['namespace']}/{meta['name']}/{group['groupName']}/pod-names")
        pod["metadata"] |= {"name": pod_name(base, rng), "generateName": f"{base}-"}
        first = pod["spec"]["containers"][0]
        wait = {"name": "wait-gcs-ready", "image": first["image"], "command": ["/bin/bash", "-c", "--"]}
        wait["args"] = [f"until ray health-check --address {_address(obj)}; do sleep 5; done"]
        pod["spec"]["initContainers"] = [*(pod["spec"].get("initContainers") or ()), wait]
        return pod

    def _pod(self, obj: Object, template: Object, node_type: str, group: str) -> dict[str, Any]:
        cluster = obj["metadata"]["name"]
        own = (template.get("metadata") or {}).get("labels") or {}
        labels = {
            "ray.io/is-ray-node": "yes",
            "ray.io/identifier": f"{cluster}-{node_type}"[:63],
            "app.kubernetes.io/name": "kuberay",
            "app.kubernetes.io/created-by": "kuberay-operator",
            **own,
            _CLUSTER: cluster,
            NODE_TYPE: node_type,
            _GROUP: group,
        }
        pod = pod_from_template(template, obj, self._reference(obj), labels=labels)
        overwrites = ((template.get("metadata") or {}).get("annotations") or {}).get(_OVERWRITE, "").lower() == "true"
        first, *others = pod["spec"]["containers"]
        start = _ray_start(obj, node_type)
        variables = [{"name": "KUBERAY_GEN_RAY_START_CMD", "value": start}, {"name": "RAY_PORT", "value": _PORT}]
        first = {**first, "env": [*(first.get("env") or ()), *variables]}
        if not overwrites:
            first = _with_start(first, start)
        pod["spec"] = {**pod["spec"], "containers": [first, *others]}
        return pod


def _with_start(container: Object, start: str) -> Object:
    """Return a Ray container that runs its own command, if any, and then `ray start`."""
    own = " ".join(str(word) for word in (*(container.get("command") or ()), *(container.get("args") or ())))
    if "ray start" in own:
        return container
    command = f"{_ULIMIT}; {start}"
    return {**container, "command": ["/bin/bash", "-c", "--"], "args": [f"{own} && {command}" if own else command]}


def _ray_start(obj: Object, node_type: str) -> str:
    if node_type == "head":
        return "ray start --head --block --dashboard-agent-listen-port=52365 --dashboard-host=0.0.0.0"
    return f"ray start --address={_address(obj)} --block --dashboard-agent-listen-port=52365"


def _address(obj: Object) -> str:
    meta = obj["metadata"]
    return f"{meta['name']}-head-svc.{meta['namespace']}.svc.cluster.local:{_PORT}"


def _has_ended(pod: Object) -> bool:
    if is_finished(pod):
        return True
    statuses = (pod.get("status") or {}).get("containerStatuses") or [{}]
    return pod["spec"].get("restartPolicy") == "Never" and "terminated" in (statuses[0].get("state") or {})


def _status(obj: Object, pods: list[Object]) -> dict[str, Any]:
    workers = [pod for pod in pods if (pod["metadata"].get("labels") or {}).get(NODE_TYPE) == "worker"]
    groups = obj["spec"].get("workerGroupSpecs") or ()
    all_ready = bool(pods) and all(is_true(pod, "Ready") for pod in pods)
    desired = sum(desired_workers(group) for group in groups)
    status = {
        "desiredWorkerReplicas": desired,
        "availableWorkerReplicas": sum((pod.get("status") or {}).get("phase") == "Running" for pod in workers),
        "readyWorkerReplicas": sum(is_true(pod, "Ready") for pod in workers),
        "observedGeneration": obj["metadata"].get("generation", 1),
    }
    return {**status, "state": "ready"} if all_ready and len(workers) == desired else status
