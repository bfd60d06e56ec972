"""Selectable fields of each kind; other fields in a field selector are refused, as by a real server.

The store itself accepts any path, for clients in its process. Sources: `AddFieldLabelConversionFunc` in
`pkg/apis/*/v1/conversion.go`, and `selectableFields` of custom resources.
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
    """Check the fields of a field selector.

    Raises:
        ApiError: 400 if a field is not selectable.
    """
    selectable = _SELECTABLE.get((kind.group, kind.plural), kind.selectable)
    for term in filter(None, text.split(",")):
        name = re.split(r"!?=", term, maxsplit=1)[0].strip()
        if name in _META or name in selectable:
            continue
        if selectable or kind.custom:
            raise bad_request(f"field label not supported: {name}")
        raise bad_request(f'"{name}" is not a known field selector: only "metadata.name", "metadata.namespace"')
