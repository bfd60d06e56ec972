"""Metrics that a HorizontalPodAutoscaler can read: the gauges of the simulated engines.

They are offered as custom metrics of pods, as a Prometheus adapter does, under their own name
(`vllm:num_requests_waiting`) or with an underscore in place of the colon. The cluster has no metrics server and no
external metrics, and answers as such a cluster does. Numbers are thousandths, as in the controller (`MilliValue`).
"""

import math
from collections.abc import Mapping, Sequence
from typing import Protocol

from fake_vllm.engine.engine import Engine
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

    def __init__(self, hosts: Mapping[str, EngineHost]) -> None:
        """Read the metrics of these hosts, which are named by address."""
        self._hosts = hosts

    def of_pods(self, metric: Object, namespace: str, pods: Sequence[Object]) -> dict[str, int]:  # noqa: ARG002
        matches = label_selector(metric.get("selector") or {})
        values, engines = dict[str, int](), list[Engine]()
        for pod in pods:
            host = self._hosts.get((pod.get("status") or {}).get("podIP", ""))
            if host is None or host.pod != key(pod) or host.engine is None or not host.listening:
                continue
            engines.append(host.engine)
            chosen = [value for labels, value in _samples(host.engine, metric["name"]) if matches(labels)]
            if chosen:
                values[pod["metadata"]["name"]] = math.ceil(sum(chosen) * _MILLI)
        if not values and engines and not _samples(engines[0], metric["name"]):
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


def _samples(engine: Engine, name: str) -> list[tuple[Mapping[str, str], float]]:
    """Return labels and values of a gauge of an engine."""
    return [
        (sample.labels, sample.value)
        for metric in engine.metrics()
        if metric.type == "gauge" and name in (metric.name, metric.name.replace(":", "_"))
        for sample in metric.samples
    ]
