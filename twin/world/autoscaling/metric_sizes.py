"""The size that the metrics of one autoscaler ask for together, and what the status shows of each metric.

Source: `computeReplicasForMetrics` in `pkg/controller/podautoscaler/horizontal.go` of Kubernetes 1.36.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from formats.quantities import parse_quantity
from twin.apiserver import Store
from twin.apiserver.meta.objects import Object
from twin.apiserver.meta.selectors import labels
from twin.apiserver.registry.autoscaling import SOURCES
from twin.world.autoscaling.metrics import Metrics, MetricsError
from twin.world.autoscaling.replica_count import Proposal, Tolerances, by_average, by_pods, by_value
from twin.world.autoscaling.scaling_rules import Reason

_UNABLE = "the HPA was unable to compute the replica count: "
_THOUSAND = 1000
_SUFFIXES = ("m", "", "k", "M", "G", "T", "P", "E")


class UnreadableMetricError(Exception):
    """No size follows from the metrics.

    Attributes:
        reason: reason of the condition `ScalingActive`.
        statuses: what was read of each metric.
    """

    def __init__(self, reason: Reason, statuses: Sequence[Object]) -> None:
        super().__init__(reason[1])
        self.reason = reason
        self.statuses = statuses


@dataclass(frozen=True, slots=True)
class Target:
    """The scaled object.

    Attributes:
        scale: its Scale.
        tolerances: the autoscaler's.
    """

    scale: Object
    tolerances: Tolerances


@dataclass(frozen=True, slots=True)
class Sizes:
    """The largest size, the metric that asks for it, and the statuses of all metrics."""

    replicas: int
    metric: str
    statuses: Sequence[Object]


class MetricSizes:
    """Reads the metrics of autoscalers."""

    def __init__(self, store: Store, metrics: Metrics) -> None:
        self._store = store
        self._metrics = metrics
        self._selectors: dict[str, str] = {}  # autoscaler -> selector of its pods, once it was handled

    def forget(self, name: str) -> None:
        """Forget an autoscaler that was deleted."""
        self._selectors.pop(name, None)

    def of(self, name: str, autoscaler: Object, target: Target) -> Sizes:
        """Return the size that an autoscaler's metrics ask for.

        Raises:
            UnreadableMetricError: if no metric can be read, or not all of them and the size would be smaller.
        """
        metrics = autoscaler["spec"]["metrics"]
        pods = self._pods_of(name, target.scale)
        statuses: list[Object] = []
        failed: list[Reason] = []
        replicas, chosen = 0, ""
        for metric in metrics:
            try:
                proposal, title, status = self._read(metric, autoscaler["metadata"]["namespace"], pods, target)
            except MetricsError as error:
                failed.append((f"FailedGet{metric['type']}Metric", f"{_UNABLE}{error}"))
                statuses.append({"type": ""})
                continue
            statuses.append(status)
            if not replicas or proposal.replicas > replicas:
                replicas, chosen = proposal.replicas, title
        if failed and (len(failed) == len(metrics) or replicas < target.scale["spec"]["replicas"]):
            raise UnreadableMetricError(failed[0], statuses)
        return Sizes(replicas, chosen, statuses)

    def _pods_of(self, name: str, scale: Object) -> Sequence[Object]:
        """Return the pods of the target's selector.

        Raises:
            UnreadableMetricError: if the target has no selector, or another autoscaler has pods of it too.
        """
        selector = scale["status"].get("selector", "")
        namespace = scale["metadata"]["namespace"]
        if not selector:
            raise UnreadableMetricError(("InvalidSelector", "the HPA target's scale is missing a selector"), [])
        self._selectors[name] = selector
        pods = list(self._store.list("pods", namespace=namespace, label_selector=selector).items)
        owners = sorted(other for other, text in self._selectors.items() if _selects_any(other, text, pods))
        if len(owners) > 1:
            message = f"pods by selector {selector} are controlled by multiple HPAs: [{' '.join(owners)}]"
            raise UnreadableMetricError(("AmbiguousSelector", message), [])
        return pods

    def _read(
        self, metric: Object, namespace: str, pods: Sequence[Object], target: Target
    ) -> tuple[Proposal, str, Object]:
        """Return what a metric asks for, its name in conditions, and its status."""
        source = metric[SOURCES[metric["type"]]]
        if metric["type"] == "Pods":
            return self._pods_metric(source, namespace, pods, target)
        if metric["type"] in ("Resource", "ContainerResource"):
            return self._resource_metric(metric["type"], source, pods, target)
        return self._shared_metric(metric["type"], source, namespace, pods, target)

    def _pods_metric(
        self, source: Object, namespace: str, pods: Sequence[Object], target: Target
    ) -> tuple[Proposal, str, Object]:
        name = source["metric"]["name"]
        try:
            values = self._metrics.of_pods(source["metric"], namespace, pods)
        except MetricsError as error:
            raise MetricsError(f"unable to get metric {name}: {error}") from None
        wanted = _milli(source["target"]["averageValue"])
        proposal = by_pods(values, pods, target.scale["spec"]["replicas"], wanted, target.tolerances)
        current = {"averageValue": quantity(proposal.usage)}
        return proposal, f"pods metric {name}", _status("Pods", {"metric": source["metric"], "current": current})

    def _resource_metric(
        self, type_: str, source: Object, pods: Sequence[Object], target: Target
    ) -> tuple[Proposal, str, Object]:
        name, container = source["name"], source.get("container", "")
        used = "usage" if source["target"].get("averageValue") is not None else "utilization"
        try:
            values = self._metrics.of_resource(name, container, pods)
        except MetricsError as error:
            raise MetricsError(
                f"failed to get {name} {used}: unable to get metrics for resource {name}: {error}"
            ) from None
        if used == "utilization":
            raise MetricsError(f"failed to get {name} utilization: the twin does not compute it")
        wanted = _milli(source["target"]["averageValue"])
        proposal = by_pods(values, pods, target.scale["spec"]["replicas"], wanted, target.tolerances)
        own = {"name": name, **({"container": container} if container else {})}
        status = _status(type_, {**own, "current": {"averageValue": quantity(proposal.usage)}})
        return proposal, f"{name} resource", status

    def _shared_metric(
        self, type_: str, source: Object, namespace: str, pods: Sequence[Object], target: Target
    ) -> tuple[Proposal, str, Object]:
        """Return what a metric asks for that is not of single pods: of an object, or from outside."""
        metric, wanted = source["metric"], source["target"]
        usage = self._external(source, namespace) if type_ == "External" else self._of_object(source, namespace)
        own = {"metric": metric}
        title = f"external metric {metric['name']}({selector_text(metric.get('selector'))})"
        if type_ == "Object":
            own["describedObject"] = source["describedObject"]
        by_pod = wanted.get("averageValue") is not None
        if type_ == "Object" and wanted.get("type") == "Value":
            by_pod, title = False, f"{source['describedObject']['kind']} metric {metric['name']}"
        if by_pod:
            running = target.scale["status"]["replicas"]
            proposal = by_average(usage, running, _milli(wanted["averageValue"]), target.tolerances)
            current = {"averageValue": quantity(proposal.usage)}
        else:
            size = target.scale["spec"]["replicas"]
            proposal = by_value(usage, pods, size, _milli(wanted["value"]), target.tolerances)
            current = {"value": quantity(proposal.usage)}
        return proposal, title, _status(type_, {**own, "current": current})

    def _external(self, source: Object, namespace: str) -> int:
        metric = source["metric"]
        try:
            return sum(self._metrics.external(metric, namespace))
        except MetricsError as error:
            place = f"{namespace}/{metric['name']}/{selector_text(metric.get('selector'))}"
            raise MetricsError(f"unable to get external metric {place}: {error}") from None

    def _of_object(self, source: Object, namespace: str) -> int:
        metric, described = source["metric"], source["describedObject"]
        try:
            return self._metrics.of_object(metric, namespace, described)
        except MetricsError as error:  # the order of its parts is Kubernetes' own
            place = f"{described['kind']} on {namespace} {described['name']}"
            raise MetricsError(f"unable to get metric {metric['name']}: {place}/{error}") from None


def _selects_any(autoscaler: str, selector: str, pods: Sequence[Object]) -> bool:
    namespace, matches = autoscaler.partition("/")[0], labels(selector)
    return any(
        pod["metadata"]["namespace"] == namespace and matches(pod["metadata"].get("labels") or {}) for pod in pods
    )


def _status(type_: str, body: Object) -> dict[str, Any]:
    return {"type": type_, SOURCES[type_]: body}


def _milli(value: object) -> int:
    return math.ceil(parse_quantity(value) * _THOUSAND)


def quantity(milli: int) -> str:
    """Return thousandths as a quantity, with the largest suffix that leaves a whole number."""
    number, power = milli, 0
    while number and number % _THOUSAND == 0 and power < len(_SUFFIXES) - 1:
        number, power = number // _THOUSAND, power + 1
    return f"{number}{_SUFFIXES[power]}" if number else "0"


def selector_text(selector: Object | None) -> str:
    """Return a label selector as Go prints it (`%+v`)."""
    if selector is None:
        return "nil"
    equal = "".join(f"{name}: {value}," for name, value in sorted((selector.get("matchLabels") or {}).items()))
    expressions = "".join(
        f"LabelSelectorRequirement{{Key:{item['key']},Operator:{item['operator']},"
        f"Values:[{' '.join(item.get('values') or ())}],}},"
        for item in selector.get("matchExpressions") or ()
    )
    listed = f"MatchExpressions:[]LabelSelectorRequirement{{{expressions}}}"
    return f"&LabelSelector{{MatchLabels:map[string]string{{{equal}}},{listed},}}"
