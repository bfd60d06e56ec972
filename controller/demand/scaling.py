"""Number of replicas for a measured demand. Pure.

The rules are those of Kubernetes' HorizontalPodAutoscaler, with its names: a target per replica, a tolerance, a
stabilization window for each direction, and `replicas: 0` pauses it. Unlike there, one sample alone changes nothing:
an increase needs two samples in a row that ask for it, and a decrease a whole window without a gap.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil

from controller.api.types import Autoscaling

_TOLERANCE = 0.1
"""Relative distance from the target within which nothing changes (`--horizontal-pod-autoscaler-tolerance`)."""
_FEWEST = 2
"""Samples in a row that an increase needs."""
_STEP = 4
"""Replicas that one increase may add where doubling would add fewer (default of HPA's `behavior.scaleUp`)."""
_MAX_AGE = 3
"""Intervals after which the newest sample is too old, and between two samples a gap."""


@dataclass(frozen=True, slots=True)
class DemandSample:
    """Demand for one adapter at one instant."""

    at: float
    """Seconds since 1970."""
    requests: float
    """Estimated requests in flight on all replicas."""
    complete: bool = True
    """False if the metrics of some replicas were missing: the demand may be higher."""


@dataclass(frozen=True, slots=True)
class Demand:
    """Samples of one adapter, oldest first, and its share of the budget."""

    samples: tuple[DemandSample, ...] = ()
    interval: float = 15.0
    """Seconds between two samples."""
    granted: int | None = None
    """Replicas above the minimum that the operator's budget allows; None without a budget."""


@dataclass(frozen=True, slots=True)
class Limit:
    """Reason and message of a condition."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class ScalingDecision:
    """Replicas to have now, and why."""

    replicas: int
    problem: Limit | None = None
    """Why no decision could be made, if none could."""
    limit: Limit | None = None
    """Why there are fewer or more replicas than the demand asks for, if there are."""
    cause: str = ""
    """Why `replicas` differs from the present number; empty if it does not."""


def decide(
    spec: Autoscaling, current: int | None, demand: Demand, *, scaled_at: float, room: int, now: float
) -> ScalingDecision:
    """Return the replicas to have.

    Args:
        spec: the adapter's settings.
        current: replicas in the spec; None without a number.
        demand: what was measured.
        scaled_at: time of the last change, in seconds since 1970; 0 if unknown.
        room: number of further pods that can take the adapter without evicting another from memory.
        now: seconds since 1970.
    """
    if current is None:
        return ScalingDecision(spec.min, cause="autoscaling begins with min")
    if current == 0:
        return ScalingDecision(0, Limit("ScalingDisabled", "replicas is 0, which pauses autoscaling: set it to 1"))
    inside = min(max(current, spec.min), spec.max)
    if inside != current:
        return ScalingDecision(inside, cause=f"replicas was {current}, outside of min and max")
    window = _fresh(demand, now)
    if not window:
        message = "no recent metrics of the engines that serve it: nothing is scaled"
        return ScalingDecision(current, Limit("FailedGetMetrics", message))
    needed, measured = _needed(spec, current, window, demand.interval, now)
    allowed, limit = _limited(spec, current, needed, demand.granted, room)
    if allowed == current or 0 <= now - scaled_at < spec.cooldown_seconds:
        return ScalingDecision(current, limit=limit)
    target = f"{spec.target.concurrency:g}"
    cause = f"{measured:.1f} requests in flight on {current} replicas, target {target} each"
    return ScalingDecision(
        allowed, limit=limit, cause=cause if needed != current else "another adapter needs the budget"
    )


def _fresh(demand: Demand, now: float) -> Sequence[DemandSample]:
    """Return the samples, or none if the newest is too old."""
    samples = demand.samples
    return samples if samples and now - samples[-1].at <= _MAX_AGE * demand.interval else ()


def _needed(
    spec: Autoscaling, current: int, samples: Sequence[DemandSample], interval: float, now: float
) -> tuple[int, float]:
    """Return the replicas that the demand asks for within both windows, and the demand that decided."""
    newest = [sample for sample in samples if now - sample.at <= spec.scale_up.stabilization_window_seconds]
    rising = newest if len(newest) >= _FEWEST else samples[-_FEWEST:]
    lowest = min(sample.requests for sample in rising)
    if len(rising) >= _FEWEST and (up := _replicas(lowest, spec.target.concurrency, current)) > current:
        return min(up, max(2 * current, current + _STEP)), lowest
    start = now - spec.scale_down.stabilization_window_seconds
    if not _covers(samples, start, _MAX_AGE * interval):
        return current, lowest
    highest = max(sample.requests for sample in samples if sample.at >= start - interval)
    return min(_replicas(highest, spec.target.concurrency, current), current), highest


def _covers(samples: Sequence[DemandSample], start: float, longest_gap: float) -> bool:
    """Return whether complete samples cover the time since `start`; at least two samples always have to."""
    first = next((index for index in range(len(samples) - 1, -1, -1) if samples[index].at <= start), None)
    if first is None or len(samples) < _FEWEST:
        return False
    window = samples[min(first, len(samples) - _FEWEST) :]
    gaps = (after.at - before.at for before, after in pairwise(window))
    return all(sample.complete for sample in window) and all(gap <= longest_gap for gap in gaps)


def _replicas(requests: float, target: float, current: int) -> int:
    """Return the replicas for a number of requests; the current number within the tolerance."""
    if abs(requests / (target * current) - 1) <= _TOLERANCE:
        return current
    return max(ceil(requests / target), 1)


def _limited(spec: Autoscaling, current: int, needed: int, granted: int | None, room: int) -> tuple[int, Limit | None]:
    """Return the replicas within all limits, and the limit that applies."""
    if needed < spec.min:
        return spec.min, Limit("TooFewReplicas", "the demand asks for fewer replicas than min")
    limits = [
        (spec.max, Limit("TooManyReplicas", "the demand asks for more replicas than max")),
        (
            current + room,
            Limit("NoCapacity", "no further pod has room for the adapter: add pods, or raise max-cpu-loras"),
        ),
    ]
    if granted is not None:
        message = "other adapters have the rest of the budget (--autoscaling-budget)"
        limits.append((spec.min + granted, Limit("BudgetUsed", message)))
    lowest, limit = min(limits, key=lambda item: item[0])
    return (lowest, limit) if needed > lowest else (needed, None)
