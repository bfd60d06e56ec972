"""Endpoints that no longer serve are withdrawn before anything else, whatever the API server refuses."""

from dataclasses import replace
from random import Random
from typing import Any

import msgspec
import pytest

from controller.api.annotations import PLACEMENTS, PersistedState
from controller.api.types import Autoscaling, AutoscalingTarget, EndpointSlice
from controller.cache.pod_view import PodView
from controller.cache.refusals import Refusal
from controller.policies import find
from controller.reconcile.actions import PublishEndpoints
from controller.reconcile.planning import endpoints
from controller.reconcile.planning.plan import plan
from controller.reconcile.snapshot import Snapshot
from controller.settings import Settings
from tests.controller.builders import NOW, a_pod, a_snapshot, an_adapter, placed

ONE, TWO = a_pod("pod-a"), replace(a_pod("pod-b"), ip="10.0.0.2")
LISTED = {"sql": "acme/sql"}


def without_target(item: EndpointSlice) -> EndpointSlice:
    """Return the slice as AIBrix's controller writes it."""
    points = tuple(msgspec.structs.replace(point, target_ref=None) for point in item.endpoints)
    return msgspec.structs.replace(item, endpoints=points)


def published(*pods: PodView, lists: dict[str, dict[str, str]] | None = None, targets: bool = True) -> Snapshot:
    """Return a snapshot with these pods, while ONE and TWO are published and have the adapter."""
    adapter = an_adapter(replicas=2, phase="Running", instances=["pod-a", "pod-b"])
    snapshot = a_snapshot(
        adapter,
        pods,
        persisted=PersistedState(selected=("pod-a", "pod-b"), placements={pod.name: placed(pod) for pod in (ONE, TWO)}),
        inventories={"pod-a": LISTED, "pod-b": LISTED} if lists is None else lists,
    )
    slices = endpoints.slices_for(adapter, [ONE, TWO])
    return replace(
        snapshot,
        service=endpoints.service_for(adapter, 8000),
        slices=slices if targets else [without_target(item) for item in slices],
    )


def withdrawn(snapshot: Snapshot) -> list[str]:
    """Return the addresses that the plan withdraws before anything else."""
    first = plan(snapshot, NOW, Settings(), find("default"), Random(0)).actions[:1]
    if not first or not isinstance(first[0], PublishEndpoints) or not first[0].withdrawal:
        return []
    (write,) = first[0].slices
    assert write.current is not None
    kept = {address for point in write.patch["endpoints"] for address in point["addresses"]}
    assert kept == {address for point in write.desired.endpoints for address in point.addresses}
    return sorted({address for point in write.current.endpoints for address in point.addresses} - kept)


@pytest.mark.parametrize(
    ("pods", "expected"),
    [
        pytest.param((ONE, TWO), [], id="both serve"),
        pytest.param((TWO,), ["10.0.0.1"], id="gone"),
        pytest.param((), ["10.0.0.1", "10.0.0.2"], id="both gone"),
        pytest.param((a_pod("pod-a", ready_for=None), TWO), ["10.0.0.1"], id="not ready"),
        pytest.param((a_pod("pod-a", terminating=True), TWO), ["10.0.0.1"], id="terminating"),
        pytest.param((replace(ONE, uid="another"), TWO), ["10.0.0.1"], id="another pod of that name"),
        pytest.param((replace(ONE, ip="10.0.0.9"), TWO), ["10.0.0.1"], id="another address"),
        pytest.param((replace(ONE, engine="containerd://2"), TWO), ["10.0.0.1"], id="its engine has restarted"),
    ],
)
def test_an_endpoint_is_withdrawn_as_soon_as_its_pod_cannot_answer(pods: Any, expected: list[str]) -> None:
    assert withdrawn(published(*pods)) == expected


def test_an_endpoint_whose_engine_no_longer_lists_the_adapter_is_withdrawn() -> None:
    assert withdrawn(published(ONE, TWO, lists={"pod-a": {}, "pod-b": LISTED})) == ["10.0.0.1"]


@pytest.mark.parametrize(("pods", "expected"), [((ONE, TWO), []), ((TWO,), ["10.0.0.1"])])
def test_endpoints_without_a_target_are_found_by_their_address(pods: Any, expected: list[str]) -> None:
    assert withdrawn(published(*pods, targets=False)) == expected


def refused(*, withdrawal: bool, retry_in: float) -> Refusal:
    return Refusal("QuotaExceeded", "exceeded quota", NOW + retry_in, 3, withdrawal)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        pytest.param(refused(withdrawal=False, retry_in=20), ["10.0.0.1"], id="another write was refused"),
        pytest.param(refused(withdrawal=True, retry_in=20), [], id="it was refused itself"),
        pytest.param(refused(withdrawal=True, retry_in=0), ["10.0.0.1"], id="it was refused long ago"),
    ],
)
def test_only_its_own_refusal_delays_a_withdrawal(error: Refusal, expected: list[str]) -> None:
    assert withdrawn(replace(published(TWO), publication_error=error)) == expected


def test_a_withdrawal_precedes_the_recovery_of_placements_and_a_change_of_replicas() -> None:
    snapshot = published(TWO)
    unreadable = replace(snapshot.persisted, placements={}, unreadable=(PLACEMENTS,))
    assert withdrawn(replace(snapshot, persisted=unreadable)) == ["10.0.0.1"]
    autoscaling = Autoscaling(max=5, min=3, target=AutoscalingTarget(concurrency=4))
    spec = msgspec.structs.replace(snapshot.adapter.spec, autoscaling=autoscaling)
    adapter = msgspec.structs.replace(snapshot.adapter, spec=spec)
    assert withdrawn(replace(snapshot, adapter=adapter)) == ["10.0.0.1"]


def test_the_rest_is_planned_at_once_after_a_withdrawal() -> None:
    result = plan(published(TWO), NOW, Settings(), find("default"), Random(0))
    assert (len(result.actions), result.wake, result.selection) == (1, NOW, ("pod-a", "pod-b"))
