"""The pod templates of a manifest: how many pods come out of each, and where it stands in the object."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from twin.apiserver.registry.groups.leader_worker_pods import WORKER_INDEX
from twin.apiserver.registry.groups.ray_groups import NODE_TYPE, desired_workers
from twin.scenario.errors import Path
from twin.world.kubelet.pod_spec import GROUP_INDEX


@dataclass(frozen=True, slots=True)
class PodTemplate:
    """One template of pods."""

    replicas: int
    meta: dict[str, Any]
    """The pods' metadata, with the labels by which their controller tells engines from other members of a group."""
    spec: dict[str, Any]
    at: Path
    """Path of the pod's spec in the object."""
    part: str = ""
    """Part of a group: `leader`, `worker`, or the name of a role or worker group; empty if there is only one."""


def pod_templates(obj: Mapping[str, Any]) -> list[PodTemplate]:
    """Return the templates of an object, in order; none for kinds without pods."""
    read = _READERS.get(str(obj.get("kind", "")))
    return [] if read is None else list(read(obj))


def _pod(obj: Mapping[str, Any]) -> Iterator[PodTemplate]:
    yield PodTemplate(1, _mapping(obj.get("metadata")), _mapping(obj.get("spec")), ("spec",))


def _one_template(count: str) -> Callable[[Mapping[str, Any]], Iterator[PodTemplate]]:
    """Return the reader of a kind with one template; `count` is the field with the number of pods, if any."""

    def read(obj: Mapping[str, Any]) -> Iterator[PodTemplate]:
        spec = _mapping(obj.get("spec"))
        yield _template(spec.get("template"), ("spec", "template"), _number(spec.get(count), 1))

    return read


def _leader_worker_set(obj: Mapping[str, Any]) -> Iterator[PodTemplate]:
    spec = _mapping(obj.get("spec"))
    group, at = _mapping(spec.get("leaderWorkerTemplate")), ("spec", "leaderWorkerTemplate")
    groups, size = _number(spec.get("replicas"), 1), _number(group.get("size"), 1)
    leader = "leaderTemplate" if group.get("leaderTemplate") else "workerTemplate"
    yield _template(group.get(leader), (*at, leader), groups, "leader", {WORKER_INDEX: "0"})
    if size > 1:
        worker = group.get("workerTemplate")
        yield _template(worker, (*at, "workerTemplate"), groups * (size - 1), "worker", {WORKER_INDEX: "1"})


def _role_set(obj: Mapping[str, Any]) -> Iterator[PodTemplate]:
    yield from _roles(_mapping(obj.get("spec")), ("spec",), 1)


def _storm_service(obj: Mapping[str, Any]) -> Iterator[PodTemplate]:
    spec = _mapping(obj.get("spec"))
    roles = _mapping(_mapping(spec.get("template")).get("spec"))
    yield from _roles(roles, ("spec", "template", "spec"), _number(spec.get("replicas"), 1))


def _roles(spec: Mapping[str, Any], at: Path, sets: int) -> Iterator[PodTemplate]:
    for index, role in enumerate(_mappings(spec.get("roles"))):
        count, size = sets * _number(role.get("replicas"), 1), _number(role.get("podGroupSize"), 1)
        where: Path = (*at, "roles", index, "template")
        yield from _group(role.get("template"), where, (count, size), str(role.get("name", "")))


def _pod_set(obj: Mapping[str, Any]) -> Iterator[PodTemplate]:
    spec = _mapping(obj.get("spec"))
    yield from _group(spec.get("template"), ("spec", "template"), (1, _number(spec.get("podGroupSize"), 1)), "")


def _group(template: Any, at: Path, counts: tuple[int, int], part: str) -> Iterator[PodTemplate]:
    """Yield the first pods and the others of groups with one template; `counts` are groups, and pods of each."""
    groups, size = counts
    yield _template(template, at, groups, part, {GROUP_INDEX: "0"} if size > 1 else None)
    if size > 1:
        yield _template(template, at, groups * (size - 1), f"{part} worker".strip(), {GROUP_INDEX: "1"})


def _ray_cluster(obj: Mapping[str, Any]) -> Iterator[PodTemplate]:
    yield from _ray_groups(_mapping(obj.get("spec")), ("spec",))


def _ray_service(obj: Mapping[str, Any]) -> Iterator[PodTemplate]:
    yield from _ray_groups(_mapping(_mapping(obj.get("spec")).get("rayClusterConfig")), ("spec", "rayClusterConfig"))


def _ray_groups(spec: Mapping[str, Any], at: Path) -> Iterator[PodTemplate]:
    head = _mapping(spec.get("headGroupSpec")).get("template")
    yield _template(head, (*at, "headGroupSpec", "template"), 1, "head", {NODE_TYPE: "head"})
    for index, group in enumerate(_mappings(spec.get("workerGroupSpecs"))):
        where: Path = (*at, "workerGroupSpecs", index, "template")
        counts = {name: value for name, value in group.items() if type(value) in (int, bool)}
        count = desired_workers(counts)
        yield _template(group.get("template"), where, count, str(group.get("groupName", "")), {NODE_TYPE: "worker"})


def _template(
    template: Any, at: Path, replicas: int, part: str = "", labels: Mapping[str, str] | None = None
) -> PodTemplate:
    """Return a template; `labels` are those that the controller adds."""
    meta = _mapping(_mapping(template).get("metadata"))
    if labels:
        meta = {**meta, "labels": {**_mapping(meta.get("labels")), **labels}}
    return PodTemplate(replicas, meta, _mapping(_mapping(template).get("spec")), (*at, "spec"), part)


_READERS: Mapping[str, Callable[[Mapping[str, Any]], Iterator[PodTemplate]]] = {
    "Pod": _pod,
    "Deployment": _one_template("replicas"),
    "ReplicaSet": _one_template("replicas"),
    "StatefulSet": _one_template("replicas"),
    "DaemonSet": _one_template(""),
    "Job": _one_template("parallelism"),
    "LeaderWorkerSet": _leader_worker_set,
    "RoleSet": _role_set,
    "StormService": _storm_service,
    "PodSet": _pod_set,
    "RayCluster": _ray_cluster,
    "RayService": _ray_service,
}
WITH_PODS = tuple(kind for kind in _READERS if kind != "Pod")
"""Kinds whose objects create pods."""


def _number(value: Any, default: int) -> int:
    return value if type(value) is int else default


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _mappings(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
