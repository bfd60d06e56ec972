"""The Kubernetes objects that the controller reads and writes, as frozen structs.

Each struct has only the fields that the controller uses; other fields are dropped when an object is decoded. Therefore
no object is ever PUT: the controller patches. Frozen structs are shared between the cache and its readers without a
copy. `Kind` is a struct's place in the API; `KINDS` lists all of them.
"""

from datetime import datetime
from typing import Any, Generic, TypeVar, cast

import msgspec

GROUP = "model.aibrix.ai"
"""API group of AIBrix, so that its manifests can be used unchanged."""


class _Object(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Base of all structs: camelCase in JSON, defaults omitted."""


class OwnerReference(_Object, frozen=True, kw_only=True):
    api_version: str
    kind: str
    name: str
    uid: str
    controller: bool = False
    block_owner_deletion: bool = False


class ObjectMeta(_Object, frozen=True, kw_only=True):
    """The fields of `metadata` that the controller uses."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    creation_timestamp: datetime | None = None
    deletion_timestamp: datetime | None = None
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    finalizers: tuple[str, ...] = ()
    owner_references: tuple[OwnerReference, ...] = ()


class Resource(_Object, frozen=True, kw_only=True):
    """Base of all kinds."""

    metadata: ObjectMeta = ObjectMeta()

    @property
    def key(self) -> str:
        """`namespace/name`, or `name` for a kind without namespaces."""
        meta = self.metadata
        return f"{meta.namespace}/{meta.name}" if meta.namespace else meta.name


class Condition(_Object, frozen=True, kw_only=True):
    """A condition in the standard shape (metav1.Condition); pods use the same without generation."""

    type: str
    status: str
    reason: str = ""
    message: str = ""
    last_transition_time: datetime | None = None
    observed_generation: int = 0


# -- ModelAdapter


class LabelSelectorRequirement(_Object, frozen=True, kw_only=True):
    key: str
    operator: str
    values: tuple[str, ...] = ()


class LabelSelector(_Object, frozen=True, kw_only=True):
    match_labels: dict[str, str] = {}
    match_expressions: tuple[LabelSelectorRequirement, ...] = ()


class LocalReference(_Object, frozen=True, kw_only=True):
    name: str = ""


class SecretKeyReference(_Object, frozen=True, kw_only=True):
    name: str
    key: str


class AutoscalingTarget(_Object, frozen=True, kw_only=True):
    concurrency: float
    """Requests in flight per replica."""


class StabilizationWindow(_Object, frozen=True, kw_only=True):
    stabilization_window_seconds: float


class Autoscaling(_Object, frozen=True, kw_only=True):
    """Replicas by demand."""

    max: int
    target: AutoscalingTarget
    min: int = 1
    scale_up: StabilizationWindow = StabilizationWindow(stabilization_window_seconds=30)
    scale_down: StabilizationWindow = StabilizationWindow(stabilization_window_seconds=300)
    cooldown_seconds: float = 30
    priority: int = 0


class Activation(_Object, frozen=True, kw_only=True):
    """When an adapter is loaded."""

    mode: str = "Always"
    """`Always`, or `OnDemand`."""
    idle_seconds: float = 600
    """Time without a request after which an adapter on demand is unloaded."""


class ModelAdapterSpec(_Object, frozen=True, kw_only=True):
    pod_selector: LabelSelector
    artifact_url: str = msgspec.field(name="artifactURL")
    base_model: str = ""
    scheduler_name: str = "default"
    replicas: int | None = None
    credentials_secret_ref: LocalReference | None = None
    additional_config: dict[str, str] = {}
    api_key_secret_ref: SecretKeyReference | None = None
    autoscaling: Autoscaling | None = None
    activation: Activation = Activation()
    pinned: bool = False
    """True if no replica is ever moved to another pod that is as good, or unloaded when idle."""

    @property
    def on_demand(self) -> bool:
        """True if the first request loads the adapter."""
        return self.activation.mode == "OnDemand" and self.replicas != 0


class ArtifactStatus(_Object, frozen=True, kw_only=True):
    """Facts about an artifact; 0 or empty if unknown."""

    hash: str = ""
    """Short hash of the artifact whose facts these are, see `spec.artifact_of`."""
    rank: int = 0
    """Largest rank of its weights."""
    size_bytes: int = 0
    """Size of its weights."""
    target_modules: tuple[str, ...] = ()
    base_model: str = ""
    """Model that it was trained on, as its configuration names it."""
    source: str = ""
    """`Artifact` or `Spec`."""


class ModelAdapterStatus(_Object, frozen=True, kw_only=True):
    phase: str = ""
    conditions: tuple[Condition, ...] = ()
    instances: tuple[str, ...] = ()
    candidates: int = 0
    desired_replicas: int = 0
    ready_replicas: int = 0
    selector: str = ""
    """Selector of the pods that may hold the adapter, as text: autoscalers read it through the scale subresource."""
    artifact: ArtifactStatus | None = None
    """None if nothing is known about the artifact."""


class ModelAdapter(Resource, frozen=True, kw_only=True):
    spec: ModelAdapterSpec
    status: ModelAdapterStatus = ModelAdapterStatus()


class ScaleSpec(_Object, frozen=True, kw_only=True):
    replicas: int = 0


class ScaleStatus(_Object, frozen=True, kw_only=True):
    replicas: int = 0
    selector: str = ""


class Scale(Resource, frozen=True, kw_only=True):
    """Subresource for `kubectl scale` and autoscalers."""

    spec: ScaleSpec = ScaleSpec()
    status: ScaleStatus = ScaleStatus()


# -- Pods and nodes


class EnvVar(_Object, frozen=True, kw_only=True):
    """A variable of a container; `value` is None if it comes from elsewhere (`valueFrom`)."""

    name: str
    value: str | None = None


class ContainerPort(_Object, frozen=True, kw_only=True):
    container_port: int


class Resources(_Object, frozen=True, kw_only=True):
    limits: dict[str, str | int | float] = {}
    requests: dict[str, str | int | float] = {}


class Container(_Object, frozen=True, kw_only=True):
    name: str
    image: str = ""
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    env: tuple[EnvVar, ...] = ()
    ports: tuple[ContainerPort, ...] = ()
    resources: Resources = Resources()
    restart_policy: str = ""
    """`Always` makes an init container a native sidecar."""


class PodSpec(_Object, frozen=True, kw_only=True):
    containers: tuple[Container, ...] = ()
    init_containers: tuple[Container, ...] = ()
    node_name: str = ""


class ContainerStatus(_Object, frozen=True, kw_only=True):
    name: str
    container_id: str = msgspec.field(name="containerID", default="")
    restart_count: int = 0
    ready: bool = False


class PodIP(_Object, frozen=True, kw_only=True):
    ip: str


class PodStatus(_Object, frozen=True, kw_only=True):
    phase: str = ""
    conditions: tuple[Condition, ...] = ()
    pod_ip: str = msgspec.field(name="podIP", default="")
    pod_ips: tuple[PodIP, ...] = msgspec.field(name="podIPs", default=())
    container_statuses: tuple[ContainerStatus, ...] = ()


class Pod(Resource, frozen=True, kw_only=True):
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()


class Node(Resource, frozen=True, kw_only=True):
    """Used for its labels: the zone."""


# -- Service discovery


class ServicePort(_Object, frozen=True, kw_only=True):
    port: int
    name: str = ""
    protocol: str = "TCP"
    target_port: int | str | None = None


class ServiceSpec(_Object, frozen=True, kw_only=True):
    type: str = ""
    ports: tuple[ServicePort, ...] = ()
    selector: dict[str, str] = {}
    cluster_ip: str = msgspec.field(name="clusterIP", default="")
    publish_not_ready_addresses: bool = False


class Service(Resource, frozen=True, kw_only=True):
    spec: ServiceSpec = ServiceSpec()


class EndpointConditions(_Object, frozen=True, kw_only=True, omit_defaults=False):
    ready: bool = True
    serving: bool = True
    terminating: bool = False


class ObjectReference(_Object, frozen=True, kw_only=True):
    api_version: str = ""
    kind: str = ""
    name: str = ""
    namespace: str = ""
    uid: str = ""


class Endpoint(_Object, frozen=True, kw_only=True):
    addresses: tuple[str, ...]
    conditions: EndpointConditions = msgspec.field(default_factory=EndpointConditions)  # always written
    target_ref: ObjectReference | None = None
    node_name: str | None = None
    zone: str | None = None


class EndpointPort(_Object, frozen=True, kw_only=True):
    name: str = ""
    port: int | None = None
    protocol: str = "TCP"


class EndpointSlice(Resource, frozen=True, kw_only=True):
    address_type: str = ""
    endpoints: tuple[Endpoint, ...] = ()
    ports: tuple[EndpointPort, ...] = ()


# -- Secrets, events, leases


class Secret(Resource, frozen=True, kw_only=True):
    """`data` is decoded from base64; the repr contains no value."""

    data: dict[str, bytes] = {}

    def __repr__(self) -> str:
        return f"Secret({self.key}, keys={sorted(self.data)})"


class EventSeries(_Object, frozen=True, kw_only=True):
    count: int
    last_observed_time: str


class Event(Resource, frozen=True, kw_only=True):
    """`events.k8s.io/v1`; times are RFC 3339 text with microseconds, as MicroTime demands."""

    event_time: str | None = None
    series: EventSeries | None = None
    reporting_controller: str = ""
    reporting_instance: str = ""
    action: str = ""
    reason: str = ""
    regarding: ObjectReference = ObjectReference()
    note: str = ""
    type: str = ""
    """`Normal` or `Warning`."""


class LeaseSpec(_Object, frozen=True, kw_only=True):
    holder_identity: str = ""
    lease_duration_seconds: int = 0
    acquire_time: str | None = None
    renew_time: str | None = None
    lease_transitions: int = 0


class Lease(Resource, frozen=True, kw_only=True):
    spec: LeaseSpec = LeaseSpec()


# -- Kinds

T = TypeVar("T", bound=Resource)


def json_value(value: msgspec.Struct) -> dict[str, Any]:
    """Return a struct as JSON data: tuples are lists, times and bytes are text."""
    body: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(value))
    return body


