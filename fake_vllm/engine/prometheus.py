"""Histograms, and the text format that Prometheus reads.

Values are kept as plain numbers: a simulation has hundreds of engines, whose metrics are read without any text.
The text is prometheus-client's. It takes several milliseconds for a page, so each metric is rendered once, and later
pages get the same lines with new numbers.
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import inf
from typing import Literal

from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.utils import floatToGoString

Labels = tuple[tuple[str, str], ...]


def labels(values: Mapping[str, str]) -> Labels:
    """Return labels in the order in which they are written."""
    return tuple(sorted(values.items()))


class Histogram:
    """Observations in buckets, given by their upper bounds; a last bucket, `+Inf`, is added."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.sum = 0.0

    @property
    def count(self) -> int:
        """Number of observations."""
        return sum(self.counts)

    def observe(self, value: float, times: int = 1) -> None:
        """Count a value `times` times."""
        self.counts[bisect_left(self.bounds, value)] += times
        self.sum += value * times

    def samples(self) -> list[float]:
        """Return the cumulative counts by bound, the count and the sum."""
        cumulative = list(accumulate(self.counts))
        return [*cumulative, cumulative[-1], self.sum]


@dataclass(frozen=True, slots=True)
class MetricFamily:
    """One metric: its values by labels. The name of a counter has no `_total`, which its samples get."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    values: Mapping[Labels, float | Histogram]


class PageWriter:
    """Writes the pages of one engine in text format 0.0.4."""

    def __init__(self) -> None:
        self._lines: dict[str, tuple[tuple[Labels, ...], list[str]]] = {}

    def page(self, families: Iterable[MetricFamily], created: float) -> str:
        """Return the page; `created`: start of the counting, in seconds since 1970."""
        parts: list[str] = []
        for family in families:
            numbers = iter(_numbers(family, created))
            for line in self._lines_of(family):
                parts.append(line)
                if line[0] != "#":
                    parts.append(f"{floatToGoString(next(numbers))}\n")  # type: ignore[no-untyped-call]
        return "".join(parts)

    def _lines_of(self, family: MetricFamily) -> list[str]:
        """Return the lines of a metric, those of samples without their number."""
        keys = tuple(family.values)
        if family.name not in self._lines or self._lines[family.name][0] != keys:
            text = generate_latest(_Registry(family)).decode()
            lines = [
                line if line[0] == "#" else line.rpartition(" ")[0] + " " for line in text.splitlines(keepends=True)
            ]
            self._lines[family.name] = keys, lines
        return self._lines[family.name][1]


@dataclass(frozen=True, slots=True)
class _Registry:
    """A registry of one metric: `generate_latest` calls nothing but `collect`."""

    family: MetricFamily

    def collect(self) -> Iterable[Metric]:
        yield metric(self.family, 0.0)


def _numbers(family: MetricFamily, created: float) -> Iterable[float]:
    """Yield the numbers of a metric in the order of its lines: all samples, then the times of creation."""
    for value in family.values.values():
        if isinstance(value, Histogram):
            yield from value.samples()
        else:
            yield value
    if family.kind != "gauge":
        yield from [created] * len(family.values)


def metric(family: MetricFamily, created: float) -> Metric:
    """Return the metric as prometheus-client takes it."""
    names = [name for name, _ in next(iter(family.values), ())]
    if family.kind == "histogram":
        histogram = HistogramMetricFamily(family.name, family.help, labels=names)
        for key, value in family.values.items():
            assert isinstance(value, Histogram)
            bounds = [floatToGoString(bound) for bound in (*value.bounds, inf)]  # type: ignore[no-untyped-call]
            buckets = list(zip(bounds, value.samples(), strict=False))
            histogram.add_metric([text for _, text in key], buckets, value.sum)
            histogram.add_sample(f"{family.name}_created", dict(key), created)
        return histogram
    made = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
    simple = made(family.name, family.help, labels=names)
    for key, value in family.values.items():
        assert not isinstance(value, Histogram)
        if isinstance(simple, CounterMetricFamily):
            simple.add_metric([text for _, text in key], value, created=created)
        else:
            simple.add_metric([text for _, text in key], value)
    return simple
