"""Former names of scenario fields and of measures, each with its present name.

A former name is refused, and the message gives the present one, wherever a name is typed: scenario files, `--set`,
`--vary`, `expect`, `--measure` and `twin fault`.
"""

from collections.abc import Mapping

from twin.scenario.errors import Path

FIELDS: Mapping[Path, str] = {
    ("answer",): "findings",
    ("controller", "retry", "attempts"): "retries",
    ("controller", "workers"): "max_concurrent_reconciles",
    ("controller", "loads_per_pod"): "max_requests_per_pod",
    ("controller", "aside_for"): "pod_cooldown",
    ("cluster", "engines", "*", "pace"): "timing",
    ("cluster", "engines", "*", "timing", "step"): "step_base",
    ("cluster", "engines", "*", "timing", "sequence"): "per_sequence",
    ("cluster", "engines", "*", "timing", "prompt_token"): "per_prefill_token",
    ("cluster", "engines", "*", "timing", "while_loading"): "loading_slowdown",
    ("traffic", "lag"): "endpoints_lag",
    ("faults", "*", "hits"): "callers",
    ("faults", "*", "lasts"): "duration",
    ("faults", "*", "up"): "ready_for",
    ("faults", "*", "down"): "unready_for",
}
"""Path of a former field (`*` is any one step) to its present name."""

MEASURES: Mapping[str, str] = {
    "loads.wasted": "loads.redundant",
    "reconciles.useful": "reconciles.with_actions",
    "switches": "pod_switches",
}
"""Former names in `summary.json` to present ones."""


def present_field(path: Path) -> str | None:
    """Return the present name of the field at `path`, or None if that was never a field."""
    return next((name for former, name in FIELDS.items() if _matches(former, path)), None)


def rename_hint(name: str) -> str:
    """Return the second half of a message that refuses a former name."""
    return f'it is called "{name}" now'


def _matches(pattern: Path, path: Path) -> bool:
    return len(pattern) == len(path) and all(step in ("*", key) for step, key in zip(pattern, path, strict=True))
