"""Stories of nodes: lost, deleted, tainted, full."""

from tests.conformance_kubernetes.clusters import node, start_node
from tests.conformance_kubernetes.manifests import bare_pod, template, workload
from tests.conformance_kubernetes.stage import Stage, Story

_KINDS = ("Node", "ReplicaSet", "Pod")
_LOST = 55  # seconds; kube-controller-manager's --node-monitor-grace-period of 50, and its period of 5
_SOON = [
    {"key": f"node.kubernetes.io/{state}", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 10}
    for state in ("unreachable", "not-ready")
]


async def _started(stage: Stage, replicas: int = 2, **spec: object) -> str:
    """Create a node and a ReplicaSet whose pods run on it; return the node's name."""
    pool = stage.story.name
    name = f"{pool}-1"
    await start_node(stage.cluster, node(name, pool))
    await stage.create(workload("ReplicaSet", replicas, template(pool=pool, **spec)))
    await stage.step("a node and a ReplicaSet")
    await stage.kubelet.run()
    await stage.step("pods ready")
    return name


async def _end(stage: Stage) -> None:
    await stage.api.delete("ReplicaSet", "web")
    for item in await stage.api.list("Node"):
        if item["metadata"]["name"].startswith(stage.story.name):
            await stage.api.delete("Node", item["metadata"]["name"])


async def _lost(stage: Stage) -> None:
    name = await _started(stage, tolerations=_SOON)
    await stage.report_node(name, "True")
    stage.cluster.silent.add(name)
    await stage.wait(_LOST)
    await stage.step("the node is silent")
    await stage.wait(12)
    await stage.step("its pods are not tolerated any longer")
    stage.cluster.silent.discard(name)
    await stage.wait(9)
    await stage.kubelet.end_deleted()
    await stage.step("the node is back")
    await _end(stage)


async def _not_ready(stage: Stage) -> None:
    name = await _started(stage)
    stage.cluster.silent.add(name)
    await stage.report_node(name, "False")
    await stage.step("the kubelet reports that it is not ready")
    await stage.wait(7)
    await stage.step("seven seconds later")
    await stage.report_node(name, "True")
    await stage.wait(7)
    await stage.step("and that it is ready again")
    await _end(stage)


async def _zone_lost(stage: Stage, nodes: int, lost: int) -> None:
    """Lose nodes of a zone that has more of them."""
    pool = stage.story.name
    names = [f"{pool}-{number}" for number in range(1, nodes + 1)]
    for name in names:
        await start_node(stage.cluster, node(name, pool, **{"topology.kubernetes.io/zone": pool}))
    await stage.step("nodes of a zone")
    stage.cluster.silent.update(names[:lost])
    await stage.wait(_LOST)
    await stage.wait(10 * lost)  # one node of a zone is tainted in 10 s
    await stage.step("some are silent")
    stage.cluster.silent.difference_update(names)
    await stage.wait(14)
    await stage.step("and back")
    await _end(stage)


async def _all_lost(stage: Stage) -> None:
    await _zone_lost(stage, 2, 2)


async def _most_lost(stage: Stage) -> None:
    await _zone_lost(stage, 4, 3)


async def _under_pressure(stage: Stage) -> None:
    name = await _started(stage, 1)
    now = stage.cluster.now()
    for type_ in ("MemoryPressure", "DiskPressure"):
        condition = {"type": type_, "status": "True", "reason": "Pressure", "lastHeartbeatTime": now}
        await stage.patch("Node", name, {"status": {"conditions": [condition]}}, "status")
    await stage.step("memory and disk pressure")
    await stage.scale("ReplicaSet", "web", 2)
    await stage.step("scale to 2")
    condition = {"type": "MemoryPressure", "status": "False", "reason": "Pressure", "lastHeartbeatTime": now}
    await stage.patch("Node", name, {"status": {"conditions": [condition]}}, "status")
    await stage.step("disk pressure only")
    await _end(stage)


async def _deleted(stage: Stage) -> None:
    name = await _started(stage)
    await stage.delete("Node", name)
    await stage.wait(45)  # PodGC's period of 20 s, and a quarantine of 40 s
    await stage.wait(25)
    await stage.step("delete the node")
    await _end(stage)


async def _no_execute(stage: Stage) -> None:
    soon = {"key": "gpu", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 6}
    pool = stage.story.name
    await start_node(stage.cluster, node(f"{pool}-1", pool))
    await stage.create(
        bare_pod("at-once", pool=pool),
        bare_pod("soon", pool=pool, tolerations=[soon]),
        bare_pod("never", pool=pool, tolerations=[{"key": "gpu", "operator": "Exists"}]),
    )
    await stage.kubelet.run()
    await stage.step("three pods with different tolerations")
    taint = {"key": "gpu", "value": "broken", "effect": "NoExecute"}
    await stage.patch("Node", f"{pool}-1", {"spec": {"taints": [taint]}})
    await stage.step("NoExecute taint")
    await stage.wait(7)
    await stage.step("seven seconds later")
    await _end(stage)


