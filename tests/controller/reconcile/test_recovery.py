"""Adapters that another operator ran are found in the engines, and not loaded a second time."""

from random import Random

import pytest
from msgspec.structs import replace

from controller.api.annotations import FINALIZER, PLACEMENTS, PersistedState
from controller.api.types import Condition, ModelAdapter
from controller.policies import Policies
from controller.reconcile.actions import (
    AdoptSlices,
    EmitEvent,
    ListAdapters,
    Load,
    Plan,
    RemoveFinalizer,
    Unload,
    WriteAnnotations,
    WriteStatus,
)
from controller.reconcile.planning.plan import plan
from controller.reconcile.snapshot import Snapshot
from controller.settings import Settings
from tests.controller.builders import NOW, a_pod, a_snapshot, an_adapter, placed

SETTINGS = Settings()
HELD = {"sql": "acme/sql"}


def planned(snapshot: Snapshot) -> Plan:
    return plan(snapshot, NOW, SETTINGS, Policies("default", ()).of("default"), Random(0))


def by_aibrix(**fields: object) -> ModelAdapter:
    """Return an adapter as AIBrix's controller leaves it: a finalizer, a phase, and its own conditions."""
    conditions = (Condition(type="Initialized", status="Unknown"), Condition(type="ResourceCreated", status="False"))
    adapter = an_adapter(phase="Running", **fields)  # type: ignore[arg-type]
    return replace(adapter, status=replace(adapter.status, conditions=conditions))


def written(result: Plan) -> PersistedState:
    (write,) = (action for action in result.actions if isinstance(action, WriteAnnotations))
    return write.after


def kinds(result: Plan) -> list[type]:
    return [type(action) for action in result.actions]


def test_engines_are_listed_before_anything_is_decided() -> None:
    pods = [a_pod("pod-a"), a_pod("pod-b")]
    result = planned(a_snapshot(by_aibrix(instances=("pod-a",)), pods, inventories={"pod-b": {}}))
    assert result.actions == (ListAdapters(pods[0]),)


def test_what_engines_list_becomes_the_placements_and_what_serves_stays_selected() -> None:
    pods = [a_pod("pod-a"), a_pod("pod-b"), a_pod("pod-c"), a_pod("pod-d")]
    lists = {"pod-a": HELD, "pod-b": HELD, "pod-c": {"sql": "acme/old"}, "pod-d": {}}
    result = planned(a_snapshot(by_aibrix(instances=("pod-a",)), pods, inventories=lists))
    assert kinds(result) == [AdoptSlices, WriteAnnotations, EmitEvent]
    assert written(result).selected == ("pod-a", "pod-b")
    assert written(result).placements == {"pod-a": placed(pods[0]), "pod-b": placed(pods[1])}, "pod-c has another model"
    assert result.wake == NOW


def test_an_instance_with_another_artifact_goes_on_serving_until_it_is_replaced() -> None:
    pod = a_pod("pod-a")
    adapter = by_aibrix(instances=("pod-a",))
    persisted = written(planned(a_snapshot(adapter, [pod], inventories={"pod-a": {"sql": "acme/old"}})))
    assert persisted.placements == {"pod-a": placed(pod, "acme/old")}


def test_what_aibrixs_own_sidecar_has_fetched_is_taken_over_and_not_loaded_again() -> None:
    """Its folder has the adapter's name, and says nothing about the artifact."""
    pod = a_pod("pod-a")
    adapter, lists = by_aibrix(instances=("pod-a",)), {"pod-a": {"sql": "/tmp/aibrix/adapters/sql"}}
    persisted = written(planned(a_snapshot(adapter, [pod], inventories=lists)))
    assert persisted.placements == {"pod-a": placed(pod)}
    assert not {Load, Unload} & set(kinds(planned(a_snapshot(adapter, [pod], inventories=lists, persisted=persisted))))


def test_an_instance_whose_engine_does_not_answer_keeps_its_place() -> None:
    pods = [a_pod("pod-a"), a_pod("pod-b")]
    snapshot = a_snapshot(by_aibrix(instances=("pod-a",)), pods, inventories={}, silent=("pod-a", "pod-b"))
    assert written(planned(snapshot)).placements == {"pod-a": placed(pods[0])}


