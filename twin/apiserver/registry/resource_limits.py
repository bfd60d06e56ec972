"""ResourceQuotas, LimitRanges and PriorityClasses: their kinds, and the defaults of a LimitRange.

Sources: `pkg/apis/core/v1/defaults.go` (`SetDefaults_LimitRangeItem`), `pkg/apis/scheduling/validation`.
"""

from twin.apiserver.meta.errors import FieldError, Object, forbidden_field, invalid
from twin.apiserver.schema import builtin_types
from twin.apiserver.schema.resource_types import ResourceType

_HIGHEST_USER_PRIORITY = 1_000_000_000
_SYSTEM = "system-"


def resource_limit_kinds() -> list[ResourceType]:
    """Return the three kinds."""
    return [
        ResourceType("resourcequotas", "ResourceQuota", short_names=("quota",), status=True, types=builtin_types.PLAIN),
        ResourceType("limitranges", "LimitRange", short_names=("limits",), admit=_admit_limit_range),
        ResourceType(
            "priorityclasses",
            "PriorityClass",
            group="scheduling.k8s.io",
            namespaced=False,
            short_names=("pc",),
            generation=True,
            admit=_admit_priority_class,
        ),
    ]


def _admit_limit_range(new: Object, old: Object | None, errors: list[FieldError]) -> Object:  # noqa: ARG001
    spec = new.get("spec") or {}
    return {**new, "spec": {**spec, "limits": [_with_defaults(item) for item in spec.get("limits") or ()]}}


def _with_defaults(item: Object) -> Object:
    """Return a limit of containers with the defaults that follow from its other fields."""
    if item.get("type") != "Container":
        return item
    default = {**(item.get("max") or {}), **(item.get("default") or {})}
    request = {**(item.get("min") or {}), **default, **(item.get("defaultRequest") or {})}
    filled = {"default": default, "defaultRequest": request}
    return {**item, **{name: value for name, value in filled.items() if value}}


def _admit_priority_class(new: Object, old: Object | None, errors: list[FieldError]) -> Object:
    name, value = new["metadata"]["name"], new.get("value", 0)
    if name.startswith(_SYSTEM) and old is None:
        detail = f"priority class names with '{_SYSTEM}' prefix are reserved for system use only"
        errors.append(invalid("metadata.name", name, detail))
    elif value > _HIGHEST_USER_PRIORITY:
        errors.append(
            forbidden_field("value", f"maximum allowed value of a user defined priority is {_HIGHEST_USER_PRIORITY}")
        )
    if old is not None and value != old.get("value", 0):
        errors.append(forbidden_field("value", "may not be changed in an update."))
    return {**new, "value": value, "preemptionPolicy": new.get("preemptionPolicy") or "PreemptLowerPriority"}
