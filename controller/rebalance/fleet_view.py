"""Reads a fleet from adapters and their pods. Pure."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from controller.api.annotations import PersistedState
from controller.api.spec import rank_of
from controller.api.types import ModelAdapter
from controller.cache.pod_index import PodIndex
from controller.cache.pod_view import PodView
from controller.cache.routing import pods_able_to_load
from controller.policies import Policies
from controller.rebalance.fleet import Fleet, FleetAdapter
from controller.settings import Settings

REST = 300.0
"""Seconds after a move in which the adapter is not moved again."""


@dataclass(frozen=True, slots=True)
class PlacedAdapter:
    """One adapter, what is persisted about it, and the enabled pods that its selector matches."""

    adapter: ModelAdapter
    persisted: PersistedState
    matching: PodIndex


@dataclass(slots=True)
class FleetView:
    """A fleet by `namespace/name`, and the pods in it."""

    fleet: Fleet
    pods: Mapping[str, PodView]


@dataclass(slots=True)
class FleetReader:
    """Reads one fleet; adapters that can use the same pods share one set of names."""

    settings: Settings
    policies: Policies
    weights: Mapping[str, float] | None
    """Load of one copy, by adapter; None if adapters are counted."""
    now: float
    """Seconds since 1970."""
    _pods: dict[str, PodView] = field(default_factory=dict)
    _sets: dict[tuple[int, int], frozenset[str]] = field(default_factory=dict)
    _indexes: list[PodIndex] = field(default_factory=list)
    """Indexes whose ids are in use."""

    def read(self, adapters: Iterable[PlacedAdapter]) -> FleetView:
        """Return the fleet of these adapters."""
        entries = {item.adapter.key: self._entry(item) for item in adapters}
        slots = {key: pod.max_cpu_loras for key, pod in self._pods.items()}
        return FleetView(Fleet(slots, entries, weighted=self.weights is not None), self._pods)

    def _entry(self, item: PlacedAdapter) -> FleetAdapter:
        adapter, persisted = item.adapter, item.persisted
        namespace, pods = adapter.metadata.namespace, set(persisted.selected)
        if persisted.move is not None and persisted.move.under_way:
            pods = pods - {persisted.move.source} | {persisted.move.target}
        return FleetAdapter(
            pods=frozenset(f"{namespace}/{pod}" for pod in pods),
            allowed=self._allowed(adapter, item.matching),
            weight=1.0 if self.weights is None else self.weights.get(adapter.key, 0.0),
            movable=self._is_movable(adapter, persisted),
        )

    def _allowed(self, adapter: ModelAdapter, matching: PodIndex) -> frozenset[str]:
        able, rank = pods_able_to_load(adapter.spec, matching, self.settings), rank_of(adapter.spec)
        names = self._sets.get((id(able), rank))
        if names is None:
            pods = {pod.key: pod for pod in able if pod.takes_rank(rank)}
            self._pods.update(pods)
            self._indexes.append(able)
            names = self._sets[id(able), rank] = frozenset(pods)
        return names

    def _is_movable(self, adapter: ModelAdapter, persisted: PersistedState) -> bool:
        """Return whether all replicas of an adapter serve, and one of them may be moved."""
        spec, move = adapter.spec, persisted.move
        if spec.pinned or not spec.replicas or adapter.metadata.deletion_timestamp is not None:
            return False
        if move is not None and (move.under_way or 0 <= self.now - move.finished < REST):
            return False
        settled = set(adapter.status.instances) == set(persisted.selected) == persisted.placements.keys()
        return settled and len(persisted.selected) == spec.replicas and self.policies.balances(spec.scheduler_name)


def unsettled_pods(
    pods: Mapping[str, PodView], failing: Collection[str], settings: Settings, *, now: float, settle: float
) -> dict[str, str]:
    """Return why pods are not to be balanced, by pod: a rollout or a failure is under way.

    Args:
        pods: by `namespace/name`.
        failing: UIDs of pods whose engines had errors of their own recently.
        settings: those of the operator.
        now: seconds since 1970.
        settle: seconds that a pod must have been ready.
    """
    reasons = {}
    for key, pod in pods.items():
        if pod.terminating:
            reasons[key] = "is being deleted"
        elif not pod.ready:
            reasons[key] = "is not ready"
        elif not pod.stable(now, max(settings.stable_for, settle)):
            reasons[key] = "became ready only just now"
        elif pod.uid in failing:
            reasons[key] = "had errors in the last minutes"
    return reasons
