"""Direction of each measure: whether more of it is better, worse, or neither."""

from typing import Literal

from twin.evaluate.statistics import Comparison

Direction = Literal["lower", "higher", "neither"]
Verdict = Literal["better", "worse", "higher", "lower", "same"]

_LOWER = (
    "unavailable_adapter_seconds", "time_to_running_seconds", "recovery_seconds", "pod_switches", "migrations",
    "adapters.failed", "adapters.pending", "loads.attempted", "loads.failed_retriable", "loads.failed_final",
    "loads.redundant", "engine_requests", "api_requests", "reconciles.total", "traffic.failed", "traffic.misrouted",
    "traffic.unrouted", "traffic.cold", "traffic.queued", "traffic.ttft_seconds", "traffic.ttft_worst_seconds",
    "traffic.e2e_seconds", "rebalancing.cancelled", "gpu_hours", "on_demand", "placement.slot_hours",
    "invariants.violations",
)  # fmt: skip
"""Measures, or first parts of their names, of which less is better: waiting, failures, and work for the same result."""
_HIGHER = (
    "availability", "availability_worst.adapter", "availability_worst.namespace", "adapters.running", "traffic.ok",
    "traffic.goodput.share", "traffic.goodput.worst_adapter", "traffic.goodput.worst_namespace",
    "traffic.fairness.adapters", "traffic.fairness.namespaces",
)  # fmt: skip
USERS = (
    "availability", "unavailable_adapter_seconds", "time_to_running_seconds.p95", "recovery_seconds.p95",
    "traffic.ttft_seconds.p95", "traffic.misrouted", "traffic.failed",
)  # fmt: skip
"""Measures of what users notice; the others are costs or describe the placement."""


def direction(measure: str) -> Direction:
    """Return which values of a measure are better; `neither` where that is a matter of taste, as for a placement."""
    if measure in _HIGHER:
        return "higher"
    lower = any(measure == name or measure.startswith(f"{name}.") for name in _LOWER)
    return "lower" if lower else "neither"


def verdict(comparison: Comparison) -> Verdict:
    """Return the difference of a variant in one word, whether it is significant or not."""
    difference = comparison.difference or 0.0
    if not difference:
        return "same"
    word: Literal["higher", "lower"] = "higher" if difference > 0 else "lower"
    wanted = direction(comparison.measure)
    if wanted == "neither":
        return word
    return "better" if word == wanted else "worse"
