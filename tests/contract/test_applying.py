"""Contract: server-side apply, as `kubectl apply --server-side` and GitOps controllers use it."""

import msgspec
import pytest

from controller.api.types import ENDPOINT_SLICES, MODEL_ADAPTERS, SERVICES, OwnerReference, Service
from controller.client.interface import Conflict, Invalid, NotFound
from tests.contract.builders import a_service, a_slice, an_adapter
from tests.contract.worlds import World


async def test_apply_creates_a_missing_object(world: World) -> None:
    applied = await world.apply(SERVICES, a_service(world))
    assert applied.metadata.uid
    assert applied.spec.ports[0].port == 8000


async def test_apply_changes_an_existing_object(world: World) -> None:
    first = await world.apply(SERVICES, a_service(world))
    second = await world.apply(SERVICES, a_service(world, port=9000))
    assert second.metadata.uid == first.metadata.uid
    assert [port.port for port in second.spec.ports] == [9000]


async def test_repeating_an_apply_is_not_a_new_version(world: World) -> None:
    first = await world.apply(ENDPOINT_SLICES, a_slice(world, "10.0.0.1"))
    second = await world.apply(ENDPOINT_SLICES, a_slice(world, "10.0.0.1"))
    assert second.metadata.resource_version == first.metadata.resource_version


async def test_apply_removes_fields_that_it_no_longer_sets(world: World) -> None:
    with_label = a_service(world)
    meta = msgspec.structs.replace(with_label.metadata, labels={"a": "1"})
    await world.apply(SERVICES, msgspec.structs.replace(with_label, metadata=meta))
    await world.patch(SERVICES, "sql", {"metadata": {"labels": {"b": "2"}}})
    applied = await world.apply(SERVICES, a_service(world))
    assert applied.metadata.labels == {"b": "2"}


async def test_endpoints_are_replaced_as_a_whole(world: World) -> None:
    await world.apply(ENDPOINT_SLICES, a_slice(world, "10.0.0.1", "10.0.0.2"))
    applied = await world.apply(ENDPOINT_SLICES, a_slice(world, "10.0.0.3"))
    assert [endpoint.addresses for endpoint in applied.endpoints] == [("10.0.0.3",)]


async def test_a_slice_can_be_emptied(world: World) -> None:
    await world.apply(ENDPOINT_SLICES, a_slice(world, "10.0.0.1"))
    applied = await world.apply(ENDPOINT_SLICES, a_slice(world))
    assert applied.endpoints == ()
    listed = await world.client.list(ENDPOINT_SLICES, namespace=world.namespace)
    assert [item.endpoints for item in listed.items] == [()]


def labelled(world: World, team: str) -> Service:
    service = a_service(world)
    return msgspec.structs.replace(service, metadata=msgspec.structs.replace(service.metadata, labels={"team": team}))


async def test_apply_takes_over_from_others_by_force_alone(world: World) -> None:
    await world.apply(SERVICES, labelled(world, "theirs"), manager="theirs")
    with pytest.raises(Conflict, match="conflict"):
        await world.apply(SERVICES, labelled(world, "ours"), manager="ours", force=False)
    applied = await world.apply(SERVICES, labelled(world, "ours"), manager="ours")
    assert applied.metadata.labels == {"team": "ours"}


async def test_applied_fields_belong_to_their_manager(world: World) -> None:
    await world.apply(SERVICES, a_service(world), manager="ours")
    stored = await world.read(SERVICES, "sql")
    owners = {(entry["manager"], entry["operation"]) for entry in stored["metadata"]["managedFields"]}
    assert ("ours", "Apply") in owners


async def test_apply_sets_an_owner(world: World) -> None:
    adapter = await world.client.create(MODEL_ADAPTERS, an_adapter(world))
    owner = OwnerReference(
        api_version="model.aibrix.ai/v1alpha1",
        kind="ModelAdapter",
        name="sql",
        uid=adapter.metadata.uid,
        controller=True,
        block_owner_deletion=True,
    )
    service = a_service(world)
    meta = msgspec.structs.replace(service.metadata, owner_references=(owner,))
    applied = await world.apply(SERVICES, msgspec.structs.replace(service, metadata=meta))
    assert applied.metadata.owner_references == (owner,)


async def test_apply_works_on_custom_resources(world: World) -> None:
    await world.apply(MODEL_ADAPTERS, an_adapter(world, annotations={"a": "1"}))
    applied = await world.apply(MODEL_ADAPTERS, an_adapter(world, url="hf://acme/other"))
    assert applied.spec.artifact_url == "hf://acme/other"
    assert applied.metadata.annotations == {}
    assert applied.metadata.generation == 2


async def test_apply_obeys_the_rules_of_the_crd(world: World) -> None:
    with pytest.raises(Invalid, match=r"spec.artifactURL"):
        await world.apply(MODEL_ADAPTERS, an_adapter(world, url="ftp://acme/sql"))


async def test_apply_in_a_missing_namespace_is_not_found(world: World) -> None:
    service = a_service(world)
    elsewhere = msgspec.structs.replace(service.metadata, namespace="nowhere")
    with pytest.raises(NotFound):
        await world.apply(SERVICES, msgspec.structs.replace(service, metadata=elsewhere))


async def test_a_slice_that_breaks_a_rule_is_invalid(world: World) -> None:
    with pytest.raises(Invalid, match="endpoints"):
        await world.apply(ENDPOINT_SLICES, a_slice(world, "not-an-address"))
