"""Adapters on demand: when one is loaded, when it becomes idle, and what is published meanwhile."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from controller.api.annotations import ActivationRecord, Attempt, PersistedState, changes, read
from controller.api.labels import ACTIVATOR_LABEL
from controller.api.types import Activation, Endpoint, EndpointSlice, ObjectMeta
from controller.demand.usage import Usage
from controller.reconcile.actions import EmitEvent, Load, PublishEndpoints, Unload, WriteAnnotations, WriteStatus
from controller.reconcile.planning.activation import activation_problem
from controller.reconcile.snapshot import Snapshot
from controller.settings import ActivatorSettings, Settings
from tests.controller.builders import NOW, a_pod, a_snapshot, an_adapter, placed
from tests.controller.reconcile.test_plan import of, planned

POD = a_pod()
ACTIVATOR = ActivatorSettings("10.1.2.3", 8000)
ACTIVE = ActivationRecord(True, NOW - 1000)
IDLE = ActivationRecord(False, NOW - 1000)
UNUSED = Usage(unused_since=NOW - 600, measured_at=NOW - 1)


def on_demand(record: ActivationRecord | None, *, loaded: bool = False, spec: Any = None, **fields: Any) -> Snapshot:
    """Return an adapter on demand with one pod that could hold it, or does; `fields` are the snapshot's."""
    adapter = an_adapter(phase="Running" if loaded else "Idle", instances=["pod-a"] if loaded else [])
    settings = {"activation": Activation(mode="OnDemand"), **(spec or {})}
    adapter = msgspec.structs.replace(adapter, spec=msgspec.structs.replace(adapter.spec, **settings))
    persisted = PersistedState(activation=record)
    if loaded:
        persisted = replace(persisted, selected=("pod-a",), placements={"pod-a": placed(POD)})
    inventories = {"pod-a": {"sql": "acme/sql"} if loaded else {}}
    snapshot = a_snapshot(adapter, [POD], persisted=persisted, inventories=inventories)
    return replace(snapshot, activator=ACTIVATOR, **fields)


def decision(snapshot: Snapshot) -> ActivationRecord | None:
    """Return what the plan decides; the present decision if it decides nothing."""
    writes = of(planned(snapshot), WriteAnnotations)
    return writes[-1].after.activation if writes else snapshot.persisted.activation


def published(snapshot: Snapshot) -> Sequence[EndpointSlice]:
    return [write.desired for action in of(planned(snapshot), PublishEndpoints) for write in action.slices]


def test_a_new_adapter_is_idle_and_publishes_the_activator() -> None:
    result = planned(on_demand(None))
    assert not of(result, Load)
    (status,) = {action.status.phase for action in of(result, WriteStatus)}
    assert status == "Idle"
    conditions = {c.type: (c.status, c.reason) for c in of(result, WriteStatus)[-1].status.conditions}
    assert conditions["Ready"] == conditions["Scheduled"] == ("False", "Idle")
    (item,) = published(on_demand(None))
    assert item.endpoints == (Endpoint(addresses=("10.1.2.3",)),)
    assert (item.ports[0].port, item.metadata.labels[ACTIVATOR_LABEL]) == (8000, "true")


@pytest.mark.parametrize("record", [None, IDLE])
def test_a_request_is_written_to_the_object_before_anything_is_loaded(record: ActivationRecord | None) -> None:
    result = planned(on_demand(record, requested=True))
    assert [type(action) for action in result.actions] == [WriteAnnotations, EmitEvent]
    assert result.actions[0].after.activation == ActivationRecord(True, NOW)
    assert result.continues


def test_an_active_adapter_is_loaded_and_the_activator_stays_until_then() -> None:
    snapshot = on_demand(ACTIVE)
    assert [load.pod.name for load in of(planned(snapshot), Load)] == ["pod-a"]
    assert ACTIVATOR_LABEL in published(snapshot)[0].metadata.labels
    (item,) = published(on_demand(ACTIVE, loaded=True))
    assert ACTIVATOR_LABEL not in item.metadata.labels


