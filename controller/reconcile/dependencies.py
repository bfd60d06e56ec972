"""Everything that a reconcile uses besides the adapter itself."""

from dataclasses import dataclass
from random import Random

from controller.activator.wishes import Wishes
from controller.cache.cache import Cache
from controller.cache.publication_errors import PublicationErrors
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
    publication_errors: PublicationErrors
    scaling_errors: PublicationErrors
    """Refused changes of `spec.replicas`."""
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
