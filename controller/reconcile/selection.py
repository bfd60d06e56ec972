"""Which pods are to hold an adapter. Pure, but for the random number generator that a policy may be given.

What is selected stays selected while it can serve: a policy only fills places that are free. A pod that has stopped
being ready, or was left aside after its retries, keeps its place until another pod takes it.
"""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from random import Random

from controller.api.annotations import MOST_PODS
from controller.cache.pod_index import Matching
from controller.cache.routing import able
from controller.policies import Candidate, Choice, Policy, View, choose
from controller.reconcile.replica_state import Standing
from controller.reconcile.snapshot import Observed, PodView
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
    seen: Observed, standings: Mapping[str, Standing], now: float, settings: Settings, policy: Policy, rng: Random
) -> Selection:
    """Keeps what can stay, and fills up with the policy's choice."""
    fitting = able(seen.adapter.spec, seen.matching, settings)
    aside = {name for name, standing in standings.items() if standing.aside(now)}
    candidates = fitting.stable(now, settings.stable_for)
    if aside:
        candidates = [pod for pod in candidates if pod.name not in aside]
    kept = [standings[name] for name in seen.remembered.selected if _may_stay(standings.get(name), fitting.named)]
    asked = seen.adapter.spec.replicas
    if asked is None:
        everywhere = _everywhere(kept, candidates)
        return replace(everywhere, wake=_wake(fitting, standings, set(everywhere.pods), now, settings))
    wanted = min(asked, MOST_PODS)
    healthy, lame = _split(kept, now, settings)
    healthy = _most_useful(seen, healthy, wanted)
    free = wanted - len(healthy)
    taken = {standing.pod for standing in kept}
    pool = [pod for pod in candidates if pod.name not in taken] if free > 0 else []
    choice = _choose(seen, policy, pool, healthy, free, rng) if pool else Choice(())
    chosen = choice.pods
    names = {standing.pod for standing in healthy} | set(chosen)
    staying = lame[: max(wanted - len(names), 0)]
    leaving = [standing for standing in lame[len(staying) :] if standing.aside(now)]
    names |= {standing.pod for standing in staying}
    replaced = wanted - len(healthy) - len(chosen)
    return Selection(
        pods=tuple(sorted(names)),
        switched=tuple((old.pod, new) for old, new in zip(leaving, chosen, strict=False)),
        desired=asked,
        candidates=len(candidates),
        missing=max(asked - len(names), 0),
        beyond=asked - wanted,
        wake=_wake(fitting, standings, names, now, settings) if replaced > 0 or lame else 0.0,
        fault=choice.fault,
    )


def _everywhere(kept: Sequence[Standing], candidates: Sequence[PodView]) -> Selection:
    """All that can be used, and no choice to be made: what stays comes first where there are too many."""
    all_of_them = dict.fromkeys((*sorted(at.pod for at in kept), *(pod.name for pod in candidates)))
    pods = tuple(sorted(list(all_of_them)[:MOST_PODS]))
    beyond = len(all_of_them) - len(pods)
    return Selection(pods, desired=len(all_of_them), candidates=len(candidates), missing=beyond, beyond=beyond)


def _may_stay(standing: Standing | None, matching: Container[str]) -> bool:
    """A selected pod keeps its place while it is the same pod, still matches and is not going away."""
    if standing is None or not standing.usable or standing.pod not in matching:
        return False
    placement, view = standing.placement, standing.view
    return placement is None or view is None or placement.uid == view.uid


def _split(kept: Sequence[Standing], now: float, settings: Settings) -> tuple[list[Standing], list[Standing]]:
    """(those that can serve or soon will, those whose place another pod may take), best first."""
    healthy: list[Standing] = []
    lame: list[Standing] = []
    for standing in kept:
        view = standing.view
        ready = view is not None and (view.ready or now - view.changed < settings.unready_grace)
        (healthy if ready and not standing.aside(now) else lame).append(standing)
    return healthy, sorted(lame, key=lambda standing: (standing.aside(now), standing.pod))


def _most_useful(seen: Observed, healthy: list[Standing], wanted: int) -> list[Standing]:
    """The `wanted` that are best kept when there are too many: those that serve, on the emptiest pods."""
    if len(healthy) <= wanted:
        return healthy
    serving = set(seen.adapter.status.instances)
    order = sorted(healthy, key=lambda s: (s.pod not in serving, seen.adapters_on(s.pod), s.pod))
    return order[:wanted]


def _choose(
    seen: Observed, policy: Policy, pool: Sequence[PodView], healthy: Sequence[Standing], count: int, rng: Random
) -> Choice:
    metrics = bool(getattr(policy, "needs_metrics", False))
    view = View(
        adapter=seen.adapter.key,
        count=count,
        candidates=tuple(_candidate(seen, pod, metrics) for pod in pool),
        placed=tuple(_candidate(seen, at.view, metrics) for at in healthy if at.view is not None),
        seed=rng.getrandbits(64),
    )
    return choose(policy, view)


def _candidate(seen: Observed, pod: PodView, metrics: bool) -> Candidate:
    return Candidate(
        name=pod.name,
        adapters=seen.adapters_on(pod.name),
        max_loras=pod.max_loras,
        max_cpu_loras=pod.max_cpu_loras,
        node=pod.node,
        zone=pod.zone,
        load=seen.engine_load(pod) if metrics else None,
        expected_requests=seen.expected_requests(pod.name) if metrics else 0.0,
    )


def _wake(
    fitting: Matching, standings: Mapping[str, Standing], names: set[str], now: float, settings: Settings
) -> float:
    """The first moment at which a pod that is not selected becomes a candidate by time alone."""
    moments, used = [], set(names)
    for name, at in standings.items():
        pod = fitting.named.get(name)
        if pod is None:
            continue
        if at.aside(now):
            moments.append(at.aside_until)
            used.add(name)
        elif name in names and not pod.ready and settings.unready_grace:
            moments.append(pod.changed + settings.unready_grace)
    others = (moment for moment, name in fitting.becoming_stable(now, settings.stable_for) if name not in used)
    moments += islice(others, 1)
    return min((moment for moment in moments if moment > now), default=0.0)
