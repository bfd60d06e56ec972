"""Preemption: which pods of lower priority have to go so that a pending pod fits on a node.

Source: `pkg/scheduler/framework/preemption` and `SelectVictimsOnNode` in the plugin `defaultpreemption`. Disruption
budgets are not looked at; a real scheduler prefers nodes where it breaks none.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BoundPod:
    """A pod on a node, as far as it decides.

    Attributes:
        name: its key, `namespace/name`.
        priority: its priority.
        gpus: GPUs that it requests.
        started: its creation time.
    """

    name: str
    priority: int
    gpus: int
    started: str = ""


@dataclass(frozen=True, slots=True)
class Victims:
    """The pods to delete on one node, the most important first."""

    node: str
    pods: Sequence[BoundPod]


def victims_on(node: str, missing: int, priority: int, pods: Iterable[BoundPod]) -> Victims | None:
    """Return the fewest important pods that free `missing` GPUs; None if all of lower priority free too few."""
    by_importance = sorted(pods, key=lambda pod: (-pod.priority, pod.started, pod.name))
    lower = [pod for pod in by_importance if pod.priority < priority]
    spare = sum(pod.gpus for pod in lower) - missing
    if spare < 0:
        return None
    chosen = []
    for pod in lower:
        if pod.gpus <= spare:
            spare -= pod.gpus
        else:
            chosen.append(pod)
    return Victims(node, chosen)


def best(candidates: Sequence[Victims]) -> Victims | None:
    """Return the node where the least important and fewest pods go; of equal ones that with the youngest pods."""

    def rank(victims: Victims) -> tuple[int, int, int]:
        return (
            max((pod.priority for pod in victims.pods), default=-(2**31)),
            sum(pod.priority + 2**31 for pod in victims.pods),
            len(victims.pods),
        )

    if not candidates:
        return None
    least = min(map(rank, candidates))
    equal = sorted((victims for victims in candidates if rank(victims) == least), key=lambda victims: victims.node)
    return max(equal, key=lambda victims: min((pod.started for pod in victims.pods), default=""))