def test_a_recovered_adapter_is_neither_loaded_again_nor_withdrawn() -> None:
    pod, other = a_pod("pod-a"), a_pod("pod-b")
    adapter = by_aibrix(instances=("pod-a",))
    lists = {"pod-a": HELD, "pod-b": {}}
    persisted = written(planned(a_snapshot(adapter, [pod, other], inventories=lists)))
    result = planned(a_snapshot(adapter, [pod, other], inventories=lists, persisted=persisted))
    assert Load not in kinds(result)
    assert {action.status.phase for action in result.actions if isinstance(action, WriteStatus)} == {"Running"}
    last = [action.status for action in result.actions if isinstance(action, WriteStatus)][-1]
    assert last.instances == ("pod-a",)
    assert "ResourceCreated" not in {condition.type for condition in last.conditions}


def test_an_adapter_that_no_engine_lists_is_loaded_as_a_new_one() -> None:
    result = planned(a_snapshot(by_aibrix(), [a_pod()]))
    assert {AdoptSlices, Load} <= set(kinds(result))


@pytest.mark.parametrize(
    ("adapter", "persisted"),
    [
        (an_adapter(finalizer=False), PersistedState()),
        (an_adapter(instances=("pod-a",)), PersistedState(("pod-a",), {}, {"pod-a": placed(a_pod())})),
    ],
    ids=["new", "own"],
)
def test_adapters_of_this_operator_are_not_recovered(adapter: ModelAdapter, persisted: PersistedState) -> None:
    result = planned(a_snapshot(adapter, [a_pod()], persisted=persisted, inventories={"pod-a": HELD}))
    assert AdoptSlices not in kinds(result)


def test_instances_that_this_operator_did_not_place_are_a_warning_if_it_wrote_the_status_before() -> None:
    adapter = an_adapter(instances=("pod-b",))
    own = Condition(type="Progressing", status="False")
    adapter = replace(adapter, status=replace(adapter.status, conditions=(own,)))
    pods = [a_pod("pod-a"), a_pod("pod-b")]
    persisted = PersistedState(("pod-a",), {}, {"pod-a": placed(pods[0])})
    lists = {"pod-a": {}, "pod-b": HELD}
    result = planned(a_snapshot(adapter, pods, persisted=persisted, inventories=lists))
    (event,) = (action for action in result.actions if isinstance(action, EmitEvent))
    assert (event.type, event.reason) == ("Warning", "TakenOver")
    assert "stop the other operator" in event.note
    assert written(result).selected == ("pod-b",)


@pytest.mark.parametrize("deleting", [False, True])
def test_unreadable_placements_are_recovered_from_the_engines(deleting: bool) -> None:
    pods = [a_pod(name) for name in ("pod-a", "pod-b", "pod-c")]
    lists = {"pod-a": HELD, "pod-b": HELD, "pod-c": {"sql": "acme/other"}}
    adapter = an_adapter(phase="Running", instances=["pod-a"], deleting=deleting)
    persisted = PersistedState(selected=("pod-a",), unreadable=(PLACEMENTS,))
    first = planned(a_snapshot(adapter, pods, persisted=persisted, inventories=lists))
    (event,) = (action for action in first.actions if isinstance(action, EmitEvent))
    assert event.reason == "AnnotationsUnreadable"
    assert set(written(first).placements) == {"pod-a", "pod-b"}
    second = planned(a_snapshot(adapter, pods, persisted=written(first), inventories=lists))
    unloaded = {action.pod.name for action in second.actions if isinstance(action, Unload)}
    assert unloaded == ({"pod-a", "pod-b"} if deleting else {"pod-b"})
    assert RemoveFinalizer not in kinds(second)


def test_a_deleted_adapter_of_another_operator_is_unloaded_from_every_engine_that_lists_it() -> None:
    pods = [a_pod("pod-a"), a_pod("pod-b")]
    adapter = by_aibrix(instances=("pod-a",), deleting=True)
    result = planned(a_snapshot(adapter, pods, inventories={"pod-a": HELD, "pod-b": HELD}))
    assert set(written(result).placements) == {"pod-a", "pod-b"}
    assert FINALIZER in adapter.metadata.finalizers
