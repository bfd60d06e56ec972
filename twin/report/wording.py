"""Differences in plain words: "12 % fewer pods used", "p95 time to Running 3.1 s longer"."""

from collections.abc import Sequence

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
"""What people ask for first, in this order."""
MOST_SAID = 4
"""Effects in one sentence."""

_NOUNS = {
    "availability": "availability",
    "unavailable_adapter_seconds": "adapter-time without a replica",
    "pod_switches": "pod switches",
    "migrations": "migrations",
    "loads.attempted": "loads",
    "loads.succeeded": "successful loads",
    "loads.failed_retriable": "loads that failed and may be tried again",
    "loads.failed_final": "loads that failed for good",
    "loads.redundant": "redundant loads",
    "placement.pods_used": "pods used",
    "placement.jain": "fairness of placement (Jain)",
    "placement.adapters_per_pod.mean": "adapters a pod",
    "placement.adapters_per_pod.max": "adapters on the fullest pod",
    "placement.adapters_per_pod.cv": "unevenness of placement (CV)",
    "adapters.running": "adapters Running at the end",
    "adapters.failed": "adapters Failed at the end",
    "adapters.pending": "adapters pending at the end",
    "traffic.ok": "requests answered",
    "traffic.failed": "requests failed",
    "traffic.misrouted": "requests misrouted",
    "traffic.cold": "cold requests",
    "invariants.violations": "broken invariants",
}
_TIMES = {
    "time_to_running_seconds": "time to Running",
    "recovery_seconds": "recovery",
    "backoff_seconds": "wait between attempts",
    "traffic.ttft_seconds": "time to first token",
    "traffic.e2e_seconds": "time of a request",
}
_MASSES = {"unavailable_adapter_seconds": " s"}
"""Measured, not counted; and in what."""
_LEVELS = ("placement.jain", "placement.adapters_per_pod.cv", "placement.adapters_per_pod.mean")


def label(measure: str) -> str:
    """What a measure is called in a sentence."""
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


def describe(comparison: Comparison) -> str:
    """How the variant differs, as part of a sentence."""
    name, difference = comparison.measure, comparison.difference
    if difference is None:
        return f"{label(name)} not measured"
    if comparison.identical:
        return f"{label(name)} the same"
    if name == "availability":
        return f"availability {_fine(100 * abs(difference))} points {'higher' if difference > 0 else 'lower'}"
    if "_seconds" in name and name != "unavailable_adapter_seconds":
        return f"{label(name)} {_fine(abs(difference))} s {'longer' if difference > 0 else 'shorter'}"
    if name in _LEVELS:
        return f"{label(name)} {_fine(abs(difference))} {'higher' if difference > 0 else 'lower'}"
    word = "more" if difference > 0 else ("less" if name in _MASSES else "fewer")
    return f"{_amount(comparison)} {word} {label(name)}"


def sentence(comparisons: Sequence[Comparison]) -> str:
    """What one variant does, by all that was compared."""
    if all(comparison.identical or not comparison.pairs for comparison in comparisons):
        return "identical in every measure of every run"
    significant = headlines_first([comparison for comparison in comparisons if comparison.significant])
    if not significant:
        return "no statistically significant difference"
    effects = [describe(comparison) for comparison in significant[:MOST_SAID]]
    more = len(significant) - len(effects)
    rest = (
        f"; {more} more measure{'s' if more > 1 else ''} differ{'s' if more == 1 else ''} significantly" if more else ""
    )
    return f"{', '.join(effects)}: statistically significant{rest}"


def headlines_first(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """The headlines in their order, then the rest."""
    rank = {name: place for place, name in enumerate(HEADLINES)}
    return sorted(comparisons, key=lambda comparison: rank.get(comparison.measure, len(rank)))


def format_number(value: float | None) -> str:
    """A number in a table of comparisons: four digits that matter, thousands separated; a dash for none."""
    if value is None:
        return "—"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _amount(comparison: Comparison) -> str:
    """As a share of what was, where that says something; else as it is."""
    base, difference = comparison.baseline_mean, abs(comparison.difference or 0.0)
    if not base or difference > 10 * abs(base):
        return f"{_fine(difference)}{_MASSES.get(comparison.measure, '')}"
    share = 100 * difference / abs(base)
    return f"{share:.0f} %" if share >= 10 else f"{share:.2g} %"


def _fine(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.2g}"
