"""Which fields of which kinds a field selector may name; any other is refused, as a real server does.

The store itself takes any path: whoever is in its process needs no such fence. Sources: the
`AddFieldLabelConversionFunc` of `pkg/apis/*/v1/conversion.go`, and `selectableFields` of custom resources.
"""

import re
from collections.abc import Mapping

from twin.apiserver.meta.errors import bad_request
from twin.apiserver.schema.resource_types import ResourceType

_META = ("metadata.name", "metadata.namespace")
_EVENT = ("name", "namespace", "kind", "uid", "apiVersion", "resourceVersion", "fieldPath")
_SELECTABLE: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("", "pods"): (
        *("spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName", "spec.hostNetwork"),
        *("status.phase", "status.podIP", "status.podIPs", "status.nominatedNodeName"),
    ),
    ("", "namespaces"): ("status.phase",),
    ("", "nodes"): ("spec.unschedulable",),
    ("", "secrets"): ("type",),
    ("", "services"): ("spec.clusterIP", "spec.type"),
    ("", "events"): (
        *(f"involvedObject.{name}" for name in _EVENT),
        *("reason", "reportingComponent", "source", "type"),
    ),
    ("events.k8s.io", "events"): (*(f"regarding.{name}" for name in _EVENT), "reason", "reportingController", "type"),
}


def check_fields(kind: ResourceType, text: str) -> None:
    """Refuse with 400 a field selector that names a field which cannot be selected by."""
    own = _SELECTABLE.get((kind.group, kind.plural), kind.selectable)
    for term in filter(None, text.split(",")):
        name = re.split(r"!?=", term, maxsplit=1)[0].strip()
        if name in _META or name in own:
            continue
        if own or kind.custom:
            raise bad_request(f"field label not supported: {name}")
        raise bad_request(f'"{name}" is not a known field selector: only "metadata.name", "metadata.namespace"')
