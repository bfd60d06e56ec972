"""Columns of `kubectl get hpa` (`printHorizontalPodAutoscaler` and `formatHPAMetrics` in `pkg/printers`)."""

from datetime import datetime

from twin.apiserver.meta.errors import Object
from twin.apiserver.registry.autoscaling import SOURCES

_MOST_SHOWN = 2
_UNKNOWN = "<unknown>"


def reference(obj: Object, _now: datetime) -> str:
    """Return the target: `Deployment/web`."""
    target = obj["spec"]["scaleTargetRef"]
    return f"{target['kind']}/{target['name']}"


def targets(obj: Object, _now: datetime) -> str:
    """Return value and target of the first metrics: `12/10, cpu: <unknown>/80% + 1 more...`."""
    specs = obj["spec"].get("metrics") or ()
    statuses = (obj.get("status") or {}).get("currentMetrics") or ()
    padded = [*statuses, *({} for _ in specs[len(statuses) :])]
    shown = [_target(spec, status) for spec, status in zip(specs, padded, strict=False)]
    more = f" + {len(shown) - _MOST_SHOWN} more..." if len(shown) > _MOST_SHOWN else ""
    return (", ".join(shown[:_MOST_SHOWN]) or "<none>") + more


def _target(spec: Object, status: Object) -> str:
    field = SOURCES[spec["type"]]
    source, wanted = spec[field], spec[field]["target"]
    current = (status.get(field) or {}).get("current") or {}
    prefix = f"{source['name']}: " if field in ("resource", "containerResource") else ""
    if wanted.get("averageValue") is not None:
        suffix = " (avg)" if field in ("external", "object") else ""
        return f"{prefix}{current.get('averageValue', _UNKNOWN)}/{wanted['averageValue']}{suffix}"
    if not prefix:
        return f"{current.get('value', _UNKNOWN)}/{wanted.get('value')}"
    utilization = current.get("averageUtilization")
    return f"{prefix}{_UNKNOWN if utilization is None else f'{utilization}%'}/{wanted.get('averageUtilization')}%"
