"""Rules of Pods, Deployments and ReplicaSets: defaults that affect timing, and immutable fields.

Sources: `pkg/apis/core/v1/defaults.go`, `pkg/apis/apps/v1/defaults.go`, and the validation next to them.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any

from formats.errors import FormatError
from formats.quantities import parse_quantity
from twin.apiserver.meta.errors import FieldError, Object, duplicate, forbidden_field, invalid, required, unsupported
from twin.apiserver.meta.selectors import label_selector
from twin.apiserver.patch.json_patch import json_equal
from twin.apiserver.registry.groups.leader_worker_pods import SET_NAME, with_group_identity
from twin.apiserver.registry.pod_admission import with_pod_fields
from twin.apiserver.schema.metadata import check_labels

_RESTART_POLICIES = ("Always", "OnFailure", "Never")
_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
_PROBE_DEFAULTS = {"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3}
CONTAINER_DEFAULTS: Object = {
    "terminationMessagePath": "/dev/termination-log",
    "terminationMessagePolicy": "File",
    "resources": {},
}
POD_DEFAULTS: Object = {
    "restartPolicy": "Always",
    "terminationGracePeriodSeconds": 30,
    "dnsPolicy": "ClusterFirst",
    "schedulerName": "default-scheduler",
    "enableServiceLinks": True,
    "serviceAccountName": "default",
}
_DEPLOYMENT_DEFAULTS: Object = {"replicas": 1, "revisionHistoryLimit": 10, "progressDeadlineSeconds": 600}
_ROLLING_DEFAULTS: Object = {"maxUnavailable": "25%", "maxSurge": "25%"}
_PERCENT = re.compile(r"[0-9]{1,9}%")
_MUTABLE = ("activeDeadlineSeconds", "tolerations", "terminationGracePeriodSeconds", "nodeName", "schedulingGates")
_LONGEST_QUANTITY = 64  # characters; a real server rounds longer numbers
_LARGEST_QUANTITY = Decimal(2) ** 63  # a real server caps larger ones
_QUANTITY = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
_POD_UPDATE = (
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)


def admit_pod(new: Object, old: Object | None, errors: list[FieldError]) -> Object:
    """Validate a pod and set its defaults; most of its spec is immutable, its node always."""
    if old is None and SET_NAME in (new["metadata"].get("labels") or ()):
        new = with_group_identity(new)
    spec = new.get("spec") or {}
    if old is None:
        spec = with_pod_fields(pod_spec(spec, "spec", errors))
        return {**new, "spec": spec, "status": {"phase": "Pending", "qosClass": _quality_of_service(spec)}}
    before = old["spec"]
    if spec is before:
        return new
    spec = pod_spec(spec, "spec", errors)
    node = before.get("nodeName")
    if node and spec.get("nodeName") != node:
        errors.append(invalid("spec.nodeName", spec.get("nodeName"), "field is immutable: the pod is bound already"))
    elif not json_equal(_immutable_part(spec), _immutable_part(before)):
        errors.append(forbidden_field("spec", _POD_UPDATE))
    return {**new, "spec": spec}


def _immutable_part(spec: Object) -> Object:
    """Return the immutable part of a pod's spec."""
    fixed = {key: value for key, value in spec.items() if key not in _MUTABLE}
    for field in ("containers", "initContainers"):
        if field in spec:
            fixed[field] = [{**container, "image": ""} for container in spec[field]]
    return fixed


def pod_spec(spec: Object, field: str, errors: list[FieldError]) -> Object:
    """Return a pod spec with its defaults; append errors of fields under `field` to `errors`."""
    containers = spec.get("containers") or []
    if not containers:
        errors.append(required(f"{field}.containers"))
    errors += _pod_errors(spec, field)
    filled = {**POD_DEFAULTS, "securityContext": {}, **spec}
    filled["serviceAccount"] = filled["serviceAccountName"]
    for name in ("containers", "initContainers"):
        if spec.get(name):
            filled[name] = [
                _container(container, f"{field}.{name}[{index}]", errors) for index, container in enumerate(spec[name])
            ]
    return filled