def test_an_unused_adapter_is_first_decided_idle_then_withdrawn_then_unloaded() -> None:
    result = planned(on_demand(ACTIVE, loaded=True, usage=UNUSED))
    assert [type(action) for action in result.actions] == [WriteAnnotations, EmitEvent]
    assert result.actions[0].after.activation == ActivationRecord(False, NOW)
    just_decided = on_demand(ActivationRecord(False, NOW), loaded=True)
    withdrawal = planned(just_decided)
    assert ACTIVATOR_LABEL in published(just_decided)[0].metadata.labels
    assert not of(withdrawal, Unload)  # gateways learn of it late
    kinds = [type(action) for action in planned(on_demand(IDLE, loaded=True)).actions]
    assert kinds.index(PublishEndpoints) < kinds.index(Unload)


@pytest.mark.parametrize(
    ("why", "snapshot"),
    [
        ("no metrics", on_demand(ACTIVE, loaded=True)),
        ("old metrics", on_demand(ACTIVE, loaded=True, usage=replace(UNUSED, measured_at=NOW - 16))),
        ("metrics from the future", on_demand(ACTIVE, loaded=True, usage=replace(UNUSED, measured_at=NOW + 5))),
        ("used since", on_demand(ACTIVE, loaded=True, usage=replace(UNUSED, unused_since=NOW - 599))),
        ("a request waits", on_demand(ACTIVE, loaded=True, usage=UNUSED, requested=True)),
        ("pinned", on_demand(ACTIVE, loaded=True, usage=UNUSED, spec={"pinned": True})),
        ("just loaded", on_demand(ActivationRecord(True, NOW - 599), loaded=True, usage=UNUSED)),
        (
            "not asked for",
            on_demand(ACTIVE, loaded=True, usage=UNUSED, spec={"activation": Activation(mode="Always")}),
        ),
    ],
)
def test_an_adapter_stays_loaded_if(why: str, snapshot: Snapshot) -> None:
    result = planned(snapshot)
    assert not of(result, Unload), why
    assert decision(snapshot) in (snapshot.persisted.activation, None), why
    assert not any(isinstance(action, EmitEvent) and action.reason == "Deactivated" for action in result.actions)


def test_an_adapter_that_is_loaded_when_it_becomes_on_demand_stays_loaded() -> None:
    assert decision(on_demand(None, loaded=True)) == ActivationRecord(True, NOW)


def test_a_decision_of_an_adapter_that_is_no_longer_on_demand_is_forgotten() -> None:
    always = on_demand(IDLE, loaded=True, spec={"activation": Activation()})
    result = planned(always)
    assert of(result, WriteAnnotations)[0].after.activation is None
    assert not of(result, Unload)


def test_scaled_to_zero_it_is_not_on_demand() -> None:
    snapshot = replace(on_demand(IDLE, spec={"replicas": 0}, requested=True), activator=None)
    assert not published(snapshot)
    assert of(planned(snapshot), WriteStatus)[-1].status.phase == "Pending"


def test_the_activator_of_a_former_leader_is_withdrawn_at_once() -> None:
    item = EndpointSlice(
        metadata=ObjectMeta(name="sql-1", namespace="default", labels={ACTIVATOR_LABEL: "true"}),
        endpoints=(Endpoint(addresses=("10.9.9.9",)),),
    )
    (action,) = planned(replace(on_demand(IDLE), slices=[item])).actions
    assert isinstance(action, PublishEndpoints)
    assert action.withdrawal
    assert action.slices[0].patch == {"endpoints": []}


def test_without_an_activator_the_condition_says_what_to_do() -> None:
    problem = activation_problem(on_demand(None).adapter.spec, Settings())
    assert problem is not None
    assert "start it with --activator-bind-address, or set mode Always" in problem.message
    assert activation_problem(on_demand(None).adapter.spec, Settings(activator=ACTIVATOR)) is None
    assert activation_problem(an_adapter().spec, Settings()) is None


def test_decisions_survive_on_the_object() -> None:
    before = PersistedState(attempts={"pod-a": Attempt(1, NOW)})
    patch = changes(before, replace(before, activation=IDLE))
    assert read({key: text for key, text in patch.items() if text is not None}).activation == IDLE
    assert changes(replace(before, activation=IDLE), before) == {"adapter.model.aibrix.ai/activation": None}
    broken = read({"adapter.model.aibrix.ai/activation": '{"active": 1}'})
    assert (broken.activation, broken.unreadable) == (None, ("adapter.model.aibrix.ai/activation",))
