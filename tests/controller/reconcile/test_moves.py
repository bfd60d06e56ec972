"""Moves of a replica: when one begins, when the source may go, and when the move is given up."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from controller.api.annotations import MoveRecord, PersistedState
from controller.api.types import Endpoint, EndpointSlice, ObjectReference
from controller.rebalance.fleet import DecidedMove
from controller.reconcile.actions import EmitEvent, Load, Unload, WriteAnnotations
from controller.reconcile.snapshot import Snapshot
from controller.requests.outcomes import RequestOutcome
from tests.controller.builders import NOW, a_pod, a_snapshot, an_adapter, placed
from tests.controller.reconcile.test_plan import REFUSED, of, planned

A, B, C = (replace(a_pod(f"pod-{letter}"), uid=f"uid-{letter}") for letter in "abc")
UNDER_WAY = MoveRecord("pod-a", "pod-b", started=NOW - 5)


def a_move(
    record: MoveRecord | None,
    *,
    loaded: Sequence = (A,),
    published: Sequence[str] = ("pod-a",),
    selected: Sequence[str] = ("pod-a",),
    pods: Sequence = (A, B, C),
    replicas: int | None = 1,
) -> Snapshot:
    persisted = PersistedState(tuple(selected), placements={pod.name: placed(pod) for pod in loaded}, move=record)
    snapshot = a_snapshot(
        an_adapter(replicas=replicas, phase="Running", instances=published),
        pods,
        persisted=persisted,
        inventories={pod.name: {"sql": "acme/sql"} if pod in loaded else {} for pod in pods},
    )
    ends = tuple(
        Endpoint(addresses=(pod.ip,), target_ref=ObjectReference(kind="Pod", name=pod.name, uid=pod.uid))
        for pod in pods
        if pod.name in published
    )
    return replace(snapshot, slices=[EndpointSlice(address_type="IPv4", endpoints=ends)])


def ending(snapshot: Snapshot) -> MoveRecord | None:
    """Return the move that the plan persists; the present one if it persists none."""
    writes = of(planned(snapshot), WriteAnnotations)
    return writes[-1].after.move if writes else snapshot.persisted.move


def test_a_decided_move_is_written_before_anything_follows_from_it() -> None:
    snapshot = replace(a_move(None), move=DecidedMove("pod-a", "pod-b", "pod-a has 9 adapters"))
    result = planned(snapshot)
    assert [type(action) for action in result.actions] == [WriteAnnotations, EmitEvent]
    assert result.actions[0].after.move == MoveRecord("pod-a", "pod-b", started=NOW)
    assert result.selection == ("pod-a",)


@pytest.mark.parametrize(
    ("why", "snapshot"),
    [
        ("it has left the source", a_move(None, selected=("pod-c",), loaded=(C,), published=("pod-c",))),
        ("another move is under way", a_move(MoveRecord("pod-a", "pod-c", started=NOW - 1))),
        (
            "it was cancelled a moment ago",
            a_move(MoveRecord("pod-a", "pod-b", started=NOW - 3, finished=NOW - 1, cancelled="pod pod-b is not ready")),
        ),
        (
            "the target was filled",
            replace(a_move(None), adapters_by_pod={B.key: {f"default/{number}" for number in range(B.max_cpu_loras)}}),
        ),
        ("the target is not ready", a_move(None, pods=(A, replace(a_pod("pod-b", ready_for=None), uid="uid-b"), C))),
        ("it is on every pod", a_move(None, replicas=None)),
        ("a replica does not serve", a_move(None, published=())),
    ],
)
def test_a_decided_move_does_not_begin_if(why: str, snapshot: Snapshot) -> None:
    result = planned(replace(snapshot, move=DecidedMove("pod-a", "pod-b", "")))
    assert not any(action.reason == "Moving" for action in of(result, EmitEvent)), why


def test_the_target_is_loaded_while_the_source_serves() -> None:
    result = planned(a_move(UNDER_WAY))
    assert [action.pod.name for action in of(result, Load)] == ["pod-b"]
    assert result.selection == ("pod-a", "pod-b")
    assert not of(result, Unload)


@pytest.mark.parametrize(
    ("published", "selection"), [(("pod-a",), ("pod-a", "pod-b")), (("pod-a", "pod-b"), ("pod-b",))]
)
def test_the_source_is_withdrawn_when_clients_are_shown_the_target(
    published: tuple[str, ...], selection: tuple[str, ...]
) -> None:
    result = planned(a_move(UNDER_WAY, loaded=(A, B), published=published, selected=("pod-a", "pod-b")))
    assert result.selection == selection
    assert not of(result, Unload)  # not before gateways have learned of it
    moved = [action.note for action in of(result, EmitEvent) if action.reason == "Moved"]
    assert moved == (["Moved from pod pod-a to pod pod-b"] if selection == ("pod-b",) else [])


@pytest.mark.parametrize(("ago", "unloads"), [(1.0, 0), (2.0, 1)])
def test_the_source_is_unloaded_a_moment_after_it_was_withdrawn(ago: float, unloads: int) -> None:
    done = MoveRecord("pod-a", "pod-b", started=NOW - 9, finished=NOW - ago)
    result = planned(a_move(done, loaded=(A, B), published=("pod-b",), selected=("pod-b",)))
    assert len(of(result, Unload)) == unloads


@pytest.mark.parametrize(
    ("cause", "snapshot"),
    [
        ("pod pod-a no longer serves", a_move(UNDER_WAY, pods=(B, C), loaded=(A, B))),
        ("pod pod-b is not ready", a_move(UNDER_WAY, pods=(A, C))),
        ("replicas has changed", a_move(UNDER_WAY, replicas=None)),
        (
            "pod pod-b: connection refused",
            replace(a_move(UNDER_WAY), outcomes={"pod-b": RequestOutcome("load", NOW - 1, B.engine, 1, REFUSED, 1)}),
        ),
    ],
)
def test_a_move_is_cancelled_when(cause: str, snapshot: Snapshot) -> None:
    record = ending(snapshot)
    assert record is not None
    assert record.cancelled == cause
    assert record.finished == NOW


def test_a_replacement_is_an_event_while_a_move_is_under_way_and_the_move_itself_is_none() -> None:
    moving = a_move(UNDER_WAY, selected=("pod-a", "pod-b"))
    assert [event.reason for event in of(planned(moving), EmitEvent)] == []
    joining = a_move(UNDER_WAY)
    assert [event.reason for event in of(planned(joining), EmitEvent)] == []
    other_gone = a_move(UNDER_WAY, selected=("pod-a", "pod-b", "pod-d"), replicas=2)
    (event,) = of(planned(other_gone), EmitEvent)
    assert event.reason == "Scheduled"
    assert event.note.endswith("has selected 3 pods for scheduling: [pod-a pod-b pod-c]")
