"""Stories of DaemonSets, each with nodes of its own."""

from tests.conformance_kubernetes.clusters import node, start_node
from tests.conformance_kubernetes.manifests import template, workload
from tests.conformance_kubernetes.stage import Stage, Story

_KINDS = ("DaemonSet", "Pod", "Node")


async def _nodes(stage: Stage, *numbers: int) -> None:
    pool = stage.story.name
    for number in numbers:
        await start_node(stage.cluster, node(f"{pool}-{number}", pool))
    await stage.step(f"nodes {', '.join(map(str, numbers))} ready")


async def _started(stage: Stage, **spec: object) -> None:
    await _nodes(stage, 1, 2)
    await stage.create(workload("DaemonSet", None, template(pool=stage.story.name), **spec))
    await stage.step("create")
    await stage.kubelet.run()
    await stage.step("pods ready")


async def _end(stage: Stage) -> None:
    await stage.delete("DaemonSet", "web")
    for item in await stage.api.list("Node"):
        if item["metadata"]["name"].startswith(stage.story.name):
            await stage.api.delete("Node", item["metadata"]["name"])


async def _follows_nodes(stage: Stage) -> None:
    await _started(stage)
    await _nodes(stage, 3)
    await stage.patch("Node", f"{stage.story.name}-1", {"metadata": {"labels": {"pool": "other"}}})
    await stage.step("node 1 leaves the pool")
    await stage.kubelet.end_deleted()
    await stage.step("its pod is gone")
    await _end(stage)


async def _updates(stage: Stage) -> None:
    await _started(stage)
    body = {"spec": {"template": {"spec": {"containers": [{"name": "web", "image": "web:2"}]}}}}
    await stage.patch("DaemonSet", "web", body)
    await stage.step("new image")
    for number in (1, 2):
        await stage.kubelet.end_deleted()
        await stage.step(f"deleted pod gone {number}")
        await stage.kubelet.run()
        await stage.step(f"new pod ready {number}")
    await _end(stage)


async def _taints(stage: Stage) -> None:
    await _started(stage)
    taint = {"key": "gpu", "value": "broken", "effect": "NoExecute"}
    await stage.patch("Node", f"{stage.story.name}-1", {"spec": {"taints": [taint]}})
    await stage.step("NoExecute taint on node 1")
    await stage.patch("Node", f"{stage.story.name}-2", {"spec": {"unschedulable": True}})
    await stage.step("cordon node 2")
    await _end(stage)


STORIES = (
    Story("daemonset-follows-nodes", _KINDS, _follows_nodes, alone=True),
    Story("daemonset-updates", _KINDS, _updates, alone=True),
    Story("daemonset-taints", _KINDS, _taints, alone=True),
)
