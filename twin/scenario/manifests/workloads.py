"""Pods of Deployments, other workloads and bare Pods: number, labels, containers, requested GPUs.

An object with several pod templates, such as a LeaderWorkerSet, is one workload for each.
"""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from controller.api.labels import ENGINE_LABEL
from controller.engine.flavors import SGLANG
from fake_vllm.cli import command_line
from fake_vllm.engine.config import EngineConfig, EngineConfigError
from formats.engine_command import expand_environment, read_command
from formats.errors import FormatError
from twin.scenario.errors import Path, Problem
from twin.scenario.manifests.pod_templates import pod_templates
from twin.scenario.manifests.reader import Entry
from twin.scenario.sections.cluster import Cluster, Node, NodePool
from twin.world.kubelet.pod_spec import (
    command_of,
    dialect_of,
    engine_of,
    has_runtime_sidecar,
    looks_like_engine,
    runs_engine,
    version_of,
)

GPU = "nvidia.com/gpu"
RESTARTABLE = ("Deployment", "StatefulSet", "DaemonSet")
"""Kinds that `kubectl rollout restart` knows."""
_GENERATED = "bcdfghjklmnpqrstvwxz2456789"  # k8s.io/apimachinery, util/rand: letters of generated names
_GPUS_PER_NODE = 8
_REFERENCES = {"Secret": ("secretKeyRef", "secretRef"), "ConfigMap": ("configMapKeyRef", "configMapRef")}
_SUBSTITUTION = re.compile(r"\$\(.+\)|`.+`")  # of a shell, as in `--max-loras $(nproc)`
_SURGE = 0.25  # Kubernetes' default of a Deployment's maxSurge


class Reference(NamedTuple):
    """A Secret or ConfigMap that a container needs; `key` is empty where it takes all of them."""

    kind: str
    name: str
    key: str


@dataclass(frozen=True, slots=True)
class Workload:
    """One source of pods."""

    entry: Entry
    replicas: int
    meta: dict[str, Any]
    """The pods' metadata."""
    spec: dict[str, Any]
    at: Path
    """Path of the pod's spec in the object."""
    part: str = ""
    """Part of a group, such as `worker`; empty for a kind with one template."""

    @property
    def labels(self) -> dict[str, str]:
        return _mapping(self.meta.get("labels"))

    @property
    def name(self) -> str:
        return self.entry.name

    @property
    def containers(self) -> list[dict[str, Any]]:
        return [container for container in _list(self.spec.get("containers")) if isinstance(container, dict)]

    @property
    def all_containers(self) -> list[dict[str, Any]]:
        """Return init containers and native sidecars, then the pod's own containers."""
        return [*(item for item in _list(self.spec.get("initContainers")) if isinstance(item, dict)), *self.containers]

    @property
    def engine(self) -> dict[str, Any]:
        """Return the engine's container, as the simulated cluster selects it. Requires a valid object."""
        name = engine_of(self.meta, self.spec)
        return next((item for item in self.containers if item.get("name") == name), self.containers[0])

    @property
    def looks_like_engine(self) -> bool:
        """True if that container is recognised as vLLM or SGLang."""
        return looks_like_engine(self.engine) or bool(dialect_of(self.engine, self.labels))

    @property
    def has_engine(self) -> bool:
        """True if an engine runs in the pods, by the rules of the simulated cluster."""
        return bool(self.containers) and runs_engine(self.entry.kind, self.labels, self.containers)

    @property
    def title(self) -> str:
        """Return a title such as `LeaderWorkerSet default/llama (worker)`."""
        return f"{self.entry.title} ({self.part})" if self.part else self.entry.title

    @property
    def lacks_sglang_label(self) -> bool:
        """True if the engine is SGLang but the operator, which uses the label, treats it as vLLM."""
        without_sidecar = not has_runtime_sidecar(self.spec)
        flavor = _flavor_of_command(self.engine) or dialect_of(self.engine, self.labels)
        return without_sidecar and flavor == SGLANG.name != self.labels.get(ENGINE_LABEL)

    @property
    def references(self) -> list["Reference"]:
        """Return every Secret and ConfigMap that the containers need to start, once for each key."""
        references = list[Reference]()
        for container in self.all_containers:
            sources = [*_list(container.get("envFrom"))]
            sources += [_mapping(variable.get("valueFrom")) for variable in _list(container.get("env"))]
            for source in sources:
                for kind, keys in _REFERENCES.items():
                    for reference in (_mapping(source.get(key)) for key in keys):
                        if reference.get("name") and not reference.get("optional"):
                            references.append(Reference(kind, str(reference["name"]), str(reference.get("key") or "")))
        return list(dict.fromkeys(references))

    @property
    def gpus(self) -> int:
        """Return the number of GPUs that one pod requests."""
        return sum(_gpus(container) for container in self.containers)

    def can_match(self, pattern: str) -> bool:
        """Return whether a pod of this workload may have a name that matches; generated names have random suffixes."""
        namespace, slash, short = pattern.rpartition("/")
        if slash and not fnmatchcase(self.entry.namespace, namespace):
            return False
        if self.entry.kind == "Pod":
            return fnmatchcase(self.name, short)
        fixed = re.split(r"[*?\[]", short, maxsplit=1)[0]
        stem = f"{self.name}-"
        if fixed == short and self.part:
            return short.startswith(stem)
        if fixed == short:
            return short.startswith(stem) and set(short[len(stem) :]) <= {*_GENERATED, *"-0123456789abcdef"}
        return fixed.startswith(stem) or stem.startswith(fixed)


