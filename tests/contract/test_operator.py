"""The whole operator on each API server: what it writes is accepted, and what others change is noticed."""

from contextlib import suppress

from controller.api.labels import MANAGED_BY, SERVICE_LABEL
from controller.api.types import ENDPOINT_SLICES, MODEL_ADAPTERS, PODS, SCALES, SERVICES
from controller.client.interface import ClientError
from tests.contract.aibrix import as_aibrix_leaves_it, lax
from tests.contract.cluster import Cluster, running
from tests.contract.worlds import World, crd


async def test_an_adapter_is_loaded_published_moved_and_removed(world: World) -> None:
    cluster = Cluster(world)
    await cluster.add_pod("qwen-0", "10.0.0.1")
    await cluster.add_adapter()
    async with cluster.operating():
        await cluster.until(cluster.is_running)
        assert await cluster.published() == ["10.0.0.1"]
        await cluster.add_pod("qwen-1", "10.0.0.2")
        await world.patch(PODS, "qwen-0", {"status": {**running("10.0.0.1"), "phase": "Failed"}}, "status")
        await cluster.until(lambda: is_published(cluster, "10.0.0.2"))
        await world.delete(MODEL_ADAPTERS, "sql")
        await cluster.until(lambda: is_gone(cluster, "sql"))
    assert cluster.engines.holders("sql") == []


async def is_published(cluster: Cluster, *addresses: str) -> bool:
    return await cluster.published() == list(addresses)


async def is_gone(cluster: Cluster, name: str) -> bool:
    return await cluster.adapter(name) is None


async def test_a_slice_without_its_labels_and_a_changed_service_are_repaired(world: World) -> None:
    cluster = Cluster(world)
    await cluster.add_pod("qwen-0", "10.0.0.1")
    await cluster.add_adapter()
    async with cluster.operating():
        await cluster.until(cluster.is_running)
        (item,) = await cluster.slices()
        name = item.metadata.name
        await world.patch(ENDPOINT_SLICES, name, {"metadata": {"labels": {SERVICE_LABEL: None}}})
        await cluster.until(lambda: is_published(cluster, "10.0.0.1"))
        await world.patch(ENDPOINT_SLICES, name, {"metadata": {"labels": {MANAGED_BY: None}}})
        await cluster.until(lambda: has_label(world, name, MANAGED_BY))
        drift = {"publishNotReadyAddresses": True, "ports": [{"name": "http", "port": 80}]}
        await world.patch(SERVICES, "sql", {"spec": drift})
        with suppress(ClientError):  # refused by a server without IPv6, which cannot give the Service both families
            await world.patch(SERVICES, "sql", {"spec": {"selector": {"app": "x"}}})
        await cluster.until(lambda: is_headless_again(world))


async def has_label(world: World, name: str, label: str) -> bool:
    return label in (await world.client.get(ENDPOINT_SLICES, world.namespace, name)).metadata.labels


async def is_headless_again(world: World) -> bool:
    spec = (await world.client.get(SERVICES, world.namespace, "sql")).spec
    return not spec.selector and not spec.publish_not_ready_addresses and [port.port for port in spec.ports] == [8000]


async def test_autoscalers_read_the_selector_and_write_the_replicas(world: World) -> None:
    cluster = Cluster(world)
    for number in (1, 2):
        await cluster.add_pod(f"qwen-{number}", f"10.0.0.{number}")
    await cluster.add_adapter()
    async with cluster.operating():
        await cluster.until(cluster.is_running)
        scale = await world.read_scale("sql")
        assert SCALES.decode(scale).status.selector == "adapter.model.aibrix.ai/enabled=true,app=qwen"
        body = {"spec": {"replicas": 2}}
        await world.client.patch(SCALES, world.namespace, "sql", body, subresource="scale")
        await cluster.until(lambda: is_published(cluster, "10.0.0.1", "10.0.0.2"))


# -- coming from AIBrix


async def test_adapters_of_aibrix_are_taken_over_whatever_their_names(world: World) -> None:
    """Objects that were stored under AIBrix's definition can be written, released and deleted under this one."""
    cluster, names = Cluster(world), ("sql", "7b-lora", "a.b")
    for number in (1, 2):
        await cluster.add_pod(f"qwen-{number}", f"10.0.0.{number}")
        cluster.engines.held[f"10.0.0.{number}"] = {name: f"acme/{name}" for name in names}
    await world.define(lax(crd()))
    try:
        for name in names:
            await as_aibrix_leaves_it(cluster, name, "qwen-1")
    finally:
        await world.define(crd())
    async with cluster.operating():
        for name in ("sql", "7b-lora"):
            await cluster.until(lambda name=name: has_left_the_second_pod(cluster, name))
            assert await cluster.published(name) == ["10.0.0.1"]
            assert all(item.metadata.name != name for item in await cluster.slices(name))
        await cluster.until(lambda: is_reported(cluster, "a.b", "InvalidName"))
        for name in names:
            await world.delete(MODEL_ADAPTERS, name)
            await cluster.until(lambda name=name: is_gone(cluster, name))
    assert cluster.engines.loads == []
    assert [cluster.engines.holders(name) for name in names] == [[], [], []]


async def has_left_the_second_pod(cluster: Cluster, name: str) -> bool:
    return await cluster.is_running(name) and cluster.engines.holders(name) == ["10.0.0.1"]


async def is_reported(cluster: Cluster, name: str, reason: str) -> bool:
    current = await cluster.adapter(name)
    return current is not None and reason in {item.reason for item in current.status.conditions}
