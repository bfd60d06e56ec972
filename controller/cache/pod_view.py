"""A pod reduced to what matters for adapters.

It is built once per change of the pod, because hundreds of adapters look at the same pods.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from controller.api.labels import ENABLED_LABEL, ENGINE_LABEL, PORT_LABEL
from controller.api.types import Container, Pod
from controller.engine.flavors import FLAVORS, VLLM, EngineFlavor
from controller.engine.prefix_cache import PrefixCache, prefix_cache_of
from formats.engine_command import EngineArgs, expand_environment, read_engine_args
from formats.errors import FormatError

SIDECAR = "aibrix-runtime"
"""Name of the runtime sidecar's container; the first other container of a pod is its engine."""


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
    sidecar: bool = False
    """True if it has the runtime sidecar."""
    owned: bool = False
    """True if it has a controller; credentials are sent only to such pods."""
    flavor: EngineFlavor = VLLM
    """Kind of the engine, by the pod's label; a sidecar has its own setting for it."""
    prefix_cache: PrefixCache = PrefixCache.SEPARATE
    """What becomes of cached prefixes when another artifact is loaded under the same name."""
    key: str = field(init=False, repr=False, compare=False)
    """`namespace/name`, stored because every candidate of every choice is looked up by it."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "key", f"{self.namespace}/{self.name}")

    @property
    def enabled(self) -> bool:
        """True if adapters may be loaded on it."""
        return self.labels.get(ENABLED_LABEL) == "true"

    @property
    def available(self) -> bool:
        """True if it can be sent requests: ready and not being deleted."""
        return self.ready and not self.terminating

    def stable(self, now: float, stable_for: float) -> bool:
        """Return whether it has been available for `stable_for` seconds."""
        return self.ready and not self.terminating and now - self.changed >= stable_for - 1e-6


def pod_view(pod: Pod, zone: str) -> PodView:
    """Return the view of a pod; `zone` is its node's."""
    meta, status = pod.metadata, pod.status
    ready = next((condition for condition in status.conditions if condition.type == "Ready"), None)
    changed = ready.last_transition_time if ready is not None else None
    engine = next((c for c in status.container_statuses if c.name != SIDECAR), None)
    container = next((c for c in pod.spec.containers if c.name != SIDECAR), None)
    flavor = FLAVORS.get(meta.labels.get(ENGINE_LABEL, ""), VLLM)
    args = _engine_args(container, flavor)
    port = meta.labels.get(PORT_LABEL, "")
    return PodView(
        namespace=meta.namespace,
        name=meta.name,
        uid=meta.uid,
        labels=meta.labels,
        node=pod.spec.node_name,
        zone=zone,
        ip=status.pod_ip,
        port=int(port) if port.isdigit() else args.port,
        engine=engine.container_id if engine is not None else "",
        ready=ready is not None and ready.status == "True" and bool(status.pod_ip),
        changed=changed.timestamp() if changed is not None else 0.0,
        terminating=meta.deletion_timestamp is not None,
        max_loras=args.max_loras,
        max_cpu_loras=args.capacity,
        sidecar=any(c.name == SIDECAR for c in pod.spec.containers),
        owned=any(owner.controller for owner in meta.owner_references),
        flavor=flavor,
        prefix_cache=prefix_cache_of(container.image if container is not None else "", args, flavor),
    )


def _engine_args(container: Container | None, flavor: EngineFlavor) -> EngineArgs:
    """Return the arguments of the pod's engine, or their defaults if it would not start with them."""
    if container is None:
        return EngineArgs(flavor=flavor.name)
    env = expand_environment((var.name, var.value) for var in container.env if var.value is not None)
    try:
        return read_engine_args((*container.command, *container.args), env, flavor=flavor.name)
    except FormatError:
        return EngineArgs(flavor=flavor.name)
