"""Decides which moves begin, now and then, while this replica leads.

In memory are only decisions that are not written yet: a move begins when its reconcile has written it to the object.
The limits count what the objects say, so that a restarted operator keeps to them.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from controller.cache.cache import Cache
from controller.clock import Clock
from controller.demand.tracker import DemandTracker
from controller.policies import Policies
from controller.rebalance.fleet import DecidedMove, Move
from controller.rebalance.fleet_view import FleetReader, FleetView, PlacedAdapter, unsettled_pods
from controller.rebalance.planner import ALGORITHMS, NONE, RebalancePlan, plan_moves
from controller.rebalance.weights import AdapterWeights
from controller.requests.engine_records import EngineRecords
from controller.settings import Settings

SETTLE = 30.0
"""Seconds after the last change of a pod in which nothing of its group is moved."""
_SOON = 5.0
"""Seconds between plans while there is something to move."""
_MINUTE = 60.0
_CONFIRM = 2
"""Samples for which a move by measured requests has to be planned before it begins: one may be wrong."""


@dataclass(frozen=True, slots=True)
class FleetSources:
    """Sources of a fleet."""

    cache: Cache
    policies: Policies
    records: EngineRecords
    demand: DemandTracker


class Rebalancer:
    """Moves for the adapters in a cache."""

    def __init__(self, sources: FleetSources, clock: Clock, settings: Settings, wake: Callable[[str], None]) -> None:
        self._sources = sources
        self._clock = clock
        self._settings = settings
        self._wake = wake
        self._weights = AdapterWeights(sources.cache, settings.scrape_interval)
        self._reader = FleetReader(settings, sources.policies)
        self._decided: dict[str, DecidedMove] = {}
        self._planned_since: dict[Move, float] = {}
        self._last_deletion = 0.0
        """Time at which a pod was last deleted, in seconds since 1970."""

    def decided(self, key: str) -> DecidedMove | None:
        """Return the move of an adapter (`namespace/name`) that may begin now."""
        return self._decided.get(key)

    def pod_deleted(self) -> None:
        """Wait until the adapters of a deleted pod have another one."""
        self._last_deletion = self._clock.now().timestamp()

    async def run(self) -> None:
        """Plan once per interval, and more often while there is something to move."""
        settings = self._settings.rebalance
        if settings.algorithm == NONE:
            return
        self.pod_deleted()  # what happened before this replica led is not known
        delay = settings.interval
        while True:
            await asyncio.sleep(delay)
            delay = min(_SOON, settings.interval) if self._decide() else settings.interval

    def _decide(self) -> bool:
        """Choose the moves that may begin now; return whether there is anything to move."""
        now = self._clock.now().timestamp()
        view = self._view(now)
        plan = plan_moves(
            view.fleet,
            ALGORITHMS[self._settings.rebalance.algorithm](),
            self._settings.rebalance.tolerance,
            self._unsettled(view, now),
        )
        self._planned_since = {move: self._planned_since.get(move, now) for move in plan.moves}
        self._decided = {
            move.adapter: DecidedMove(_name(move.source), _name(move.target), self._reason(plan, move))
            for move in self._startable(plan, view, now)
        }
        for key in self._decided:
            self._wake(key)
        return bool(plan.moves)

    def _view(self, now: float) -> FleetView:
        cache, settings = self._sources.cache, self._settings
        weights = None
        if settings.rebalance.by_requests:
            self._weights.update(self._sources.demand.estimates, now)
            weights = self._weights.per_copy(cache.adapters)
        adapters = (
            PlacedAdapter(adapter, cache.persisted_state(adapter), cache.matching(adapter))
            for adapter in cache.adapters
        )
        return self._reader.read(adapters, now, weights)

    def _unsettled(self, view: FleetView, now: float) -> dict[str, str]:
        """Return why pods are left alone, by pod."""
        recent, records = now - self._settings.pod_cooldown, self._sources.records
        failing = {
            pod.uid
            for pod in view.pods.values()
            if (record := records.get(pod)).failed_engine == pod.engine and record.failed_at > recent
        }
        reasons = unsettled_pods(view.pods, failing, self._settings, now=now, settle=SETTLE)
        if now - self._last_deletion < SETTLE:
            reasons |= {
                key: "may get adapters of a pod that was just deleted" for key in view.pods if key not in reasons
            }
        if self._settings.rebalance.by_requests:
            measured = self._sources.demand.estimates
            silent = [key for key in view.pods if key not in reasons and key not in measured]
            reasons |= dict.fromkeys(silent, "has no recent metrics")
        return reasons

    def _startable(self, plan: RebalancePlan, view: FleetView, now: float) -> Iterator[Move]:
        """Yield the moves that may begin now, within the limits."""
        settings, cache = self._settings.rebalance, self._sources.cache
        under_way = sum(move.under_way for move in cache.moves.values())
        recent = sum(0 <= now - move.started < _MINUTE for move in cache.moves.values())
        room = min(settings.max_concurrent - under_way, settings.max_per_minute - recent)
        wait = _CONFIRM * self._settings.scrape_interval if settings.by_requests else 0.0
        occupied = Counter({pod: len(cache.occupancy.on(pod)) for pod in view.pods})
        for move in plan.moves:
            if room <= 0:
                return
            if now - self._planned_since[move] >= wait and occupied[move.target] < view.fleet.slots[move.target]:
                occupied[move.target] += 1
                room -= 1
                yield move

    def _reason(self, plan: RebalancePlan, move: Move) -> str:
        """Return why a copy is moved."""
        source, target = plan.loads[move.source], plan.loads[move.target]
        bounds = plan.bounds[move.source]
        what = "requests in flight" if self._settings.rebalance.by_requests else "adapters"
        return (
            f"{_name(move.source)} has {source:.3g} {what}, {_name(move.target)} {target:.3g}; "
            f"{max(bounds.low, 0):.3g} to {bounds.high:.3g} are even"
        )


def _name(pod: str) -> str:
    """Return the name of a pod without its namespace."""
    return pod.partition("/")[2]
