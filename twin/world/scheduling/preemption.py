"""Preemption: which pods of lower priority have to go so that a pending pod fits on a node.

A pod that a disruption budget protects is spared if others are enough; if not, it goes all the same. Source:
`pkg/scheduler/framework/preemption`, and `SelectVictimsOnNode` and `filterPodsWithPDBViolation` in the plugin
`defaultpreemption`.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from twin.apiserver.meta.objects import Object, key
from twin.apiserver.meta.selectors import label_selector


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
    """The pods to delete on one node, the most important first; `violations` of them break a disruption budget."""

    node: str
    pods: Sequence[BoundPod]
    violations: int = 0


def victims_on(
    node: str, missing: int, priority: int, pods: Iterable[BoundPod], protected: Collection[str] = ()
) -> Victims | None:
    """Return the fewest important pods that free `missing` GPUs; None if all of lower priority free too few.

    `protected` are the names of pods that a disruption budget protects.
    """
    lower = [pod for pod in in_order_of_importance(pods) if pod.priority < priority]
    spare = sum(pod.gpus for pod in lower) - missing
    if spare < 0:
        return None
    chosen = set()
    for pod in sorted(lower, key=lambda pod: pod.name not in protected):
        if pod.gpus <= spare:
            spare -= pod.gpus
        else:
            chosen.add(pod.name)
    violations = sum(name in protected for name in chosen)
    return Victims(node, [pod for pod in lower if pod.name in chosen], violations)


def in_order_of_importance(pods: Iterable[BoundPod]) -> list[BoundPod]:
    """Return pods by priority, then by age."""
    return sorted(pods, key=lambda pod: (-pod.priority, pod.started, pod.name))


def protected_pods(pods: Iterable[Object], budgets: Sequence[Object]) -> set[str]:
    """Return the names of the pods that may not be disrupted any more if those before them are."""
    allowed = [(budget.get("status") or {}).get("disruptionsAllowed", 0) for budget in budgets]
    selectors = [(budget.get("spec") or {}).get("selector") or {} for budget in budgets]
    matchers = [label_selector(selector) if selector else None for selector in selectors]
    protected = set()
    for pod in pods:
        meta = pod["metadata"]
        for index, (budget, matches) in enumerate(zip(budgets, matchers, strict=True)):
            if matches is None or budget["metadata"]["namespace"] != meta["namespace"]:
                continue
            counted = (budget.get("status") or {}).get("disruptedPods") or {}
            if meta["name"] in counted or not matches(meta.get("labels") or {}):
                continue
            allowed[index] -= 1
            if allowed[index] < 0:
                protected.add(key(pod))
    return protected


def best(candidates: Sequence[Victims]) -> Victims | None:
    """Return the node where the fewest budgets break, then the least important and fewest pods go.

    Of equal nodes it is that with the youngest pods.
    """

    def rank(victims: Victims) -> tuple[int, int, int, int]:
        return (
            victims.violations,
            max((pod.priority for pod in victims.pods), default=-(2**31)),
            sum(pod.priority + 2**31 for pod in victims.pods),
            len(victims.pods),
        )

    if not candidates:
        return None
    least = min(map(rank, candidates))
    equal = sorted((victims for victims in candidates if rank(victims) == least), key=lambda victims: victims.node)
    return max(equal, key=lambda victims: min((pod.started for pod in victims.pods), default=""))
