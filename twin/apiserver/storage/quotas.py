"""ResourceQuotas: how much of each resource the objects of a namespace use, and refusals beyond it.

Source: `staging/src/k8s.io/apiserver/pkg/admission/plugin/resourcequota` and `pkg/quota/v1/evaluator/core`. Usage is
counted at each request, where a real server trusts the quota's status. Scopes are in `registry/quota_scopes.py`.
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal

from formats.quantities import parse_quantity
from twin.apiserver.meta.errors import Object, forbidden
from twin.apiserver.registry.quota_scopes import counts
from twin.apiserver.schema.resource_types import ResourceType

QUOTAS = "resourcequotas"
Usage = dict[str, Decimal]

_COUNTED = ("pods", "services", "secrets", "configmaps", "persistentvolumeclaims", "resourcequotas")
"""Resources of the core group that a quota names without `count/`."""
_REQUIRED = ("cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory")
"""Resources that every container has to set if a quota limits them."""
_BINARY = ("Ei", "Pi", "Ti", "Gi", "Mi", "Ki")


def applies(quota: Object) -> bool:
    """Return True for a quota that limits something."""
    return bool((quota.get("spec") or {}).get("hard"))


def usage_of(kind: ResourceType, obj: Object) -> Usage:
    """Return what one object uses, by names of quotas."""
    usage: Usage = {f"count/{kind.resource}": Decimal(1)}
    if kind.resource in _COUNTED:
        usage[kind.resource] = Decimal(1)
    if kind.resource != "pods":
        return usage
    if (obj.get("status") or {}).get("phase") in ("Failed", "Succeeded"):
        return {name: amount for name, amount in usage.items() if name.startswith("count/")}
    for name, amount in _total(obj, "requests").items():
        usage[f"requests.{name}"] = amount
        if "/" not in name:
            usage[name] = amount
    return usage | {f"limits.{name}": amount for name, amount in _total(obj, "limits").items() if "/" not in name}


def _total(pod: Object, part: str) -> Usage:
    """Return the requests or limits of a pod: the sum of its containers, or the largest init container if above."""
    total: Usage = {}
    for container in pod["spec"].get("containers") or ():
        for name, value in ((container.get("resources") or {}).get(part) or {}).items():
            total[name] = total.get(name, Decimal(0)) + parse_quantity(value)
    for container in pod["spec"].get("initContainers") or ():
        for name, value in ((container.get("resources") or {}).get(part) or {}).items():
            total[name] = max(total.get(name, Decimal(0)), parse_quantity(value))
    return total


def used(quota: Object, objects: Iterable[tuple[ResourceType, Object]]) -> Usage:
    """Return the usage of the resources that a quota limits; `objects` are those of its namespace."""
    total: Usage = dict.fromkeys(sorted(quota["spec"]["hard"]), Decimal(0))
    for kind, obj in objects:
        if not counts(quota, kind, obj):
            continue
        for name, amount in usage_of(kind, obj).items():
            if name in total:
                total[name] += amount
    return total


def check_quota(quota: Object, kind: ResourceType, new: Object, before: Usage) -> None:
    """Check a new object against a quota of its namespace; `before` is the usage without it.

    Raises:
        ApiError: 403, as of a real server.
    """
    hard, name = quota["spec"]["hard"], quota["metadata"]["name"]
    if not counts(quota, kind, new):
        return
    wanted = {key: amount for key, amount in usage_of(kind, new).items() if key in hard}
    if kind.resource == "pods" and (missing := _unset(new, hard)):
        reason = f"failed quota: {name}: must specify {'; '.join(missing)}"
        raise forbidden(kind.plural, kind.group, new["metadata"]["name"], reason)
    over = sorted(key for key, amount in wanted.items() if amount and before[key] + amount > parse_quantity(hard[key]))
    if over:
        requested = _listed({key: wanted[key] for key in over}, hard)
        present = _listed({key: before[key] for key in over}, hard)
        limited = ",".join(f"{key}={hard[key]}" for key in over)
        reason = f"exceeded quota: {name}, requested: {requested}, used: {present}, limited: {limited}"
        raise forbidden(kind.plural, kind.group, new["metadata"]["name"], reason)


def _unset(pod: Object, hard: Mapping[str, object]) -> list[str]:
    """Return the resources that containers have to set, with the containers that do not."""
    missing = []
    for resource in sorted(set(hard) & set(_REQUIRED)):
        part, _, name = resource.rpartition(".")
        names = [
            container["name"]
            for container in (*(pod["spec"].get("containers") or ()), *(pod["spec"].get("initContainers") or ()))
            if name not in ((container.get("resources") or {}).get(part or "requests") or {})
        ]
        if names:
            missing.append(f"{resource} for: {','.join(names)}")
    return missing


def _listed(amounts: Usage, hard: Mapping[str, object]) -> str:
    return ",".join(f"{name}={quantity_text(amount, str(hard[name]))}" for name, amount in amounts.items())


def quantity_text(amount: Decimal, like: str) -> str:
    """Return the canonical text of a quantity, with binary suffixes if `like` has one."""
    if like.endswith("i") and amount:
        for power, suffix in zip(range(len(_BINARY), 0, -1), _BINARY, strict=True):
            if amount % (Decimal(1024) ** power) == 0:
                return f"{amount / Decimal(1024) ** power:f}{suffix}"
    if amount == amount.to_integral_value():
        return f"{int(amount)}"
    return f"{int((amount * 1000).to_integral_value(rounding='ROUND_CEILING'))}m"
