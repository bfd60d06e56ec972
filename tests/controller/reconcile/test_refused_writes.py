"""Plans after a write that the API server has refused: everything that does not depend on it goes on."""

from collections.abc import Sequence
from dataclasses import replace
from random import Random

import msgspec
import pytest

from controller.api.annotations import PersistedState
from controller.api.types import Condition
from controller.cache.refusals import Refusal
from controller.policies import find
from controller.reconcile.actions import (
    Action,
    AdoptSlices,
    EmitEvent,
    Load,
    Plan,
    PublishEndpoints,
    RemoveFinalizer,
    Unload,
    WriteAnnotations,
    WriteStatus,
)
from controller.reconcile.planning import endpoints
from controller.reconcile.planning.plan import plan
from controller.reconcile.snapshot import Snapshot
from controller.settings import Settings
from tests.controller.builders import NOW, a_pod, a_snapshot, an_adapter, placed

A, B = a_pod("pod-a"), replace(a_pod("pod-b"), ip="10.0.0.2")
HELD, OTHER = {"sql": "acme/sql"}, {"sql": "acme/other"}


def planned(snapshot: Snapshot) -> Plan:
    return plan(snapshot, NOW, Settings(), find("default"), Random(0))


def requests(result: Plan) -> list[Action]:
    return [action for action in result.actions if isinstance(action, Load | Unload)]


def kinds(result: Plan) -> set[type]:
    return {type(action) for action in result.actions}


def refused(failures: int = 1, retry_in: float = 20.0) -> Refusal:
    return Refusal("PublicationForbidden", "denied by policy", NOW + retry_in, failures)


def on_both(
    *, replicas: int = 2, named: Sequence[str], lists: Sequence[dict[str, str]] = (HELD, HELD), deleting: bool = False
) -> Snapshot:
    """Return a snapshot of an adapter that is placed on both pods, published where the status names it."""
    adapter = an_adapter(replicas=replicas, phase="Running", instances=named, deleting=deleting)
    selected = tuple(pod.name for pod in (A, B)[:replicas])
    artifacts = [held.get("sql", "acme/sql") for held in lists]
    places = {pod.name: placed(pod, artifact) for pod, artifact in zip((A, B), artifacts, strict=True)}
    snapshot = a_snapshot(
        adapter,
        (A, B),
        persisted=PersistedState(selected=selected, placements=places),
        inventories=dict(zip(("pod-a", "pod-b"), lists, strict=True)),
    )
    published = [pod for pod in (A, B)[:replicas] if lists[0] and not deleting]
    service = None if deleting else endpoints.service_for(adapter, 8000)
    return replace(snapshot, service=service, slices=endpoints.slices_for(adapter, published))


@pytest.mark.parametrize(
    ("snapshot", "request_"),
    [
        pytest.param(on_both(replicas=1, named=["pod-a", "pod-b"]), Unload(B), id="one replica fewer"),
        pytest.param(on_both(named=["pod-a", "pod-b"], lists=(OTHER, HELD)), Unload(A), id="another artifact"),
        pytest.param(on_both(named=["pod-a", "pod-b"], lists=({}, HELD)), Load(A), id="lost by the engine"),
        pytest.param(on_both(named=["pod-a", "pod-b"], deleting=True), Unload(A), id="deleted"),
    ],
)
def test_a_pod_gets_no_request_before_it_has_left_a_refused_status(snapshot: Snapshot, request_: Action) -> None:
    waiting = planned(replace(snapshot, status_error=refused()))
    assert requests(waiting) == []
    assert WriteStatus not in kinds(waiting)
    assert waiting.wake == NOW + 20
    assert all(not action.after.attempts for action in waiting.actions if isinstance(action, WriteAnnotations))
    again = planned(replace(snapshot, status_error=refused(retry_in=0)))
    kinds_again = [type(action) for action in again.actions]
    assert request_ in again.actions
    assert kinds_again.index(WriteStatus) < kinds_again.index(type(request_))


def without(snapshot: Snapshot, pod: str) -> Snapshot:
    """Return the snapshot with a status that no longer names the pod."""
    status = snapshot.adapter.status
    left = msgspec.structs.replace(status, instances=tuple(name for name in status.instances if name != pod))
    return replace(snapshot, adapter=msgspec.structs.replace(snapshot.adapter, status=left))


@pytest.mark.parametrize(
    ("snapshot", "request_"),
    [
        pytest.param(on_both(replicas=1, named=["pod-a"]), Unload(B), id="has left the status"),
        pytest.param(without(on_both(named=["pod-a", "pod-b"], lists=({}, HELD)), "pod-a"), Load(A), id="never named"),
    ],
)
def test_a_pod_that_the_status_does_not_name_is_sent_its_request(snapshot: Snapshot, request_: Action) -> None:
    assert requests(planned(replace(snapshot, status_error=refused()))) == [request_]


def test_a_new_adapter_is_loaded_and_published_while_its_status_is_refused() -> None:
    new = replace(a_snapshot(an_adapter(phase="", finalizer=False), [A]), status_error=refused())
    assert kinds(planned(new)) >= {WriteAnnotations, Load}
    loaded = on_both(replicas=1, named=[])
    loaded = replace(loaded, slices=(), status_error=refused())
    assert PublishEndpoints in kinds(planned(loaded))


