"""The Service and EndpointSlices that publish an adapter, and the withdrawal of endpoints. Pure.

The Service is headless and has no selector: many adapters share a pod, so the operator itself lists the pods that
serve. As in Kubernetes' own controller, a slice holds up to 100 endpoints of one address family and one port, and its
name ends in a suffix, so that it cannot meet another object's. The suffix is a hash of the adapter's UID and the
slice's place: a write that is repeated after a crash meets its own slice.
"""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any, TypeVar, cast

import msgspec

from controller.api.labels import (
    ACTIVATOR_LABEL,
    BASE_MODEL,
    MANAGED_BY,
    MANAGER,
    MODEL_LABEL,
    NAME_LABEL,
    SERVICE_LABEL,
)
from controller.api.ownership import owner_reference
from controller.api.types import (
    Endpoint,
    EndpointPort,
    EndpointSlice,
    ModelAdapter,
    ObjectMeta,
    ObjectReference,
    Resource,
    Service,
    ServicePort,
    ServiceSpec,
    json_value,
)
from controller.cache.pod_view import PodView
from controller.reconcile.actions import Plan, PublishEndpoints, Write
from controller.reconcile.replica_state import AdapterPresence, ReplicaState
from controller.reconcile.snapshot import Snapshot
from controller.settings import ActivatorSettings

T = TypeVar("T", bound=Resource)

ENDPOINTS_PER_SLICE = 100
_DEFAULT_PORT = 8000
"""Port of a Service whose adapter has no pod yet."""


def publication(snapshot: Snapshot, pods: Sequence[PodView]) -> PublishEndpoints | None:
    """Return what has to be written so that exactly these pods are published; None if nothing has.

    Without pods it is the activator, for an adapter on demand.
    """
    adapter = snapshot.adapter
    service = snapshot.service
    current = {item.metadata.name: item for item in snapshot.slices}
    activator = None if pods else snapshot.activator
    if not pods and activator is None and service is None and not current:
        return None
    port = _service_port(pods, service)
    empty = _slice(adapter, ("IPv4", port, 0), ()) if activator is None else _activator_slice(adapter, activator)
    desired = slices_for(adapter, pods) or [empty]
    writes = [slice_write(item, current.get(item.metadata.name)) for item in desired]
    names = {item.metadata.name for item in desired}
    publish = PublishEndpoints(
        service=service_write(service_for(adapter, port), service),
        slices=tuple(write for write in writes if write is not None),
        obsolete=tuple(current[name] for name in sorted(current) if name not in names),
    )
    return publish if publish.service or publish.slices or publish.obsolete else None


def plan_withdrawal(snapshot: Snapshot, states: Mapping[str, ReplicaState], now: float) -> Plan | None:
    """Return the plan that withdraws endpoints which no longer serve; None if there are none.

    Requests to them fail. So this is a plan of its own, before every other: it waits neither for another write, which
    the API server may refuse or answer late, nor for a Secret that cannot be read. The rest is planned right after it.
    `states` are by pod name, and may be empty; then only the pods themselves count.
    """
    error = snapshot.publication_error
    if error is not None and error.withdrawal and error.retry_at > now:
        return None
    writes = [write for item in snapshot.slices if (write := _without_dead(snapshot, states, item)) is not None]
    if not writes:
        return None
    withdrawal = PublishEndpoints(service=None, slices=tuple(writes), withdrawal=True)
    return Plan((withdrawal,), selection=snapshot.selected, wake=now)


def _without_dead(
    snapshot: Snapshot, states: Mapping[str, ReplicaState], item: EndpointSlice
) -> Write[EndpointSlice] | None:
    """Return the write that takes dead endpoints out of a slice; None if it has none."""
    if ACTIVATOR_LABEL in item.metadata.labels:
        addresses = (snapshot.activator.ip,) if snapshot.activator is not None else ()
        alive = tuple(endpoint for endpoint in item.endpoints if endpoint.addresses == addresses)
    else:
        alive = tuple(endpoint for endpoint in item.endpoints if not _is_dead(snapshot, states, endpoint))
    if len(alive) == len(item.endpoints):
        return None
    return Write(
        msgspec.structs.replace(item, endpoints=alive), item, {"endpoints": [json_value(point) for point in alive]}
    )


