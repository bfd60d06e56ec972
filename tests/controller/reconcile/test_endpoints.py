"""The Service and the slices of an adapter."""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from controller.api.types import EndpointSlice, ModelAdapter, Service, ServicePort, json_value
from controller.cache.pod_view import PodView
from controller.reconcile.planning import endpoints
from controller.reconcile.snapshot import Snapshot
from tests.controller.builders import a_pod, a_snapshot, an_adapter


def pods(count: int, **fields: Any) -> list[PodView]:
    return [replace(a_pod(f"pod-{number:03}"), **fields) for number in range(count)]


def snapshot_of(adapter: ModelAdapter, service: Service | None, slices: Sequence[EndpointSlice]) -> Snapshot:
    return replace(a_snapshot(adapter, []), service=service, slices=tuple(slices))


def test_the_service_is_headless_named_after_the_adapter_and_goes_with_it() -> None:
    service = json_value(endpoints.service_for(an_adapter(), 8000))
    meta, spec = service["metadata"], service["spec"]
    assert (meta["name"], meta["namespace"]) == ("sql", "default")
    assert meta["labels"] == {"adapter.model.aibrix.ai/name": "sql", "model.aibrix.ai/name": "sql"}
    assert [(owner["kind"], owner["name"], owner["controller"]) for owner in meta["ownerReferences"]] == [
        ("ModelAdapter", "sql", True)
    ]
    assert spec["clusterIP"] == "None"
    assert "selector" not in spec
    assert [(port["name"], port["port"]) for port in spec["ports"]] == [("http", 8000)]


def test_an_endpoint_says_which_pod_it_is_and_where() -> None:
    (item,) = endpoints.slices_for(an_adapter(), pods(1))
    (endpoint,) = json_value(item)["endpoints"]
    assert endpoint["addresses"] == ["10.0.0.1"]
    assert endpoint["conditions"]["ready"] is True
    assert endpoint["targetRef"] == {"kind": "Pod", "namespace": "default", "name": "pod-000", "uid": "uid-pod-000"}
    assert (endpoint["nodeName"], endpoint["zone"]) == ("node-0", "a")
    assert item.metadata.labels["kubernetes.io/service-name"] == "sql"
    assert item.metadata.labels["endpointslice.kubernetes.io/managed-by"] == "lora-controller"


def test_a_slice_holds_a_hundred_endpoints_and_the_next_one_the_rest() -> None:
    slices = endpoints.slices_for(an_adapter(), pods(250))
    assert [len(item.endpoints) for item in slices] == [100, 100, 50]
    assert len({item.metadata.name for item in slices}) == 3


def test_names_of_slices_end_in_a_suffix_that_depends_on_the_adapters_uid_alone() -> None:
    """Adapter `sql` must not write the slice of an adapter `sql-1`, nor one that a user has named `sql`."""
    first, second, _ = endpoints.slices_for(an_adapter(), pods(250))
    assert re.fullmatch("sql-[0-9a-f]{8}", first.metadata.name)
    again = endpoints.slices_for(an_adapter(), pods(3))
    assert again[0].metadata.name == first.metadata.name != second.metadata.name
    other = an_adapter()
    other = msgspec.structs.replace(other, metadata=msgspec.structs.replace(other.metadata, uid="uid-2"))
    assert endpoints.slices_for(other, pods(1))[0].metadata.name != first.metadata.name


def test_an_adapter_without_serving_pods_has_an_empty_slice() -> None:
    adapter = an_adapter()
    service = endpoints.service_for(adapter, 8000)
    publish = endpoints.publication(snapshot_of(adapter, service, endpoints.slices_for(adapter, pods(150))), [])
    assert publish is not None
    assert [write.patch for write in publish.slices] == [{"endpoints": []}]
    assert len(publish.obsolete) == 1


def test_each_family_of_addresses_has_slices_of_its_own() -> None:
    mixed = [*pods(1), replace(a_pod("six"), ip="fd00::1"), replace(a_pod("both"), ips=("10.0.0.2", "fd00::2"))]
    slices = endpoints.slices_for(an_adapter(), mixed)
    assert [(item.address_type, [endpoint.addresses for endpoint in item.endpoints]) for item in slices] == [
        ("IPv4", [("10.0.0.1",), ("10.0.0.2",)]),
        ("IPv6", [("fd00::1",), ("fd00::2",)]),
    ]


