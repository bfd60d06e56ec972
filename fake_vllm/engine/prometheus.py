"""Histograms, and the text format that Prometheus reads: prometheus-client's, over a collector of our own values.

Values are kept as plain numbers: a simulation has hundreds of engines, whose metrics are read without any text.
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
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

    def buckets(self) -> list[tuple[str, float]]:
        """Return the cumulative counts by bound."""
        cumulative, total = [], 0
        for bound, count in zip((*self.bounds, float("inf")), self.counts, strict=True):
            total += count
            cumulative.append((str(floatToGoString(bound)), float(total)))  # type: ignore[no-untyped-call]
        return cumulative


@dataclass(frozen=True, slots=True)
class MetricFamily:
    """One metric: its values by labels. The name of a counter has no `_total`, which its samples get."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    values: Mapping[Labels, float | Histogram]


@dataclass(frozen=True, slots=True)
class _Page:
    """A registry of one page, as `generate_latest` takes it."""

    families: Iterable[MetricFamily]
    created: float

    def collect(self) -> Iterable[Metric]:
        return (_metric(family, self.created) for family in self.families)


def exposition(families: Iterable[MetricFamily], created: float) -> str:
    """Return the text format 0.0.4; `created` is when counting began, in seconds since 1970."""
    # `generate_latest` needs nothing of a registry but `collect`.
    return generate_latest(_Page(families, created)).decode()


def _metric(family: MetricFamily, created: float) -> Metric:
    names = [name for name, _ in next(iter(family.values), ())]
    if family.kind == "histogram":
        histogram = HistogramMetricFamily(family.name, family.help, labels=names)
        for key, value in family.values.items():
            assert isinstance(value, Histogram)
            histogram.add_metric([text for _, text in key], value.buckets(), value.sum)
            histogram.add_sample(f"{family.name}_created", dict(key), created)
        return histogram
    made = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
    metric = made(family.name, family.help, labels=names)
    for key, value in family.values.items():
        assert not isinstance(value, Histogram)
        if isinstance(metric, CounterMetricFamily):
            metric.add_metric([text for _, text in key], value, created=created)
        else:
            metric.add_metric([text for _, text in key], value)
    return metric
