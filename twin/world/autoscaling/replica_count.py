"""Number of replicas that a metric asks for; numbers are thousandths.

Source: `pkg/controller/podautoscaler/replica_calculator.go` of Kubernetes 1.36. Utilization of CPU and memory is left
out: nothing in the twin measures them.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from twin.apiserver.meta.objects import Object, is_terminating, is_true
from twin.world.autoscaling.metrics import MetricsError

DEFAULT_TOLERANCE = 0.1  # --horizontal-pod-autoscaler-tolerance
_LARGEST = 2**31 - 1
_NO_PODS = "no pods returned by selector while calculating replica count"
_NO_METRICS = "did not receive metrics for targeted pods (pods might be unready)"


@dataclass(frozen=True, slots=True)
class Tolerances:
    """Relative differences from the target within which nothing is changed."""

    down: float = DEFAULT_TOLERANCE
    up: float = DEFAULT_TOLERANCE

    def contain(self, ratio: float) -> bool:
        """Return True if a ratio of usage to target changes nothing."""
        return 1.0 - self.down <= ratio <= 1.0 + self.up


@dataclass(frozen=True, slots=True)
class Proposal:
    """The number of replicas that one metric asks for.

    Attributes:
        replicas: number of replicas.
        usage: value of the metric, as the status shows it.
    """

    replicas: int
    usage: int


def by_pods(
    values: Mapping[str, int], pods: Sequence[Object], current: int, target: int, tolerances: Tolerances
) -> Proposal:
    """Return what the values of pods ask for.

    A running pod without a value counts as if it had the target on the way down, and 0 on the way up; a pending one as
    0 on the way up.

    Raises:
        MetricsError: if no value is left.
    """
    if not pods:
        raise MetricsError(_NO_PODS)
    ready, pending, missing, left = _grouped(values, pods)
    if not left:
        raise MetricsError(_NO_METRICS)
    usage = sum(left.values()) // len(left)
    ratio = usage / target
    upwards = bool(pending) and ratio > 1.0
    if not upwards and not missing:
        return Proposal(current if tolerances.contain(ratio) else math.ceil(ratio * ready), usage)
    if ratio != 1.0:
        left |= dict.fromkeys(missing, target if ratio < 1.0 else 0)
    if upwards:
        left |= dict.fromkeys(pending, 0)
    corrected = sum(left.values()) // len(left) / target
    if tolerances.contain(corrected) or (corrected - 1.0) * (ratio - 1.0) < 0.0:
        return Proposal(current, usage)
    replicas = math.ceil(corrected * len(left))
    against = (corrected < 1.0 and replicas > current) or (corrected > 1.0 and replicas < current)
    return Proposal(current if against else replicas, usage)


def _grouped(values: Mapping[str, int], pods: Sequence[Object]) -> tuple[int, list[str], list[str], dict[str, int]]:
    """Return the number of pods that count, the names of pending pods and of those without a value, and the values."""
    left, pending, missing, ready = dict(values), list[str](), list[str](), 0
    for pod in pods:
        name, phase = pod["metadata"]["name"], (pod.get("status") or {}).get("phase")
        if is_terminating(pod) or phase == "Failed":
            left.pop(name, None)
        elif phase == "Pending":
            left.pop(name, None)
            pending.append(name)
        elif name not in values:
            missing.append(name)
        else:
            ready += 1
    return ready, pending, missing, left


def by_value(usage: int, pods: Sequence[Object], current: int, target: int, tolerances: Tolerances) -> Proposal:
    """Return what a value that all pods share asks for (`Value`).

    Raises:
        MetricsError: if no pod is selected.
    """
    ratio = usage / target
    if not current:
        return Proposal(math.ceil(ratio), usage)
    if tolerances.contain(ratio):
        return Proposal(current, usage)
    if not pods:
        raise MetricsError(f"unable to calculate ready pods: {_NO_PODS}")
    ready = sum((pod.get("status") or {}).get("phase") == "Running" and is_true(pod, "Ready") for pod in pods)
    return Proposal(min(_LARGEST, math.ceil(ratio * ready)), usage)


def by_average(usage: int, running: int, target: int, tolerances: Tolerances) -> Proposal:
    """Return what a value that is divided by the number of pods (`running`, from the scale's status) asks for."""
    if not running:
        return Proposal(min(_LARGEST, math.ceil(usage / target)), usage)
    ratio = usage / (target * running)
    replicas = running if tolerances.contain(ratio) else min(_LARGEST, math.ceil(usage / target))
    return Proposal(replicas, math.ceil(usage / running))
