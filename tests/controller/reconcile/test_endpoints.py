"""The Service and the slices of an adapter."""

from dataclasses import replace
from typing import Any

from controller.api.types import json_value
from controller.cache.pod_view import PodView
from controller.reconcile import endpoints
from tests.controller.builders import a_pod, an_adapter


def pods(count: int, **fields: Any) -> list[PodView]:
    return [replace(a_pod(f"pod-{number:03}"), **fields) for number in range(count)]


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
    (item,) = endpoints.slices_for(an_adapter(), pods(1), 8000)
    (endpoint,) = json_value(item)["endpoints"]
    assert endpoint["addresses"] == ["10.0.0.1"]
    assert endpoint["conditions"]["ready"] is True
    assert endpoint["targetRef"] == {"kind": "Pod", "namespace": "default", "name": "pod-000", "uid": "uid-pod-000"}
    assert (endpoint["nodeName"], endpoint["zone"]) == ("node-0", "a")
    assert item.metadata.labels["kubernetes.io/service-name"] == "sql"
    assert item.metadata.labels["endpointslice.kubernetes.io/managed-by"] == "lora-controller"


def test_a_slice_holds_a_hundred_endpoints_and_the_next_one_the_rest() -> None:
    slices = endpoints.slices_for(an_adapter(), pods(250), 8000)
    assert [(item.metadata.name, len(item.endpoints)) for item in slices] == [
        ("sql", 100),
        ("sql-1", 100),
        ("sql-2", 50),
    ]


def test_an_adapter_without_serving_pods_has_an_empty_slice() -> None:
    (item,) = endpoints.slices_for(an_adapter(), [], 8000)
    assert item.endpoints == ()


def test_addresses_of_the_other_family_are_in_slices_of_their_own() -> None:
    mixed = [*pods(1), replace(a_pod("six"), ip="fd00::1")]
    slices = endpoints.slices_for(an_adapter(), mixed, 8000)
    assert [(item.metadata.name, item.address_type, item.endpoints[0].addresses) for item in slices] == [
        ("sql", "IPv4", ("10.0.0.1",)),
        ("sql-v6", "IPv6", ("fd00::1",)),
    ]


def test_only_objects_that_differ_are_written() -> None:
    (expected,) = endpoints.slices_for(an_adapter(), pods(2), 8000)
    assert endpoints.same_slice(expected, expected)
    assert not endpoints.same_slice(expected, None)
    (fewer,) = endpoints.slices_for(an_adapter(), pods(1), 8000)
    assert not endpoints.same_slice(expected, fewer)
    service = endpoints.service_for(an_adapter(), 8000)
    assert endpoints.same_service(service, service)
    assert not endpoints.same_service(endpoints.service_for(an_adapter(), 9000), service)