def _is_dead(snapshot: Snapshot, states: Mapping[str, ReplicaState], endpoint: Endpoint) -> bool:
    """Return whether requests to an endpoint fail: no ready pod has its address, or the engine lacks the adapter.

    AIBrix's controller writes endpoints without `targetRef`: their pods are found by address.
    """
    target, addresses = endpoint.target_ref, set(endpoint.addresses)
    pods = snapshot.pods.values() if target is None else [view] if (view := snapshot.pods.get(target.name)) else []
    pod = next((pod for pod in pods if addresses <= set(pod.addresses.values())), None)
    if pod is None or not pod.available or (target is not None and target.uid != pod.uid):
        return True
    if snapshot.publication_error is not None and not _is_used(snapshot, pod.name):
        return True  # the publication, which would withdraw it, waits
    state = states.get(pod.name)
    return state is not None and state.presence in (AdapterPresence.GONE, AdapterPresence.ABSENT)


def _is_used(snapshot: Snapshot, pod: str) -> bool:
    """Return whether the adapter is or was meant to be on the pod, also by another operator."""
    return pod in snapshot.persisted.placements or pod in snapshot.selected or pod in snapshot.adapter.status.instances


def service_for(adapter: ModelAdapter, port: int) -> Service:
    """Return the desired Service of an adapter."""
    base = adapter.spec.base_model
    return Service(
        metadata=msgspec.structs.replace(
            _metadata(adapter, adapter.metadata.name), annotations={BASE_MODEL: base} if base else {}
        ),
        spec=ServiceSpec(
            type="ClusterIP",
            cluster_ip="None",
            ports=(ServicePort(name="http", port=port, protocol="TCP", target_port=port),),
        ),
    )


