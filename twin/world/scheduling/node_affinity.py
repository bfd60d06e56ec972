"""Nodes that a pod's `nodeSelector` and required `nodeAffinity` allow.

Source: `k8s.io/component-helpers/scheduling/corev1/nodeaffinity`. Preferred terms, which rank nodes, are not simulated.
"""

from collections.abc import Mapping
from typing import Any

from twin.apiserver.meta.objects import Object


def is_allowed(spec: Object, node: Object) -> bool:
    """Return True if a pod with this spec may run on the node, as far as labels and name decide."""
    labels = node["metadata"].get("labels") or {}
    selector = spec.get("nodeSelector")
    if selector and any(labels.get(name) != value for name, value in selector.items()):
        return False
    affinity = spec.get("affinity")
    required = affinity and (affinity.get("nodeAffinity") or {}).get("requiredDuringSchedulingIgnoredDuringExecution")
    if not required:
        return True
    fields = {"metadata.name": node["metadata"]["name"]}
    return any(_matches(term, labels, fields) for term in required.get("nodeSelectorTerms") or ())


def _matches(term: Object, labels: Mapping[str, str], fields: Mapping[str, str]) -> bool:
    """Return True if all requirements of a term are met; an empty term matches no node."""
    expressions, names = term.get("matchExpressions") or (), term.get("matchFields") or ()
    if not expressions and not names:
        return False
    return all(_meets(labels, item) for item in expressions) and all(_meets(fields, item) for item in names)


def _meets(values: Mapping[str, str], requirement: Mapping[str, Any]) -> bool:
    value, allowed = values.get(requirement["key"]), list(requirement.get("values") or ())
    match requirement.get("operator"):
        case "In":
            return value in allowed
        case "NotIn":
            return value not in allowed
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case "Gt" | "Lt" as operator:
            if value is None or not value.lstrip("-").isdecimal() or not allowed[0].lstrip("-").isdecimal():
                return False
            return int(value) > int(allowed[0]) if operator == "Gt" else int(value) < int(allowed[0])
    return False
