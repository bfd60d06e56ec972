"""Stories of namespaces that are deleted."""

from tests.conformance_kubernetes.manifests import bare_pod, config_map, workload
from tests.conformance_kubernetes.stage import Stage, Story

_KINDS = ("Namespace", "Deployment", "ReplicaSet", "Pod", "ConfigMap")
_QUIET = 7  # seconds; the namespace controller begins after 5


async def _empty(stage: Stage) -> None:
    await stage.create(config_map("settings"))
    await stage.step("create")
    await stage.delete("Namespace", stage.story.name)
    await stage.step("delete the namespace")
    await stage.create(config_map("late"))
    await stage.step("create an object in it")


async def _graceful_pods(stage: Stage) -> None:
    await stage.create(bare_pod("slow", terminationGracePeriodSeconds=60))
    await stage.step("create")
    await stage.kubelet.run()
    await stage.step("pod ready")
    await stage.delete("Namespace", stage.story.name)
    await stage.step("delete the namespace")
    await stage.create(config_map("late"))
    await stage.step("create an object in it")
    await stage.kubelet.end_deleted()
    await stage.wait(10)
    await stage.step("pod gone")


async def _workload(stage: Stage) -> None:
    await stage.create(workload("Deployment", 2))
    await stage.step("create")
    await stage.kubelet.run()
    await stage.step("pods ready")
    await stage.delete("Namespace", stage.story.name)
    await stage.step("delete the namespace")
    await stage.kubelet.end_deleted()
    await stage.wait(10)
    await stage.step("pods gone")


async def _finalizers(stage: Stage) -> None:
    await stage.create(config_map("kept", finalizers=["example.com/kept"]), config_map("free"))
    await stage.step("create")
    await stage.delete("Namespace", stage.story.name)
    await stage.step("delete the namespace")
    await stage.patch("ConfigMap", "kept", {"metadata": {"finalizers": None}})
    await stage.wait(10)
    await stage.step("remove the finalizer")


STORIES = (
    Story("namespace-empty", _KINDS, _empty, quiet=_QUIET),
    Story("namespace-graceful-pods", _KINDS, _graceful_pods, quiet=_QUIET),
    Story("namespace-workload", _KINDS, _workload, quiet=_QUIET),
    Story("namespace-finalizers", _KINDS, _finalizers, quiet=_QUIET),
)