def workloads_of(entries: Sequence[Entry]) -> list[Workload]:
    """Return the sources of pods, in order."""
    return [
        Workload(entry, template.replicas, template.meta, template.spec, template.at, template.part)
        for entry in entries
        for template in pod_templates(entry.object)
    ]


def engine_config(workload: Workload, version: str = "") -> EngineConfig:
    """Return the settings of the engine; `version` replaces that of the image.

    Raises:
        EngineConfigError: if the engine would not start.
    """
    container = workload.engine
    environment = expand_environment(
        (str(variable.get("name")), str(variable.get("value", ""))) for variable in container.get("env") or ()
    )
    return command_line.read(
        command_of(container),
        environment,
        version=version or version_of(container),
        dialect=dialect_of(container, workload.labels),
    )


def check_engine(workload: Workload, version: str) -> Problem | None:
    """Return the error with which the engine would refuse to start, at the flag that causes it."""
    container = workload.engine
    try:
        engine_config(workload, version)
    except EngineConfigError as error:
        at: Path = (*workload.at, "containers", workload.containers.index(container))
        flag = error.flag or _flag_in(str(error))
        message, hint = f"the engine would not start: {error}", ""
        if _SUBSTITUTION.search(str(error)):
            message, hint = f"the output of a command is not known here: {error}", "write the value itself"
        for key in ("command", "args"):
            for index, word in enumerate(container.get(key) or ()):
                if flag and word.replace("_", "-").startswith(flag):
                    return workload.entry.problem((*at, key, index), message, hint)
        return workload.entry.problem(at, message, hint)
    return None


def _flag_in(text: str) -> str:
    flag = re.search(r"--[\w-]+", text)
    return flag[0] if flag else ""


def nameless_variables(workload: Workload) -> Iterator[Problem]:
    """Yield an error for each environment variable without a name."""
    for index, container in enumerate(workload.containers):
        for number, variable in enumerate(container.get("env") or ()):
            if not variable.get("name"):
                at: Path = (*workload.at, "containers", index, "env", number)
                yield workload.entry.problem(at, '"name" is missing', "it is required")


def nodes_for(cluster: Cluster, workloads: Sequence[Workload]) -> tuple[Node, ...]:
    """Return the nodes in the scenario, or else enough nodes for all pods and a rolling update."""
    if isinstance(cluster.nodes, NodePool):
        return cluster.nodes.nodes()
    if cluster.nodes is not None:
        return cluster.nodes
    gpus_per_node = max([_GPUS_PER_NODE, *(workload.gpus for workload in workloads)])
    pods = [(w.gpus, w.replicas + math.ceil(w.replicas * _SURGE)) for w in workloads if w.gpus]
    count = sum(math.ceil(number / (gpus_per_node // gpus)) for gpus, number in pods)
    return NodePool(count=max(1, min(count, 100_000)), gpus=gpus_per_node).nodes()


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
