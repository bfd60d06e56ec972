"""Reads the caches into a `Snapshot`, at one instant and without waiting."""

from collections.abc import Iterator, Sequence, Set

from controller.api.artifact import artifact_facts, artifact_hash
from controller.api.ownership import is_owned
from controller.api.spec import problem_of
from controller.api.types import ModelAdapter
from controller.cache.pod_index import PodIndex
from controller.cache.routing import rank_problem, routing_problem
from controller.cache.service_names import base_name_problem, name_problem
from controller.reconcile.dependencies import ReconcilerDependencies
from controller.reconcile.planning.activation import activation_problem
from controller.reconcile.snapshot import Snapshot
from controller.requests.engine_records import EngineRecords


def observe(adapter: ModelAdapter, dependencies: ReconcilerDependencies) -> Snapshot:
    """Return everything that bears on the adapter."""
    key, cache, secrets = adapter.key, dependencies.cache, dependencies.secrets
    matching = cache.matching(adapter)
    requests = dependencies.tracker.requests(key)
    service = cache.services.get(key)
    persisted = cache.persisted_state(adapter)
    pending = cache.occupancy.claimed_in(key, adapter.metadata.namespace)
    inspection = dependencies.tracker.inspections.of(key, artifact_hash(adapter.spec))
    artifact = artifact_facts(adapter, inspection.facts if inspection is not None else None)
    on_demand = adapter.spec.on_demand and adapter.metadata.deletion_timestamp is None
    bases = _listed_bases(persisted.selected or pending, matching, dependencies.engine_records)
    return Snapshot(
        adapter=adapter,
        persisted=persisted,
        pods=cache.pods_in(adapter.metadata.namespace),
        matching=matching,
        engines=dependencies.engine_records.by_pod,
        adapters_by_pod=cache.occupancy.by_pod,
        sizes=cache.sizes,
        full_pods=dependencies.slots.full,
        in_flight=requests.in_flight,
        outcomes=requests.outcomes,
        unsent=requests.unsent,
        pending_selection=pending,
        loads=dependencies.load_monitor.loads(),
        service=service if service is not None and is_owned(adapter, service) else None,
        slices=[item for item in cache.slices_of(key) if is_owned(adapter, item)],
        publication_error=dependencies.publication_errors.get(key),
        scaling_error=dependencies.scaling_errors.get(key),
        status_error=dependencies.status_errors.get(key),
        adoption_error=dependencies.adoption_errors.get(key),
        problem=problem_of(adapter.spec, dependencies.policies.names)
        or activation_problem(adapter.spec, dependencies.settings)
        or routing_problem(adapter.spec, matching, dependencies.settings)
        or rank_problem(adapter, artifact, matching, dependencies.settings)
        or secrets.error(adapter)
        or name_problem(service, adapter)
        or base_name_problem(adapter.metadata.name, matching, bases),
        move=dependencies.rebalancer.decided(key),
        demand=dependencies.demand.of(key) if adapter.spec.autoscaling is not None else None,
        inspection=inspection,
        activator=dependencies.settings.activator if on_demand else None,
        requested=on_demand and dependencies.wishes.wanted(key),
        usage=dependencies.usage.of(key) if on_demand else None,
        secret=secrets.version(adapter),
    )


def _listed_bases(selected: Sequence[str], matching: PodIndex, records: EngineRecords) -> Iterator[Set[str]]:
    """Yield the base models that the engines of the selected pods list."""
    for pod in selected:
        view = matching.by_name.get(pod)
        inventory = records.inventory(view) if view is not None else None
        if inventory is not None:
            yield inventory.bases
