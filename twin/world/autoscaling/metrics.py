"""Metrics that a HorizontalPodAutoscaler can read: the gauges of the simulated engines.

They are offered as custom metrics of pods, as a Prometheus adapter does, under their own name
(`vllm:num_requests_waiting`) or with an underscore in place of the colon. The cluster has no metrics server and no
external metrics, and answers as such a cluster does. Numbers are thousandths, as in the controller (`MilliValue`).
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from fake_vllm.engine.engine import Engine
from fake_vllm.engine.prometheus import Histogram
from twin.apiserver.meta.objects import Object, key
from twin.apiserver.meta.selectors import label_selector
from twin.world.network.engine_host import EngineHost

_MILLI = 1000
_CUSTOM = "unable to fetch metrics from custom metrics API: "
_NOT_SERVED = "the server could not find the requested resource"


class MetricsError(Exception):
    """A metric cannot be read; the text is the one that the controller puts into its condition."""


class Metrics(Protocol):
    """The metrics APIs of a cluster. All methods raise `MetricsError` if there is no such metric."""

    def of_pods(self, metric: Object, namespace: str, pods: Sequence[Object]) -> dict[str, int]:
        """Return the values of a metric (name, selector) of pods, by their names; pods without it are left out."""

    def of_object(self, metric: Object, namespace: str, reference: Object) -> int:
        """Return the value of a metric of an object."""

    def of_resource(self, resource: str, container: str, pods: Sequence[Object]) -> dict[str, int]:
        """Return what pods, or their containers of that name, use of a resource."""

    def external(self, metric: Object, namespace: str) -> Sequence[int]:
        """Return the values of all series of an external metric."""


class EngineMetrics:
    """The gauges of engines."""

    def __init__(self, hosts: Mapping[str, EngineHost], clock: Callable[[], float]) -> None:
        """Read the metrics of these hosts, which are named by address; `clock` returns the seconds since 1970."""
        self._hosts = hosts
        self._clock = clock

    def of_pods(self, metric: Object, namespace: str, pods: Sequence[Object]) -> dict[str, int]:  # noqa: ARG002
        matches = label_selector(metric.get("selector") or {})
        values, engines = dict[str, int](), list[Engine]()
        for pod in pods:
            host = self._hosts.get((pod.get("status") or {}).get("podIP", ""))
            if host is None or host.pod != key(pod) or host.engine is None or not host.listening:
                continue
            engines.append(host.engine)
            samples = self._samples(host.engine, metric["name"])
            chosen = [value for labels, value in samples if matches(labels)]
            if chosen:
                values[pod["metadata"]["name"]] = math.ceil(sum(chosen) * _MILLI)
        if not values and engines and not self._samples(engines[0], metric["name"]):
            raise MetricsError(f"{_CUSTOM}the server could not find the metric {metric['name']} for pods")
        if not values:
            raise MetricsError("no metrics returned from custom metrics API")
        return values

    def of_object(self, metric: Object, namespace: str, reference: Object) -> int:  # noqa: ARG002
        kind, name = str(reference["kind"]).lower(), reference["name"]
        raise MetricsError(f"{_CUSTOM}the server could not find the metric {metric['name']} for {kind} {name}")

    def of_resource(self, resource: str, container: str, pods: Sequence[Object]) -> dict[str, int]:  # noqa: ARG002
        raise MetricsError(
            f"unable to fetch metrics from resource metrics API: {_NOT_SERVED} (get pods.metrics.k8s.io)"
        )

    def external(self, metric: Object, namespace: str) -> Sequence[int]:  # noqa: ARG002
        resource = f"{metric['name']}.external.metrics.k8s.io"
        raise MetricsError(f"unable to fetch metrics from external metrics API: {_NOT_SERVED} (get {resource})")

    def _samples(self, engine: Engine, name: str) -> list[tuple[dict[str, str], float]]:
        """Return labels and values of a gauge of an engine."""
        now = self._clock()
        return [
            (dict(labels), float(value))
            for family in engine.runner.metric_families(now, now)
            if family.kind == "gauge" and name in (family.name, family.name.replace(":", "_"))
            for labels, value in family.values.items()
            if not isinstance(value, Histogram)
        ]
