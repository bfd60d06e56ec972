"""Policies that use engines' metrics: `least-latency`, `least-throughput`, `load-aware`.

A sample is some seconds old, and a burst of adapters may arrive within one interval; each adapter that a pod got since
is therefore counted with the average cost of an adapter. A pod without a sample counts as an average pod, so that it is
neither avoided nor overloaded. Without any sample the number of adapters decides.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import ClassVar

from controller.policies.by_count import first
from controller.policies.interface import Candidate, EngineLoad, View


class LeastLatency:
    """The pods with the lowest recent latency; idle pods count as fastest, pods without metrics as average."""

    name: ClassVar[str] = "least-latency"
    needs_metrics: ClassVar[bool] = True
    balances: ClassVar[bool] = True

    def choose(self, view: View) -> Sequence[str]:
        return _lowest(view, lambda load: load.latency)


class LeastThroughput:
    """The pods that recently processed the fewest tokens per second, prompt tokens counted twice."""

    name: ClassVar[str] = "least-throughput"
    needs_metrics: ClassVar[bool] = True
    balances: ClassVar[bool] = True

    def choose(self, view: View) -> Sequence[str]:
        return _lowest(view, lambda load: load.throughput)


class LoadAware:
    """The pods with the lowest sum of two shares: expected requests in flight, and adapters per slot of a batch."""

    name: ClassVar[str] = "load-aware"
    needs_metrics: ClassVar[bool] = True
    balances: ClassVar[bool] = True

    def choose(self, view: View) -> Sequence[str]:
        # Requests share an engine's time, adapters the slots of its batch: by requests alone, all rarely used adapters
        # would be placed on one pod, and wait there for its slots. Each share is relative to the average pod.
        requests = _average(pod.expected_requests for pod in view.candidates)
        crowding = _average(_crowding(pod) for pod in view.candidates)

        def rank(pod: Candidate) -> tuple[float | str, ...]:
            share = pod.expected_requests / requests + _crowding(pod) / crowding
            return pod.full, share, pod.adapters, pod.name

        return first(view.candidates, view.count, rank)


def _crowding(pod: Candidate) -> float:
    return pod.adapters / max(pod.max_loras, 1)


def _average(values: Iterable[float]) -> float:
    """Return the average; 1 if all values are 0."""
    numbers = list(values)
    return sum(numbers) / len(numbers) if any(numbers) else 1.0


def _lowest(view: View, value: Callable[[EngineLoad], float | None]) -> list[str]:
    expected = _expected(view.candidates, value)
    return first(view.candidates, view.count, lambda pod: (pod.full, expected[pod.name], pod.adapters, pod.name))


def _expected(candidates: Sequence[Candidate], value: Callable[[EngineLoad], float | None]) -> Mapping[str, float]:
    """Return, by pod, the sampled value plus the cost of the adapters that it got since."""
    samples = [
        (pod, pod.load, read) for pod in candidates if pod.load is not None and (read := value(pod.load)) is not None
    ]
    cost = sum(read for _, _, read in samples) / max(sum(load.adapters for _, load, _ in samples), 1)
    values = {pod.name: read + cost * max(pod.adapters - load.adapters, 0) for pod, load, read in samples}
    average = sum(values.values()) / len(values) if values else 0.0
    return {pod.name: values.get(pod.name, average) for pod in candidates}