def test_a_deletion_waits_for_a_refused_status_as_long_as_a_load_is_tried() -> None:
    snapshot = on_both(named=["pod-a", "pod-b"], deleting=True)
    assert requests(planned(replace(snapshot, status_error=refused(failures=5)))) == []
    result = planned(replace(snapshot, status_error=refused(failures=6)))
    assert requests(result) == [Unload(A), Unload(B)]
    assert RemoveFinalizer not in kinds(result)


def test_a_pod_that_is_gone_keeps_its_placement_while_the_status_names_it() -> None:
    """Otherwise the object would look like one of another operator's."""
    gone = on_both(named=["pod-a", "pod-b"])
    gone = replace(gone, pods={"pod-b": B}, status_error=refused(), slices=())
    writes = [action for action in planned(gone).actions if isinstance(action, WriteAnnotations)]
    assert all("pod-a" in write.after.placements for write in writes)
    (write,) = (action for action in planned(without(gone, "pod-a")).actions if isinstance(action, WriteAnnotations))
    assert "pod-a" not in write.after.placements


# -- slices of another operator


def taken_over(*, recovered: bool) -> Snapshot:
    """Return an adapter that another operator has run on one pod."""
    adapter = an_adapter(phase="Running", instances=["pod-a"])
    persisted = PersistedState(selected=("pod-a",), placements={"pod-a": placed(A)}) if recovered else PersistedState()
    return a_snapshot(adapter, [A], persisted=persisted, inventories={"pod-a": HELD})


def condition(snapshot: Snapshot, result: Plan) -> Condition | None:
    """Return the condition `SlicesAdopted` of the last status that a plan writes."""
    statuses = [action.status for action in result.actions if isinstance(action, WriteStatus)]
    conditions = (statuses or [snapshot.adapter.status])[-1].conditions
    return next((item for item in conditions if item.type == "SlicesAdopted"), None)


def test_placements_are_recovered_although_slices_cannot_be_adopted_and_the_condition_comes_first() -> None:
    snapshot = taken_over(recovered=False)
    assert [type(action) for action in planned(snapshot).actions][:2] == [AdoptSlices, WriteAnnotations]
    result = planned(replace(snapshot, adoption_error=refused()))
    assert [type(action) for action in result.actions][:2] == [WriteStatus, EmitEvent]
    assert WriteAnnotations in kinds(result)
    found = condition(snapshot, result)
    assert found is not None
    assert (found.status, found.reason, found.message) == ("False", "PublicationForbidden", "denied by policy")


def with_condition(snapshot: Snapshot) -> Snapshot:
    """Return the snapshot as a restarted operator finds it after a refused adoption."""
    status = msgspec.structs.replace(
        snapshot.adapter.status, conditions=(Condition(type="SlicesAdopted", status="False", reason="X"),)
    )
    return replace(snapshot, adapter=msgspec.structs.replace(snapshot.adapter, status=status))


@pytest.mark.parametrize(
    ("snapshot", "adopts", "status"),
    [
        pytest.param(taken_over(recovered=True), False, None, id="nothing to adopt"),
        pytest.param(with_condition(taken_over(recovered=True)), True, "True", id="restarted"),
        pytest.param(replace(taken_over(recovered=True), adoption_error=refused()), False, "False", id="waits"),
        pytest.param(
            replace(taken_over(recovered=True), adoption_error=refused(retry_in=0)), True, "False", id="tried again"
        ),
    ],
)
def test_a_refused_adoption_is_tried_again_at_its_time_and_after_a_restart(
    snapshot: Snapshot, adopts: bool, status: str | None
) -> None:
    result = planned(snapshot)
    assert (AdoptSlices in kinds(result)) == adopts
    found = condition(snapshot, result)
    assert (found.status if found is not None else None) == status
    if snapshot.adoption_error is not None and not adopts:
        assert result.wake == NOW + 20


# -- endpoints while a publication is refused


@pytest.mark.parametrize(
    ("used", "error", "withdrawn"),
    [
        pytest.param({}, refused(), True, id="neither placed nor selected"),
        pytest.param({"placements": {"pod-a": placed(A), "pod-b": placed(B)}}, refused(), False, id="placed"),
        pytest.param({"selected": ("pod-a", "pod-b")}, refused(), False, id="selected"),
    ],
)
def test_an_endpoint_on_a_pod_without_the_adapter_does_not_wait_for_a_refused_publication(
    used: dict[str, object], error: Refusal, withdrawn: bool
) -> None:
    adapter = an_adapter(phase="Running", instances=["pod-a"])
    state: dict[str, object] = {"selected": ("pod-a",), "placements": {"pod-a": placed(A)}}
    persisted = PersistedState(**state | used)  # type: ignore[arg-type]
    snapshot = a_snapshot(adapter, [A, B], persisted=persisted, inventories={"pod-a": HELD, "pod-b": HELD})
    snapshot = replace(
        snapshot,
        service=endpoints.service_for(adapter, 8000),
        slices=endpoints.slices_for(adapter, [A, B]),
        publication_error=error,
    )
    first = planned(snapshot).actions[0]
    assert (isinstance(first, PublishEndpoints) and first.withdrawal) == withdrawn
