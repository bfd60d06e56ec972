"""Contract: `create`, and objects that the server refuses."""

import msgspec
import pytest

from controller.api.types import (
    EVENTS,
    LEASES,
    MODEL_ADAPTERS,
    SECRETS,
    SERVICES,
    Event,
    ModelAdapter,
    ObjectMeta,
    ObjectReference,
    Secret,
)
from controller.client.interface import AlreadyExists, Invalid, NotFound
from tests.contract.builders import TIMESTAMP, a_lease, a_secret, a_service, an_adapter
from tests.contract.worlds import World


async def test_create_returns_the_fields_that_the_server_sets(world: World) -> None:
    created = await world.client.create(MODEL_ADAPTERS, an_adapter(world, labels={"team": "x"}))
    meta = created.metadata
    assert meta.uid
    assert int(meta.resource_version) > 0
    assert meta.generation == 1
    assert meta.creation_timestamp is not None
    assert meta.labels == {"team": "x"}


async def test_defaults_of_the_crd_are_filled_in(world: World) -> None:
    manifest = {
        "apiVersion": "model.aibrix.ai/v1alpha1",
        "kind": "ModelAdapter",
        "metadata": {"name": "sql"},
        "spec": {"podSelector": {"matchLabels": {"app": "qwen"}}, "artifactURL": "hf://acme/sql"},
    }
    stored = await world.create(MODEL_ADAPTERS, manifest)
    assert stored["spec"]["schedulerName"] == "default"


async def test_a_name_that_is_taken_already_exists(world: World) -> None:
    await world.client.create(MODEL_ADAPTERS, an_adapter(world))
    with pytest.raises(AlreadyExists, match=r'modeladapters.model.aibrix.ai "sql" already exists') as caught:
        await world.client.create(MODEL_ADAPTERS, an_adapter(world))
    assert caught.value.code == 409


async def test_a_missing_namespace_is_not_found(world: World) -> None:
    with pytest.raises(NotFound, match='namespaces "nowhere" not found'):
        await world.client.create(SECRETS, Secret(metadata=ObjectMeta(name="key", namespace="nowhere")))


async def test_a_deleted_object_can_be_created_again(world: World) -> None:
    first = await world.client.create(MODEL_ADAPTERS, an_adapter(world))
    await world.client.delete(MODEL_ADAPTERS, world.namespace, "sql")
    second = await world.client.create(MODEL_ADAPTERS, first)
    assert second.metadata.uid != first.metadata.uid
    assert int(second.metadata.resource_version) > int(first.metadata.resource_version)


async def test_the_status_of_a_new_adapter_is_ignored(world: World) -> None:
    adapter = an_adapter(world)
    with_status = msgspec.structs.replace(adapter, status=msgspec.structs.replace(adapter.status, phase="Running"))
    created = await world.client.create(MODEL_ADAPTERS, with_status)
    assert created.status.phase == ""


async def test_finalizers_can_be_set_from_the_start(world: World) -> None:
    created = await world.client.create(MODEL_ADAPTERS, an_adapter(world, finalizers=("example.com/hold",)))
    assert created.metadata.finalizers == ("example.com/hold",)
    await world.client.patch(MODEL_ADAPTERS, world.namespace, "sql", {"metadata": {"finalizers": None}})


@pytest.mark.parametrize(
    ("spec", "named"),
    [
        ({"artifactURL": "ftp://acme/sql"}, "spec.artifactURL"),
        ({"artifactURL": "relative/path"}, "spec.artifactURL"),
        ({"artifactURL": None}, "spec.artifactURL"),
        ({"replicas": -1}, "spec.replicas"),
        ({"replicas": "two"}, "spec.replicas"),
        ({"podSelector": None}, "spec.podSelector"),
        ({"additionalConfig": {"rank": 16}}, "spec.additionalConfig"),
    ],
)
async def test_the_rules_of_the_crd_name_the_field(world: World, spec: dict[str, object], named: str) -> None:
    await world.client.create(MODEL_ADAPTERS, an_adapter(world))
    with pytest.raises(Invalid, match=named) as caught:
        await world.client.patch(MODEL_ADAPTERS, world.namespace, "sql", {"spec": spec})
    assert caught.value.code == 422


@pytest.mark.parametrize("name", ["has.dot", "a" * 64])
async def test_an_adapter_has_to_have_a_name_that_a_service_can_have(world: World, name: str) -> None:
    with pytest.raises(Invalid) as caught:
        await world.client.create(MODEL_ADAPTERS, an_adapter(world, name))
    assert caught.value.code == 422


async def test_a_name_that_no_object_can_have_is_invalid(world: World) -> None:
    with pytest.raises(Invalid, match=r"metadata.name"):
        await world.client.create(SECRETS, a_secret(world, "Not_A_Name"))


async def test_a_label_that_no_object_can_have_is_invalid(world: World) -> None:
    with pytest.raises(Invalid, match=r"metadata.labels"):
        await world.client.create(SECRETS, a_secret(world, labels={"team": "has a blank"}))


async def test_a_service_with_cluster_ip_none_is_headless(world: World) -> None:
    created = await world.client.create(SERVICES, a_service(world))
    assert created.spec.cluster_ip == "None"
    assert created.spec.ports[0].protocol == "TCP"


async def test_a_lease_keeps_its_microseconds(world: World) -> None:
    created = await world.client.create(LEASES, a_lease(world))
    assert created.spec.renew_time == TIMESTAMP
    assert created.spec.holder_identity == "a"


def an_event(world: World, adapter: ModelAdapter, note: str = "Loaded") -> Event:
    return Event(
        metadata=ObjectMeta(name="sql.1", namespace=world.namespace),
        event_time=TIMESTAMP,
        reporting_controller="lora-controller",
        reporting_instance="a",
        action="Loaded",
        reason="Loaded",
        regarding=ObjectReference(
            api_version="model.aibrix.ai/v1alpha1",
            kind="ModelAdapter",
            name="sql",
            namespace=world.namespace,
            uid=adapter.metadata.uid,
        ),
        note=note,
        type="Normal",
    )


async def test_an_event_can_be_written_and_counted_up(world: World) -> None:
    adapter = await world.client.create(MODEL_ADAPTERS, an_adapter(world))
    await world.client.create(EVENTS, an_event(world, adapter))
    counted = await world.client.patch(
        EVENTS, world.namespace, "sql.1", {"series": {"count": 2, "lastObservedTime": TIMESTAMP}}
    )
    assert counted.series is not None
    assert counted.series.count == 2
    assert counted.regarding.uid == adapter.metadata.uid


async def test_an_event_whose_note_is_too_long_is_invalid(world: World) -> None:
    adapter = await world.client.create(MODEL_ADAPTERS, an_adapter(world))
    with pytest.raises(Invalid, match="can have at most 1024 characters"):
        await world.client.create(EVENTS, an_event(world, adapter, "x" * 1025))