def _pod_errors(spec: Object, field: str) -> Iterator[FieldError]:
    """Yield the errors of a pod's own fields."""
    policy = spec.get("restartPolicy", "Always")
    if policy not in _RESTART_POLICIES:
        yield unsupported(f"{field}.restartPolicy", policy, _RESTART_POLICIES)
    names: set[str] = set()
    for name in ("initContainers", "containers"):
        for index, container in enumerate(spec.get(name) or ()):
            if container.get("name") in names:
                yield duplicate(f"{field}.{name}[{index}].name", container["name"])
            names.add(container.get("name", ""))


def _container(container: Object, field: str, errors: list[FieldError]) -> Object:
    if not container.get("name"):
        errors.append(required(f"{field}.name"))
    image = container.get("image", "")
    if not image:
        errors.append(required(f"{field}.image"))
    errors += _resource_errors(container.get("resources") or {}, f"{field}.resources")
    tag = image.rpartition("/")[2].partition(":")[2]
    policy = "IfNotPresent" if tag not in ("", "latest") else "Always"
    filled = {**CONTAINER_DEFAULTS, "imagePullPolicy": policy, **container}
    for name in _PROBES:
        if container.get(name):
            filled[name] = _probe(container[name], f"{field}.{name}", errors)
    if container.get("ports"):
        filled["ports"] = [{"protocol": "TCP", **port} for port in container["ports"]]
    return filled


def _resource_errors(resources: Object, field: str) -> Iterator[FieldError]:
    """Yield the errors of a container's resources: no quantity, below zero, a part of a GPU, requests above limits."""
    limits = resources.get("limits") or {}
    for part in ("limits", "requests"):
        for name, value in (resources.get(part) or {}).items():
            yield from quantity_errors(name, value, f"{field}.{part}[{name}]")
    for name, request in (resources.get("requests") or {}).items():
        maximum = limits.get(name)
        amount, limit = _amount(request), _amount(maximum)
        if amount is not None and limit is not None and amount > limit:
            detail = f"must be less than or equal to {name} limit of {maximum}"
            yield invalid(f"{field}.requests", str(request), detail)


def quantity_errors(name: str, value: object, field: str) -> Iterator[FieldError]:
    """Yield the errors of the quantity of a resource."""
    amount = _amount(value)
    if amount is None:
        yield invalid(field, value, _QUANTITY)
    elif amount < 0:
        yield invalid(field, str(value), "must be greater than or equal to 0")
    elif "/" in name and amount != amount.to_integral_value():
        yield invalid(field, str(value), "must be an integer")


def _amount(value: object) -> Decimal | None:
    """Return the amount of a quantity; None if it is absent or not a quantity."""
    if not isinstance(value, str | int | float) or isinstance(value, bool) or len(str(value)) > _LONGEST_QUANTITY:
        return None
    try:
        amount = parse_quantity(value)
    except (FormatError, ArithmeticError):
        return None
    return amount if abs(amount) < _LARGEST_QUANTITY else None


def _probe(probe: Object, field: str, errors: list[FieldError]) -> Object:
    handlers = [name for name in ("httpGet", "exec", "tcpSocket", "grpc") if name in probe]
    if not handlers:
        errors.append(required(field, "must specify a handler type"))
    filled: Object = {**_PROBE_DEFAULTS, **probe}
    if isinstance(probe.get("httpGet"), dict):
        filled["httpGet"] = {"path": "/", "scheme": "HTTP", **probe["httpGet"]}
    for name in (*_PROBE_DEFAULTS, "initialDelaySeconds"):
        number = filled.get(name, 0)
        if type(number) is not int or number < 0:
            errors.append(invalid(f"{field}.{name}", number, "must be greater than or equal to 0"))
    return filled