def slices_for(adapter: ModelAdapter, pods: Sequence[PodView]) -> list[EndpointSlice]:
    """Return the desired slices for these pods, by address family and port; none without pods."""
    slices = []
    for family, port in sorted({(family, pod.port) for pod in pods for family in pod.addresses}):
        members = [pod for pod in pods if pod.port == port and family in pod.addresses]
        for start in range(0, len(members), ENDPOINTS_PER_SLICE):
            endpoints = [_endpoint(pod, family) for pod in members[start : start + ENDPOINTS_PER_SLICE]]
            slices.append(_slice(adapter, (family, port, start // ENDPOINTS_PER_SLICE), endpoints))
    return slices


def write_to(current: T, desired: T) -> Write[T] | None:
    """Return the write that makes an existing Service or slice the desired one; None if it has all that is desired."""
    if isinstance(desired, Service):
        return cast("Write[T] | None", service_write(desired, cast("Service", current)))
    return cast("Write[T] | None", slice_write(cast("EndpointSlice", desired), cast("EndpointSlice", current)))


def service_write(desired: Service, current: Service | None) -> Write[Service] | None:
    """Return the write that makes `current` the desired Service; None if it has all that is desired.

    A selector would publish pods without the adapter, and `publishNotReadyAddresses` pods that do not serve: both are
    taken back, as are ports and type.
    """
    if current is None:
        return Write(desired)
    spec, want = current.spec, desired.spec
    metadata = _metadata_patch(desired.metadata, current.metadata)
    differs = spec != msgspec.structs.replace(want, cluster_ip=spec.cluster_ip)
    if not metadata and not differs:
        return None
    patch = json_value(want) | {"selector": None, "publishNotReadyAddresses": False, "externalName": None}
    return Write(desired, current, {"metadata": metadata, "spec": patch if differs else {}})


def leftovers(service: Service) -> str:
    """Return the warning about a Service that was given a selector.

    Kubernetes' controllers publish the pods that it matches at once. They leave these endpoints behind when the
    selector is taken back, and never update them; they belong to the Service, not to this operator.
    """
    name = service.metadata.name
    made = f"{SERVICE_LABEL}={name},{MANAGED_BY}!={MANAGER}"
    return (
        f"Service {name} got a selector, which publishes pods without the adapter; it is taken back. What Kubernetes "
        f"has published stays: kubectl delete endpoints {name}; kubectl delete endpointslices -l '{made}'"
    )


def slice_write(desired: EndpointSlice, current: EndpointSlice | None) -> Write[EndpointSlice] | None:
    """Return the write that makes `current` the desired slice; None if it has all that is desired."""
    if current is None:
        return Write(desired)
    patch: dict[str, Any] = {}
    if metadata := _metadata_patch(desired.metadata, current.metadata):
        patch["metadata"] = metadata
    for name in ("endpoints", "ports"):
        items = getattr(desired, name)
        if items != getattr(current, name):
            patch[name] = [json_value(item) for item in items]
    return Write(desired, current, patch) if patch else None


def _metadata_patch(desired: ObjectMeta, current: ObjectMeta) -> dict[str, Any]:
    """Return the merge patch that adds the labels, annotations and owner that `current` lacks."""
    patch: dict[str, Any] = {}
    if not desired.labels.items() <= current.labels.items():
        patch["labels"] = desired.labels
    if not desired.annotations.items() <= current.annotations.items():
        patch["annotations"] = desired.annotations
    (owner,) = desired.owner_references
    if owner.uid not in {item.uid for item in current.owner_references}:
        patch["ownerReferences"] = [json_value(item) for item in (*current.owner_references, owner)]
    return patch


def _service_port(pods: Sequence[PodView], service: Service | None) -> int:
    """Return the port of the Service: it stays while a pod has it; else it is the smallest of the pods' ports."""
    current = service.spec.ports[0].port if service is not None and service.spec.ports else 0
    ports = {pod.port for pod in pods}
    if current and (current in ports or not ports):
        return current
    return min(ports, default=_DEFAULT_PORT)


def _slice(adapter: ModelAdapter, place: tuple[str, int, int], endpoints: Sequence[Endpoint]) -> EndpointSlice:
    """Return a slice; `place` is its address family, port and number."""
    family, port, _ = place
    name = adapter.metadata.name
    digest = sha256(f"{adapter.metadata.uid} {place}".encode()).hexdigest()
    metadata = _metadata(adapter, f"{name}-{digest[:8]}")
    return EndpointSlice(
        metadata=msgspec.structs.replace(metadata, labels=metadata.labels | {SERVICE_LABEL: name, MANAGED_BY: MANAGER}),
        address_type=family,
        endpoints=tuple(endpoints),
        ports=(EndpointPort(name="http", port=port, protocol="TCP"),),
    )


def _activator_slice(adapter: ModelAdapter, activator: ActivatorSettings) -> EndpointSlice:
    """Return the slice that publishes the activator; its label tells it from those of pods."""
    family = "IPv6" if ":" in activator.ip else "IPv4"
    made = _slice(adapter, (f"{family} activator", activator.port, 0), [Endpoint(addresses=(activator.ip,))])
    labels = made.metadata.labels | {ACTIVATOR_LABEL: "true"}
    return msgspec.structs.replace(
        made, metadata=msgspec.structs.replace(made.metadata, labels=labels), address_type=family
    )


def _metadata(adapter: ModelAdapter, name: str) -> ObjectMeta:
    adapter_name = adapter.metadata.name
    return ObjectMeta(
        name=name,
        namespace=adapter.metadata.namespace,
        labels={NAME_LABEL: adapter_name, MODEL_LABEL: adapter_name},
        owner_references=(owner_reference(adapter),),
    )


def _endpoint(pod: PodView, family: str) -> Endpoint:
    return Endpoint(
        addresses=(pod.addresses[family],),
        target_ref=ObjectReference(kind="Pod", namespace=pod.namespace, name=pod.name, uid=pod.uid),
        node_name=pod.node or None,
        zone=pod.zone or None,
    )
