"""The Service and EndpointSlices that publish an adapter. Pure: objects in, objects out.

The Service is headless and has no selector: many adapters share a pod, so the operator itself lists the pods that
serve. Slices hold up to 100 endpoints, as Kubernetes' own controller makes them.
"""

from collections.abc import Sequence

import msgspec

from controller.api.labels import BASE_MODEL, MANAGED_BY, MANAGER, MODEL_LABEL, NAME_LABEL, SERVICE_LABEL
from controller.api.types import (
    GROUP,
    Endpoint,
    EndpointPort,
    EndpointSlice,
    ModelAdapter,
    ObjectMeta,
    ObjectReference,
    OwnerReference,
    Service,
    ServicePort,
    ServiceSpec,
)
from controller.cache.pod_view import PodView
from controller.reconcile.actions import PublishEndpoints
from controller.reconcile.snapshot import Snapshot

ENDPOINTS_PER_SLICE = 100
_DEFAULT_PORT = 8000
"""Port of a Service whose adapter has no pod yet."""


def publication(snapshot: Snapshot, pods: Sequence[PodView]) -> PublishEndpoints | None:
    """Return what has to be written so that exactly these pods are published; None if nothing has."""
    if not pods and snapshot.service is None and not snapshot.slices:
        return None
    port = pods[0].port if pods else (snapshot.service.spec.ports[0].port if snapshot.service else _DEFAULT_PORT)
    service = service_for(snapshot.adapter, port)
    desired = slices_for(snapshot.adapter, pods, port)
    current = {item.metadata.name: item for item in snapshot.slices}
    stale = tuple(item for item in desired if not same_slice(item, current.get(item.metadata.name)))
    obsolete = tuple(sorted(set(current) - {item.metadata.name for item in desired}))
    missing = None if same_service(service, snapshot.service) else service
    return PublishEndpoints(missing, stale, obsolete) if missing or stale or obsolete else None


def service_for(adapter: ModelAdapter, port: int) -> Service:
    """Return the desired Service of an adapter."""
    base = adapter.spec.base_model
    return Service(
        metadata=msgspec.structs.replace(
            _metadata(adapter, adapter.metadata.name), annotations={BASE_MODEL: base} if base else {}
        ),
        spec=ServiceSpec(
            cluster_ip="None",
            publish_not_ready_addresses=False,
            ports=(ServicePort(name="http", port=port, protocol="TCP", target_port=port),),
        ),
    )


def slices_for(adapter: ModelAdapter, pods: Sequence[PodView], port: int) -> list[EndpointSlice]:
    """Return the desired slices for these pods: at least one, which is empty if there are no pods."""
    name = adapter.metadata.name
    slices = []
    for family in ("IPv4", "IPv6"):
        members = [pod for pod in pods if (":" in pod.ip) == (family == "IPv6")]
        if not members and (family == "IPv6" or len(pods) > 0):
            continue
        for start in range(0, max(len(members), 1), ENDPOINTS_PER_SLICE):
            number = start // ENDPOINTS_PER_SLICE
            suffix = ("" if family == "IPv4" else "-v6") + (f"-{number}" if number else "")
            metadata = _metadata(adapter, name + suffix)
            labels = metadata.labels | {SERVICE_LABEL: name, MANAGED_BY: MANAGER}
            slices.append(
                EndpointSlice(
                    metadata=msgspec.structs.replace(metadata, labels=labels),
                    address_type=family,
                    endpoints=tuple(_endpoint(pod) for pod in members[start : start + ENDPOINTS_PER_SLICE]),
                    ports=(EndpointPort(name="http", port=port, protocol="TCP"),),
                )
            )
    return slices


def same_service(desired: Service, current: Service | None) -> bool:
    """Return whether the current Service has all that is desired."""
    if current is None:
        return False
    return _includes(current.metadata, desired.metadata) and current.spec.ports == desired.spec.ports


def same_slice(desired: EndpointSlice, current: EndpointSlice | None) -> bool:
    """Return whether the current slice has all that is desired."""
    return (
        current is not None
        and _includes(current.metadata, desired.metadata)
        and current.endpoints == desired.endpoints
        and current.ports == desired.ports
    )


def _includes(current: ObjectMeta, desired: ObjectMeta) -> bool:
    """Return whether `current` has all labels, annotations and owners of `desired`."""
    return (
        desired.labels.items() <= current.labels.items()
        and desired.annotations.items() <= current.annotations.items()
        and {owner.uid for owner in desired.owner_references} <= {owner.uid for owner in current.owner_references}
    )


def _metadata(adapter: ModelAdapter, name: str) -> ObjectMeta:
    adapter_name = adapter.metadata.name
    owner = OwnerReference(
        api_version=f"{GROUP}/v1alpha1",
        kind="ModelAdapter",
        name=adapter_name,
        uid=adapter.metadata.uid,
        controller=True,
        block_owner_deletion=True,
    )
    return ObjectMeta(
        name=name,
        namespace=adapter.metadata.namespace,
        labels={NAME_LABEL: adapter_name, MODEL_LABEL: adapter_name},
        owner_references=(owner,),
    )


def _endpoint(pod: PodView) -> Endpoint:
    return Endpoint(
        addresses=(pod.ip,),
        target_ref=ObjectReference(kind="Pod", namespace=pod.namespace, name=pod.name, uid=pod.uid),
        node_name=pod.node or None,
        zone=pod.zone or None,
    )
