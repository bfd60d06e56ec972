"""Scopes of ResourceQuotas: which objects a quota counts.

A quota with scopes counts pods only, those that match all of its scopes. Sources: `podMatchesScopeFunc` in
`pkg/quota/v1/evaluator/core/pods.go`, and `validateResourceQuotaScopes` in `pkg/apis/core/validation`.
"""

from collections.abc import Iterator, Sequence
from itertools import chain

from twin.apiserver.meta.errors import FieldError, Object, invalid, required
from twin.apiserver.schema.resource_types import ResourceType

_POD_SCOPES = ("Terminating", "NotTerminating", "NotBestEffort", "PriorityClass", "CrossNamespacePodAffinity")
_SCOPES = (*_POD_SCOPES, "BestEffort", "VolumeAttributesClass")
_ONLY_EXIST = ("BestEffort", "NotBestEffort", "Terminating", "NotTerminating", "CrossNamespacePodAffinity")
_CONFLICTS = ({"BestEffort", "NotBestEffort"}, {"Terminating", "NotTerminating"})
_COMPUTE = tuple(f"{part}{name}" for part in ("", "requests.", "limits.") for name in ("cpu", "memory"))
_STANDARD = (
    *_COMPUTE,
    *("pods", "requests.storage", "requests.ephemeral-storage", "limits.ephemeral-storage", "ephemeral-storage"),
    *("persistentvolumeclaims", "resourcequotas", "services", "replicationcontrollers", "secrets", "configmaps"),
    *("services.nodeports", "services.loadbalancers"),
)
"""Resources of which Kubernetes says to which scopes they may be limited; extended ones are free."""
_MUST_EXIST = (
    "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, "
    "ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity"
)


def counts(quota: Object, kind: ResourceType, obj: Object) -> bool:
    """Return True if a quota counts an object."""
    spec = quota["spec"]
    requirements = ((spec.get("scopeSelector") or {}).get("matchExpressions")) or ()
    scopes = spec.get("scopes") or ()
    if not scopes and not requirements:
        return True
    if kind.resource != "pods":
        return False
    exist = ({"scopeName": name, "operator": "Exists"} for name in scopes)
    return all(_matches(obj["spec"], requirement) for requirement in chain(exist, requirements))


def _matches(spec: Object, requirement: Object) -> bool:
    match requirement["scopeName"]:
        case "Terminating":
            return spec.get("activeDeadlineSeconds") is not None
        case "NotTerminating":
            return spec.get("activeDeadlineSeconds") is None
        case "BestEffort":
            return _is_best_effort(spec)
        case "NotBestEffort":
            return not _is_best_effort(spec)
        case "PriorityClass":
            return _matches_class(spec.get("priorityClassName") or "", requirement)
        case "CrossNamespacePodAffinity":
            return any(term.get("namespaces") or "namespaceSelector" in term for term in _affinity_terms(spec))
    return False


def _matches_class(name: str, requirement: Object) -> bool:
    values = requirement.get("values") or ()
    match requirement["operator"]:
        case "Exists":
            return bool(name)
        case "In":
            return name in values
        case "NotIn":
            return name not in values
    return not name


def _is_best_effort(spec: Object) -> bool:
    """Return True if no container requests or limits CPU or memory."""
    return not any(
        {"cpu", "memory"} & set((container.get("resources") or {}).get(part) or ())
        for container in (*(spec.get("containers") or ()), *(spec.get("initContainers") or ()))
        for part in ("requests", "limits")
    )


def _affinity_terms(spec: Object) -> Iterator[Object]:
    for kind in ("podAffinity", "podAntiAffinity"):
        rules = (spec.get("affinity") or {}).get(kind) or {}
        yield from rules.get("requiredDuringSchedulingIgnoredDuringExecution") or ()
        for preferred in rules.get("preferredDuringSchedulingIgnoredDuringExecution") or ():
            yield preferred.get("podAffinityTerm") or {}


def scope_errors(spec: Object) -> Iterator[FieldError]:
    """Yield the errors of a quota's scopes."""
    scopes, selector = spec.get("scopes") or (), spec.get("scopeSelector") or {}
    resources = sorted(spec.get("hard") or {})
    yield from _errors_of("spec.scopes", "spec.scopes", scopes, scopes, resources)
    requirements = selector.get("matchExpressions") or ()
    field = "spec.scopeSelector.matchExpressions"
    names = [item.get("scopeName", "") for item in requirements]
    for name, requirement in zip(names, requirements, strict=True):
        yield from _errors_of(field, f"{field}.scopeName", [name], selector, resources)
        yield from _operator_errors(requirement, field)
    if any(pair <= set(names) for pair in _CONFLICTS):
        yield invalid(field, scopes or None, "conflicting scopes")


def _errors_of(
    field: str, name_field: str, names: Sequence[str], value: object, resources: Sequence[str]
) -> Iterator[FieldError]:
    for name in names:
        if name not in _SCOPES:
            yield invalid(name_field, value if field == name_field else name, "unsupported scope")
        for resource in resources:
            if resource in _STANDARD and not _is_valid(name, resource):
                yield invalid(field, value, "unsupported scope applied to resource")
    if field == name_field and any(pair <= set(names) for pair in _CONFLICTS):
        yield invalid(field, value, "conflicting scopes")


def _is_valid(scope: str, resource: str) -> bool:
    if scope == "BestEffort":
        return resource == "pods"
    return scope not in _POD_SCOPES or resource in (*_COMPUTE, "pods")


def _operator_errors(requirement: Object, field: str) -> Iterator[FieldError]:
    operator, values = requirement.get("operator", ""), requirement.get("values") or []
    if requirement.get("scopeName") in _ONLY_EXIST and operator != "Exists":
        yield invalid(f"{field}.operator", operator, _MUST_EXIST)
    if operator in ("In", "NotIn"):
        if not values:
            detail = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector"
            yield required(f"{field}.values", detail)
    elif operator in ("Exists", "DoesNotExist"):
        if values:
            detail = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector"
            yield invalid(f"{field}.values", values, detail)
    else:
        yield invalid(f"{field}.operator", operator, "not a valid selector operator")
