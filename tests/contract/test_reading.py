"""Contract: `get` and `list`."""

import pytest

from controller.api.types import LEASES, MODEL_ADAPTERS, NODES, PODS, SECRETS, Kind, Resource
from controller.client.interface import Invalid, NotFound
from tests.contract.builders import a_lease, a_pod, a_secret, an_adapter
from tests.contract.worlds import World


async def test_get_returns_the_created_object(world: World) -> None:
    created = await world.client.create(MODEL_ADAPTERS, an_adapter(world))
    assert await world.client.get(MODEL_ADAPTERS, world.namespace, "sql") == created


async def test_get_of_a_missing_object_is_not_found(world: World) -> None:
    with pytest.raises(NotFound, match=r'modeladapters.model.aibrix.ai "sql" not found') as caught:
        await world.client.get(MODEL_ADAPTERS, world.namespace, "sql")
    assert caught.value.code == 404


async def test_get_in_a_missing_namespace_is_not_found(world: World) -> None:
    with pytest.raises(NotFound):
        await world.client.get(SECRETS, "nowhere", "key")


async def test_get_looks_in_one_namespace_only(world: World) -> None:
    await world.client.create(SECRETS, a_secret(world))
    with pytest.raises(NotFound):
        await world.client.get(SECRETS, "default", "key")


async def test_a_kind_that_is_not_served_is_not_found(world: World) -> None:
    unknown = Kind(type=Resource, group="model.aibrix.ai", version="v1alpha1", kind="Nothing", plural="nothings")
    with pytest.raises(NotFound):
        await world.client.get(unknown, world.namespace, "a")
    with pytest.raises(NotFound):
        await world.client.list(unknown)


async def test_a_kind_without_namespaces_is_read_by_name(world: World) -> None:
    name = f"node-of-{world.namespace}"
    await world.create(NODES, {"metadata": {"name": name, "labels": {"topology.kubernetes.io/zone": "a"}}})
    node = await world.client.get(NODES, "", name)
    assert node.key == name
    assert node.metadata.labels["topology.kubernetes.io/zone"] == "a"
    assert name in {item.key for item in (await world.client.list(NODES)).items}


async def test_pods_of_others_can_be_read(world: World) -> None:
    await world.create(PODS, a_pod(app="qwen"))
    status = {
        "podIP": "10.0.0.1",
        "podIPs": [{"ip": "10.0.0.1"}],
        "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}],
        "containerStatuses": [
            {
                "name": "engine",
                "containerID": "containerd://1",
                "ready": True,
                "restartCount": 2,
                "image": "vllm/vllm-openai:v1",
                "imageID": "",
            }
        ],
    }
    await world.patch(PODS, "qwen-0", {"status": status}, "status")
    pod = await world.client.get(PODS, world.namespace, "qwen-0")
    assert pod.status.pod_ip == "10.0.0.1"
    assert pod.status.container_statuses[0].restart_count == 2
    assert pod.status.conditions[0].last_transition_time is not None


async def test_a_secret_is_decoded(world: World) -> None:
    await world.create(SECRETS, {"metadata": {"name": "key"}, "data": {"api-key": "c2stMQ=="}})
    secret = await world.client.get(SECRETS, world.namespace, "key")
    assert secret.data == {"api-key": b"sk-1"}


async def test_an_empty_list_has_a_version_to_watch_from(world: World) -> None:
    result = await world.client.list(MODEL_ADAPTERS, namespace=world.namespace)
    assert list(result.items) == []
    assert int(result.resource_version) > 0


async def test_a_list_is_of_one_namespace_or_of_all(world: World) -> None:
    await world.client.create(LEASES, a_lease(world, "here"))
    here = await world.client.list(LEASES, namespace=world.namespace)
    elsewhere = await world.client.list(LEASES, namespace="kube-public")
    everywhere = await world.client.list(LEASES)
    assert [item.key for item in here.items] == [f"{world.namespace}/here"]
    assert [item.key for item in elsewhere.items] == []
    assert f"{world.namespace}/here" in {item.key for item in everywhere.items}


async def test_a_list_of_a_missing_namespace_is_empty(world: World) -> None:
    assert list((await world.client.list(SECRETS, namespace="nowhere")).items) == []


async def test_a_list_is_ordered_by_name(world: World) -> None:
    for name in ("b", "c", "a"):
        await world.client.create(LEASES, a_lease(world, name))
    result = await world.client.list(LEASES, namespace=world.namespace)
    assert [item.metadata.name for item in result.items] == ["a", "b", "c"]


async def test_a_list_longer_than_a_page_is_whole(world: World) -> None:
    names = [f"lease-{number:04d}" for number in range(1_050)]
    for name in names:
        await world.client.create(LEASES, a_lease(world, name))
    result = await world.client.list(LEASES, namespace=world.namespace)
    assert [item.metadata.name for item in result.items] == names


@pytest.mark.parametrize(
    ("selector", "names"),
    [
        ("tier=gold", ["a"]),
        ("tier==gold", ["a"]),
        ("tier!=gold", ["b", "c"]),
        ("tier", ["a", "b"]),
        ("!tier", ["c"]),
        ("tier in (gold,silver)", ["a", "b"]),
        ("tier notin (gold)", ["b", "c"]),
        ("tier,team=x", ["a"]),
        ("team=y,!tier", []),
    ],
)
async def test_a_label_selector_narrows_a_list(world: World, selector: str, names: list[str]) -> None:
    for name, labels in (("a", {"tier": "gold", "team": "x"}), ("b", {"tier": "silver"}), ("c", {})):
        await world.client.create(LEASES, a_lease(world, name, labels=labels))
    result = await world.client.list(LEASES, namespace=world.namespace, label_selector=selector)
    assert [item.metadata.name for item in result.items] == names


async def test_a_label_selector_that_makes_no_sense_is_invalid(world: World) -> None:
    with pytest.raises(Invalid) as caught:
        await world.client.list(LEASES, namespace=world.namespace, label_selector="tier in gold")
    assert caught.value.code == 400


async def test_a_list_is_no_older_than_a_write_that_was_answered(world: World) -> None:
    created = await world.client.create(LEASES, a_lease(world))
    result = await world.client.list(LEASES, namespace=world.namespace)
    assert [item.metadata.resource_version for item in result.items] == [created.metadata.resource_version]
    assert int(result.resource_version) >= int(created.metadata.resource_version)
