"""Requests that a webhook or policy is asked about."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from twin.apiserver.meta.errors import Object
from twin.apiserver.meta.selectors import label_selector

OPERATIONS = {"create": "CREATE", "update": "UPDATE", "patch": "UPDATE", "delete": "DELETE"}
GROUP = "admissionregistration.k8s.io"


@dataclass(frozen=True, slots=True)
class Admitted:
    """A write that is to be admitted.

    Attributes:
        operation: CREATE, UPDATE or DELETE.
        group: API group of the resource.
        version: API version.
        resource: plural of the resource.
        subresource: subresource; empty for the object itself.
        namespace: namespace; empty for objects of the cluster.
        name: name of the object.
        object: the object as it would be stored; None for a deletion.
        old: the stored object; None for a creation.
        user: name of the user.
        groups: groups of the user.
        dry_run: True if nothing is to be stored.
    """

    operation: str
    group: str
    version: str
    resource: str
    subresource: str
    namespace: str
    name: str
    object: Object | None
    old: Object | None
    user: str
    groups: tuple[str, ...]
    dry_run: bool


def matches(spec: Mapping[str, Any], rules: str, write: Admitted, namespace_labels: Mapping[str, str]) -> bool:
    """Return True if a webhook or policy has to be asked.

    Args:
        spec: the webhook, or the `matchConstraints` of a policy.
        rules: name of the field with its rules.
        write: the request.
        namespace_labels: labels of its namespace.
    """
    if write.group == GROUP or not any(_rule_matches(rule, write) for rule in spec.get(rules) or ()):
        return False
    if write.namespace and not label_selector(spec.get("namespaceSelector") or {})(namespace_labels):
        return False
    selects = label_selector(spec.get("objectSelector") or {})
    return any(selects(item["metadata"].get("labels") or {}) for item in (write.object, write.old) if item is not None)


def _rule_matches(rule: Mapping[str, Any], write: Admitted) -> bool:
    resource = f"{write.resource}/{write.subresource}" if write.subresource else write.resource
    every = "*/*" if write.subresource else "*"
    of_resource = {resource, every, "*/*", *([f"{write.resource}/*"] if write.subresource else [])}
    scope = rule.get("scope") or "*"
    return bool(
        {write.operation, "*"} & set(rule.get("operations") or ())
        and {write.group, "*"} & set(rule.get("apiGroups") or ())
        and {write.version, "*"} & set(rule.get("apiVersions") or ())
        and of_resource & set(rule.get("resources") or ())
        and scope in ("*", "Namespaced" if write.namespace else "Cluster")
    )
