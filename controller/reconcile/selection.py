"""Which pods are to hold an adapter. Pure, but for the random number generator that a policy may be given.

What is selected stays selected while it can serve: a policy only fills places that are free. A pod that has stopped
being ready, or was left aside after its retries, keeps its place until another pod takes it.
"""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from random import Random

from controller.api.annotations import MOST_PODS
from controller.cache.pod_index import PodIndex
from controller.cache.pod_view import PodView
from controller.cache.routing import pods_able_to_load
from controller.policies import Candidate, Choice, Policy, View, choose
from controller.reconcile.replica_state import ReplicaState
from controller.reconcile.snapshot import Snapshot
from controller.settings import Settings


@dataclass(frozen=True, slots=True)
class Selection:
    """The pods that are to hold the adapter from now on."""

    pods: tuple[str, ...]
    """By name."""
    switched: tuple[tuple[str, str], ...] = ()
    """(from, to): places that moved because a pod was given up after its retries."""
    desired: int = 0
    candidates: int = 0
    missing: int = 0
    """Places that no pod could be found for."""
    beyond: int = 0
    """Those of them that the object has no room to remember."""
    wake: float = 0.0
    """When looking again may find more, seconds since 1970; 0 if only a change can."""
    fault: str = ""
    """What the policy did wrong, if it did."""


def select(
    snapshot: Snapshot, states: Mapping[str, ReplicaState], now: float, settings: Settings, policy: Policy, rng: Random
) -> Selection:
    """Keeps what can stay, and fills up with the policy's choice."""
    fitting = pods_able_to_load(snapshot.adapter.spec, snapshot.matching, settings)
    aside = {name for name, state in states.items() if state.in_cooldown(now)}
    candidates = fitting.stable(now, settings.stable_for)
    if aside:
        candidates = [pod for pod in candidates if pod.name not in aside]
    kept = [states[name] for name in snapshot.persisted.selected if _may_stay(states.get(name), fitting.named)]
    asked = snapshot.adapter.spec.replicas
    if asked is None:
        everywhere = _everywhere(kept, candidates)
        return replace(everywhere, wake=_wake(fitting, states, set(everywhere.pods), now, settings))
    wanted = min(asked, MOST_PODS)
    healthy, lame = _split(kept, now, settings)
    healthy = _most_useful(snapshot, healthy, wanted)
    free = wanted - len(healthy)
    taken = {state.pod for state in kept}
    pool = [pod for pod in candidates if pod.name not in taken] if free > 0 else []
    choice = _choose(snapshot, policy, pool, healthy, free, rng) if pool else Choice(())
    chosen = choice.pods
    names = {state.pod for state in healthy} | set(chosen)
    staying = lame[: max(wanted - len(names), 0)]
    leaving = [state for state in lame[len(staying) :] if state.in_cooldown(now)]
    names |= {state.pod for state in staying}
    replaced = wanted - len(healthy) - len(chosen)
    return Selection(
        pods=tuple(sorted(names)),
        switched=tuple((old.pod, new) for old, new in zip(leaving, chosen, strict=False)),
        desired=asked,
        candidates=len(candidates),
        missing=max(asked - len(names), 0),
        beyond=asked - wanted,
        wake=_wake(fitting, states, names, now, settings) if replaced > 0 or lame else 0.0,
        fault=choice.fault,
    )


def _everywhere(kept: Sequence[ReplicaState], candidates: Sequence[PodView]) -> Selection:
    """All that can be used, and no choice to be made: what stays comes first where there are too many."""
    all_of_them = dict.fromkeys((*sorted(state.pod for state in kept), *(pod.name for pod in candidates)))
    pods = tuple(sorted(list(all_of_them)[:MOST_PODS]))
    beyond = len(all_of_them) - len(pods)
    return Selection(pods, desired=len(all_of_them), candidates=len(candidates), missing=beyond, beyond=beyond)


def _may_stay(state: ReplicaState | None, matching: Container[str]) -> bool:
    """A selected pod keeps its place while it is the same pod, still matches and is not going away."""
    if state is None or not state.reachable or state.pod not in matching:
        return False
    placement, view = state.placement, state.view
    return placement is None or view is None or placement.uid == view.uid


def _split(
    kept: Sequence[ReplicaState], now: float, settings: Settings
) -> tuple[list[ReplicaState], list[ReplicaState]]:
    """(those that can serve or soon will, those whose place another pod may take), best first."""
    healthy: list[ReplicaState] = []
    lame: list[ReplicaState] = []
    for state in kept:
        view = state.view
        ready = view is not None and (view.ready or now - view.changed < settings.unready_grace)
        (healthy if ready and not state.in_cooldown(now) else lame).append(state)
    return healthy, sorted(lame, key=lambda state: (state.in_cooldown(now), state.pod))


def _most_useful(snapshot: Snapshot, healthy: list[ReplicaState], wanted: int) -> list[ReplicaState]:
    """The `wanted` that are best kept when there are too many: those that serve, on the emptiest pods."""
    if len(healthy) <= wanted:
        return healthy
    serving = set(snapshot.adapter.status.instances)
    order = sorted(healthy, key=lambda s: (s.pod not in serving, snapshot.adapters_on(s.pod), s.pod))
    return order[:wanted]


def _choose(
    snapshot: Snapshot,
    policy: Policy,
    pool: Sequence[PodView],
    healthy: Sequence[ReplicaState],
    count: int,
    rng: Random,
) -> Choice:
    metrics = bool(getattr(policy, "needs_metrics", False))
    view = View(
        adapter=snapshot.adapter.key,
        count=count,
        candidates=tuple(_candidate(snapshot, pod, metrics) for pod in pool),
        placed=tuple(_candidate(snapshot, state.view, metrics) for state in healthy if state.view is not None),
        seed=rng.getrandbits(64),
    )
    return choose(policy, view)


def _candidate(snapshot: Snapshot, pod: PodView, metrics: bool) -> Candidate:
    return Candidate(
        name=pod.name,
        adapters=snapshot.adapters_on(pod.name),
        max_loras=pod.max_loras,
        max_cpu_loras=pod.max_cpu_loras,
        node=pod.node,
        zone=pod.zone,
        load=snapshot.engine_load(pod) if metrics else None,
        expected_requests=snapshot.expected_requests(pod.name) if metrics else 0.0,
    )


def _wake(
    fitting: PodIndex, states: Mapping[str, ReplicaState], names: set[str], now: float, settings: Settings
) -> float:
    """The first moment at which a pod that is not selected becomes a candidate by time alone."""
    moments, used = [], set(names)
    for name, state in states.items():
        pod = fitting.named.get(name)
        if pod is None:
            continue
        if state.in_cooldown(now):
            moments.append(state.cooldown_until)
            used.add(name)
        elif name in names and not pod.ready and settings.unready_grace:
            moments.append(pod.changed + settings.unready_grace)
    others = (moment for moment, name in fitting.becoming_stable(now, settings.stable_for) if name not in used)
    moments += islice(others, 1)
    return min((moment for moment in moments if moment > now), default=0.0)
