"""An operator that is limited to some namespaces: its lists and watches."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

import pytest

from controller.api.types import LEASES, NODES, Kind, Lease, LeaseSpec, ObjectMeta, Resource
from controller.client.delegating import DelegatingClient
from controller.client.interface import ClientError, Expired, WatchEvent
from controller.client.namespaced import NamespacedClient
from controller.runtime.informer import Informer
from tests.contract.worlds import World, a_log, in_process

T = TypeVar("T", bound=Resource)
Story = Callable[[World, NamespacedClient], Awaitable[None]]


def a_lease(namespace: str, name: str = "lock") -> Lease:
    return Lease(metadata=ObjectMeta(name=name, namespace=namespace), spec=LeaseSpec(holder_identity="a"))


def run_story(story: Story, *namespaces: str, left_out: tuple[str, ...] = ()) -> None:
    async def run() -> None:
        async with in_process() as world, asyncio.timeout(20):
            await story(world, NamespacedClient(world.client, namespaces, left_out))

    asyncio.run(run())


def test_a_list_of_all_namespaces_is_limited_to_the_scope() -> None:
    async def story(world: World, scoped: NamespacedClient) -> None:
        for namespace in ("default", "kube-public", "kube-system"):
            await world.client.create(LEASES, a_lease(namespace))
        result = await scoped.list(LEASES)
        assert [item.key for item in result.items] == ["default/lock", "kube-public/lock"]

    run_story(story, "default", "kube-public")


def test_only_changes_in_the_namespaces_in_scope_are_delivered() -> None:
    async def story(world: World, scoped: NamespacedClient) -> None:
        informer = Informer(scoped, LEASES, a_log())
        changed = asyncio.Event()
        informer.on_change(lambda *_: changed.set())
        following = asyncio.ensure_future(informer.run())
        await informer.wait_for_sync()
        for namespace in ("kube-system", "default", "kube-public"):
            await world.client.create(LEASES, a_lease(namespace))
        while len(informer) < 2:
            await changed.wait()
            changed.clear()
        assert {item.key for item in informer} == {"default/lock", "kube-public/lock"}
        await world.client.delete(LEASES, "default", "lock")
        while len(informer) > 1:
            await changed.wait()
            changed.clear()
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)

    run_story(story, "default", "kube-public")


def test_a_watch_of_several_namespaces_begins_at_the_oldest_of_their_lists() -> None:
    """An object written between two lists is in neither of them; the watch has to deliver it."""

    async def story(world: World, scoped: NamespacedClient) -> None:
        first = await world.client.list(LEASES, namespace="default")
        listing = await scoped.list(LEASES)
        assert int(listing.resource_version) <= int(first.resource_version)

    run_story(story, "default", "kube-public")


@pytest.mark.parametrize("namespaces", [("default",), ("default", "kube-public")])
def test_a_watch_from_an_old_version_raises_expired(namespaces: tuple[str, ...]) -> None:
    async def story(world: World, scoped: NamespacedClient) -> None:
        await world.client.create(LEASES, a_lease("default"))
        await world.forget()
        with pytest.raises(Expired):
            await anext(scoped.watch(LEASES, resource_version="1"))

    run_story(story, *namespaces)


class Broken(DelegatingClient):
    """Loses the connection of each watch after one event."""

    async def watch(
        self, kind: Kind[T], *, resource_version: str, namespace: str = "", label_selector: str = "", name: str = ""
    ) -> AsyncIterator[WatchEvent[T]]:
        async for event in self._client.watch(kind, resource_version=resource_version, namespace=namespace):
            yield event
            raise ClientError("connection lost")


def test_after_a_lost_connection_all_namespaces_are_listed_again() -> None:
    """The version of the last event is one namespace's; what another has not delivered yet would be missed."""

    async def story(world: World, _: NamespacedClient) -> None:
        scoped = NamespacedClient(Broken(world.client), ("default", "kube-public"))
        await world.client.create(LEASES, a_lease("default"))
        events = scoped.watch(LEASES, resource_version="0")
        assert (await anext(events)).object.key == "default/lock"
        with pytest.raises(Expired, match="connection lost"):
            await anext(events)

    run_story(story)


def test_kinds_without_namespaces_are_listed_unless_omitted() -> None:
    async def with_nodes(world: World, scoped: NamespacedClient) -> None:
        await world.create(NODES, {"metadata": {"name": "n"}})
        assert [item.key for item in (await scoped.list(NODES)).items] == ["n"]

    async def without(world: World, scoped: NamespacedClient) -> None:
        await world.create(NODES, {"metadata": {"name": "n"}})
        informer = Informer(scoped, NODES, a_log())
        following = asyncio.ensure_future(informer.run())
        await informer.wait_for_sync()
        await asyncio.sleep(0.05)
        assert len(informer) == 0
        assert not following.done()
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)

    run_story(with_nodes, "default")
    run_story(without, "default", left_out=("nodes",))
