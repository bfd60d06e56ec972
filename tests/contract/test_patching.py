"""Contract: `patch`, of an object and of its subresources."""

import asyncio

import pytest

from controller.api.types import LEASES, MODEL_ADAPTERS, SCALES, ModelAdapter
from controller.client.interface import ClientError, Conflict, Invalid, NotFound
from tests.contract.builders import a_lease, an_adapter
from tests.contract.worlds import World


async def _created(world: World, **meta: object) -> ModelAdapter:
    return await world.client.create(MODEL_ADAPTERS, an_adapter(world, **meta))


async def _patch(world: World, body: dict[str, object], **how: object) -> ModelAdapter:
    return await world.client.patch(MODEL_ADAPTERS, world.namespace, "sql", body, **how)  # type: ignore[arg-type]


async def test_a_patch_adds_and_keeps_and_deletes_keys(world: World) -> None:
    await _created(world, annotations={"a": "1", "b": "2"})
    patched = await _patch(world, {"metadata": {"annotations": {"a": None, "c": "3"}}})
    assert patched.metadata.annotations == {"b": "2", "c": "3"}


async def test_a_patch_replaces_lists(world: World) -> None:
    await _created(world, finalizers=("example.com/a", "example.com/b"))
    patched = await _patch(world, {"metadata": {"finalizers": ["example.com/c"]}})
    assert patched.metadata.finalizers == ("example.com/c",)
    await _patch(world, {"metadata": {"finalizers": None}})


async def test_a_change_of_the_spec_is_a_new_generation(world: World) -> None:
    created = await _created(world)
    patched = await _patch(world, {"spec": {"replicas": 2}})
    assert patched.metadata.generation == 2
    assert int(patched.metadata.resource_version) > int(created.metadata.resource_version)
    assert patched.metadata.uid == created.metadata.uid


async def test_a_change_of_metadata_or_status_is_not_a_new_generation(world: World) -> None:
    await _created(world)
    await _patch(world, {"metadata": {"annotations": {"a": "1"}}})
    patched = await _patch(world, {"status": {"phase": "Pending"}}, subresource="status")
    assert patched.metadata.generation == 1


async def test_a_patch_without_changes_is_not_a_new_version(world: World) -> None:
    created = await _created(world, annotations={"a": "1"})
    patched = await _patch(world, {"metadata": {"annotations": {"a": "1"}}})
    assert patched.metadata.resource_version == created.metadata.resource_version


async def test_a_patch_of_a_missing_object_is_not_found(world: World) -> None:
    with pytest.raises(NotFound):
        await _patch(world, {"metadata": {"annotations": {"a": "1"}}})
    with pytest.raises(NotFound):
        await _patch(world, {"status": {"phase": "Pending"}}, subresource="status")


async def test_a_patch_made_from_the_latest_version_is_accepted(world: World) -> None:
    created = await _created(world)
    patched = await _patch(world, {"spec": {"replicas": 2}}, resource_version=created.metadata.resource_version)
    assert patched.spec.replicas == 2


@pytest.mark.parametrize("subresource", ["", "status"])
async def test_a_patch_made_from_an_older_version_is_a_conflict(world: World, subresource: str) -> None:
    created = await _created(world)
    await _patch(world, {"metadata": {"annotations": {"a": "1"}}})
    body = {"status": {"phase": "Pending"}} if subresource else {"spec": {"replicas": 2}}
    with pytest.raises(Conflict, match="the object has been modified") as caught:
        await _patch(world, body, resource_version=created.metadata.resource_version, subresource=subresource)
    assert caught.value.code == 409
    unchanged = await world.client.get(MODEL_ADAPTERS, world.namespace, "sql")
    assert unchanged.spec.replicas is None
    assert unchanged.status.phase == ""


async def test_one_of_two_patches_made_from_the_same_version_succeeds(world: World) -> None:
    created = await world.client.create(LEASES, a_lease(world))
    version = created.metadata.resource_version
    answers = await asyncio.gather(
        *(
            world.client.patch(
                LEASES, world.namespace, "lock", {"spec": {"holderIdentity": name}}, resource_version=version
            )
            for name in ("b", "c")
        ),
        return_exceptions=True,
    )
    assert sorted(type(answer).__name__ for answer in answers) == ["Conflict", "Lease"]


