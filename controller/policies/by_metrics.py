"""Policies that go by what engines say of themselves: `least-latency`, `least-throughput`, `load-aware`.

A reading is some seconds old, and a burst of adapters may come within one; each adapter that a pod was given since is
therefore counted with what an adapter costs on average. A pod of which nothing is known counts as the average pod, so
that it is neither shunned nor overrun. Where nothing is known of any, the number of adapters decides.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import ClassVar

from controller.policies.by_count import first
from controller.policies.interface import Candidate, EngineLoad, View


class LeastLatency:
    """The pods whose requests were answered fastest of late; those idle are fastest, unknown ones average."""

    name: ClassVar[str] = "least-latency"
    needs_metrics: ClassVar[bool] = True

    def choose(self, view: View) -> Sequence[str]:
        return _lowest(view, lambda load: load.latency)


class LeastThroughput:
    """The pods that have had the fewest tokens to work on of late, those of prompts counted twice."""

    name: ClassVar[str] = "least-throughput"
    needs_metrics: ClassVar[bool] = True

    def choose(self, view: View) -> Sequence[str]:
        return _lowest(view, lambda load: load.throughput)


class LoadAware:
    """The pods that have least of two things together: requests in flight, as their adapters were seen to have, and
    adapters for each slot of a batch.
    """

    name: ClassVar[str] = "load-aware"
    needs_metrics: ClassVar[bool] = True

    def choose(self, view: View) -> Sequence[str]:
        # Requests share an engine's time, adapters the slots of its batch: by requests alone, all that is seldom asked
        # for would come together on one pod, and wait there for four slots. Each counts by what is usual.
        requests = _average(pod.expected_requests for pod in view.candidates)
        crowding = _average(_crowding(pod) for pod in view.candidates)

        def rank(pod: Candidate) -> tuple[float | str, ...]:
            share = pod.expected_requests / requests + _crowding(pod) / crowding
            return pod.full, share, pod.adapters, pod.name

        return first(view.candidates, view.count, rank)


def _crowding(pod: Candidate) -> float:
    return pod.adapters / max(pod.max_loras, 1)


def _average(values: Iterable[float]) -> float:
    """1 where there is nothing to be shared."""
    known = list(values)
    return sum(known) / len(known) if any(known) else 1.0


def _lowest(view: View, value: Callable[[EngineLoad], float | None]) -> list[str]:
    expected = _expected(view.candidates, value)
    return first(view.candidates, view.count, lambda pod: (pod.full, expected[pod.name], pod.adapters, pod.name))


def _expected(candidates: Sequence[Candidate], value: Callable[[EngineLoad], float | None]) -> Mapping[str, float]:
    """By pod: the value that was read, and what the adapters add that came since."""
    known = [
        (pod, pod.load, read) for pod in candidates if pod.load is not None and (read := value(pod.load)) is not None
    ]
    each = sum(read for _, _, read in known) / max(sum(load.adapters for _, load, _ in known), 1)
    found = {pod.name: read + each * max(pod.adapters - load.adapters, 0) for pod, load, read in known}
    average = sum(found.values()) / len(found) if found else 0.0
    return {pod.name: found.get(pod.name, average) for pod in candidates}
