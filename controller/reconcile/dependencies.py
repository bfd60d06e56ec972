"""Everything that a reconcile uses besides the adapter itself."""

from dataclasses import dataclass
from random import Random

from controller.activator.wishes import Wishes
from controller.cache.cache import Cache
from controller.cache.other_operators import OtherOperators
from controller.cache.refusals import RefusedWrites
from controller.cache.secret_watcher import SecretWatcher
from controller.cache.secrets import SecretCache
from controller.client.interface import Client
from controller.clock import Clock
from controller.demand.tracker import DemandTracker
from controller.demand.usage import UsageTracker
from controller.policies import Policies
from controller.rebalance.rebalancer import Rebalancer
from controller.requests.engine_records import EngineRecords
from controller.requests.load_monitor import LoadMonitor
from controller.requests.slots import RequestSlots
from controller.requests.tracker import RequestTracker
from controller.runtime.recorder import EventRecorder
from controller.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconcilerDependencies:
    """Shared by all reconciles of one operator."""

    client: Client
    clock: Clock
    rng: Random
    settings: Settings
    policies: Policies
    cache: Cache
    secrets: SecretCache
    secret_watcher: SecretWatcher
    publication_errors: RefusedWrites
    scaling_errors: RefusedWrites
    """Refused changes of `spec.replicas`."""
    status_errors: RefusedWrites
    """Refused statuses."""
    adoption_errors: RefusedWrites
    """Refused adoptions of slices that another operator wrote."""
    other_operators: OtherOperators
    engine_records: EngineRecords
    slots: RequestSlots
    tracker: RequestTracker
    load_monitor: LoadMonitor
    demand: DemandTracker
    usage: UsageTracker
    wishes: Wishes
    """Adapters that the activator has had requests for."""
    rebalancer: Rebalancer
    events: EventRecorder

    @property
    def refused_writes(self) -> tuple[RefusedWrites, ...]:
        """All kinds of refused writes."""
        return self.publication_errors, self.scaling_errors, self.status_errors, self.adoption_errors
