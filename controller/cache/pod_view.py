"""A pod reduced to what matters for adapters.

It is built once per change of the pod, because hundreds of adapters look at the same pods.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from controller.api.labels import ENABLED_LABEL, ENGINE_LABEL, MEMORY_LABEL, PORT_LABEL
from controller.api.types import Container, Pod
from controller.engine.flavors import FLAVORS, VLLM, EngineFlavor
from controller.engine.prefix_cache import PrefixCache, prefix_cache_of
from formats.engine_command import EngineArgs, expand_environment, read_engine_args
from formats.engine_container import RUNTIME_SIDECAR, ContainerFacts, container_label_problem, engine_container
from formats.errors import FormatError
from formats.quantities import parse_size

_MAX_PORT = 65535
_ENDED = ("Failed", "Succeeded")
"""Phases in which no container runs; an evicted pod may still have an old condition `Ready`."""


@dataclass(frozen=True, slots=True)
class PodView:
    """The properties of a pod that matter for adapters."""

    namespace: str
    name: str
    uid: str
    labels: Mapping[str, str]
    node: str
    zone: str
    ip: str
    port: int
    engine: str
    """Incarnation of the engine: its container id."""
    ready: bool
    changed: float
    """Last transition of the condition `Ready`, in (whole) seconds since 1970."""
    terminating: bool
    max_loras: int
    max_cpu_loras: int
    container: str = ""
    """Name of the engine's container."""
    sidecar: bool = False
    """True if it has the runtime sidecar."""
    owned: bool = False
    """True if it has a controller; credentials are sent only to such pods."""
    flavor: EngineFlavor = VLLM
    """Kind of the engine, by the pod's label; a sidecar has its own setting for it."""
    ips: tuple[str, ...] = ()
    """All addresses, at most one of each family; empty if only `ip` is known."""
    problem: str = ""
    """Why no adapter can be loaded on it, if a label of it is wrong."""
    addresses: Mapping[str, str] = field(init=False, repr=False, compare=False)
    """Address by family, `IPv4` and `IPv6`."""
    base_names: tuple[str, ...] = ()
    """Names of the base model: as served, and the model's own, as far as the command line has them."""
    max_lora_rank: int = 0
    """Largest rank that the engine takes (`--max-lora-rank`); 0 if unknown."""
    adapter_memory: int = 0
    """Bytes that adapters may take together, by the pod's label; 0 if there is no limit but their number."""
    prefix_cache: PrefixCache = PrefixCache.SEPARATE
    """Fate of cached prefixes when another artifact is loaded under the same name."""
    key: str = field(init=False, repr=False, compare=False)
    """`namespace/name`, stored because every candidate of every choice is looked up by it."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "key", f"{self.namespace}/{self.name}")
        addresses = {"IPv6" if ":" in ip else "IPv4": ip for ip in reversed(self.ips or (self.ip,)) if ip}
        object.__setattr__(self, "addresses", addresses)

    @property
    def enabled(self) -> bool:
        """True if adapters may be loaded on it."""
        return self.labels.get(ENABLED_LABEL) == "true" and not self.problem

    @property
    def available(self) -> bool:
        """True if it can be sent requests: ready and not being deleted."""
        return self.ready and not self.terminating

    def takes_rank(self, rank: int) -> bool:
        """Return whether the engine takes adapters of this rank, as far as both are known."""
        return not self.max_lora_rank or rank <= self.max_lora_rank

    def stable(self, now: float, stable_for: float) -> bool:
        """Return whether it has been available for `stable_for` seconds."""
        return self.ready and not self.terminating and now - self.changed >= stable_for - 1e-6


def pod_view(pod: Pod, zone: str) -> PodView:
    """Return the view of a pod; `zone` is its node's."""
    meta, status = pod.metadata, pod.status
    ready = next((condition for condition in status.conditions if condition.type == "Ready"), None)
    changed = ready.last_transition_time if ready is not None else None
    flavor = FLAVORS.get(meta.labels.get(ENGINE_LABEL, ""), VLLM)
    problem = label_problem(meta.labels, [container.name for container in pod.spec.containers])
    container = None if problem else _engine_container(pod)
    args = _engine_args(container, flavor)
    ips = tuple(item.ip for item in status.pod_ips if item.ip) or ((status.pod_ip,) if status.pod_ip else ())
    return PodView(
        namespace=meta.namespace,
        name=meta.name,
        uid=meta.uid,
        labels=meta.labels,
        node=pod.spec.node_name,
        zone=zone,
        ip=status.pod_ip,
        port=int(meta.labels[PORT_LABEL]) if PORT_LABEL in meta.labels and not problem else args.port,
        engine=_incarnation(pod, container),
        ready=ready is not None and ready.status == "True" and bool(status.pod_ip) and status.phase not in _ENDED,
        changed=changed.timestamp() if changed is not None else 0.0,
        terminating=meta.deletion_timestamp is not None,
        max_loras=args.max_loras,
        max_cpu_loras=args.capacity,
        max_lora_rank=args.max_lora_rank or 0,
        adapter_memory=_memory(meta.labels) if not problem else 0,
        container=container.name if container is not None else "",
        sidecar=any(item.name == RUNTIME_SIDECAR for item in _running_containers(pod)),
        owned=any(owner.controller for owner in meta.owner_references),
        flavor=flavor,
        ips=ips,
        problem=f"pod {meta.name}: {problem}" if problem else "",
        base_names=tuple(dict.fromkeys(filter(None, (*args.served_model_names, args.model)))),
        prefix_cache=prefix_cache_of(container.image if container is not None else "", args, flavor),
    )


