"""Objects that AIBrix's controller leaves in a cluster; not a test."""

from typing import Any

from controller.api.labels import SERVICE_LABEL
from controller.api.types import ENDPOINT_SLICES, MODEL_ADAPTERS, SERVICES
from tests.contract.cluster import FINALIZER, Cluster
from twin.apiserver import Object

_PORT = {"name": "http", "port": 8000, "protocol": "TCP"}


def lax(definition: Object) -> Object:
    """Return a definition of ModelAdapter without rules, as AIBrix's is."""
    (version,) = definition["spec"]["versions"]
    schema: Any = version["schema"]["openAPIV3Schema"]
    rest = {key: value for key, value in schema.items() if key != "x-kubernetes-validations"}
    versions = [{**version, "schema": {"openAPIV3Schema": rest}}]
    return {**definition, "spec": {**definition["spec"], "versions": versions}}


async def as_aibrix_leaves_it(cluster: Cluster, name: str, pod: str) -> None:
    """Create an adapter with the finalizer, status, Service and slice of AIBrix's controller."""
    world = cluster.world
    stored = await cluster.add_adapter(name, finalizers=[FINALIZER])
    condition = {"type": "Initialized", "status": "Unknown", "reason": "ModelAdapterPending", "message": "Starting"}
    dated = {**condition, "lastTransitionTime": "2026-01-01T00:00:00Z"}
    status = {"phase": "Running", "instances": [pod], "candidates": 2, "conditions": [dated]}
    await world.patch(MODEL_ADAPTERS, name, {"status": status}, "status")
    if "." in name:
        return  # no Service can have it
    spec = {"clusterIP": "None", "ports": [_PORT], "publishNotReadyAddresses": True}
    await world.create(SERVICES, {"metadata": {"name": name, "ownerReferences": _owners(stored)}, "spec": spec})
    await write_slice(cluster, name)


async def write_slice(cluster: Cluster, name: str) -> None:
    """Create AIBrix's slice of an adapter, which has the adapter's name and no label of a manager."""
    world = cluster.world
    owners = _owners(await world.read(MODEL_ADAPTERS, name))
    metadata = {"name": name, "labels": {SERVICE_LABEL: name}, "ownerReferences": owners}
    points = [{"addresses": ["10.0.0.1"]}]
    await world.create(
        ENDPOINT_SLICES, {"metadata": metadata, "addressType": "IPv4", "endpoints": points, "ports": [_PORT]}
    )


def _owners(adapter: Object) -> list[Object]:
    meta = adapter["metadata"]
    owner = {"apiVersion": "model.aibrix.ai/v1alpha1", "kind": "ModelAdapter", "name": meta["name"], "uid": meta["uid"]}
    return [{**owner, "controller": True, "blockOwnerDeletion": True}]
