"""Requests in flight by adapter, estimated from samples of one engine's metrics. Pure.

vLLM counts the requests of an engine, and names the adapters that have any (`vllm:lora_requests_info`, vLLM 0.32,
`v1/metrics/loggers.py`); it does not count them by adapter. The estimate uses how often an adapter is named. If
requests arrive at random and do not wait, an adapter with `c` requests in flight on average has none in a share exp(-c)
of all samples (Poisson distribution). An adapter that is named in every sample may have any number: such adapters share
what the others do not explain. Requests to the base model, which name no adapter, therefore count for these adapters.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log
from statistics import median

from controller.engine.metrics import MetricsSample

SAMPLES = 5
"""Samples of an engine that an estimate uses."""
MOST_REQUESTS = 1e6
"""Requests in flight above which a sample is an error of the metrics and not load."""
_ROBUST = 3
"""Newest samples whose median is the number of requests: one wrong sample among them has no effect."""


@dataclass(frozen=True, slots=True)
class PodSample:
    """Requests of one engine at one instant."""

    requests: float
    """Running and waiting requests."""
    active: frozenset[str]
    """Names of the adapters that have any of them."""


def pod_sample(before: MetricsSample | None, metrics: MetricsSample) -> PodSample | None:
    """Return the sample of a page of metrics; None if the page cannot be right.

    A page without the number of requests, or with an impossible one, is wrong. One is stale if its engine has the same
    requests in flight as in the page `before` and has processed no token since.
    """
    requests = metrics.requests
    if requests is None or not 0 <= requests <= MOST_REQUESTS:
        return None
    if before is not None and requests and requests == before.requests and metrics.tokens == before.tokens:
        return None
    return PodSample(requests, metrics.adapters if requests else frozenset())


def requests_by_adapter(samples: Sequence[PodSample]) -> Mapping[str, float]:
    """Return the estimated requests in flight by adapter; `samples` are those of one engine, oldest first."""
    if not samples:
        return {}
    named = Counter(name for sample in samples for name in sorted(sample.active))
    sometimes = {name: -log(1 - times / len(samples)) for name, times in named.items() if times < len(samples)}
    always = [name for name, times in named.items() if times == len(samples)]
    rest = max(_requests(samples) - sum(sometimes.values()), 0.0)
    return sometimes | {name: rest / len(always) for name in always}


def _requests(samples: Sequence[PodSample]) -> float:
    """Return the median of the newest samples; the lower of two, since one may be wrong."""
    newest = [sample.requests for sample in samples[-_ROBUST:]]
    return min(newest) if len(newest) < _ROBUST else median(newest)
