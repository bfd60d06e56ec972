"""Counters, gauges and histograms, and the text that Prometheus reads.

Written out by hand instead of with `prometheus-client`: that one's clock is the wall's, its registry is global,
and a simulation has hundreds of engines in virtual time. The tests read the text with its parser.
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Labels = tuple[tuple[str, str], ...]


def labels(values: Mapping[str, str]) -> Labels:
    """Labels in the order in which they are written: sorted, as `prometheus-client` does."""
    return tuple(sorted(values.items()))


class Histogram:
    """Observations in buckets; the last bucket, `+Inf`, is not named."""

    def __init__(self, edges: Sequence[float]) -> None:
        self.edges = tuple(edges)
        self.counts = [0] * (len(self.edges) + 1)
        self.sum = 0.0

    @property
    def count(self) -> int:
        """How many observations there were."""
        return sum(self.counts)

    def observe(self, value: float, times: int = 1) -> None:
        """Count a value, so many times."""
        self.counts[bisect_left(self.edges, value)] += times
        self.sum += value * times


@dataclass(frozen=True, slots=True)
class MetricFamily:
    """One metric: its values by labels. A counter's name is given without `_total`, which its samples get."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    values: Mapping[Labels, float | Histogram]


def exposition(families: Iterable[MetricFamily], created: float) -> str:
    """The text format 0.0.4; `created` is when counting began, in seconds since 1970."""
    lines: list[str] = []
    for family in families:
        shown = f"{family.name}_total" if family.kind == "counter" else family.name
        lines.append(f"# HELP {shown} {_help(family.help)}")
        lines.append(f"# TYPE {shown} {family.kind}")
        for having, value in family.values.items():
            if isinstance(value, Histogram):
                lines += _histogram(family.name, having, value)
            else:
                lines.append(f"{shown}{_braces(having)} {number(value)}")
        if family.kind != "gauge":
            lines.append(f"# HELP {family.name}_created {_help(family.help)}")
            lines.append(f"# TYPE {family.name}_created gauge")
            lines += [f"{family.name}_created{_braces(having)} {number(created)}" for having in family.values]
    return "\n".join(lines) + "\n"


def number(value: float) -> str:
    """A number as Go, and so Prometheus, writes it."""
    if value == float("inf"):
        return "+Inf"
    text = repr(float(value))
    mantissa, dot, _ = text.partition(".")
    if value > 0 and dot and len(mantissa) > 6 and "e" not in text:
        digits = f"{mantissa[0]}.{mantissa[1:]}{text[len(mantissa) + 1 :]}".rstrip("0.")
        return f"{digits}e+0{len(mantissa) - 1}" if len(mantissa) < 11 else f"{digits}e+{len(mantissa) - 1}"
    return text


def _histogram(name: str, having: Labels, histogram: Histogram) -> list[str]:
    lines, total = [], 0
    for edge, count in zip((*histogram.edges, float("inf")), histogram.counts, strict=True):
        total += count
        bucket = tuple(sorted((*having, ("le", number(edge)))))
        lines.append(f"{name}_bucket{_braces(bucket)} {number(total)}")
    lines.append(f"{name}_count{_braces(having)} {number(total)}")
    lines.append(f"{name}_sum{_braces(having)} {number(histogram.sum)}")
    return lines


def _braces(having: Labels) -> str:
    if not having:
        return ""
    return "{" + ",".join(f'{name}="{_value(value)}"' for name, value in having) + "}"


def _value(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def _help(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n")
