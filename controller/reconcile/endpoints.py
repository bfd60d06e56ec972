"""The Service and the EndpointSlices under which an adapter is reached. Pure: objects in, objects out.

The Service is headless and has no selector, because many adapters share a pod: the operator says itself which pods
serve. Slices are filled to 100 endpoints, as Kubernetes' own controller does.
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

ENDPOINTS_PER_SLICE = 100


def service_for(adapter: ModelAdapter, port: int) -> Service:
    """The adapter's Service as it should be."""
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
    """The slices that name these pods: at least one, so that an adapter that nobody serves says so."""
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


def same_service(wanted: Service, present: Service | None) -> bool:
    """Whether the present one already says what is wanted."""
    return present is not None and _holds(wanted.metadata, present.metadata) and present.spec.ports == wanted.spec.ports


def same_slice(wanted: EndpointSlice, present: EndpointSlice | None) -> bool:
    return (
        present is not None
        and _holds(wanted.metadata, present.metadata)
        and present.endpoints == wanted.endpoints
        and present.ports == wanted.ports
    )


def named(slices: Sequence[EndpointSlice]) -> frozenset[str]:
    """Names of the pods that the slices publish."""
    return frozenset(
        endpoint.target_ref.name for item in slices for endpoint in item.endpoints if endpoint.target_ref is not None
    )


def _holds(wanted: ObjectMeta, present: ObjectMeta) -> bool:
    return (
        wanted.labels.items() <= present.labels.items()
        and wanted.annotations.items() <= present.annotations.items()
        and {owner.uid for owner in wanted.owner_references} <= {owner.uid for owner in present.owner_references}
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
