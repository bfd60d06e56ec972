"""Stories of garbage collection: background, foreground, orphans, and owners that are gone."""

from tests.conformance_kubernetes.api import Object
from tests.conformance_kubernetes.manifests import config_map, owned, workload
from tests.conformance_kubernetes.stage import Stage, Story

_WORKLOADS = ("Deployment", "ReplicaSet", "Pod")
_OBJECTS = ("ConfigMap",)


async def _ready_deployment(stage: Stage) -> None:
    await stage.create(workload("Deployment", 2))
    await stage.step("create")
    await stage.kubelet.run()
    await stage.step("pods ready")


async def _background(stage: Stage) -> None:
    await _ready_deployment(stage)
    await stage.delete("Deployment", "web", propagationPolicy="Background")
    await stage.step("delete in the background")
    await stage.kubelet.end_deleted()
    await stage.step("pods gone")


async def _foreground(stage: Stage) -> None:
    await _ready_deployment(stage)
    await stage.delete("Deployment", "web", propagationPolicy="Foreground")
    await stage.step("delete in the foreground")
    await stage.kubelet.end_deleted(1)
    await stage.step("one pod gone")
    await stage.kubelet.end_deleted()
    await stage.step("both pods gone")


async def _orphan(stage: Stage) -> None:
    await _ready_deployment(stage)
    await stage.delete("Deployment", "web", propagationPolicy="Orphan")
    await stage.step("delete and orphan")
    await stage.create(workload("Deployment", 2))
    await stage.step("create again")
    await stage.delete("ReplicaSet", next(iter(await _names(stage, "ReplicaSet"))), propagationPolicy="Orphan")
    await stage.step("delete the ReplicaSet and orphan its pods")


async def _names(stage: Stage, kind: str) -> list[str]:
    return [item["metadata"]["name"] for item in await stage.api.list(kind)]


async def _stored(stage: Stage, name: str) -> Object:
    return (await stage.api.get("ConfigMap", name)).body


async def _two_owners(stage: Stage) -> None:
    await stage.create(config_map("first"), config_map("second"))
    await stage.create(owned(config_map("child"), await _stored(stage, "first"), await _stored(stage, "second")))
    await stage.step("create")
    await stage.delete("ConfigMap", "first")
    await stage.step("delete the first owner")
    await stage.delete("ConfigMap", "second")
    await stage.step("delete the second owner")


async def _owner_gone(stage: Stage) -> None:
    await stage.create(config_map("parent"))
    parent = await _stored(stage, "parent")
    await stage.delete("ConfigMap", "parent")
    await stage.create(owned(config_map("late"), parent))
    await stage.step("create with an owner that is gone")


async def _owner_replaced(stage: Stage) -> None:
    await stage.create(config_map("parent"))
    parent = await _stored(stage, "parent")
    await stage.create(owned(config_map("child"), parent))
    await stage.step("create")
    await stage.delete("ConfigMap", "parent", propagationPolicy="Orphan")
    await stage.step("delete and orphan")
    await stage.create(config_map("parent"))
    await stage.step("another object with the owner's name")


async def _blocked(stage: Stage) -> None:
    await stage.create(config_map("parent"))
    parent = await _stored(stage, "parent")
    await stage.create(owned(config_map("blocks", finalizers=["example.com/kept"]), parent, block=True))
    await stage.create(owned(config_map("free", finalizers=["example.com/kept"]), parent))
    await stage.step("create")
    await stage.delete("ConfigMap", "parent", propagationPolicy="Foreground")
    await stage.step("delete in the foreground")
    await stage.patch("ConfigMap", "blocks", {"metadata": {"finalizers": None}})
    await stage.step("remove the finalizer of the one that blocks")


async def _cycle(stage: Stage) -> None:
    await stage.create(config_map("first"), config_map("second"))
    first, second = await _stored(stage, "first"), await _stored(stage, "second")
    for child, owner in ((first, second), (second, first)):
        metadata = owned(child, owner, block=True)["metadata"]
        body = {"metadata": {"ownerReferences": metadata["ownerReferences"]}}
        await stage.patch("ConfigMap", child["metadata"]["name"], body)
    await stage.step("two objects that own each other")
    await stage.delete("ConfigMap", "first", propagationPolicy="Foreground")
    await stage.step("delete one in the foreground")


async def _finalizer(stage: Stage) -> None:
    await stage.create(config_map("kept", finalizers=["example.com/one", "example.com/two"]))
    await stage.delete("ConfigMap", "kept")
    await stage.step("delete with two finalizers")
    await stage.patch("ConfigMap", "kept", {"metadata": {"finalizers": ["example.com/new"]}})
    await stage.step("add another")
    await stage.patch("ConfigMap", "kept", {"metadata": {"finalizers": None}})
    await stage.step("remove all")


STORIES = (
    Story("delete-background", _WORKLOADS, _background),
    Story("delete-foreground", _WORKLOADS, _foreground),
    Story("delete-orphan", _WORKLOADS, _orphan),
    Story("delete-two-owners", _OBJECTS, _two_owners),
    Story("delete-owner-gone", _OBJECTS, _owner_gone, quiet=4),
    Story("delete-owner-replaced", _OBJECTS, _owner_replaced),
    Story("delete-blocked", _OBJECTS, _blocked),
    Story("delete-cycle", _OBJECTS, _cycle),
    Story("delete-finalizers", _OBJECTS, _finalizer),
)
