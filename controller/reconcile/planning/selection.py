"""Selection of the pods that are to hold an adapter. Pure, except for the random numbers that a policy may be given.

A selected pod stays selected while it can serve: a policy only fills free places. A pod that is no longer ready, in
cooldown after its retries, or waiting after an error that another pod may not have, keeps its place until another pod
takes it. With `retry_switch: eager` a pod without recent errors takes the place of any that waits for a retry.
"""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import islice
from random import Random

from controller.api.annotations import MOST_PODS, MoveRecord
from controller.cache.pod_index import PodIndex
from controller.cache.pod_view import PodView
from controller.cache.routing import pods_able_to_load
from controller.policies import Candidate, Choice, Policy, View, choose
from controller.reconcile.planning.moves import MoveStep, move_step
from controller.reconcile.replica_state import ReplicaState
from controller.reconcile.snapshot import Snapshot
from controller.settings import Settings


@dataclass(frozen=True, slots=True)
class Selection:
    """The pods that are to hold the adapter from now on."""

    pods: tuple[str, ...]
    """By name."""
    switched: tuple[tuple[str, str], ...] = ()
    """(from, to): places that moved because of a failed load: a pod used up its retries, or another is tried first."""
    desired: int = 0
    candidates: int = 0
    missing: int = 0
    """Places without a pod."""
    over_limit: int = 0
    """Missing places that one object cannot persist."""
    wake: float = 0.0
    """Time at which more pods can be selected, in seconds since 1970; 0 if only a change allows it."""
    policy_error: str = ""
    """Error of the policy, if any."""
    move: MoveRecord | None = None
    """The move of a replica that is under way, or the last one."""


def select(
    snapshot: Snapshot,
    states: Mapping[str, ReplicaState],
    now: float,
    settings: Settings,
    policy: Policy,
    rng: Random,
) -> Selection:
    """Return the pods that can stay, and the policy's choice for the free places."""
    able = pods_able_to_load(snapshot.adapter.spec, snapshot.matching, settings)
    yielding = {name for name, state in states.items() if state.yields(now)}
    candidates = able.stable(now, settings.stable_for)
    rank = snapshot.artifact.rank
    if yielding or rank:
        candidates = [pod for pod in candidates if pod.name not in yielding and pod.takes_rank(rank)]
    kept = [states[name] for name in snapshot.selected if _may_stay(states.get(name), able.by_name, rank)]
    requested = snapshot.adapter.spec.replicas
    step = _move_step(snapshot, states, able, now)
    if requested is None:
        selection, waits = _everywhere(kept, candidates), True
    else:
        desired = min(requested, MOST_PODS)
        staying = [state for state in kept if state.pod not in (step.joining, step.leaving)]
        healthy, failing = _split(staying, now, settings)
        healthy = _most_useful(snapshot, healthy, desired)
        free = desired - len(healthy)
        taken = {step.joining, *(state.pod for state in kept)}
        pool = [pod for pod in candidates if pod.name not in taken] if free > 0 else []
        choice = Choice(())
        if pool:
            chooser = _Chooser(snapshot, policy, healthy, rng.getrandbits(64), now - settings.pod_cooldown)
            waiting = sum(_may_wait(state, now) for state in failing)
            choice = chooser.choose(pool, free, free - waiting)
        selection = _with_move(_combine(requested, healthy, failing, choice, now), step)
        waits = free > len(choice.pods) or bool(failing)
    wake = _wake(able, states, set(selection.pods), now, settings) if waits else 0.0
    return replace(selection, candidates=len(candidates), wake=wake, move=step.record)


def select_none(snapshot: Snapshot, now: float, settings: Settings) -> Selection:
    """Return the selection of an adapter that is to be loaded nowhere."""
    able = pods_able_to_load(snapshot.adapter.spec, snapshot.matching, settings)
    return Selection((), candidates=len(able.stable(now, settings.stable_for)), move=snapshot.persisted.move)


def _move_step(snapshot: Snapshot, states: Mapping[str, ReplicaState], able: PodIndex, now: float) -> MoveStep:
    record = snapshot.persisted.move
    if record is None:
        return MoveStep()
    selected = states.get(record.source) if record.source in snapshot.selected else None
    return move_step(snapshot, selected, states.get(record.target), able, now)


def _with_move(selection: Selection, step: MoveStep) -> Selection:
    """Return the selection with the pod that a replica moves to, while the pod that it comes from stays."""
    if not step.joining or step.record is None or step.record.source not in selection.pods:
        return selection
    return replace(selection, pods=tuple(sorted({*selection.pods, step.joining})))


def _combine(
    requested: int, healthy: Sequence[ReplicaState], failing: Sequence[ReplicaState], choice: Choice, now: float
) -> Selection:
    """Return the healthy and the chosen pods; failing pods keep the places for which no pod was chosen."""
    desired = min(requested, MOST_PODS)
    names = {state.pod for state in healthy} | set(choice.pods)
    staying = failing[: max(desired - len(names), 0)]
    leaving = [state for state in failing[len(staying) :] if state.yields(now)]
    names |= {state.pod for state in staying}
    return Selection(
        pods=tuple(sorted(names)),
        switched=tuple((old.pod, new) for old, new in zip(leaving, choice.pods, strict=False)),
        desired=requested,
        missing=max(requested - len(names), 0),
        over_limit=requested - desired,
        policy_error=choice.error,
    )


def _everywhere(kept: Sequence[ReplicaState], candidates: Sequence[PodView]) -> Selection:
    """Select all usable pods; pods that stay come first where there are more than one object can persist."""
    names = dict.fromkeys((*sorted(state.pod for state in kept), *(pod.name for pod in candidates)))
    pods = tuple(sorted(list(names)[:MOST_PODS]))
    rest = len(names) - len(pods)
    return Selection(pods, desired=len(names), missing=rest, over_limit=rest)


