"""Reads a fleet from adapters and their pods. Pure."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from controller.api.annotations import PersistedState
from controller.api.artifact import artifact_facts
from controller.api.spec import sidecar_needed
from controller.api.types import ModelAdapter
from controller.cache.pod_index import PodIndex
from controller.cache.pod_view import PodView
from controller.cache.routing import pods_able_to_load
from controller.policies import Policies
from controller.rebalance.fleet import Fleet, FleetAdapter, may_move
from controller.settings import Settings


class PlacedAdapter(NamedTuple):
    """One adapter, what is persisted about it, and the enabled pods that its selector matches.

    A tuple, since ten thousand are made for each plan.
    """

    adapter: ModelAdapter
    persisted: PersistedState
    matching: PodIndex


@dataclass(slots=True)
class FleetView:
    """A fleet by `namespace/name`, and the pods in it."""

    fleet: Fleet
    pods: Mapping[str, PodView]


@dataclass(frozen=True, slots=True)
class _Facts:
    """Properties of an adapter that do not depend on the pods."""

    adapter: ModelAdapter
    pods: frozenset[str]
    rank: int
    sidecar: bool
    """True if the artifact needs the runtime sidecar."""
    movable: bool


class FleetReader:
    """Reads one fleet again and again: of an adapter that has not changed only the pods are looked at."""

    def __init__(self, settings: Settings, policies: Policies) -> None:
        self._settings = settings
        self._policies = policies
        self._facts: dict[str, _Facts] = {}

    def read(self, adapters: Iterable[PlacedAdapter], now: float, weights: Mapping[str, float] | None) -> FleetView:
        """Return the fleet of these adapters.

        Args:
            adapters: all adapters.
            now: seconds since 1970.
            weights: load of one copy, by adapter; None if adapters are counted.
        """
        pods: dict[str, PodView] = {}
        sets: dict[tuple[int, bool, int], tuple[PodIndex, frozenset[str]]] = {}
        facts, entries = {}, {}
        for item in adapters:
            key = item.adapter.key
            known = self._facts.get(key)
            if known is None or known.adapter is not item.adapter or item.persisted.move is not None:
                known = self._read(item, now)
            facts[key] = known
            kind = id(item.matching), known.sidecar, known.rank
            shared = sets.get(kind)
            if shared is None:
                able = pods_able_to_load(item.adapter.spec, item.matching, self._settings)
                takers = {pod.key: pod for pod in able if pod.takes_rank(known.rank)}
                pods |= takers
                shared = sets[kind] = item.matching, frozenset(takers)  # with the index, so that it keeps its id
            weight = 1.0 if weights is None else weights.get(key, 0.0)
            entries[key] = FleetAdapter(known.pods, shared[1], weight, known.movable)
        self._facts = facts
        slots = {key: pod.max_cpu_loras for key, pod in pods.items()}
        return FleetView(Fleet(slots, entries, weighted=weights is not None), pods)

    def _read(self, item: PlacedAdapter, now: float) -> _Facts:
        adapter, persisted = item.adapter, item.persisted
        namespace, names = adapter.metadata.namespace, set(persisted.selected)
        if persisted.move is not None and persisted.move.under_way:
            names = names - {persisted.move.source} | {persisted.move.target}
        pods = frozenset(f"{namespace}/{name}" for name in names)
        sidecar, movable = bool(sidecar_needed(adapter.spec)), self._is_movable(adapter, persisted, now)
        return _Facts(adapter, pods, artifact_facts(adapter).rank, sidecar, movable)

    def _is_movable(self, adapter: ModelAdapter, persisted: PersistedState, now: float) -> bool:
        """Return whether all replicas of an adapter serve, and one of them may be moved."""
        spec = adapter.spec
        if spec.pinned or not spec.replicas or adapter.metadata.deletion_timestamp is not None:
            return False
        if not may_move(persisted.move, now):
            return False
        settled = set(adapter.status.instances) == set(persisted.selected) == persisted.placements.keys()
        return settled and len(persisted.selected) == spec.replicas and self._policies.balances(spec.scheduler_name)


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
