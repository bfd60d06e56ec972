"""Contract: `watch`."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from controller.api.types import LEASES, MODEL_ADAPTERS, Kind, Lease, Resource
from controller.client.interface import Expired, NotFound, WatchEvent
from controller.runtime.informer import Informer
from tests.contract.builders import a_lease, an_adapter
from tests.contract.worlds import World, a_log


async def _version(world: World) -> str:
    return (await world.client.list(LEASES, namespace=world.namespace)).resource_version


async def _next(changes: AsyncIterator[WatchEvent[Lease]], count: int) -> list[tuple[str, str]]:
    """Return types and names of the next changes, without bookmarks."""
    received: list[tuple[str, str]] = []
    while len(received) < count:
        event = await anext(changes)
        if event.type != "BOOKMARK":
            received.append((event.type, event.object.metadata.name))
    return received


async def test_a_watch_has_earlier_changes_in_order(world: World) -> None:
    version = await _version(world)
    await world.client.create(LEASES, a_lease(world, "a"))
    await world.client.patch(LEASES, world.namespace, "a", {"spec": {"holderIdentity": "b"}})
    await world.client.delete(LEASES, world.namespace, "a")
    changes = world.client.watch(LEASES, namespace=world.namespace, resource_version=version)
    assert await _next(changes, 3) == [("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "a")]


async def test_a_watch_has_later_changes(world: World) -> None:
    version = await _version(world)
    changes = world.client.watch(LEASES, namespace=world.namespace, resource_version=version)
    waiting = asyncio.ensure_future(_next(changes, 1))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    await world.client.create(LEASES, a_lease(world, "a"))
    assert await waiting == [("ADDED", "a")]


async def test_a_watch_begins_after_its_version(world: World) -> None:
    await world.client.create(LEASES, a_lease(world, "before"))
    version = await _version(world)
    await world.client.create(LEASES, a_lease(world, "after"))
    changes = world.client.watch(LEASES, namespace=world.namespace, resource_version=version)
    assert await _next(changes, 1) == [("ADDED", "after")]


async def test_a_watch_event_equals_the_response_of_the_write(world: World) -> None:
    version = await _version(world)
    created = await world.client.create(LEASES, a_lease(world, "a"))
    async for event in world.client.watch(LEASES, namespace=world.namespace, resource_version=version):
        assert event.object == created
        break


async def test_versions_only_grow_and_a_deletion_has_its_own(world: World) -> None:
    version = await _version(world)
    created = await world.client.create(LEASES, a_lease(world, "a"))
    await world.client.delete(LEASES, world.namespace, "a")
    versions = []
    async for event in world.client.watch(LEASES, namespace=world.namespace, resource_version=version):
        versions.append(int(event.object.metadata.resource_version))
        if event.type == "DELETED":
            break
    assert versions == sorted(set(versions))
    assert versions[-1] > int(created.metadata.resource_version)


async def test_a_watch_is_of_one_namespace_or_of_all(world: World) -> None:
    version = await _version(world)
    await world.client.create(LEASES, a_lease(world, "here"))
    elsewhere = world.client.watch(LEASES, namespace="kube-public", resource_version=version)
    everywhere = world.client.watch(LEASES, resource_version=version)
    waiting = asyncio.ensure_future(_next(elsewhere, 1))
    async for event in everywhere:
        if event.object.key == f"{world.namespace}/here":
            break
    await asyncio.sleep(0.05)
    assert not waiting.done()
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)


async def test_entering_a_selector_is_added_and_leaving_it_is_deleted(world: World) -> None:
    version = await _version(world)
    changes = world.client.watch(
        LEASES, namespace=world.namespace, resource_version=version, label_selector="tier=gold"
    )
    await world.client.create(LEASES, a_lease(world, "a"))
    await world.client.create(LEASES, a_lease(world, "b", labels={"tier": "silver"}))
    for labels in ({"tier": "gold"}, {"tier": "gold", "team": "x"}, {"tier": "silver"}):
        await world.client.patch(LEASES, world.namespace, "b", {"metadata": {"labels": labels}})
    assert await _next(changes, 3) == [("ADDED", "b"), ("MODIFIED", "b"), ("DELETED", "b")]


async def test_a_write_that_changes_nothing_is_not_seen(world: World) -> None:
    await world.client.create(LEASES, a_lease(world, "a", labels={"tier": "gold"}))
    version = await _version(world)
    await world.client.patch(LEASES, world.namespace, "a", {"metadata": {"labels": {"tier": "gold"}}})
    await world.client.create(LEASES, a_lease(world, "b"))
    changes = world.client.watch(LEASES, namespace=world.namespace, resource_version=version)
    assert await _next(changes, 1) == [("ADDED", "b")]


async def test_all_watchers_see_the_same(world: World) -> None:
    version = await _version(world)
    watching = [
        asyncio.ensure_future(_next(world.client.watch(LEASES, namespace=world.namespace, resource_version=version), 2))
        for _ in range(5)
    ]
    for name in ("a", "b"):
        await world.client.create(LEASES, a_lease(world, name))
    assert await asyncio.gather(*watching) == [[("ADDED", "a"), ("ADDED", "b")]] * 5


async def test_a_compacted_version_has_expired(world: World) -> None:
    await world.client.create(MODEL_ADAPTERS, an_adapter(world))
    await world.forget()
    changes = world.client.watch(MODEL_ADAPTERS, namespace=world.namespace, resource_version="1")
    with pytest.raises(Expired) as caught:
        await anext(changes)
    assert caught.value.code == 410


async def test_a_kind_that_is_not_served_cannot_be_watched(world: World) -> None:
    unknown = Kind(type=Resource, group="model.aibrix.ai", version="v1alpha1", kind="Nothing", plural="nothings")
    changes = world.client.watch(unknown, resource_version="1")
    with pytest.raises(NotFound):
        await anext(changes)


async def test_a_watch_can_be_left_at_any_time(world: World) -> None:
    version = await _version(world)
    changes = world.client.watch(LEASES, namespace=world.namespace, resource_version=version)
    waiting = asyncio.ensure_future(_next(changes, 1))
    await asyncio.sleep(0.05)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await world.client.create(LEASES, a_lease(world, "a"))
    again = world.client.watch(LEASES, namespace=world.namespace, resource_version=version)
    assert await _next(again, 1) == [("ADDED", "a")]


async def test_an_informer_follows(world: World) -> None:
    """The operator's own informer ends up with the current objects."""
    await world.client.create(LEASES, a_lease(world, "old", labels={"tier": world.namespace}))
    informer = Informer(world.client, LEASES, a_log(), label_selector=f"tier={world.namespace}")
    following = asyncio.ensure_future(informer.run())
    await informer.wait_for_sync()
    await world.client.create(LEASES, a_lease(world, "new", labels={"tier": world.namespace}))
    await world.client.delete(LEASES, world.namespace, "old")
    for _ in range(200):
        if {item.metadata.name for item in informer} == {"new"}:
            break
        await asyncio.sleep(0.02)
    assert {item.metadata.name for item in informer} == {"new"}
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)


async def test_a_watch_of_one_name_without_a_version_shows_the_object_and_its_changes(world: World) -> None:
    for name in ("other", "mine"):
        await world.client.create(LEASES, a_lease(world, name))
    changes = world.client.watch(LEASES, namespace=world.namespace, resource_version="", name="mine")
    assert await _next(changes, 1) == [("ADDED", "mine")]
    for name in ("other", "mine"):
        await world.client.patch(LEASES, world.namespace, name, {"spec": {"holderIdentity": "b"}})
    assert await _next(changes, 1) == [("MODIFIED", "mine")]
