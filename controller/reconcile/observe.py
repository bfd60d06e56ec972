"""Reads the caches into a `Snapshot`, at one instant and without waiting."""

from controller.api.ownership import is_owned
from controller.api.spec import problem_of
from controller.api.types import ModelAdapter
from controller.cache.routing import routing_problem
from controller.cache.service_names import name_problem
from controller.reconcile.dependencies import ReconcilerDependencies
from controller.reconcile.snapshot import Snapshot


def observe(adapter: ModelAdapter, dependencies: ReconcilerDependencies) -> Snapshot:
    """Return everything that bears on the adapter."""
    key, cache, secrets = adapter.key, dependencies.cache, dependencies.secrets
    matching = cache.matching(adapter)
    requests = dependencies.tracker.requests(key)
    service = cache.services.get(key)
    return Snapshot(
        adapter=adapter,
        persisted=cache.persisted_state(adapter),
        pods=cache.pods_in(adapter.metadata.namespace),
        matching=matching,
        engines=dependencies.engine_records.by_pod,
        adapters_by_pod=cache.occupancy.by_pod,
        full_pods=dependencies.slots.full,
        in_flight=requests.in_flight,
        outcomes=requests.outcomes,
        unsent=requests.unsent,
        pending_selection=cache.occupancy.claimed_in(key, adapter.metadata.namespace),
        loads=dependencies.load_monitor.loads(),
        service=service if service is not None and is_owned(adapter, service) else None,
        slices=cache.slices_of(key),
        publication_error=dependencies.publication_errors.get(key),
        problem=problem_of(adapter.spec, dependencies.policies.names)
        or routing_problem(adapter.spec, matching, dependencies.settings)
        or secrets.error(adapter)
        or name_problem(service, adapter),
        secret=secrets.version(adapter),
    )