def _may_stay(state: ReplicaState | None, matching: Container[str], rank: int) -> bool:
    """Return whether a selected pod still is the same pod, matches, is not being deleted, and takes the rank.

    One that has an adapter already stays whatever its rank: the rank may be stated wrongly.
    """
    if state is None or not state.reachable or state.pod not in matching:
        return False
    placement, view = state.placement, state.view
    if placement is None and view is not None and not view.takes_rank(rank):
        return False
    return placement is None or view is None or placement.uid == view.uid


def _split(
    kept: Sequence[ReplicaState], now: float, settings: Settings
) -> tuple[list[ReplicaState], list[ReplicaState]]:
    """Return (pods that serve or soon will, pods whose place another may take), best first."""
    healthy: list[ReplicaState] = []
    failing: list[ReplicaState] = []
    for state in kept:
        view = state.view
        ready = view is not None and (view.ready or now - view.changed < settings.unready_grace)
        (healthy if ready and not state.yields(now) else failing).append(state)
    return healthy, sorted(failing, key=lambda state: (state.yields(now), state.pod))


def _most_useful(snapshot: Snapshot, healthy: list[ReplicaState], desired: int) -> list[ReplicaState]:
    """Return the `desired` best pods to keep: those that serve first, then those with the fewest other adapters."""
    serving = set(snapshot.adapter.status.instances)

    def rank(state: ReplicaState) -> tuple[bool, int, str]:
        adapters = snapshot.adapters_on(state.view) if state.view is not None else 0
        return state.pod not in serving, adapters, state.pod

    return sorted(healthy, key=rank)[:desired]


@dataclass(frozen=True, slots=True)
class _Chooser:
    """Asks the policy; pods whose engines had errors of their own recently come last, whatever the policy is."""

    snapshot: Snapshot
    policy: Policy
    healthy: Sequence[ReplicaState]
    seed: int
    recent: float
    """Time since which an error is recent, in seconds since 1970."""

    def choose(self, pool: Sequence[PodView], count: int, needed: int) -> Choice:
        """Return up to `count` pods; pods with recent errors only for the first `needed` places."""
        failing = self.snapshot.failed(pool, self.recent)
        if not failing:
            return self._ask(pool, count)
        choice = self._ask([pod for pod in pool if pod.name not in failing], count)
        rest = self._ask([pod for pod in pool if pod.name in failing], needed - len(choice.pods))
        return Choice((*choice.pods, *rest.pods), choice.error or rest.error)

    def _ask(self, pool: Sequence[PodView], count: int) -> Choice:
        if not pool or count <= 0:
            return Choice(())
        placed = [state.view for state in self.healthy if state.view is not None]
        view = View(
            adapter=self.snapshot.adapter.key,
            count=count,
            candidates=_candidates(self.snapshot, self.policy, pool),
            placed=_candidates(self.snapshot, self.policy, placed),
            seed=self.seed,
            rank=self.snapshot.artifact.rank,
            size=self.snapshot.artifact.size_bytes,
        )
        return choose(self.policy, view)


def _may_wait(state: ReplicaState, now: float) -> bool:
    """Return whether a failing pod keeps its place unless a pod without recent errors takes it."""
    return not state.elsewhere and not state.in_cooldown(now) and state.view is not None and state.view.ready


def _candidates(snapshot: Snapshot, policy: Policy, pods: Sequence[PodView]) -> tuple[Candidate, ...]:
    """Return the pods as candidates, with all that the policy needs and nothing else."""
    metrics, sizes = (bool(getattr(policy, name, False)) for name in ("needs_metrics", "needs_sizes"))

    def make(pod: PodView, counted: Candidate) -> Candidate:
        candidate = counted
        if metrics:
            load, expected = snapshot.engine_load(pod), snapshot.expected_requests(pod)
            candidate = replace(candidate, load=load, expected_requests=expected)
        if sizes:
            candidate = replace(candidate, bytes=snapshot.bytes_on(pod), max_bytes=pod.adapter_memory)
        return candidate

    counted = tuple(
        _counted_candidate(pod.name, count, (pod.max_loras, pod.max_cpu_loras, pod.max_lora_rank), pod.node, pod.zone)
        for pod, count in zip(pods, snapshot.adapters_on_each(pods), strict=True)
    )
    return tuple(map(make, pods, counted)) if metrics or sizes else counted


@lru_cache(maxsize=1 << 16)
def _counted_candidate(name: str, adapters: int, limits: tuple[int, int, int], node: str, zone: str) -> Candidate:
    """Return a candidate; kept, because a policy may be shown thousands of pods for each adapter.

    `limits`: `--max-loras`, `--max-cpu-loras` and `--max-lora-rank`.
    """
    max_loras, max_cpu_loras, max_lora_rank = limits
    return Candidate(name, adapters, max_loras, max_cpu_loras, node, zone, max_lora_rank=max_lora_rank)


def _wake(
    able: PodIndex, states: Mapping[str, ReplicaState], selected: set[str], now: float, settings: Settings
) -> float:
    """Return when the first pod that is not selected becomes a candidate by time alone."""
    times, used = [], set(selected)
    for name, state in states.items():
        pod = able.by_name.get(name)
        if pod is None:
            continue
        if state.yields(now):
            times.append(state.yields_until)
            used.add(name)
        elif name in selected and not pod.ready and settings.unready_grace:
            times.append(pod.changed + settings.unready_grace)
    others = (time for time, name in able.becoming_stable(now, settings.stable_for) if name not in used)
    times += islice(others, 1)
    return min((time for time in times if time > now), default=0.0)
