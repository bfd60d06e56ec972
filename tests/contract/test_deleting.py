"""Contract: `delete`, finalizers and dependents."""

import pytest

from controller.api.types import LEASES, MODEL_ADAPTERS
from controller.client.interface import ClientError, Conflict, NotFound, Propagation
from tests.contract.builders import a_lease, an_adapter
from tests.contract.worlds import World

HOLD = "example.com/hold"


async def test_a_deleted_object_is_gone(world: World) -> None:
    await world.client.create(LEASES, a_lease(world))
    await world.client.delete(LEASES, world.namespace, "lock")
    with pytest.raises(NotFound):
        await world.client.get(LEASES, world.namespace, "lock")


async def test_delete_of_a_missing_object_is_not_found(world: World) -> None:
    with pytest.raises(NotFound):
        await world.client.delete(LEASES, world.namespace, "lock")


async def test_delete_with_another_uid_is_a_conflict(world: World) -> None:
    created = await world.client.create(LEASES, a_lease(world))
    with pytest.raises(Conflict) as caught:
        await world.client.delete(LEASES, world.namespace, "lock", uid="11111111-0000-4000-8000-000000000000")
    assert caught.value.code == 409
    await world.client.delete(LEASES, world.namespace, "lock", uid=created.metadata.uid)


async def test_a_finalizer_keeps_an_object_until_it_is_removed(world: World) -> None:
    await world.client.create(MODEL_ADAPTERS, an_adapter(world, finalizers=(HOLD,)))
    await world.client.delete(MODEL_ADAPTERS, world.namespace, "sql")
    held = await world.client.get(MODEL_ADAPTERS, world.namespace, "sql")
    assert held.metadata.deletion_timestamp is not None
    await world.client.patch(MODEL_ADAPTERS, world.namespace, "sql", {"metadata": {"finalizers": []}})
    with pytest.raises(NotFound):
        await world.client.get(MODEL_ADAPTERS, world.namespace, "sql")


async def test_a_second_delete_of_a_kept_object_changes_nothing(world: World) -> None:
    await world.client.create(MODEL_ADAPTERS, an_adapter(world, finalizers=(HOLD,)))
    await world.client.delete(MODEL_ADAPTERS, world.namespace, "sql")
    first = await world.client.get(MODEL_ADAPTERS, world.namespace, "sql")
    await world.client.delete(MODEL_ADAPTERS, world.namespace, "sql")
    second = await world.client.get(MODEL_ADAPTERS, world.namespace, "sql")
    assert first == second
    await world.client.patch(MODEL_ADAPTERS, world.namespace, "sql", {"metadata": {"finalizers": None}})


async def test_a_deletion_is_a_new_generation(world: World) -> None:
    await world.client.create(MODEL_ADAPTERS, an_adapter(world, finalizers=(HOLD,)))
    await world.client.delete(MODEL_ADAPTERS, world.namespace, "sql")
    held = await world.client.get(MODEL_ADAPTERS, world.namespace, "sql")
    assert held.metadata.generation == 2
    await world.client.patch(MODEL_ADAPTERS, world.namespace, "sql", {"metadata": {"finalizers": None}})


async def test_no_finalizer_can_be_added_during_deletion(world: World) -> None:
    await world.client.create(MODEL_ADAPTERS, an_adapter(world, finalizers=(HOLD,)))
    await world.client.delete(MODEL_ADAPTERS, world.namespace, "sql")
    with pytest.raises(ClientError, match="no new finalizers can be added") as caught:
        await world.client.patch(
            MODEL_ADAPTERS, world.namespace, "sql", {"metadata": {"finalizers": [HOLD, "example.com/more"]}}
        )
    assert caught.value.code in (403, 422)
    await world.client.patch(MODEL_ADAPTERS, world.namespace, "sql", {"metadata": {"finalizers": None}})


async def test_a_status_can_still_be_written_while_deletion_waits(world: World) -> None:
    await world.client.create(MODEL_ADAPTERS, an_adapter(world, finalizers=(HOLD,)))
    await world.client.delete(MODEL_ADAPTERS, world.namespace, "sql")
    patched = await world.client.patch(
        MODEL_ADAPTERS, world.namespace, "sql", {"status": {"phase": "Pending"}}, subresource="status"
    )
    assert patched.status.phase == "Pending"
    await world.client.patch(MODEL_ADAPTERS, world.namespace, "sql", {"metadata": {"finalizers": None}})


@pytest.mark.parametrize(
    ("propagation", "finalizers"),
    [("Background", (HOLD,)), ("Foreground", (HOLD, "foregroundDeletion")), ("Orphan", (HOLD, "orphan"))],
)
async def test_the_propagation_policy_is_stored_as_a_finalizer(
    world: World, propagation: Propagation, finalizers: tuple[str, ...]
) -> None:
    """Without dependents, the collector removes the finalizer immediately: only a watch shows it."""
    listed = await world.client.list(MODEL_ADAPTERS, namespace=world.namespace)
    await world.client.create(MODEL_ADAPTERS, an_adapter(world, finalizers=(HOLD,)))
    await world.client.delete(MODEL_ADAPTERS, world.namespace, "sql", propagation=propagation)
    async for event in world.client.watch(
        MODEL_ADAPTERS, namespace=world.namespace, resource_version=listed.resource_version
    ):
        if event.object.metadata.deletion_timestamp is not None:
            assert set(event.object.metadata.finalizers) == set(finalizers)
            break
    await world.client.patch(MODEL_ADAPTERS, world.namespace, "sql", {"metadata": {"finalizers": None}})
