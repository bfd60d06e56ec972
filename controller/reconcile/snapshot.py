"""What a reconcile looks at: values read from caches at one instant, for `plan.py` to decide on.

Nothing here is fetched. `PodView` is a pod reduced to what matters for adapters; it is made once per change of the
pod, since hundreds of adapters look at the same pods.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from controller.api.annotations import ENABLED_LABEL, Remembered
from controller.api.spec import SpecProblem
from controller.api.types import EndpointSlice, ModelAdapter, Pod, Service
from controller.engine.errors import EngineError
from controller.engine.flavors import DIALECTS, SGLANG, VLLM, Dialect
from controller.policies.interface import EngineLoad

if TYPE_CHECKING:
    from controller.cache.pod_index import Matching

PORT_LABEL = "model.aibrix.ai/port"
ENGINE_LABEL = "model.aibrix.ai/engine"
DEFAULT_PORT = 8000
SIDECAR = "aibrix-runtime"
"""Name of the runtime sidecar's container; whatever else runs in the pod, the first other one is the engine."""
_NO_LIMIT = 1 << 30  # adapters: SGLang lists any number unless it is told how many


@dataclass(frozen=True, slots=True)
class PodView:
    """A pod, as far as adapters are concerned."""

    namespace: str
    name: str
    uid: str
    labels: Mapping[str, str]
    node: str
    zone: str
    ip: str
    port: int
    engine: str
    """Container id: the engine's incarnation."""
    ready: bool
    changed: float
    """When `Ready` was last set to what it is, seconds since 1970 (whole seconds, as Kubernetes keeps it)."""
    terminating: bool
    max_loras: int
    max_cpu_loras: int
    sidecar: bool = False
    """Whether the runtime sidecar is one of its containers."""
    owned: bool = False
    """Whether a controller made it: credentials are sent to no other."""
    dialect: Dialect = VLLM
    """How its engine is spoken to, by its label; a sidecar has a setting of its own for that."""

    @property
    def enabled(self) -> bool:
        return self.labels.get(ENABLED_LABEL) == "true"

    def stable(self, now: float, stable_for: float) -> bool:
        return self.ready and not self.terminating and now - self.changed >= stable_for - 1e-6


def view(pod: Pod, zone: str) -> PodView:
    """The pod's view; `zone` is its node's."""
    meta, status = pod.metadata, pod.status
    ready = next((condition for condition in status.conditions if condition.type == "Ready"), None)
    changed = ready.last_transition_time if ready is not None else None
    engine = next((c for c in status.container_statuses if c.name != SIDECAR), None)
    container = next((c for c in pod.spec.containers if c.name != SIDECAR), None)
    command = (*container.command, *container.args) if container is not None else ()
    dialect = DIALECTS.get(meta.labels.get(ENGINE_LABEL, ""), VLLM)
    max_loras, max_cpu_loras = _room(dialect, command)
    port = meta.labels.get(PORT_LABEL, "")
    return PodView(
        namespace=meta.namespace,
        name=meta.name,
        uid=meta.uid,
        labels=meta.labels,
        node=pod.spec.node_name,
        zone=zone,
        ip=status.pod_ip,
        port=int(port) if port.isdigit() else DEFAULT_PORT,
        engine=engine.container_id if engine is not None else "",
        ready=ready is not None and ready.status == "True" and bool(status.pod_ip),
        changed=changed.timestamp() if changed is not None else 0.0,
        terminating=meta.deletion_timestamp is not None,
        max_loras=max_loras,
        max_cpu_loras=max_cpu_loras,
        sidecar=any(c.name == SIDECAR for c in pod.spec.containers),
        owned=any(owner.controller for owner in meta.owner_references),
        dialect=dialect,
    )


def _room(dialect: Dialect, command: Sequence[str]) -> tuple[int, int]:
    """(adapters in one batch, adapters at all) of an engine that is started so, each engine's defaults in mind."""
    if dialect is SGLANG:
        return _int_flag(command, "--max-loras-per-batch", 8), _int_flag(command, "--max-loaded-loras", _NO_LIMIT)
    max_loras = _int_flag(command, "--max-loras", 1)
    return max_loras, _int_flag(command, "--max-cpu-loras", max_loras)


def _int_flag(command: Sequence[str], flag: str, default: int) -> int:
    """The value of `--flag N` or `--flag=N`."""
    for index, word in enumerate(command):
        name, equals, value = word.partition("=")
        if name.replace("_", "-") == flag:
            text = value if equals else (command[index + 1] if index + 1 < len(command) else "")
            return int(text) if text.isdigit() else default
    return default


@dataclass(frozen=True, slots=True)
class Inventory:
    """What an engine listed last."""

    engine: str
    """The incarnation that listed it."""
    models: Mapping[str, str]
    """Adapters by name, and their `root`."""
    bases: frozenset[str] = frozenset()
    """What the engine serves besides: names and roots of base models."""
    unclear: frozenset[str] = frozenset()
    """Names about which a request has ended without a clear answer since."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the last request about this adapter to this pod's engine ended."""

    verb: str
    """`load`, `unload`; of an announced load `unsent` if it could not be sent, `withdrawn` if it was not tried to."""
    at: float
    """Seconds since 1970."""
    engine: str
    """The incarnation that was asked."""
    generation: int = 0
    """Of the adapter's spec when it was asked."""
    error: EngineError | None = None
    failures: int = 0
    """Failed requests of this verb in a row, since the controller started."""
    secret: str = ""
    """Versions of the Secrets that its keys came from."""
    doubtful: bool = False
    """Whether a failed one in that row ended without a clear answer, so that the engine may still be at it."""


@dataclass(frozen=True, slots=True)
class Observed:
    """One adapter and everything that bears on it. The mappings are by pod name."""

    adapter: ModelAdapter
    remembered: Remembered
    pods: Mapping[str, PodView]
    """All pods of the namespace that exist."""
    matching: "Matching"
    """Those that the selector matches and that are enabled, by name."""
    inventory: Callable[[PodView], Inventory | None]
    """What the pod's present incarnation listed last."""
    silent: Callable[[PodView], bool]
    """Whether that incarnation was asked what it holds, and did not say."""
    adapters_on: Callable[[str], int]
    """How many other adapters hold a place on the pod."""
    has_slot: Callable[[str], bool]
    """Whether the pod's engine may be sent one more request now."""
    busy: Mapping[str, str] = field(default_factory=dict)
    """Verb of the request under way."""
    outcomes: Mapping[str, Outcome] = field(default_factory=dict)
    engine_load: Callable[[PodView], EngineLoad | None] = lambda _: None
    """What the pod's engine said of its load, for policies that need it."""
    expected_requests: Callable[[str], float] = lambda _: 0.0
    """For the other adapters on the pod; likewise."""
    service: Service | None = None
    slices: Sequence[EndpointSlice] = ()
    problem: SpecProblem | None = None
    secret: str = ""
    """Versions of the Secrets that the adapter names; empty if it names none."""
