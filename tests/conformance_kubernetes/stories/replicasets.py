"""Stories of ReplicaSets: adopted, released, failed and terminating pods, and which pods go first."""

from tests.conformance_kubernetes.manifests import bare_pod, template, workload
from tests.conformance_kubernetes.stage import Stage, Story

_KINDS = ("ReplicaSet", "Pod")


async def _started(stage: Stage, replicas: int, **spec: object) -> None:
    await stage.create(workload("ReplicaSet", replicas, **spec))
    await stage.step("create")
    await stage.kubelet.run()
    await stage.step("pods ready")


async def _adopts(stage: Stage) -> None:
    await stage.create(bare_pod("first"), bare_pod("second"))
    await stage.step("two pods")
    await stage.create(workload("ReplicaSet", 3))
    await stage.step("create with 3 replicas")


async def _adopts_too_many(stage: Stage) -> None:
    await stage.create(bare_pod("first"), bare_pod("second"))
    await stage.kubelet.run(1)
    await stage.step("two pods, one ready")
    await stage.create(workload("ReplicaSet", 1))
    await stage.step("create with 1 replica")


async def _releases(stage: Stage) -> None:
    await _started(stage, 2)
    pod = (await stage.kubelet.pods())[0]["metadata"]["name"]
    await stage.patch("Pod", pod, {"metadata": {"labels": {"app": "debug"}}})
    await stage.step("a pod gets another label")
    await stage.patch("Pod", pod, {"metadata": {"labels": {"app": "web"}}})
    await stage.step("and the old one again")


async def _failed(stage: Stage) -> None:
    await _started(stage, 2)
    await stage.kubelet.finish("Failed", 1)
    await stage.step("a pod fails")
    await stage.kubelet.finish("Succeeded", 1)
    await stage.step("a pod succeeds")
    await stage.scale("ReplicaSet", "web", 0)
    await stage.step("scale to 0")


async def _deleted(stage: Stage) -> None:
    await _started(stage, 2)
    await stage.delete("Pod", (await stage.kubelet.pods())[0]["metadata"]["name"])
    await stage.step("delete a pod")
    await stage.kubelet.end_deleted()
    await stage.step("it is gone")


async def _unready_first(stage: Stage) -> None:
    await stage.create(workload("ReplicaSet", 4))
    await stage.step("create")
    await stage.kubelet.run(1)
    await stage.kubelet.run(1, ready=False)
    await stage.step("one ready, one running, two pending")
    for replicas in (3, 2, 1):
        await stage.scale("ReplicaSet", "web", replicas)
        await stage.step(f"scale to {replicas}")
        await stage.kubelet.end_deleted()


async def _deletion_cost(stage: Stage) -> None:
    await _started(stage, 3)
    for pod, cost in zip(await stage.kubelet.pods(), ("10", "-5", "0"), strict=True):
        annotations = {"controller.kubernetes.io/pod-deletion-cost": cost}
        await stage.patch("Pod", pod["metadata"]["name"], {"metadata": {"annotations": annotations}})
    await stage.step("deletion costs")
    await stage.scale("ReplicaSet", "web", 2)
    await stage.step("scale to 2")
    await stage.scale("ReplicaSet", "web", 1)
    await stage.step("scale to 1")


async def _newest_ready_first(stage: Stage) -> None:
    await stage.create(workload("ReplicaSet", 2))
    await stage.step("create")
    await stage.kubelet.run(1)
    await stage.wait(11)
    await stage.kubelet.run(1)
    for pod in await stage.kubelet.pods():
        addresses = {"old": "10.200.0.1", "new": "10.200.0.2"}
        age = next(age for age, address in addresses.items() if pod["status"]["podIP"] == address)
        await stage.patch("Pod", pod["metadata"]["name"], {"metadata": {"labels": {"ready": age}}})
    await stage.step("one ready for a while, one just now")
    await stage.scale("ReplicaSet", "web", 1)
    await stage.step("scale to 1")


async def _other_selector(stage: Stage) -> None:
    """Leave alone pods that another controller owns."""
    await stage.create(workload("ReplicaSet", 1))
    await stage.step("create")
    await stage.create(workload("ReplicaSet", 1, template(), name="other"))
    await stage.step("another with the same selector")
    await stage.delete("ReplicaSet", "web", propagationPolicy="Orphan")
    await stage.step("delete the first and orphan its pod")


STORIES = (
    Story("replicaset-adopts", _KINDS, _adopts),
    Story("replicaset-adopts-too-many", _KINDS, _adopts_too_many),
    Story("replicaset-releases", _KINDS, _releases),
    Story("replicaset-failed-pods", _KINDS, _failed),
    Story("replicaset-deleted-pod", _KINDS, _deleted),
    Story("replicaset-unready-first", _KINDS, _unready_first),
    Story("replicaset-deletion-cost", _KINDS, _deletion_cost),
    Story("replicaset-newest-ready-first", _KINDS, _newest_ready_first),
    Story("replicaset-same-selector", _KINDS, _other_selector),
)
