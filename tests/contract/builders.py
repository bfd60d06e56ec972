"""Minimal valid objects for the contract tests."""

from typing import Any

from controller.api.types import (
    Endpoint,
    EndpointPort,
    EndpointSlice,
    LabelSelector,
    Lease,
    LeaseSpec,
    ModelAdapter,
    ModelAdapterSpec,
    ObjectMeta,
    Secret,
    Service,
    ServicePort,
    ServiceSpec,
)
from tests.contract.worlds import World

TIMESTAMP = "2026-01-01T00:00:00.000000Z"


def an_adapter(world: World, name: str = "sql", *, url: str = "hf://acme/sql", **meta: Any) -> ModelAdapter:
    spec = ModelAdapterSpec(pod_selector=LabelSelector(match_labels={"app": "qwen"}), artifact_url=url)
    return ModelAdapter(metadata=ObjectMeta(name=name, namespace=world.namespace, **meta), spec=spec)


def a_secret(world: World, name: str = "key", **meta: Any) -> Secret:
    return Secret(metadata=ObjectMeta(name=name, namespace=world.namespace, **meta), data={"api-key": b"k"})


def a_lease(world: World, name: str = "lock", holder: str = "a", **meta: Any) -> Lease:
    spec = LeaseSpec(holder_identity=holder, lease_duration_seconds=15, acquire_time=TIMESTAMP, renew_time=TIMESTAMP)
    return Lease(metadata=ObjectMeta(name=name, namespace=world.namespace, **meta), spec=spec)


def a_service(world: World, name: str = "sql", port: int = 8000) -> Service:
    spec = ServiceSpec(cluster_ip="None", ports=(ServicePort(name="http", port=port, target_port=port),))
    return Service(metadata=ObjectMeta(name=name, namespace=world.namespace), spec=spec)


def a_slice(world: World, *addresses: str, name: str = "sql-0") -> EndpointSlice:
    return EndpointSlice(
        metadata=ObjectMeta(name=name, namespace=world.namespace, labels={"kubernetes.io/service-name": "sql"}),
        address_type="IPv4",
        endpoints=tuple(Endpoint(addresses=(address,)) for address in addresses),
        ports=(EndpointPort(name="http", port=8000),),
    )


def a_pod(name: str = "qwen-0", **labels: str) -> dict[str, Any]:
    """Return a pod as JSON: the operator does not create pods."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": labels},
        "spec": {"containers": [{"name": "engine", "image": "vllm/vllm-openai:v1"}]},
    }
