"""Stories of StatefulSets: order of start, end and update."""

from tests.conformance_kubernetes.manifests import bare_pod, service, template, workload
from tests.conformance_kubernetes.stage import Stage, Story

_KINDS = ("StatefulSet", "Pod")
_NEW_IMAGE = {"spec": {"template": {"spec": {"containers": [{"name": "web", "image": "web:2"}]}}}}


async def _create(stage: Stage, replicas: int, **spec: object) -> None:
    await stage.create(service(clusterIP="None"), workload("StatefulSet", replicas, **spec))
    await stage.step("create")


async def _started(stage: Stage, replicas: int, **spec: object) -> None:
    await stage.create(service(clusterIP="None"), workload("StatefulSet", replicas, **spec))
    for _ in range(replicas):
        await stage.step("one pod more")
        await stage.kubelet.run()
    await stage.step("all pods ready")


async def _rounds(stage: Stage, count: int) -> None:
    for number in range(1, count + 1):
        await stage.kubelet.end_deleted()
        await stage.step(f"deleted pods gone {number}")
        await stage.kubelet.run()
        await stage.step(f"new pods ready {number}")


async def _ordered(stage: Stage) -> None:
    await _create(stage, 3)
    for number in range(3):
        await stage.kubelet.run()
        await stage.step(f"pod {number} ready")
    await stage.scale("StatefulSet", "web", 1)
    await stage.step("scale to 1")
    await stage.kubelet.end_deleted()
    await stage.step("one pod gone")
    await stage.kubelet.end_deleted()
    await stage.step("two pods gone")


async def _unready_blocks(stage: Stage) -> None:
    await _create(stage, 3)
    await stage.kubelet.run(ready=False)
    await stage.step("pod 0 runs and is not ready")
    await stage.kubelet.set_ready(True)
    await stage.step("pod 0 ready")
    await stage.kubelet.run()
    await stage.step("pod 1 ready")
    await stage.kubelet.set_ready(False, 1)
    await stage.step("pod 0 not ready any more")
    await stage.scale("StatefulSet", "web", 1)
    await stage.step("scale to 1")


async def _parallel(stage: Stage) -> None:
    await _create(stage, 3, podManagementPolicy="Parallel")
    await stage.kubelet.run(1)
    await stage.step("one pod ready")
    await stage.scale("StatefulSet", "web", 1)
    await stage.step("scale to 1")
    await stage.kubelet.end_deleted()
    await stage.step("pods gone")


async def _update(stage: Stage) -> None:
    await _started(stage, 3)
    await stage.patch("StatefulSet", "web", _NEW_IMAGE)
    await stage.step("new image")
    await _rounds(stage, 3)


async def _partition(stage: Stage) -> None:
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"partition": 2}}
    await _started(stage, 3, updateStrategy=strategy)
    await stage.patch("StatefulSet", "web", _NEW_IMAGE)
    await stage.step("new image")
    await _rounds(stage, 1)
    await stage.delete("Pod", "web-0")
    await stage.step("delete pod 0")
    await _rounds(stage, 1)
    await stage.patch("StatefulSet", "web", {"spec": {"updateStrategy": {"rollingUpdate": {"partition": 0}}}})
    await stage.step("partition 0")
    await _rounds(stage, 2)


async def _on_delete(stage: Stage) -> None:
    await _started(stage, 2, updateStrategy={"type": "OnDelete"})
    await stage.patch("StatefulSet", "web", _NEW_IMAGE)
    await stage.step("new image")
    await stage.delete("Pod", "web-0")
    await stage.step("delete pod 0")
    await _rounds(stage, 1)


async def _broken_update(stage: Stage) -> None:
    await _started(stage, 2)
    await stage.patch("StatefulSet", "web", _NEW_IMAGE)
    await stage.step("new image")
    await stage.kubelet.end_deleted()
    await stage.step("pod 1 gone")
    await stage.kubelet.run(ready=False)
    await stage.step("pod 1 runs and is not ready")
    await stage.patch("StatefulSet", "web", {"spec": {"template": template("web:1")}})
    await stage.step("old image")
    await stage.delete("Pod", "web-1")
    await stage.step("delete pod 1")
    await _rounds(stage, 1)


async def _deleted_pod(stage: Stage) -> None:
    await _started(stage, 2)
    await stage.delete("Pod", "web-0")
    await stage.step("delete pod 0")
    await _rounds(stage, 1)
    await stage.kubelet.finish("Failed", 1)
    await stage.step("a pod fails")
    await _rounds(stage, 1)


async def _start_ordinal(stage: Stage) -> None:
    await _started(stage, 2, ordinals={"start": 5})


async def _min_ready_seconds(stage: Stage) -> None:
    await _create(stage, 2, minReadySeconds=8)
    await stage.kubelet.run()
    await stage.step("pod 0 ready")
    await stage.wait(9)
    await stage.step("pod 0 available")


async def _deleted(stage: Stage) -> None:
    await _started(stage, 2)
    await stage.delete("StatefulSet", "web", propagationPolicy="Foreground")
    await stage.step("delete in the foreground")
    await stage.kubelet.end_deleted()
    await stage.step("pods gone")


async def _adopts(stage: Stage) -> None:
    await stage.create(bare_pod("web-0"), bare_pod("web-other"))
    await stage.step("two pods")
    await _create(stage, 1)


STORIES = (
    Story("statefulset-ordered", _KINDS, _ordered),
    Story("statefulset-unready-blocks", _KINDS, _unready_blocks),
    Story("statefulset-parallel", _KINDS, _parallel),
    Story("statefulset-update", _KINDS, _update),
    Story("statefulset-partition", _KINDS, _partition),
    Story("statefulset-on-delete", _KINDS, _on_delete),
    Story("statefulset-broken-update", _KINDS, _broken_update),
    Story("statefulset-deleted-pod", _KINDS, _deleted_pod),
    Story("statefulset-start-ordinal", _KINDS, _start_ordinal),
    Story("statefulset-min-ready-seconds", _KINDS, _min_ready_seconds),
    Story("statefulset-deleted", _KINDS, _deleted),
    Story("statefulset-adopts", _KINDS, _adopts),
)
