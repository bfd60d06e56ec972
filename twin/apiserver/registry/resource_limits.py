"""ResourceQuotas, LimitRanges and PriorityClasses: their kinds and rules, and the defaults of a LimitRange.

A quantity that cannot be parsed is a 422, as in a pod, where a real server answers 400. Sources:
`pkg/apis/core/v1/defaults.go` (`SetDefaults_LimitRangeItem`), `pkg/apis/scheduling/validation`.
"""

from collections.abc import Iterator

from twin.apiserver.meta.errors import FieldError, Object, forbidden_field, invalid
from twin.apiserver.registry.quota_scopes import scope_errors
from twin.apiserver.registry.workloads import quantity_errors
from twin.apiserver.schema import builtin_types
from twin.apiserver.schema.resource_types import ResourceType

_HIGHEST_USER_PRIORITY = 1_000_000_000
_SYSTEM = "system-"
_AMOUNTS = ("max", "min", "default", "defaultRequest")
"""Fields of a limit whose values are quantities by resource."""


def resource_limit_kinds() -> list[ResourceType]:
    """Return the three kinds."""
    return [
        ResourceType(
            "resourcequotas",
            "ResourceQuota",
            short_names=("quota",),
            status=True,
            types=builtin_types.RESOURCE_QUOTA,
            admit=_admit_quota,
        ),
        ResourceType(
            "limitranges",
            "LimitRange",
            short_names=("limits",),
            types=builtin_types.LIMIT_RANGE,
            admit=_admit_limit_range,
        ),
        ResourceType(
            "priorityclasses",
            "PriorityClass",
            group="scheduling.k8s.io",
            namespaced=False,
            short_names=("pc",),
            generation=True,
            types=builtin_types.PRIORITY_CLASS,
            admit=_admit_priority_class,
        ),
    ]


def _admit_quota(new: Object, old: Object | None, errors: list[FieldError]) -> Object:  # noqa: ARG001
    spec = new.get("spec") or {}
    errors += _amount_errors(spec.get("hard"), "spec.hard")
    if spec.get("scopes") or spec.get("scopeSelector"):
        errors += scope_errors(spec)
    return new


def _admit_limit_range(new: Object, old: Object | None, errors: list[FieldError]) -> Object:  # noqa: ARG001
    spec = new.get("spec") or {}
    items = spec.get("limits") or ()
    for index, item in enumerate(items):
        for part in _AMOUNTS:
            errors += _amount_errors(item.get(part), f"spec.limits[{index}].{part}")
    return {**new, "spec": {**spec, "limits": [_with_defaults(item) for item in items]}}


def _amount_errors(amounts: Object | None, field: str) -> Iterator[FieldError]:
    for name, value in (amounts or {}).items():
        yield from quantity_errors(name, value, f"{field}[{name}]")


def _with_defaults(item: Object) -> Object:
    """Return a limit of containers with the defaults that follow from its other fields."""
    if item.get("type") != "Container":
        return item
    default = {**(item.get("max") or {}), **(item.get("default") or {})}
    request = {**(item.get("min") or {}), **default, **(item.get("defaultRequest") or {})}
    filled = {"default": default, "defaultRequest": request}
    return {**item, **{name: value for name, value in filled.items() if value}}


def _admit_priority_class(new: Object, old: Object | None, errors: list[FieldError]) -> Object:
    name, value = new["metadata"]["name"], new.get("value") or 0
    if name.startswith(_SYSTEM) and old is None:
        detail = f"priority class names with '{_SYSTEM}' prefix are reserved for system use only"
        errors.append(invalid("metadata.name", name, detail))
    elif value > _HIGHEST_USER_PRIORITY:
        errors.append(
            forbidden_field("value", f"maximum allowed value of a user defined priority is {_HIGHEST_USER_PRIORITY}")
        )
    if old is not None and value != (old.get("value") or 0):
        errors.append(forbidden_field("value", "may not be changed in an update."))
    return {**new, "value": value, "preemptionPolicy": new.get("preemptionPolicy") or "PreemptLowerPriority"}