async def test_the_status_is_written_by_its_subresource_only(world: World) -> None:
    await _created(world)
    through_main = await _patch(world, {"status": {"phase": "Running"}})
    assert through_main.status.phase == ""
    through_status = await _patch(world, {"status": {"phase": "Running"}}, subresource="status")
    assert through_status.status.phase == "Running"


async def test_a_status_patch_stores_neither_spec_nor_metadata(world: World) -> None:
    await _created(world)
    body = {
        "metadata": {"annotations": {"a": "1"}, "labels": {"b": "2"}, "finalizers": ["example.com/c"]},
        "spec": {"replicas": 7},
        "status": {"phase": "Pending"},
    }
    patched = await _patch(world, body, subresource="status")
    assert patched.status.phase == "Pending"
    assert patched.metadata.annotations == {}
    assert patched.metadata.labels == {}
    assert patched.metadata.finalizers == ()
    assert patched.spec.replicas is None


async def test_conditions_come_back_as_they_were_written(world: World) -> None:
    await _created(world)
    condition = {
        "type": "Ready",
        "status": "True",
        "reason": "ModelAdapterAvailable",
        "message": "ready",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
        "observedGeneration": 1,
    }
    patched = await _patch(
        world, {"status": {"conditions": [condition], "instances": ["qwen-0"]}}, subresource="status"
    )
    assert patched.status.instances == ("qwen-0",)
    assert patched.status.conditions[0].reason == "ModelAdapterAvailable"
    assert patched.status.conditions[0].observed_generation == 1


async def test_a_status_that_breaks_the_schema_is_invalid(world: World) -> None:
    await _created(world)
    with pytest.raises(Invalid, match=r"status.readyReplicas"):
        await _patch(world, {"status": {"readyReplicas": "two"}}, subresource="status")


async def test_an_annotation_whose_name_is_too_long_is_invalid_and_nothing_is_stored(world: World) -> None:
    await _created(world)
    key = f"adapter.model.aibrix.ai/{'a' * 64}"
    with pytest.raises(Invalid, match="must be no more than 63"):
        await _patch(world, {"metadata": {"annotations": {key: "1", "b": "2"}}})
    assert (await world.client.get(MODEL_ADAPTERS, world.namespace, "sql")).metadata.annotations == {}


async def test_annotations_have_room_for_256_kib_in_all(world: World) -> None:
    await _created(world)
    most = 256 * 1024
    patched = await _patch(world, {"metadata": {"annotations": {"a": "x" * (most - 1)}}})
    assert len(patched.metadata.annotations["a"]) == most - 1
    with pytest.raises(Invalid, match=r"metadata.annotations"):
        await _patch(world, {"metadata": {"annotations": {"b": "y"}}})


@pytest.mark.parametrize(
    "meta", [{"name": "other"}, {"uid": "11111111-0000-4000-8000-000000000000"}, {"namespace": "other"}]
)
async def test_the_identity_of_an_object_cannot_be_patched(world: World, meta: dict[str, str]) -> None:
    await _created(world)
    with pytest.raises(ClientError) as caught:
        await _patch(world, {"metadata": meta})
    assert caught.value.code in (400, 409, 422)


async def test_the_scale_shows_and_sets_replicas(world: World) -> None:
    await _created(world)
    await _patch(world, {"status": {"readyReplicas": 1}}, subresource="status")
    scaled = await world.client.patch(SCALES, world.namespace, "sql", {"spec": {"replicas": 3}}, subresource="scale")
    assert (scaled.spec.replicas, scaled.status.replicas) == (3, 1)
    adapter = await world.client.get(MODEL_ADAPTERS, world.namespace, "sql")
    assert adapter.spec.replicas == 3
    assert adapter.metadata.generation == 2


async def test_a_scale_below_zero_is_invalid(world: World) -> None:
    await _created(world)
    with pytest.raises(Invalid):
        await world.client.patch(SCALES, world.namespace, "sql", {"spec": {"replicas": -1}}, subresource="scale")


async def test_a_scale_made_from_an_older_version_is_a_conflict(world: World) -> None:
    created = await _created(world)
    await _patch(world, {"spec": {"replicas": 1}})
    with pytest.raises(Conflict):
        await world.client.patch(
            SCALES,
            world.namespace,
            "sql",
            {"spec": {"replicas": 3}},
            resource_version=created.metadata.resource_version,
            subresource="scale",
        )