def _running_containers(pod: Pod) -> Iterator[Container]:
    """Yield the containers that run as long as the pod: its own, and init containers that are native sidecars."""
    yield from pod.spec.containers
    yield from (item for item in pod.spec.init_containers if item.restart_policy == "Always")


def label_problem(labels: Mapping[str, str], containers: Sequence[str]) -> str:
    """Return what is wrong with the labels that describe a pod's engine; `containers` are the pod's, by name."""
    if problem := container_label_problem(labels, containers):
        return problem
    port = labels.get(PORT_LABEL)
    if port is not None and not (port.isascii() and port.isdigit() and 1 <= int(port) <= _MAX_PORT):
        return f"label {PORT_LABEL}: {port!r} is not a port; allowed are 1 to {_MAX_PORT}"
    try:
        _memory(labels)
    except FormatError as error:
        return f"label {MEMORY_LABEL}: {error}"
    return ""


def _memory(labels: Mapping[str, str]) -> int:
    """Return the bytes that adapters may take.

    Raises:
        FormatError: the label is not a size.
    """
    return int(parse_size(labels[MEMORY_LABEL])) if MEMORY_LABEL in labels else 0


def _engine_container(pod: Pod) -> Container | None:
    containers = pod.spec.containers
    facts = [
        ContainerFacts(
            name=item.name,
            command=(*item.command, *item.args),
            image=item.image,
            ports=[port.container_port for port in item.ports],
            resources=[*item.resources.limits, *item.resources.requests],
        )
        for item in containers
    ]
    name = engine_container(facts, pod.metadata.labels, pod.metadata.annotations)
    return next((item for item in containers if item.name == name), None)


def _incarnation(pod: Pod, container: Container | None) -> str:
    """Return the container id of the engine; statuses are found by name, since kubelets do not promise their order."""
    if container is None:
        return ""
    return next((item.container_id for item in pod.status.container_statuses if item.name == container.name), "")


def _engine_args(container: Container | None, flavor: EngineFlavor) -> EngineArgs:
    """Return the arguments of the pod's engine, or their defaults if it would not start with them."""
    if container is None:
        return EngineArgs(flavor=flavor.name)
    env = expand_environment((var.name, var.value) for var in container.env if var.value is not None)
    try:
        return read_engine_args((*container.command, *container.args), env, flavor=flavor.name)
    except FormatError:
        return EngineArgs(flavor=flavor.name)
