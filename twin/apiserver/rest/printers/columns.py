"""Columns of builtin kinds in `kubectl get`.

Source: `k8s.io/kubernetes/pkg/printers/internalversion/printers.go`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from twin.apiserver.meta.errors import Object
from twin.apiserver.rest.printers import autoscalers
from twin.apiserver.rest.printers.age import age
from twin.apiserver.rest.printers.jobs import job_completions, job_duration, job_status, owner
from twin.apiserver.rest.printers.jsonpath import find
from twin.apiserver.rest.printers.pods import pod_gates, pod_ready, pod_restarts, pod_status

Cell = Callable[[Object, datetime], Any]
_NONE = "<none>"
_UNSET = "<unset>"
_MAX_SHOWN = 3
"""Number of endpoints or ports before `+ N more...`."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a Table.

    Attributes:
        name: header.
        type: JSON type.
        cell: returns the value for an object.
        priority: above 0, the column is only shown by `-o wide`.
        description: description; the name by default.
        format: OpenAPI format.
    """

    name: str
    type: str
    cell: Cell
    priority: int = 0
    description: str = ""
    format: str = ""

    @property
    def definition(self) -> Object:
        """Column definition of a Table."""
        return {
            "name": self.name,
            "type": self.type,
            "format": self.format,
            "description": self.description or self.name,
            "priority": self.priority,
        }


def _at(path: str, default: Any = _NONE) -> Cell:
    """Return a cell with the value at a path."""
    return lambda obj, _now: default if (value := find(obj, path)) in (None, "", [], {}) else value


def _text(name: str, path: str, priority: int = 0, default: str = _NONE) -> Column:
    return Column(name, "string", _at(path, default), priority)


def _number(name: str, path: str) -> Column:
    return Column(name, "integer", _at(path, 0))


def _size(name: str, path: str) -> Column:
    return Column(name, "integer", lambda obj, _now: len(find(obj, path) or ()))


_NAME = Column("Name", "string", lambda obj, _now: obj["metadata"]["name"], format="name")
_AGE = Column("Age", "string", lambda obj, now: age(obj["metadata"].get("creationTimestamp"), now))
_CREATED = _text("Created At", ".metadata.creationTimestamp")
DEFAULT_COLUMNS: Sequence[Column] = (_NAME, _AGE)


def _ready_replicas(obj: Object, _now: datetime) -> str:
    return f"{find(obj, '.status.readyReplicas') or 0}/{obj['spec'].get('replicas', 0)}"


def _containers(path: str, field: str) -> Cell:
    return lambda obj, _now: ",".join(str(container.get(field, "")) for container in find(obj, path) or ()) or _NONE


def _selector(path: str) -> Cell:
    def cell(obj: Object, _now: datetime) -> str:
        selector = find(obj, path) or {}
        terms = [
            f"{key}={value}"
            for key, value in sorted((selector.get("matchLabels", selector) or {}).items())
            if isinstance(value, str)
        ]
        for expression in selector.get("matchExpressions") or ():
            values = f" ({','.join(expression.get('values') or ())})" if expression.get("values") else ""
            terms.append(f"{expression['key']} {expression['operator'].lower()}{values}")
        return ",".join(terms) or _NONE

    return cell


def _service_ports(obj: Object, _now: datetime) -> str:
    ports = [
        f"{port['port']}{':' + str(port['nodePort']) if port.get('nodePort') else ''}/{port.get('protocol', 'TCP')}"
        for port in obj["spec"].get("ports") or ()
    ]
    return ",".join(ports) or _NONE


def _external_ip(obj: Object, _now: datetime) -> str:
    spec = obj["spec"]
    if spec.get("type") == "LoadBalancer":
        ingress = find(obj, ".status.loadBalancer.ingress") or []
        return ",".join(address.get("ip") or address.get("hostname", "") for address in ingress) or "<pending>"
    return str(spec.get("externalName") or ",".join(spec.get("externalIPs") or ()) or _NONE)


def _slice_ports(obj: Object, _now: datetime) -> str:
    return _first_few([str(port.get("port", "*")) for port in obj.get("ports") or ()], _UNSET)


def _slice_endpoints(obj: Object, _now: datetime) -> str:
    return _first_few(
        [address for endpoint in obj.get("endpoints") or () for address in endpoint.get("addresses") or ()], _UNSET
    )


def _first_few(values: list[str], default: str) -> str:
    text = ",".join(values[:_MAX_SHOWN])
    return (f"{text} + {len(values) - _MAX_SHOWN} more..." if len(values) > _MAX_SHOWN else text) or default


def _node_status(obj: Object, _now: datetime) -> str:
    ready = next(
        (condition for condition in find(obj, ".status.conditions") or () if condition["type"] == "Ready"), None
    )
    status = "Unknown" if ready is None else "Ready" if ready["status"] == "True" else "NotReady"
    return f"{status},SchedulingDisabled" if obj.get("spec", {}).get("unschedulable") else status


def _node_roles(obj: Object, _now: datetime) -> str:
    prefix = "node-role.kubernetes.io/"
    roles = sorted(key[len(prefix) :] for key in obj["metadata"].get("labels") or {} if key.startswith(prefix))
    return ",".join(roles) or _NONE


def _node_address(kind: str) -> Cell:
    path = f'.status.addresses[?(@.type=="{kind}")].address'
    return lambda obj, _now: find(obj, path) or _NONE


def _event_seen(obj: Object, now: datetime) -> str:
    """Return the age, such as `5s`, or `5s (x3 over 1m)` for a series."""
    first = obj.get("firstTimestamp") or obj.get("deprecatedFirstTimestamp") or obj.get("eventTime")
    series = obj.get("series") or {}
    last = series.get("lastObservedTime") or obj.get("lastTimestamp") or obj.get("deprecatedLastTimestamp") or first
    count = series.get("count") or obj.get("count") or obj.get("deprecatedCount") or 1
    since = age(last or obj["metadata"].get("creationTimestamp"), now)
    return f"{since} (x{count} over {age(first, now)})" if count > 1 and first else since


def _event_object(obj: Object, _now: datetime) -> str:
    reference = obj.get("involvedObject") or obj.get("regarding") or {}
    return f"{str(reference.get('kind', '')).lower()}/{reference.get('name', '')}"


def _event_source(obj: Object, _now: datetime) -> str:
    source = obj.get("source") or obj.get("deprecatedSource") or {}
    parts = [
        source.get("component") or obj.get("reportingComponent") or obj.get("reportingController"),
        source.get("host"),
    ]
    return ", ".join(part for part in parts if part)


def _role_of(obj: Object, _now: datetime) -> str:
    reference = obj.get("roleRef") or {}
    return f"{reference.get('kind', '')}/{reference.get('name', '')}"


_POD_STATUS = (
    _NAME,
    Column("Ready", "string", pod_ready),
    Column("Status", "string", pod_status),
    Column("Restarts", "string", pod_restarts),
    _AGE,
    _text("IP", ".status.podIP", 1),
    _text("Node", ".spec.nodeName", 1),
    _text("Nominated Node", ".status.nominatedNodeName", 1),
    Column("Readiness Gates", "string", pod_gates, 1),
)
_TEMPLATE = ".spec.template.spec.containers"
_WORKLOAD_WIDE = (
    Column("Containers", "string", _containers(_TEMPLATE, "name"), 1),
    Column("Images", "string", _containers(_TEMPLATE, "image"), 1),
    Column("Selector", "string", _selector(".spec.selector"), 1),
)
_EVENT = (
    Column("Last Seen", "string", _event_seen),
    _text("Type", ".type"),
    _text("Reason", ".reason"),
    Column("Object", "string", _event_object),
    Column("Subobject", "string", _at(".involvedObject.fieldPath", ""), 1),
    Column("Source", "string", _event_source, 1),
    Column("Message", "string", lambda obj, _now: str(obj.get("message") or obj.get("note") or "").strip()),
    Column("First Seen", "string", lambda obj, now: age(obj.get("firstTimestamp") or obj.get("eventTime"), now), 1),
    Column("Count", "string", lambda obj, _now: str((obj.get("series") or obj).get("count") or 1), 1),
    Column("Name", "string", lambda obj, _now: obj["metadata"]["name"], 1, format="name"),
)

COLUMNS: Mapping[str, Sequence[Column]] = {
    "pods": _POD_STATUS,
    "services": (
        _NAME,
        _text("Type", ".spec.type"),
        _text("Cluster-IP", ".spec.clusterIP"),
        Column("External-IP", "string", _external_ip),
        Column("Port(s)", "string", _service_ports),
        _AGE,
        Column("Selector", "string", _selector(".spec.selector"), 1),
    ),
    "deployments.apps": (
        _NAME,
        Column("Ready", "string", _ready_replicas),
        _number("Up-to-date", ".status.updatedReplicas"),
        _number("Available", ".status.availableReplicas"),
        _AGE,
        *_WORKLOAD_WIDE,
    ),
    "replicasets.apps": (
        _NAME,
        _number("Desired", ".spec.replicas"),
        _number("Current", ".status.replicas"),
        _number("Ready", ".status.readyReplicas"),
        _AGE,
        *_WORKLOAD_WIDE,
    ),
    "statefulsets.apps": (_NAME, Column("Ready", "string", _ready_replicas), _AGE, *_WORKLOAD_WIDE[:2]),
    "daemonsets.apps": (
        _NAME,
        _number("Desired", ".status.desiredNumberScheduled"),
        _number("Current", ".status.currentNumberScheduled"),
        _number("Ready", ".status.numberReady"),
        _number("Up-to-date", ".status.updatedNumberScheduled"),
        _number("Available", ".status.numberAvailable"),
        Column("Node Selector", "string", _selector(".spec.template.spec.nodeSelector")),
        _AGE,
        *_WORKLOAD_WIDE,
    ),
    "controllerrevisions.apps": (_NAME, Column("Controller", "string", owner), _number("Revision", ".revision"), _AGE),
    "jobs.batch": (
        _NAME,
        Column("Status", "string", job_status),
        Column("Completions", "string", job_completions),
        Column("Duration", "string", job_duration),
        _AGE,
        *_WORKLOAD_WIDE,
    ),
    "endpointslices.discovery.k8s.io": (
        _NAME,
        _text("AddressType", ".addressType"),
        Column("Ports", "string", _slice_ports),
        Column("Endpoints", "string", _slice_endpoints),
        _AGE,
    ),
    "nodes": (
        _NAME,
        Column("Status", "string", _node_status),
        Column("Roles", "string", _node_roles),
        _AGE,
        _text("Version", ".status.nodeInfo.kubeletVersion", default=""),
        Column("Internal-IP", "string", _node_address("InternalIP"), 1),
        Column("External-IP", "string", _node_address("ExternalIP"), 1),
        _text("OS-Image", ".status.nodeInfo.osImage", 1, "<unknown>"),
        _text("Kernel-Version", ".status.nodeInfo.kernelVersion", 1, "<unknown>"),
        _text("Container-Runtime", ".status.nodeInfo.containerRuntimeVersion", 1, "<unknown>"),
    ),
    "namespaces": (_NAME, _text("Status", ".status.phase", default=""), _AGE),
    "secrets": (_NAME, _text("Type", ".type", default="Opaque"), _size("Data", ".data"), _AGE),
    "configmaps": (_NAME, _size("Data", ".data"), _AGE),
    "serviceaccounts": (_NAME, _size("Secrets", ".secrets"), _AGE),
    "persistentvolumeclaims": (
        _NAME,
        _text("Status", ".status.phase", default="Pending"),
        _text("Volume", ".spec.volumeName", default=""),
        _text("Capacity", ".status.capacity.storage", default=""),
        Column("Access Modes", "string", lambda obj, _now: ",".join(find(obj, ".status.accessModes") or ())),
        _text("StorageClass", ".spec.storageClassName", default=""),
        _AGE,
    ),
    "events": _EVENT,
    "events.events.k8s.io": _EVENT,
    "leases.coordination.k8s.io": (_NAME, _text("Holder", ".spec.holderIdentity", default=""), _AGE),
    "customresourcedefinitions.apiextensions.k8s.io": (_NAME, _CREATED),
    "roles.rbac.authorization.k8s.io": (_NAME, _CREATED),
    "clusterroles.rbac.authorization.k8s.io": (_NAME, _CREATED),
    "rolebindings.rbac.authorization.k8s.io": (_NAME, Column("Role", "string", _role_of), _AGE),
    "clusterrolebindings.rbac.authorization.k8s.io": (_NAME, Column("Role", "string", _role_of), _AGE),
    "poddisruptionbudgets.policy": (
        _NAME,
        _text("Min Available", ".spec.minAvailable", default="N/A"),
        _text("Max Unavailable", ".spec.maxUnavailable", default="N/A"),
        _number("Allowed Disruptions", ".status.disruptionsAllowed"),
        _AGE,
    ),
    "horizontalpodautoscalers.autoscaling": (
        _NAME,
        Column("Reference", "string", autoscalers.reference),
        Column("Targets", "string", autoscalers.targets),
        _text("MinPods", ".spec.minReplicas", default="<unset>"),
        _text("MaxPods", ".spec.maxReplicas"),
        _text("Replicas", ".status.currentReplicas", default="0"),
        _AGE,
    ),
    "networkpolicies.networking.k8s.io": (
        _NAME,
        Column("Pod-Selector", "string", _selector(".spec.podSelector")),
        _AGE,
    ),
}
