"""HorizontalPodAutoscalers: defaults and validation of `autoscaling/v2`.

Sources: `pkg/apis/autoscaling/v2/defaults.go` and `pkg/apis/autoscaling/validation`, with the feature gate
HPAScaleToZero off, as it is by default. `autoscaling/v1`, which real servers have too, is not served.
"""

from collections.abc import Iterator

from twin.apiserver.meta.errors import FieldError, Object, forbidden_field, invalid, required, unsupported
from twin.apiserver.registry.workloads import quantity_errors
from twin.apiserver.schema import builtin_types
from twin.apiserver.schema.resource_types import ResourceType

_CPU: Object = {
    "type": "Resource",
    "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}},
}
_UP: Object = {
    "stabilizationWindowSeconds": 0,
    "selectPolicy": "Max",
    "policies": [
        {"type": "Pods", "value": 4, "periodSeconds": 15},
        {"type": "Percent", "value": 100, "periodSeconds": 15},
    ],
}
_DOWN: Object = {"selectPolicy": "Max", "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}]}
SOURCES = {
    "ContainerResource": "containerResource",
    "External": "external",
    "Object": "object",
    "Pods": "pods",
    "Resource": "resource",
}
"""Field of a metric, by its type."""
_TARGETS = ("AverageValue", "Utilization", "Value")
_SELECT_POLICIES = ("Disabled", "Max", "Min")
_POLICIES = ("Percent", "Pods")
_LONGEST_WINDOW = 3600  # seconds; MaxStabilizationWindowSeconds
_LONGEST_PERIOD = 1800  # seconds; MaxPeriodSeconds
_AT_LEAST_ZERO, _MORE_THAN_ZERO = "must be greater than or equal to zero", "must be greater than zero"
_ZERO = "must specify at least one Object or External metric to support scaling to zero replicas"
_POSITIVE = {"averageUtilization": "must be greater than 0"}
_NEEDED_TARGETS = {
    "object": ("averageValue", ("value", "averageValue"), "must set either a target value or averageValue"),
    "external": (
        "averageValue",
        ("value", "averageValue"),
        "must set either a target value for metric or a per-pod target",
    ),
    "pods": ("averageValue", ("averageValue",), "must specify a positive target averageValue"),
    "resource": (
        "averageUtilization",
        ("averageUtilization", "averageValue"),
        "must set either a target raw value or a target utilization",
    ),
}
_NEEDED_TARGETS["containerResource"] = _NEEDED_TARGETS["resource"]


def autoscaling_kinds() -> list[ResourceType]:
    """Return the kind."""
    return [
        ResourceType(
            "horizontalpodautoscalers",
            "HorizontalPodAutoscaler",
            group="autoscaling",
            version="v2",
            categories=("all",),
            short_names=("hpa",),
            status=True,
            types=builtin_types.AUTOSCALER,
            admit=_admit,
        )
    ]


def _admit(new: Object, old: Object | None, errors: list[FieldError]) -> Object:
    spec = new.get("spec") or {}
    if old is not None and spec is old.get("spec"):
        return new
    filled = {"minReplicas": 1, **spec, "metrics": spec.get("metrics") or [_CPU]}
    if (behavior := spec.get("behavior")) is not None:
        filled["behavior"] = {
            "scaleUp": {**_UP, **(behavior.get("scaleUp") or {})},
            "scaleDown": {**_DOWN, **(behavior.get("scaleDown") or {})},
        }
    errors += _spec_errors(filled)
    return {**new, "spec": filled}


def _spec_errors(spec: Object) -> Iterator[FieldError]:
    lowest, highest = spec["minReplicas"], spec.get("maxReplicas") or 0
    if lowest < 1:
        yield invalid("spec.minReplicas", lowest, "must be greater than or equal to 1")
    if highest == 0:
        yield required("spec.maxReplicas", "must be set and greater than 0")
    elif highest < 0:
        yield invalid("spec.maxReplicas", highest, "must be greater than or equal to 1")
    if highest < lowest:
        yield invalid("spec.maxReplicas", highest, "must be greater than or equal to `minReplicas`")
    yield from _reference_errors(spec.get("scaleTargetRef") or {}, "spec.scaleTargetRef")
    for index, metric in enumerate(spec["metrics"]):
        yield from _metric_errors(metric, f"spec.metrics[{index}]")
    if lowest == 0 and not {"Object", "External"} & {metric.get("type") for metric in spec["metrics"]}:
        yield forbidden_field("spec.metrics", _ZERO)
    for direction in ("scaleUp", "scaleDown") if spec.get("behavior") else ():
        yield from _rules_errors(spec["behavior"][direction], f"spec.behavior.{direction}")


def _reference_errors(reference: Object, field: str) -> Iterator[FieldError]:
    for name in ("kind", "name"):
        if not reference.get(name):
            yield required(f"{field}.{name}")
    if "/" not in (reference.get("apiVersion") or "") and field == "spec.scaleTargetRef":
        version = reference.get("apiVersion") or ""
        yield invalid(f"{field}.apiVersion", version, "apiVersion must specify API group")


def _metric_errors(metric: Object, field: str) -> Iterator[FieldError]:
    type_ = metric.get("type") or ""
    if not type_:
        yield required(f"{field}.type", "must specify a metric source type")
    if type_ not in SOURCES:
        yield from [unsupported(f"{field}.type", type_, tuple(SOURCES))] * 2  # a real server lists it twice
        return
    given = [name for name in SOURCES.values() if metric.get(name) is not None]
    source = SOURCES[type_]
    if source not in given:
        yield required(f"{field}.{source}", "must populate information for the given metric source")
    else:
        yield from _source_errors(source, metric[source], f"{field}.{source}")
    for name in given:
        if name != source:
            yield forbidden_field(f"{field}.{name}", "must populate the given metric source only")


def _source_errors(source: str, body: Object, field: str) -> Iterator[FieldError]:
    if source == "object":
        yield from _reference_errors(body.get("describedObject") or {}, f"{field}.describedObject")
    if source in ("resource", "containerResource"):
        if not body.get("name"):
            yield required(f"{field}.name", "must specify a resource name")
    elif not (body.get("metric") or {}).get("name"):
        yield required(f"{field}.metric.name", "must specify a metric name")
    if source == "containerResource" and not body.get("container"):
        yield required(f"{field}.container", "must specify a container")
    target = body.get("target") or {}
    yield from _target_errors(target, f"{field}.target")
    named, accepted, detail = _NEEDED_TARGETS[source]
    if not any(target.get(name) is not None for name in accepted):
        yield required(f"{field}.target.{named}", detail)


def _target_errors(target: Object, field: str) -> Iterator[FieldError]:
    if not target.get("type"):
        yield required(f"{field}.type", "must specify a metric target type")
    if target.get("type") not in _TARGETS:
        yield invalid(f"{field}.type", target.get("type") or "", "must be either Utilization, Value, or AverageValue")
    for name in ("value", "averageValue", "averageUtilization"):
        value = target.get(name)
        if value is None:
            continue
        wrong = list(quantity_errors("", value, f"{field}.{name}"))
        yield from wrong
        if not wrong and str(value).strip("0.") == "":
            yield invalid(f"{field}.{name}", value, _POSITIVE.get(name, "must be positive"))


def _rules_errors(rules: Object, field: str) -> Iterator[FieldError]:
    window = rules.get("stabilizationWindowSeconds")
    if window is not None and window < 0:
        yield invalid(f"{field}.stabilizationWindowSeconds", window, _AT_LEAST_ZERO)
    if window is not None and window > _LONGEST_WINDOW:
        detail = f"must be less than or equal to {_LONGEST_WINDOW}"
        yield invalid(f"{field}.stabilizationWindowSeconds", window, detail)
    if rules["selectPolicy"] not in _SELECT_POLICIES:
        yield unsupported(f"{field}.selectPolicy", rules["selectPolicy"], _SELECT_POLICIES)
    if not rules["policies"]:
        yield required(f"{field}.policies", "must specify at least one Policy")
    for index, policy in enumerate(rules["policies"]):
        yield from _policy_errors(policy, f"{field}.policies[{index}]")
    if rules.get("tolerance") is not None:
        yield from quantity_errors("", rules["tolerance"], f"{field}.tolerance")


def _policy_errors(policy: Object, field: str) -> Iterator[FieldError]:
    if policy.get("type") not in _POLICIES:
        yield unsupported(f"{field}.type", policy.get("type") or "", _POLICIES)
    value, period = policy.get("value") or 0, policy.get("periodSeconds") or 0
    if value <= 0:
        yield invalid(f"{field}.value", value, _MORE_THAN_ZERO)
    if period <= 0:
        yield invalid(f"{field}.periodSeconds", period, _MORE_THAN_ZERO)
    if period > _LONGEST_PERIOD:
        yield invalid(f"{field}.periodSeconds", period, f"must be less than or equal to {_LONGEST_PERIOD}")