def test_each_port_has_slices_of_its_own() -> None:
    two = [*pods(1), replace(a_pod("other"), port=9000, ip="10.0.0.2")]
    slices = endpoints.slices_for(an_adapter(), two)
    assert [(item.ports[0].port, item.endpoints[0].addresses) for item in slices] == [
        (8000, ("10.0.0.1",)),
        (9000, ("10.0.0.2",)),
    ]


@pytest.mark.parametrize(
    ("ports", "current", "expected"), [([9000, 8000], None, 8000), ([9000, 8000], 9000, 9000), ([7000], 9000, 7000)]
)
def test_the_services_port_stays_while_a_pod_has_it(ports: list[int], current: int | None, expected: int) -> None:
    adapter = an_adapter()
    service = None if current is None else endpoints.service_for(adapter, current)
    publish = endpoints.publication(
        snapshot_of(adapter, service, ()), [replace(a_pod(f"pod-{port}"), port=port) for port in ports]
    )
    assert publish is not None
    written = service if publish.service is None else publish.service.desired
    assert written is not None
    assert [port.port for port in written.spec.ports] == [expected]


def test_only_objects_that_differ_are_written() -> None:
    adapter = an_adapter()
    (expected,) = endpoints.slices_for(adapter, pods(2))
    service = endpoints.service_for(adapter, 8000)
    assert endpoints.publication(snapshot_of(adapter, service, [expected]), pods(2)) is None
    publish = endpoints.publication(snapshot_of(adapter, service, [expected]), pods(1))
    assert publish is not None
    assert publish.service is None
    assert [(write.current, list(write.patch)) for write in publish.slices] == [(expected, ["endpoints"])]


@pytest.mark.parametrize(
    "drift",
    [
        {"selector": {"app": "x"}},
        {"publish_not_ready_addresses": True},
        {"ports": (ServicePort(name="http", port=80),)},
        {"type": "ExternalName"},
    ],
)
def test_a_service_that_somebody_changed_is_changed_back(drift: dict[str, Any]) -> None:
    adapter = an_adapter()
    desired = endpoints.service_for(adapter, 8000)
    drifted = msgspec.structs.replace(desired, spec=msgspec.structs.replace(desired.spec, **drift))
    write = endpoints.service_write(desired, drifted)
    assert write is not None
    assert write.patch["spec"]["selector"] is None
    assert write.patch["spec"]["publishNotReadyAddresses"] is False
    assert write.patch["spec"]["ports"][0]["port"] == 8000


def test_a_slice_that_lost_a_label_or_its_owner_gets_it_back() -> None:
    adapter = an_adapter()
    (desired,) = endpoints.slices_for(adapter, pods(1))
    meta = msgspec.structs.replace(
        desired.metadata, labels={"adapter.model.aibrix.ai/name": "sql"}, owner_references=()
    )
    publish = endpoints.publication(
        snapshot_of(adapter, endpoints.service_for(adapter, 8000), [msgspec.structs.replace(desired, metadata=meta)]),
        pods(1),
    )
    assert publish is not None
    (write,) = publish.slices
    assert write.patch["metadata"]["labels"]["kubernetes.io/service-name"] == "sql"
    assert [owner["uid"] for owner in write.patch["metadata"]["ownerReferences"]] == ["uid-sql"]


def test_a_slice_under_a_former_name_is_replaced() -> None:
    """Slices of earlier releases are named after the adapter."""
    adapter = an_adapter()
    (desired,) = endpoints.slices_for(adapter, pods(1))
    former = msgspec.structs.replace(desired, metadata=msgspec.structs.replace(desired.metadata, name="sql"))
    publish = endpoints.publication(snapshot_of(adapter, endpoints.service_for(adapter, 8000), [former]), pods(1))
    assert publish is not None
    assert [write.desired.metadata.name for write in publish.slices] == [desired.metadata.name]
    assert publish.obsolete == (former,)
