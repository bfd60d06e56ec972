"""What Deployments, ReplicaSets and bare Pods come down to: how many pods, with which labels, asking for what."""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from controller.api.labels import ENGINE_LABEL
from controller.cache.pod_view import SIDECAR
from controller.engine.flavors import SGLANG
from fake_vllm.cli import command_line
from fake_vllm.engine.config import EngineConfigError
from formats.engine_command import expand_environment, read_command
from formats.errors import FormatError
from twin.scenario.errors import Path, Problem
from twin.scenario.manifests.reader import Entry
from twin.scenario.sections.cluster import Cluster, Node, NodePool
from twin.world.kubelet.pod_spec import command_of, dialect_of, engine_index, looks_like_engine, version_of

GPU = "nvidia.com/gpu"
_GENERATED = "bcdfghjklmnpqrstvwxz2456789"  # k8s.io/apimachinery, util/rand: letters of generated names
_GPUS_EACH = 8
_REFERENCES = {"Secret": ("secretKeyRef", "secretRef"), "ConfigMap": ("configMapKeyRef", "configMapRef")}
_SURGE = 0.25  # Kubernetes' default of a Deployment's maxSurge


@dataclass(frozen=True, slots=True)
class Workload:
    """One source of pods."""

    entry: Entry
    replicas: int
    labels: dict[str, str]
    spec: dict[str, Any]
    at: Path
    """Where the pod's spec stands in the object."""

    @property
    def name(self) -> str:
        return self.entry.name

    @property
    def containers(self) -> list[dict[str, Any]]:
        found = self.spec.get("containers")
        return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []

    @property
    def engine(self) -> dict[str, Any]:
        """The engine's container, by the world's own rule. Only for objects that the API server takes."""
        return self.containers[engine_index([*self.containers])]

    @property
    def looks_like_engine(self) -> bool:
        """Whether that container is recognisably vLLM or SGLang."""
        return looks_like_engine(self.engine) or bool(dialect_of(self.engine, self.labels))

    @property
    def misnamed(self) -> bool:
        """Whether its engine is SGLang and the operator, which goes by the label, will take it for vLLM."""
        alone = all(container.get("name") != SIDECAR for container in self.containers)
        really = _flavor_of_command(self.engine) or dialect_of(self.engine, self.labels)
        return alone and really == SGLANG.name != self.labels.get(ENGINE_LABEL)

    @property
    def references(self) -> list[tuple[str, str]]:
        """Kind and name of every Secret and ConfigMap without which its containers cannot start."""
        found = []
        for container in self.containers:
            sources = [*_list(container.get("envFrom"))]
            sources += [_mapping(variable.get("valueFrom")) for variable in _list(container.get("env"))]
            for source in sources:
                for kind, keys in _REFERENCES.items():
                    for reference in (_mapping(source.get(key)) for key in keys):
                        if reference.get("name") and not reference.get("optional"):
                            found.append((kind, str(reference["name"])))
        return list(dict.fromkeys(found))

    @property
    def gpus(self) -> int:
        """What one pod asks for."""
        return sum(_gpus(container) for container in self.containers)

    def makes(self, pattern: str) -> bool:
        """Whether a pod of this workload may have a name that fits; generated parts are five letters and more."""
        namespace, slash, short = pattern.rpartition("/")
        if slash and not fnmatchcase(self.entry.namespace, namespace):
            return False
        if self.entry.kind == "Pod":
            return fnmatchcase(self.name, short)
        fixed = re.split(r"[*?\[]", short, maxsplit=1)[0]
        stem = f"{self.name}-"
        if fixed == short:
            return short.startswith(stem) and set(short[len(stem) :]) <= {*_GENERATED, *"-0123456789abcdef"}
        return fixed.startswith(stem) or stem.startswith(fixed)


def workloads_of(entries: Sequence[Entry]) -> list[Workload]:
    """The sources of pods, in order."""
    return [made for entry in entries if (made := _workload(entry)) is not None]


def _workload(entry: Entry) -> Workload | None:
    spec = _mapping(entry.object.get("spec"))
    if entry.kind == "Pod":
        labels = _mapping(entry.object["metadata"].get("labels"))
        return Workload(entry, 1, labels, spec, ("spec",))
    if entry.kind not in ("Deployment", "ReplicaSet"):
        return None
    template = _mapping(spec.get("template"))
    replicas = spec.get("replicas", 1)
    labels = _mapping(_mapping(template.get("metadata")).get("labels"))
    count = replicas if isinstance(replicas, int) else 1
    return Workload(entry, count, labels, _mapping(template.get("spec")), ("spec", "template", "spec"))


def check_engine(workload: Workload, version: str) -> Problem | None:
    """What the engine would refuse to start with, at the flag that it refuses."""
    container = workload.engine
    environment = expand_environment(
        (str(each.get("name")), str(each.get("value", ""))) for each in container.get("env") or ()
    )
    try:
        command_line.read(
            command_of(container),
            environment,
            version=version or version_of(container),
            dialect=dialect_of(container, workload.labels),
        )
    except EngineConfigError as error:
        at: Path = (*workload.at, "containers", workload.containers.index(container))
        flag = re.search(r"--[\w-]+", str(error))
        for key in ("command", "args"):
            for place, word in enumerate(container.get(key) or ()):
                if flag and word.replace("_", "-").startswith(flag[0]):
                    return workload.entry.problem((*at, key, place), f"the engine would not start: {error}")
        return workload.entry.problem(at, f"the engine would not start: {error}")
    return None


def nameless_variables(workload: Workload) -> Iterator[Problem]:
    """Variables of the environment that have no name."""
    for index, container in enumerate(workload.containers):
        for number, variable in enumerate(container.get("env") or ()):
            if not variable.get("name"):
                at: Path = (*workload.at, "containers", index, "env", number)
                yield workload.entry.problem(at, '"name" is missing', "it is required")


def nodes_for(cluster: Cluster, workloads: Sequence[Workload]) -> tuple[Node, ...]:
    """The scenario's machines, or, where it names none, enough for all pods and a rolling update."""
    if isinstance(cluster.nodes, NodePool):
        return cluster.nodes.nodes()
    if cluster.nodes is not None:
        return cluster.nodes
    asked = {workload.gpus for workload in workloads if workload.gpus}
    each = max([_GPUS_EACH, *asked])
    pods = [(w.gpus, w.replicas + math.ceil(w.replicas * _SURGE)) for w in workloads if w.gpus]
    count = sum(math.ceil(number / (each // gpus)) for gpus, number in pods)
    return NodePool(count=max(1, min(count, 100_000)), gpus=each).nodes()


def _gpus(container: dict[str, Any]) -> int:
    resources = _mapping(container.get("resources"))
    for key in ("requests", "limits"):
        amount = str(_mapping(resources.get(key)).get(GPU, ""))
        if amount.isdecimal():
            return int(amount)
    return 0


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _flavor_of_command(container: dict[str, Any]) -> str:
    try:
        return read_command(command_of(container), {}).flavor
    except FormatError:
        return ""