async def _no_schedule(stage: Stage) -> None:
    pool = stage.story.name
    await start_node(stage.cluster, node(f"{pool}-1", pool))
    taint = {"key": "gpu", "value": "broken", "effect": "NoSchedule"}
    await stage.patch("Node", f"{pool}-1", {"spec": {"taints": [taint]}})
    await stage.create(bare_pod("plain", pool=pool))
    await stage.create(bare_pod("tolerant", pool=pool, tolerations=[{"key": "gpu", "value": "broken"}]))
    await stage.step("NoSchedule taint")
    await stage.patch("Node", f"{pool}-1", {"spec": {"taints": []}})
    await stage.step("the taint is removed")
    await _end(stage)


async def _cordoned(stage: Stage) -> None:
    name = await _started(stage, 1)
    await stage.patch("Node", name, {"spec": {"unschedulable": True}})
    await stage.step("cordon")
    await stage.scale("ReplicaSet", "web", 2)
    await stage.step("scale to 2")
    await stage.patch("Node", name, {"spec": {"unschedulable": None}})
    await stage.step("uncordon")
    await _end(stage)


async def _full(stage: Stage) -> None:
    pool = stage.story.name
    await start_node(stage.cluster, node(f"{pool}-1", pool))
    half = {"resources": {"limits": {"nvidia.com/gpu": "5"}}}
    await stage.create(bare_pod("first", pool=pool, container=half))
    await stage.step("a pod with 5 of 8 GPUs")
    await stage.create(bare_pod("second", pool=pool, container=half))
    await stage.step("another")
    await stage.delete("Pod", "first", gracePeriodSeconds=0)
    await stage.step("delete the first")
    await _end(stage)


async def _preemption(stage: Stage) -> None:
    pool = stage.story.name
    await start_node(stage.cluster, node(f"{pool}-1", pool))
    await stage.create({"kind": "PriorityClass", "metadata": {"name": f"{pool}-high"}, "value": 1000})
    half = {"resources": {"limits": {"nvidia.com/gpu": "5"}}}
    await stage.create(bare_pod("low", pool=pool, container=half))
    await stage.step("a pod with 5 of 8 GPUs")
    await stage.kubelet.run()
    await stage.create(bare_pod("high", pool=pool, container=half, priorityClassName=f"{pool}-high"))
    await stage.step("another of higher priority")
    await stage.kubelet.end_deleted()
    await stage.step("the first is gone")
    await _end(stage)


async def _protected(stage: Stage) -> None:
    pool = stage.story.name
    await stage.create({"kind": "PriorityClass", "metadata": {"name": f"{pool}-high"}, "value": 1000})
    half = {"resources": {"limits": {"nvidia.com/gpu": "5"}}}
    for number, app in enumerate(("guarded", "free"), 1):
        await start_node(stage.cluster, node(f"{pool}-{number}", f"{pool}-{number}", all=pool))
        await stage.create(bare_pod(app, {"app": app}, pool=f"{pool}-{number}", container=half))
    budget = {"selector": {"matchLabels": {"app": "guarded"}}, "minAvailable": 1}
    await stage.create({"kind": "PodDisruptionBudget", "metadata": {"name": "guard"}, "spec": budget})
    await stage.kubelet.run()
    await stage.step("two nodes, one pod has a budget")
    for name in ("first", "second"):
        spec = {"nodeSelector": {"all": pool}, "priorityClassName": f"{pool}-high", "container": half}
        await stage.create(bare_pod(name, {"app": name}, **spec))
        await stage.step(f"the {name} pod of higher priority")
    await _end(stage)


STORIES = (
    Story("node-lost", _KINDS, _lost, alone=True),
    Story("node-not-ready", _KINDS, _not_ready, alone=True, quiet=3),
    Story("node-zone-lost", ("Node",), _all_lost, alone=True),
    Story("node-zone-mostly-lost", ("Node",), _most_lost, alone=True),
    Story("node-pressure", _KINDS, _under_pressure, alone=True),
    Story("node-deleted", _KINDS, _deleted, alone=True),
    Story("node-taint-no-execute", _KINDS, _no_execute, alone=True),
    Story("node-taint-no-schedule", _KINDS, _no_schedule, alone=True),
    Story("node-cordoned", _KINDS, _cordoned, alone=True),
    Story("node-full", _KINDS, _full, alone=True),
    Story("node-preemption-budget", _KINDS, _protected, alone=True),
    Story("node-preemption", _KINDS, _preemption, alone=True),
)
