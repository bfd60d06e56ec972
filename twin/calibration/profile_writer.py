"""The file of times: YAML as `fake-vllm --parameters` and a scenario's `parameters:` read it.

Every entry has a comment that says what it was made from and how well it fits. Numbers keep four digits: more would
claim what no measurement knows.
"""

from typing import Any

from fake_vllm.distributions import Empirical, Latency, LogNormal, format_distribution
from twin.calibration.calibration import CalibratedParameter, Calibration

HEADING = "# Made by twin calibrate"
_UNITS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "us"))
_ORDER = ("step_base", "per_sequence", "per_prefill_token", "spread", "answer")


def written(calibration: Calibration, model: str = "", gpu: str = "") -> str:
    """The file's text. The same measurements give the same bytes."""
    lines = [
        f"{HEADING}. Each entry says what it comes from and how well it fits.",
        "# What is not here was not measured: the reader's own default holds.",
    ]
    lines += [f"{name}: {_quoted(value)}" for name, value in (("model", model), ("gpu", gpu)) if value]
    lines += [f"sources: [{', '.join(map(_quoted, calibration.sources))}]", ""]
    for finding in calibration.findings:
        if "." not in finding.entry:
            lines += _entry(finding, "")
    paces = [each for name in _ORDER if (each := calibration.found(f"timing.{name}")) is not None]
    if paces:
        lines += ["timing:", *(line for each in paces for line in _entry(each, "  "))]
    return "\n".join(lines) + "\n"


def _entry(finding: CalibratedParameter, indent: str) -> list[str]:
    name = finding.entry.rpartition(".")[2]
    return [f"{indent}# {finding.said}", f"{indent}{name}: {value_text(finding)}"]


def value_text(finding: CalibratedParameter) -> str:
    """What stands behind the entry's colon."""
    match finding:
        case CalibratedParameter(entry="timing.answer", value=LogNormal() as tokens):
            return f"{{median: {_digits(tokens.median)}, p95: {_digits(max(tokens.p95, tokens.median))}}}"
        case CalibratedParameter(entry="timing.spread", value=float() as factor):
            return _digits(factor)
        case CalibratedParameter(value=float() as seconds):
            return duration(seconds)
    return shown(finding.value)  # type: ignore[arg-type]


def describe_value(finding: CalibratedParameter) -> str:
    """The same for people, who want no list of quantiles."""
    if isinstance(finding.value, Empirical):
        values = finding.value.values
        return f"{len(values)} quantiles, {duration(values[0])} to {duration(values[-1])}"
    return value_text(finding)


def shown(latency: Latency) -> str:
    """A distribution in the words of the file."""
    return _flow(format_distribution(latency, duration))


def _flow(value: object) -> str:
    match value:
        case dict():
            return f"{{{', '.join(f'{name}: {_flow(each)}' for name, each in value.items())}}}"
        case list():
            return f"[{', '.join(map(_flow, value))}]"
    return str(value)


def duration(seconds: float) -> str:
    """Four digits in the unit that suits."""
    size, unit = next(((size, unit) for size, unit in _UNITS if seconds >= size), _UNITS[-1])
    return f"{_digits(seconds / size)}{unit}" if seconds else "0s"


def _digits(value: float) -> str:
    text: str = f"{value:.0f}" if value >= 1000 else f"{float(f'{value:.4g}'):f}".rstrip("0").rstrip(".")
    return text or "0"


def _quoted(text: Any) -> str:
    escaped = str(text).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
