"""Everything that a plan is made from: values read from the caches at one instant. Nothing is fetched."""

from collections.abc import Collection, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field

from controller.api.annotations import PersistedState
from controller.api.artifact import artifact_facts
from controller.api.spec import SpecProblem
from controller.api.types import ArtifactStatus, EndpointSlice, ModelAdapter, Service
from controller.cache.pod_index import PodIndex
from controller.cache.pod_view import PodView
from controller.cache.refusals import Refusal
from controller.demand.scaling import Demand
from controller.demand.usage import Usage
from controller.policies.interface import EngineLoad
from controller.rebalance.fleet import DecidedMove
from controller.requests.inspections import Inspection
from controller.requests.load_monitor import EngineLoads
from controller.requests.outcomes import EngineRecord, Inventory, RequestOutcome
from controller.settings import ActivatorSettings


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One adapter and everything that bears on it.

    The mappings that many adapters share (`pods`, `engines`, `adapters_by_pod`, `sizes`, `full_pods`) are read-only
    views of the caches, valid until the reconcile waits for something: copying them would cost each reconcile the size
    of the cluster.
    """

    adapter: ModelAdapter
    persisted: PersistedState
    pods: Mapping[str, PodView]
    """All pods of the namespace, by name."""
    matching: PodIndex
    """Enabled pods that the selector matches."""
    engines: Mapping[str, EngineRecord] = field(default_factory=dict)
    """Results of requests to engines, by pod UID."""
    adapters_by_pod: Mapping[str, Collection[str]] = field(default_factory=dict)
    """Adapters that occupy each pod (`namespace/name`)."""
    sizes: Mapping[str, int] = field(default_factory=dict)
    """Bytes of the weights of each adapter for which they are known."""
    full_pods: Set[str] = frozenset()
    """Pods (`namespace/name`) whose engines have as many requests in flight as they may."""
    in_flight: Mapping[str, str] = field(default_factory=dict)
    """Verb of this adapter's request in flight, by pod name."""
    outcomes: Mapping[str, RequestOutcome] = field(default_factory=dict)
    """Outcome of this adapter's last request, by pod name."""
    unsent: Mapping[str, float] = field(default_factory=dict)
    """Time of the last announced attempt whose request was never sent (seconds since 1970), by pod name."""
    pending_selection: tuple[str, ...] = ()
    """Pods that were selected and are not persisted yet, since nothing was announced on them."""
    loads: EngineLoads = field(default_factory=EngineLoads)
    service: Service | None = None
    slices: Sequence[EndpointSlice] = ()
    """Service and slices are the adapter's own, or orphans that it adopts."""
    publication_error: Refusal | None = None
    """Last refusal of a write of the Service or a slice, unless one has succeeded since."""
    scaling_error: Refusal | None = None
    """Last refusal of a change of the replicas by demand, unless one has succeeded since."""
    status_error: Refusal | None = None
    """Last refusal of a status, unless one has succeeded since."""
    adoption_error: Refusal | None = None
    """Last refusal to adopt slices that another operator wrote, unless it has succeeded since."""
    problem: SpecProblem | None = None
    move: DecidedMove | None = None
    """Move that rebalancing has decided and that has not begun."""
    demand: Demand | None = None
    """Measured demand, for an adapter with autoscaling."""
    activator: ActivatorSettings | None = None
    """Where requests are held while nothing serves; None for an adapter that is not on demand."""
    requested: bool = False
    """True if the activator has had a request since the adapter became idle, or holds one."""
    usage: Usage | None = None
    """Measured use, for an adapter on demand; None if metrics are missing."""
    inspection: Inspection | None = None
    """Request for the facts about the artifact, in flight or ended; None if there was none."""
    secret: str = ""
    """Versions of the Secrets that the adapter names; empty if it names none."""
    key: str = field(init=False, repr=False)
    """The adapter's `namespace/name`, stored because each candidate asks for it."""
    artifact: ArtifactStatus = field(init=False, repr=False)
    """Facts about the artifact."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "key", self.adapter.key)
        facts = self.inspection.facts if self.inspection is not None else None
        object.__setattr__(self, "artifact", artifact_facts(self.adapter, facts))

    @property
    def selected(self) -> tuple[str, ...]:
        """The selected pods."""
        return self.persisted.selected or self.pending_selection

    def inventory(self, pod: PodView) -> Inventory | None:
        """Return what the pod's current incarnation listed last."""
        record = self.engines.get(pod.uid)
        inventory = record.inventory if record is not None else None
        return inventory if inventory is not None and inventory.engine == pod.engine else None

    def served_before(self, pod: PodView) -> str:
        """Return the artifact that the pod's current incarnation loaded last under the adapter's name, if any."""
        record = self.engines.get(pod.uid)
        engine, artifact = record.served.get(self.adapter.metadata.name, ("", "")) if record is not None else ("", "")
        return artifact if engine == pod.engine else ""

    def did_not_answer(self, pod: PodView) -> bool:
        """Return whether the pod's current incarnation did not answer the last request for its inventory."""
        record = self.engines.get(pod.uid)
        return record is not None and record.unanswered == pod.engine

    def has_failed(self, pod: PodView, since: float) -> bool:
        """Return whether the pod's engine had an error of its own after `since`, and no success since then."""
        record = self.engines.get(pod.uid)
        if record is None:
            return False
        return (record.failed_engine == pod.engine and record.failed_at > since) or record.unanswered == pod.engine

    def failed(self, pods: Iterable[PodView], since: float) -> Set[str]:
        """Return the names of those pods for which `has_failed` is true."""
        engines = self.engines
        return {
            pod.name
            for pod in pods
            if (record := engines.get(pod.uid)) is not None
            and (record.failed_at > since or record.unanswered == pod.engine)
            and self.has_failed(pod, since)
        }

    def has_slot(self, pod: PodView) -> bool:
        """Return whether the pod's engine may be sent one more request now."""
        return pod.key not in self.full_pods

    def adapters_on(self, pod: PodView) -> int:
        """Return the number of other adapters on the pod."""
        adapters = self.adapters_by_pod.get(pod.key)
        return len(adapters) - (self.key in adapters) if adapters else 0

    def bytes_on(self, pod: PodView) -> int:
        """Return the bytes of the other adapters on the pod, as far as they are known."""
        others = self.adapters_by_pod.get(pod.key, ())
        return sum(self.sizes.get(other, 0) for other in others if other != self.key)

    def adapters_on_each(self, pods: Iterable[PodView]) -> list[int]:
        """Return `adapters_on` of each pod."""
        held, key, nothing = self.adapters_by_pod, self.key, ()
        return [len(adapters) - (key in adapters) for pod in pods for adapters in (held.get(pod.key, nothing),)]

    def engine_load(self, pod: PodView) -> EngineLoad | None:
        """Return the last load of the pod's engine, for policies that need it."""
        return self.loads.of(pod)

    def expected_requests(self, pod: PodView) -> float:
        """Return the expected requests in flight for the other adapters on the pod, for policies that need it."""
        others = self.adapters_by_pod.get(pod.key, ())
        return self.loads.expected_requests(other for other in others if other != self.key)
