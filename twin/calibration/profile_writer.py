"""Write the model profile: YAML as `fake-vllm --parameters` and a scenario's `parameters:` read it.

Every entry has a comment with its source and the quality of the fit. Numbers have four digits, since no measurement is
more exact.
"""

from typing import Any

from fake_vllm.distributions import Empirical, Latency, LogNormal, format_distribution
from twin.calibration.calibration import CalibratedParameter, Calibration

HEADING = "# Made by twin calibrate"
_UNITS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "us"))
_ORDER = (
    *("step_base", "per_sequence", "per_prefill_token", "per_request", "request_latency"),
    *("spread", "kv_tokens", "batched_tokens", "answer"),
)
_LORA_ORDER = (
    *("step_base", "per_adapter", "per_sequence", "per_prefill_token", "rank", "rank_share"),
    *("cpu_to_gpu", "disk_to_cpu"),
)
_NUMBERS = ("spread", "kv_tokens", "batched_tokens", "rank", "rank_share")
"""Entries that are numbers without a unit."""


def profile_yaml(calibration: Calibration, model: str = "", gpu: str = "") -> str:
    """Return the content of the file. The same measurements give the same bytes."""
    lines = [
        f"{HEADING}. Each comment gives the source of an entry and the quality of its fit.",
        "# Entries that are missing were not measured; the reader's defaults apply.",
    ]
    lines += [f"{name}: {_quoted(value)}" for name, value in (("model", model), ("gpu", gpu)) if value]
    lines += [f"sources: [{', '.join(map(_quoted, calibration.sources))}]", ""]
    for parameter in calibration.parameters:
        if "." not in parameter.entry:
            lines += _entry(parameter, "")
    lines += _uncertainty(calibration)
    timing = [entry for name in _ORDER if (entry := calibration.get(f"timing.{name}")) is not None]
    if timing:
        lines += ["timing:", *(line for entry in timing for line in _entry(entry, "  "))]
    lora = [entry for name in _LORA_ORDER if (entry := calibration.get(f"timing.lora.{name}")) is not None]
    if lora:
        lines += ["  lora:", *(line for entry in lora for line in _entry(entry, "    "))]
    return "\n".join(lines) + "\n"


def _uncertainty(calibration: Calibration) -> list[str]:
    """Return the section with half of each 95 % confidence interval."""
    known = [(parameter.entry, parameter.uncertainty) for parameter in calibration.parameters]
    shares = [f"{entry}: {_digits(100 * share)}%" for entry, share in known if share is not None]
    return [f"uncertainty: {{{', '.join(shares)}}}", ""] if shares else []


def _entry(parameter: CalibratedParameter, indent: str) -> list[str]:
    name = parameter.entry.rpartition(".")[2]
    return [f"{indent}# {parameter.description}", f"{indent}{name}: {value_text(parameter)}"]


def value_text(parameter: CalibratedParameter) -> str:
    """Return the value as it is written in the file."""
    match parameter:
        case CalibratedParameter(entry="timing.answer", value=LogNormal() as tokens):
            return f"{{median: {_digits(tokens.median)}, p95: {_digits(max(tokens.p95, tokens.median))}}}"
        case CalibratedParameter(value=float() | int() as number) if parameter.entry.rpartition(".")[2] in _NUMBERS:
            return _digits(number)
        case CalibratedParameter(value=float() as seconds):
            return duration(seconds)
    return distribution_text(parameter.value)  # type: ignore[arg-type]


def describe_value(parameter: CalibratedParameter) -> str:
    """Return the value for display, with quantiles summarized."""
    if isinstance(parameter.value, Empirical):
        values = parameter.value.values
        return f"{len(values)} quantiles, {duration(values[0])} to {duration(values[-1])}"
    return value_text(parameter)


def distribution_text(latency: Latency) -> str:
    """Return a distribution as it is written in the file."""
    return _flow(format_distribution(latency, duration))


def _flow(value: object) -> str:
    match value:
        case dict():
            return f"{{{', '.join(f'{name}: {_flow(item)}' for name, item in value.items())}}}"
        case list():
            return f"[{', '.join(map(_flow, value))}]"
    return str(value)


def duration(seconds: float) -> str:
    """Return a duration with four digits in a suitable unit."""
    size, unit = next(((size, unit) for size, unit in _UNITS if seconds >= size), _UNITS[-1])
    return f"{_digits(seconds / size)}{unit}" if seconds else "0s"


def _digits(value: float) -> str:
    text: str = f"{value:.0f}" if value >= 1000 else f"{float(f'{value:.4g}'):f}".rstrip("0").rstrip(".")
    return text or "0"


def _quoted(text: Any) -> str:
    escaped = str(text).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
