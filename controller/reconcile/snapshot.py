"""What a reconcile looks at: values read from caches at one instant, for `plan.py` to decide on. Nothing is fetched."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from controller.api.annotations import PersistedState
from controller.api.spec import SpecProblem
from controller.api.types import EndpointSlice, ModelAdapter, Service
from controller.cache.pod_index import PodIndex
from controller.cache.pod_view import PodView
from controller.policies.interface import EngineLoad
from controller.requests.outcomes import Inventory, RequestOutcome


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One adapter and everything that bears on it. The mappings are by pod name."""

    adapter: ModelAdapter
    persisted: PersistedState
    pods: Mapping[str, PodView]
    """All pods of the namespace that exist."""
    matching: PodIndex
    """Those that the selector matches and that are enabled, by name."""
    inventory: Callable[[PodView], Inventory | None]
    """What the pod's present incarnation listed last."""
    did_not_answer: Callable[[PodView], bool]
    """Whether that incarnation was asked what it holds, and did not say."""
    adapters_on: Callable[[str], int]
    """How many other adapters hold a place on the pod."""
    has_slot: Callable[[str], bool]
    """Whether the pod's engine may be sent one more request now."""
    busy: Mapping[str, str] = field(default_factory=dict)
    """Verb of the request under way."""
    outcomes: Mapping[str, RequestOutcome] = field(default_factory=dict)
    engine_load: Callable[[PodView], EngineLoad | None] = lambda _: None
    """What the pod's engine said of its load, for policies that need it."""
    expected_requests: Callable[[str], float] = lambda _: 0.0
    """For the other adapters on the pod; likewise."""
    service: Service | None = None
    slices: Sequence[EndpointSlice] = ()
    problem: SpecProblem | None = None
    secret: str = ""
    """Versions of the Secrets that the adapter names; empty if it names none."""
