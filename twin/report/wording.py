"""Differences in plain words: "12 % fewer pods used", "p95 time to Running 3.1 s longer"."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # its module needs an extra, which a report does not
    from twin.evaluate.statistics import Comparison

HEADLINES = (
    "availability",
    "unavailable_adapter_seconds",
    "time_to_running_seconds.p95",
    "recovery_seconds.p95",
    "traffic.ttft_seconds.p95",
    "traffic.misrouted",
    "traffic.failed",
    "loads.attempted",
    "loads.redundant",
    "pod_switches",
    "migrations",
    "placement.pods_used",
    "placement.adapters_per_pod.max",
    "placement.jain",
    "engine_requests.total",
    "api_requests.total",
)
"""The most important measures, in the order in which they are shown."""
MAX_EFFECTS = 4
"""Maximum number of effects in one sentence."""

_NOUNS = {
    "availability": "availability",
    "unavailable_adapter_seconds": "adapter-time without a replica",
    "pod_switches": "pod switches",
    "migrations": "migrations",
    "loads.attempted": "loads",
    "loads.succeeded": "successful loads",
    "loads.failed_retriable": "loads failed with a retriable error",
    "loads.failed_final": "loads failed with a final error",
    "loads.redundant": "redundant loads",
    "placement.pods_used": "pods used",
    "placement.slot_hours": "slot-hours (time in which engines have adapters loaded)",
    "placement.jain": "fairness of placement (Jain)",
    "placement.adapters_per_pod.mean": "adapters per pod",
    "placement.adapters_per_pod.max": "adapters on the fullest pod",
    "placement.adapters_per_pod.cv": "imbalance of placement (CV)",
    "adapters.running": "adapters Running at the end",
    "adapters.failed": "adapters Failed at the end",
    "adapters.pending": "adapters pending at the end",
    "traffic.ok": "requests answered",
    "traffic.failed": "requests failed",
    "traffic.misrouted": "requests misrouted",
    "traffic.cold": "cold requests",
    "traffic.goodput.share": "requests within the objective",
    "traffic.goodput.worst_adapter": "requests within the objective, worst adapter",
    "traffic.goodput.worst_namespace": "requests within the objective, worst namespace",
    "traffic.fairness.adapters": "fairness of service between adapters (Jain)",
    "traffic.fairness.namespaces": "fairness of service between namespaces (Jain)",
    "traffic.ttft_worst_seconds.adapter": "p95 time to first token of the worst adapter",
    "traffic.ttft_worst_seconds.namespace": "p95 time to first token of the worst namespace",
    "availability_worst.adapter": "availability of the worst adapter",
    "availability_worst.namespace": "availability of the worst namespace",
    "rebalancing.moved": "replicas moved by rebalancing",
    "rebalancing.cancelled": "moves cancelled",
    "gpu_hours": "GPU hours",
    "on_demand.cold_starts": "loads on demand",
    "on_demand.held": "requests held by the activator",
    "on_demand.failed": "held requests that failed",
    "invariants.violations": "invariant violations",
}
_TIMES = {
    "time_to_running_seconds": "time to Running",
    "recovery_seconds": "recovery",
    "backoff_seconds": "delay between attempts",
    "traffic.ttft_seconds": "time to first token",
    "traffic.e2e_seconds": "request latency",
    "on_demand.ttft_seconds": "time to first token after a cold start",
}
_AMOUNTS = {"unavailable_adapter_seconds": " s"}
"""Measures of an amount instead of a number, each with its unit."""
_LEVELS = (
    "placement.jain",
    "placement.adapters_per_pod.cv",
    "placement.adapters_per_pod.mean",
    "traffic.goodput.share",
    "traffic.goodput.worst_adapter",
    "traffic.goodput.worst_namespace",
    "traffic.fairness.adapters",
    "traffic.fairness.namespaces",
    "availability_worst.adapter",
    "availability_worst.namespace",
)


def label(measure: str) -> str:
    """Return the name of a measure in a sentence."""
    if measure in _NOUNS:
        return _NOUNS[measure]
    group, _, last = measure.rpartition(".")
    if group in _TIMES:
        return f"{'' if last == 'mean' else 'longest ' if last == 'max' else f'{last} '}{_TIMES[group]}" + (
            ", mean" if last == "mean" else ""
        )
    if last == "total":
        return group.replace("_", " ").replace("api", "API")
    return f"{group.replace('_', ' ').replace('api', 'API')} ({last.replace('_', ' ')})" if group else last


def heading(text: str) -> str:
    """Return a label as the beginning of a heading; p95 and the like stay lower case."""
    return text if text[:2] in ("p5", "p9") else text[:1].upper() + text[1:]


def describe(comparison: "Comparison") -> str:
    """Return the difference of a variant as part of a sentence."""
    name, difference = comparison.measure, comparison.difference
    if difference is None:
        return f"{label(name)} not measured"
    if comparison.identical:
        return f"{label(name)} the same"
    if name == "availability":
        return f"availability {_fine(100 * abs(difference))} points {'higher' if difference > 0 else 'lower'}"
    if "_seconds" in name and name != "unavailable_adapter_seconds":
        return f"{label(name)} {format_measure(name, abs(difference))} {'longer' if difference > 0 else 'shorter'}"
    if name in _LEVELS:
        return f"{label(name)} {_fine(abs(difference))} {'higher' if difference > 0 else 'lower'}"
    word = "more" if difference > 0 else ("less" if name in _AMOUNTS else "fewer")
    return f"{_amount(comparison)} {word} {label(name)}"


def sentence(comparisons: "Sequence[Comparison]") -> str:
    """Return the effects of one variant as a sentence, the most important first."""
    if all(comparison.identical or not comparison.pairs for comparison in comparisons):
        return "identical in all measures of all runs"
    significant = headlines_first([comparison for comparison in comparisons if comparison.significant])
    if not significant:
        return "no statistically significant difference"
    effects = [describe(comparison) for comparison in significant[:MAX_EFFECTS]]
    more = len(significant) - len(effects)
    rest = (
        f"; {more} more measure{'s' if more > 1 else ''} differ{'s' if more == 1 else ''} significantly" if more else ""
    )
    return f"{', '.join(effects)}: statistically significant{rest}"


def headlines_first(comparisons: "Sequence[Comparison]") -> "list[Comparison]":
    """Return the comparisons of `HEADLINES` in that order, then the others."""
    rank = {name: index for index, name in enumerate(HEADLINES)}
    return sorted(comparisons, key=lambda comparison: rank.get(comparison.measure, len(rank)))


def format_number(value: float | None, digits: int = 4) -> str:
    """Return a number for a table: `digits` significant digits, never an exponent, a dash for None."""
    if value is None:
        return "—"
    if abs(value) >= 10 ** (digits - 1):
        return f"{value:,.0f}"
    decimals = digits - 1 - math.floor(math.log10(abs(value))) if value else 0
    written = f"{value:.{min(decimals, 12)}f}"
    return written.rstrip("0").rstrip(".") if "." in written else written


def format_measure(measure: str, value: float | None, *, sign: bool = False) -> str:
    """Return the value of a measure, or with `sign` a difference of two, in the unit in which people write it."""
    if value is None:
        return "—"
    mark = "+" if sign and value > 0 else ""
    if measure == "availability":
        return f"{mark}{format_number(100 * value, 3 if sign else 5)} {'points' if sign else '%'}"
    if "seconds" not in measure:
        return mark + format_number(value)
    size = abs(value)
    if size < 1e-7:
        return "0 s"
    factor, unit = (1, "s") if size >= 0.1 else (1e3, "ms") if size >= 1e-3 else (1e6, "µs")
    return f"{mark}{format_number(value * factor, 3)} {unit}"


def _amount(comparison: "Comparison") -> str:
    """Return the difference as a share of the baseline, or as a number if the share would be above 1000 %."""
    base, difference = comparison.baseline_mean, abs(comparison.difference or 0.0)
    if not base or difference > 10 * abs(base):
        return f"{_fine(difference)}{_AMOUNTS.get(comparison.measure, '')}"
    share = 100 * difference / abs(base)
    return f"{share:.0f} %" if share >= 10 else f"{share:.2g} %"


def _fine(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else format_number(value, 2)