def _quality_of_service(spec: Object) -> str:
    """Return a pod's QoS class; `pkg/apis/core/v1/helper/qos`, for CPU and memory."""
    resources = [container.get("resources") or {} for container in spec.get("containers") or ()]
    limits = [amounts.get("limits") or {} for amounts in resources]
    requests = [amounts.get("requests") or {} for amounts in resources]
    if not any(_cpu_and_memory(amounts) for amounts in (*limits, *requests)):
        return "BestEffort"
    full = all(_cpu_and_memory(limit) == {"cpu", "memory"} for limit in limits)
    equal = all(
        request.get(k, limit.get(k)) == limit.get(k)
        for request, limit in zip(requests, limits, strict=True)
        for k in ("cpu", "memory")
    )
    return "Guaranteed" if full and equal else "Burstable"


def _cpu_and_memory(amounts: Mapping[str, Any]) -> set[str]:
    return {"cpu", "memory"} & set(amounts)


def admit_deployment(new: Object, old: Object | None, errors: list[FieldError]) -> Object:
    """Validate a Deployment and set its defaults."""
    spec = new.get("spec") or {}
    if old is not None and spec is old.get("spec"):
        return new
    strategy = {"type": "RollingUpdate", **(spec.get("strategy") or {})}
    if strategy["type"] == "RollingUpdate":
        rolling = {**_ROLLING_DEFAULTS, **(strategy.get("rollingUpdate") or {})}
        errors += int_or_percent_errors("spec.strategy.rollingUpdate", rolling, _ROLLING_DEFAULTS)
        strategy["rollingUpdate"] = rolling
    return {**new, "spec": workload_spec({**_DEPLOYMENT_DEFAULTS, **spec, "strategy": strategy}, old, errors)}


def int_or_percent_errors(path: str, values: Object, names: Iterable[str]) -> Iterator[FieldError]:
    """Yield the errors of those of the fields `names` that are neither a number from 0 nor a percentage."""
    for name in names:
        value, field = values[name], f"{path}.{name}"
        if isinstance(value, str) and not _PERCENT.fullmatch(value):
            yield invalid(field, value, "a valid percent string must be a numeric string followed by an ending '%'")
        elif not isinstance(value, str) and (type(value) is not int or value < 0):
            yield invalid(field, value, "must be greater than or equal to 0")


def admit_replica_set(new: Object, old: Object | None, errors: list[FieldError]) -> Object:
    """Validate a ReplicaSet and set its defaults."""
    spec = new.get("spec") or {}
    if old is not None and spec is old.get("spec"):
        return new
    return {**new, "spec": workload_spec({"replicas": 1, **spec}, old, errors)}


def workload_spec(spec: Object, old: Object | None, errors: list[FieldError], kind: str = "deployment") -> Object:
    """Validate replicas, selector and template, and set the defaults of the template."""
    replicas, selector, template = spec.get("replicas", 0), spec.get("selector"), spec.get("template") or {}
    if type(replicas) is not int or replicas < 0:
        errors.append(invalid("spec.replicas", replicas, "must be greater than or equal to 0"))
    labels = (template.get("metadata") or {}).get("labels") or {}
    errors += check_labels(labels, "spec.template.labels")
    if not selector:
        errors.append(required("spec.selector"))
    elif not selector.get("matchLabels") and not selector.get("matchExpressions"):
        errors.append(invalid("spec.selector", selector, f"empty selector is invalid for {kind}"))
    elif not label_selector(selector)(labels):
        detail = "`selector` does not match template `labels`"
        errors.append(invalid("spec.template.metadata.labels", labels, detail))
    if old is not None and not json_equal(selector, old["spec"].get("selector")):
        errors.append(invalid("spec.selector", selector, "field is immutable"))
    filled = pod_spec(template.get("spec") or {}, "spec.template.spec", errors)
    if filled["restartPolicy"] in ("Never", "OnFailure"):
        errors.append(unsupported("spec.template.spec.restartPolicy", filled["restartPolicy"], ["Always"]))
    return {**spec, "template": {**template, "spec": filled}}