_SET_BY_SERVER = frozenset({"uid", "resourceVersion", "creationTimestamp", "deletionTimestamp", "generation"})


class Kind(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """Place of one struct's objects in the API."""

    type: type[T]
    kind: str
    plural: str
    group: str = ""
    version: str = "v1"
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    def decode(self, raw: object) -> T:
        """Return the struct for a JSON value (a dict); unknown fields are dropped."""
        return msgspec.convert(raw, self.type)

    def encode(self, obj: T) -> dict[str, Any]:
        """Return a JSON value with `apiVersion` and `kind`; defaults and unset times are omitted."""
        return {"apiVersion": self.api_version, "kind": self.kind, **json_value(obj)}

    def desired(self, obj: T) -> dict[str, Any]:
        """Return the value for a create or an apply: `encode` without the fields that the server sets."""
        body = self.encode(obj)
        meta = {key: value for key, value in body.get("metadata", {}).items() if key not in _SET_BY_SERVER}
        return {**body, "metadata": meta}

    def bookmark(self, resource_version: str) -> T:
        """Return the object of a watch's BOOKMARK, in which only the version has a meaning."""
        return cast("T", Resource(metadata=ObjectMeta(resource_version=resource_version)))


MODEL_ADAPTERS = Kind(type=ModelAdapter, group=GROUP, version="v1alpha1", kind="ModelAdapter", plural="modeladapters")
SCALES = Kind(type=Scale, group=GROUP, version="v1alpha1", kind="Scale", plural=MODEL_ADAPTERS.plural)
"""Subresource `scale` of an adapter; its objects have the apiVersion `autoscaling/v1`."""
PODS = Kind(type=Pod, kind="Pod", plural="pods")
NODES = Kind(type=Node, kind="Node", plural="nodes", namespaced=False)
SERVICES = Kind(type=Service, kind="Service", plural="services")
ENDPOINT_SLICES = Kind(type=EndpointSlice, group="discovery.k8s.io", kind="EndpointSlice", plural="endpointslices")
SECRETS = Kind(type=Secret, kind="Secret", plural="secrets")
EVENTS = Kind(type=Event, group="events.k8s.io", kind="Event", plural="events")
LEASES = Kind(type=Lease, group="coordination.k8s.io", kind="Lease", plural="leases")
KINDS: tuple[Kind[Any], ...] = (
    MODEL_ADAPTERS,
    PODS,
    NODES,
    SERVICES,
    ENDPOINT_SLICES,
    SECRETS,
    EVENTS,
    LEASES,
)
