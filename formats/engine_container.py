"""The container of a pod that runs the inference engine, among sidecars and proxies.

Injectors of service meshes put their proxy first or last, and pods have log shippers and exporters: the position says
nothing. A label of the pod may name the container. Otherwise the command decides, then the image, the accelerators
that it requests, and the ports that it declares.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from formats.engine_command import read_command
from formats.errors import FormatError

RUNTIME_SIDECAR = "aibrix-runtime"
"""Name of the container of AIBrix's runtime sidecar, which is never the engine."""
CONTAINER_LABEL = "model.aibrix.ai/engine-container"
"""Label of a pod that names its engine's container."""
DEFAULT_CONTAINER = "kubectl.kubernetes.io/default-container"
"""Annotation that names a pod's main container; injectors set it. Kubernetes docs, "Well-Known Labels"."""
_ENGINES = ("vllm", "sglang")
_ACCELERATORS = ("gpu", "tpu", "neuron", "gaudi", "habana", "npu", "amd.com")
_ENGINE_PORTS = (8000, 30000)
"""Default ports of vLLM and SGLang."""


@dataclass(frozen=True, slots=True)
class ContainerFacts:
    """Properties of a container that tell engines from sidecars.

    Attributes:
        name: the container's name.
        command: command and arguments as one list.
        image: image with its tag.
        ports: declared ports.
        resources: names of the requested resources, such as `nvidia.com/gpu`.
    """

    name: str
    command: Sequence[str] = ()
    image: str = ""
    ports: Sequence[int] = ()
    resources: Sequence[str] = ()


def engine_container(
    containers: Sequence[ContainerFacts], labels: Mapping[str, str], annotations: Mapping[str, str]
) -> str:
    """Return the name of the engine's container; empty if the runtime sidecar is the only one.

    Raises:
        FormatError: the label names a container that the pod does not have.
    """
    if problem := container_label_problem(labels, [container.name for container in containers]):
        raise FormatError(problem)
    if CONTAINER_LABEL in labels:
        return labels[CONTAINER_LABEL]
    candidates = [container for container in containers if container.name != RUNTIME_SIDECAR]
    if len(candidates) < 2:
        return candidates[0].name if candidates else ""
    default = annotations.get(DEFAULT_CONTAINER, "")
    return max(candidates, key=lambda container: (*_evidence(container), container.name == default)).name


def container_label_problem(labels: Mapping[str, str], containers: Sequence[str]) -> str:
    """Return what is wrong with a pod's label that names its engine's container, if anything."""
    named = labels.get(CONTAINER_LABEL)
    if named is None or named in containers:
        return ""
    return f"label {CONTAINER_LABEL}: no container {named!r}; the pod has {', '.join(containers)}"


def is_accelerator(resource: str) -> bool:
    """Return True for the name of a resource that is a GPU or another accelerator."""
    return any(word in resource.lower() for word in _ACCELERATORS)


def _evidence(container: ContainerFacts) -> tuple[bool, bool, bool, bool]:
    """Return what speaks for an engine, the strongest first."""
    texts = (*container.command, container.image)
    return (
        _starts_engine(container.command),
        any(engine in text.lower() for text in texts for engine in _ENGINES),
        any(is_accelerator(resource) for resource in container.resources),
        any(port in _ENGINE_PORTS for port in container.ports),
    )


def _starts_engine(command: Sequence[str]) -> bool:
    """Return whether the command runs an engine under one of its names."""
    try:
        return read_command(command, {}).flavor in _ENGINES
    except FormatError:
        return False
