"""Limits of a change: stabilization windows, policies of scaling up and down, minimum and maximum.

Source: `pkg/controller/podautoscaler/horizontal.go` of Kubernetes 1.36. Times are whole microseconds, so that the
ends of windows are compared exactly.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from twin.apiserver.meta.objects import Object

DOWNSCALE_STABILIZATION = 300  # seconds; --horizontal-pod-autoscaler-downscale-stabilization
_FACTOR, _AT_LEAST = 2, 4  # scaleUpLimitFactor, scaleUpLimitMinimum
_SECOND = 1_000_000

WITHIN = ("DesiredWithinRange", "the desired count is within the acceptable range")
_TOO_MANY = ("TooManyReplicas", "the desired replica count is more than the maximum replica count")
_TOO_FEW = ("TooFewReplicas", "the desired replica count is less than the minimum replica count")
_UP_LIMIT = ("ScaleUpLimit", "the desired replica count is increasing faster than the maximum scale rate")
_DOWN_LIMIT = ("ScaleDownLimit", "the desired replica count is decreasing faster than the maximum scale rate")
_READY = ("ReadyForNewScale", "recommended size matches current size")
_HIGHER = "recent recommendations were higher than current one, applying the highest recent recommendation"
_LOWER = "recent recommendations were lower than current one, applying the lowest recent recommendation"

Reason = tuple[str, str]
"""Reason and message of a condition."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Sizes between which an autoscaler works.

    Attributes:
        current: replicas now.
        lowest: `minReplicas`.
        highest: `maxReplicas`.
    """

    current: int
    lowest: int
    highest: int


@dataclass(frozen=True, slots=True)
class Decision:
    """A size, and why it is this one.

    Attributes:
        replicas: the size.
        able: reason of the condition `AbleToScale`.
        limited: True if the size is not the one that the metrics ask for.
        limit: reason of the condition `ScalingLimited`.
    """

    replicas: int
    able: Reason
    limited: bool
    limit: Reason


@dataclass(slots=True)
class History:
    """Memory of an autoscaler; a restarted controller begins with an empty one.

    Attributes:
        recommendations: time and size of each.
        added: time and number of replicas of each increase.
        removed: time and number of replicas of each decrease.
    """

    recommendations: list[tuple[int, int]] = field(default_factory=list)
    added: list[tuple[int, int]] = field(default_factory=list)
    removed: list[tuple[int, int]] = field(default_factory=list)

    def record_change(self, behavior: Object | None, before: int, after: int, now: float) -> None:
        """Remember a change of the size, as long as a policy may need it."""
        if behavior is None:
            return
        rules = behavior["scaleUp" if after > before else "scaleDown"]
        events = self.added if after > before else self.removed
        oldest = _ticks(now) - max(policy["periodSeconds"] for policy in rules["policies"]) * _SECOND
        events[:] = [event for event in events if event[0] >= oldest]
        events.append((_ticks(now), abs(after - before)))


def decide(wanted: int, bounds: Bounds, behavior: Object | None, history: History, now: float) -> Decision:
    """Return the size for a recommendation, which is remembered."""
    if behavior is None:
        stable, able = _stabilized(wanted, history, now)
        replicas, limit = _limited(stable, bounds)
    else:
        stable, able = _stabilized_by_windows(wanted, bounds, behavior, history, now)
        replicas, limit = _limited_by_policies(stable, bounds, behavior, history, now)
    return Decision(replicas, able if stable != wanted else _READY, replicas != stable, limit)


def _stabilized(wanted: int, history: History, now: float) -> tuple[int, Reason]:
    """Return the highest recommendation of the window."""
    oldest = _ticks(now) - DOWNSCALE_STABILIZATION * _SECOND
    history.recommendations = [item for item in history.recommendations if item[0] >= oldest]
    stable = max([wanted, *(replicas for _, replicas in history.recommendations)])
    history.recommendations.append((_ticks(now), wanted))
    return stable, ("ScaleDownStabilized", _HIGHER)


def _stabilized_by_windows(
    wanted: int, bounds: Bounds, behavior: Object, history: History, now: float
) -> tuple[int, Reason]:
    """Return the present size, brought between the lowest and the highest recommendation of the windows."""
    up_since = _ticks(now) - behavior["scaleUp"]["stabilizationWindowSeconds"] * _SECOND
    down = behavior["scaleDown"].get("stabilizationWindowSeconds")
    down_since = _ticks(now) - (DOWNSCALE_STABILIZATION if down is None else down) * _SECOND
    recent = history.recommendations
    lowest = min([wanted, *(replicas for time, replicas in recent if time > up_since)])
    highest = max([wanted, *(replicas for time, replicas in recent if time > down_since)])
    stable = min(max(bounds.current, lowest), highest)
    history.recommendations = [item for item in recent if item[0] >= min(up_since, down_since)]
    history.recommendations.append((_ticks(now), wanted))
    upwards = wanted >= bounds.current
    return stable, ("ScaleUpStabilized", _LOWER) if upwards else ("ScaleDownStabilized", _HIGHER)


def _limited(wanted: int, bounds: Bounds) -> tuple[int, Reason]:
    rate = max(_FACTOR * bounds.current, _AT_LEAST)
    highest, reason = (rate, _UP_LIMIT) if bounds.highest > rate else (bounds.highest, _TOO_MANY)
    if wanted < bounds.lowest:
        return bounds.lowest, _TOO_FEW
    return (highest, reason) if wanted > highest else (wanted, WITHIN)


def _limited_by_policies(
    wanted: int, bounds: Bounds, behavior: Object, history: History, now: float
) -> tuple[int, Reason]:
    if wanted > bounds.current:
        rate = max(bounds.current, _rate_limit(1, bounds.current, behavior["scaleUp"], history, now))
        highest, reason = (rate, _UP_LIMIT) if bounds.highest > rate else (bounds.highest, _TOO_MANY)
        return (highest, reason) if wanted > highest else (wanted, WITHIN)
    if wanted < bounds.current:
        rate = min(bounds.current, _rate_limit(-1, bounds.current, behavior["scaleDown"], history, now))
        lowest, reason = (rate, _DOWN_LIMIT) if bounds.lowest < rate else (bounds.lowest, _TOO_FEW)
        return (lowest, reason) if wanted < lowest else (wanted, WITHIN)
    return wanted, WITHIN


def _rate_limit(direction: int, current: int, rules: Object, history: History, now: float) -> int:
    """Return the size that the policies allow; `direction` is 1 for up, -1 for down."""
    if rules["selectPolicy"] == "Disabled":
        return current
    limits: list[int] = []
    for policy in rules["policies"]:
        since = _ticks(now) - policy["periodSeconds"] * _SECOND
        start = current - _changed(history.added, since) + _changed(history.removed, since)
        if policy["type"] == "Pods":
            limits.append(start + direction * policy["value"])
        elif direction > 0:
            limits.append(math.ceil(start * (1 + policy["value"] / 100)))
        else:
            limits.append(int(start * (1 - policy["value"] / 100)))
    largest_change = rules["selectPolicy"] != "Min"
    return max(limits) if largest_change == (direction > 0) else min(limits)


def _changed(events: Sequence[tuple[int, int]], since: int) -> int:
    return sum(change for time, change in events if time > since)


def _ticks(seconds: float) -> int:
    return round(seconds * _SECOND)
