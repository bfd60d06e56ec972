"""A plan leaves nothing to do that only its own writes make possible: they wake no other reconcile."""

from collections.abc import Sequence
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace as with_fields

from controller.api.annotations import FINALIZER, Attempt, MoveRecord, PersistedState
from controller.api.spec import SpecProblem
from controller.cache.pod_view import PodView
from controller.cache.refusals import Refusal
from controller.engine.errors import EngineError, Scope
from controller.policies import find
from controller.reconcile.actions import (
    Action,
    EmitEvent,
    ListAdapters,
    Load,
    Plan,
    PublishEndpoints,
    RemoveFinalizer,
    Unload,
    WriteAnnotations,
    WriteStatus,
)
from controller.reconcile.planning.endpoints import service_for, slices_for
from controller.reconcile.planning.plan import plan
from controller.reconcile.snapshot import Snapshot
from controller.requests.outcomes import RequestOutcome
from controller.settings import Settings
from tests.controller.builders import NOW, a_pod, a_snapshot, an_adapter, placed

FORMER, CURRENT = "containerd://1", "containerd://2"
ERRORS = (
    None,
    EngineError("ConnectError", "connection refused", retriable=True),
    EngineError("Timeout", "timeout", retriable=True, ambiguous=True),
    EngineError("InvalidAdapter", "rank too large", retriable=False, scope=Scope.ADAPTER),
    EngineError("Full", "no memory", retriable=False, scope=Scope.POD),
)
AGES = st.sampled_from([2.0, 100.0, 1000.0])
LISTS: tuple[dict[str, str] | None, ...] = (None, {}, {"sql": "acme/sql"}, {"sql": "acme/other"})
PROBLEM = SpecProblem("Unsupported", "not supported")
REFUSED = Refusal("QuotaExceeded", "exceeded quota", retry_at=NOW + 20, failures=2)


@st.composite
def pods(draw: st.DrawFn) -> list[PodView]:
    ready = st.sampled_from([None, 2.0, 60.0, 1000.0])
    return [
        a_pod(name, ready_for=draw(ready), engine=CURRENT, terminating=draw(st.integers(0, 5)) == 0)
        for name in ("pod-a", "pod-b", "pod-c")[: draw(st.integers(1, 3))]
    ]


@st.composite
def persisted_states(draw: st.DrawFn, views: list[PodView]) -> PersistedState:
    placements = {}
    for view in views:
        engine, artifact = draw(st.sampled_from([CURRENT, CURRENT, FORMER])), draw(st.sampled_from(["sql", "other"]))
        uid = draw(st.sampled_from([view.uid, view.uid, "uid-former"]))
        if draw(st.booleans()):
            placements[view.name] = with_fields(placed(view, f"acme/{artifact}"), engine=engine, uid=uid)
    attempts = st.builds(Attempt, retries=st.integers(0, 5), announced=AGES.map(lambda age: NOW - age))
    names = [view.name for view in views]
    move = None
    if len(names) > 1 and draw(st.integers(0, 3)) == 0:
        move = MoveRecord(names[0], names[1], NOW - 10, finished=draw(st.sampled_from([0.0, NOW - 1])))
    return PersistedState(
        selected=tuple(name for name in names if draw(st.booleans())),
        attempts={name: draw(attempts) for name in names if draw(st.booleans())},
        placements=placements,
        move=move,
    )


@st.composite
def outcomes(draw: st.DrawFn) -> RequestOutcome:
    error = draw(st.sampled_from(ERRORS))
    return RequestOutcome(
        draw(st.sampled_from(["load", "unload"])),
        NOW - draw(AGES),
        draw(st.sampled_from([FORMER, CURRENT])),
        1,
        error,
        0 if error is None else draw(st.integers(1, 6)),
        doubtful=error is not None and error.ambiguous,
    )


@st.composite
def snapshots(draw: st.DrawFn) -> Snapshot:
    views = draw(pods())
    names = [view.name for view in views]
    adapter = an_adapter(
        replicas=draw(st.sampled_from([0, 1, 1, 2, None])),
        phase=draw(st.sampled_from(["", "Pending", "Loading", "Running", "Failed"])),
        instances=[name for name in names if draw(st.booleans())],
        deleting=draw(st.integers(0, 4)) == 0,
        finalizer=draw(st.booleans()),
    )
    lists = {name: held for name in names if (held := draw(st.sampled_from(LISTS))) is not None}
    persisted = draw(persisted_states(views))
    placements = sorted(persisted.placements)  # each request and endpoint has one
    results = {name: done for name in placements if (done := draw(st.none() | outcomes())) is not None}
    for name in adapter.status.instances:  # an attempt there has succeeded
        if name in results and name in persisted.attempts:
            results[name] = replace(results[name], error=None, failures=0, doubtful=False)
    snapshot = a_snapshot(
        adapter,
        views,
        persisted=persisted,
        inventories=lists,
        busy={name: verb for name in placements if (verb := draw(st.sampled_from(["", "", "", "load", "unload"])))},
        outcomes=results,
        full=[name for name in names if draw(st.integers(0, 3)) == 0],
        silent=[name for name in names if name not in lists and draw(st.booleans())],
    )
    return replace(
        snapshot,
        service=draw(st.sampled_from([None, service_for(adapter, 8000)])),
        slices=slices_for(adapter, [view for view in views if view.name in placements and draw(st.booleans())]),
        publication_error=draw(st.sampled_from([None, None, None, REFUSED])),
        problem=draw(st.sampled_from([None, None, None, PROBLEM])),
    )


def executed(snapshot: Snapshot, planned: Plan) -> Snapshot:
    """Return what the next plan is made from, while the requests of this one are in flight."""
    for action in planned.actions:
        snapshot = after(snapshot, action)
    return replace(snapshot, pending_selection=planned.selection)


def after(snapshot: Snapshot, action: Action) -> Snapshot:
    adapter = snapshot.adapter
    match action:
        case WriteStatus(status=status):
            return replace(snapshot, adapter=with_fields(adapter, status=status))
        case WriteAnnotations(after=persisted, add_finalizer=add):
            names = (*adapter.metadata.finalizers, FINALIZER) if add else adapter.metadata.finalizers
            metadata = with_fields(adapter.metadata, finalizers=names)
            return replace(snapshot, persisted=persisted, adapter=with_fields(adapter, metadata=metadata))
        case PublishEndpoints(service=service, slices=writes, obsolete=obsolete):
            deleted = {item.metadata.name for item in obsolete}
            slices = {item.metadata.name: item for item in snapshot.slices if item.metadata.name not in deleted}
            slices |= {write.desired.metadata.name: write.desired for write in writes}
            stored = snapshot.service if service is None else service.desired
            return replace(snapshot, service=stored, slices=list(slices.values()))
        case RemoveFinalizer():
            return replace(
                snapshot, adapter=with_fields(adapter, metadata=with_fields(adapter.metadata, finalizers=()))
            )
        case Load(pod=pod):
            return replace(snapshot, in_flight={**snapshot.in_flight, pod.name: "load"})
        case Unload(pod=pod):
            return replace(snapshot, in_flight={**snapshot.in_flight, pod.name: "unload"})
    return snapshot


def remaining(snapshot: Snapshot, requests: Sequence[Action], planned: Plan) -> list[Action]:
    """Return what a plan does, apart from the words of conditions. `requests`: those in flight."""
    stored = snapshot.adapter.status
    left = list[Action]()
    for action in planned.actions:
        match action:
            case WriteStatus(status=new):
                if (new.phase, new.instances) != (stored.phase, stored.instances):
                    left.append(action)
            case EmitEvent():
                pass
            case _:
                if action not in requests and not _only_forgets(action, stored.instances):
                    left.append(action)
    return left


def _only_forgets(action: Action, serving: Sequence[str]) -> bool:
    """Return whether an action only removes attempts on pods that serve, which are of no consequence any more."""
    if not isinstance(action, WriteAnnotations):
        return False
    kept = {pod: attempt for pod, attempt in action.before.attempts.items() if pod not in serving}
    return replace(action.before, attempts=kept) == action.after


@settings(max_examples=100, deadline=None)
@given(snapshots())
def test_plans_follow_at_once_until_nothing_is_left_that_only_their_own_writes_make_possible(
    snapshot: Snapshot,
) -> None:
    requests = list[Action]()
    for _ in range(6):
        planned = plan(snapshot, NOW, Settings(), find("default"), Random(0))
        requests += [action for action in planned.actions if isinstance(action, Load | Unload | ListAdapters)]
        snapshot = executed(snapshot, planned)
        following = plan(snapshot, NOW, Settings(), find("default"), Random(0))
        left = remaining(snapshot, requests, following)
        if not left or planned.waiting_for_slot:
            return
        assert planned.continues or 0 < planned.wake <= NOW, left
    raise AssertionError(f"the plans at one time do not come to an end: {left}")


@pytest.mark.parametrize("former", ["", FORMER], ids=["loaded by others", "restarted with the adapter"])
def test_what_an_engine_is_found_to_hold_is_published_by_the_next_plan(former: str) -> None:
    pod = a_pod(engine=CURRENT)
    placements = {pod.name: with_fields(placed(pod), engine=former)} if former else {}
    persisted = PersistedState(selected=(pod.name,), placements=placements)
    first = a_snapshot(an_adapter(), [pod], persisted=persisted, inventories={pod.name: {"sql": "acme/sql"}})
    found = plan(first, NOW, Settings(), find("default"), Random(0))
    assert found.continues
    following = plan(executed(first, found), NOW, Settings(), find("default"), Random(0))
    assert any(isinstance(action, PublishEndpoints) for action in following.actions)
    assert not following.continues


def test_a_load_leads_to_the_next_plan_by_its_end() -> None:
    planned = plan(a_snapshot(an_adapter(finalizer=False), [a_pod()]), NOW, Settings(), find("default"), Random(0))
    assert any(isinstance(action, Load) for action in planned.actions)
    assert not planned.continues


def test_the_end_of_a_move_leads_to_another_plan() -> None:
    moving = PersistedState(selected=("pod-a", "pod-b"), move=MoveRecord("pod-a", "pod-b", NOW - 10))
    ended = replace(moving, selected=("pod-b",), move=MoveRecord("pod-a", "pod-b", NOW - 10, finished=NOW))
    assert Plan((WriteAnnotations(moving, ended),)).continues


def test_a_pod_that_replaces_one_of_its_name_is_not_taken_for_one_that_served() -> None:
    """Its engine does not answer, so nothing but a load shows what it does."""
    pod = a_pod(engine=CURRENT)
    persisted = PersistedState((pod.name,), placements={pod.name: with_fields(placed(pod), uid="uid-former")})
    adapter = an_adapter(phase="Running", instances=[pod.name])
    snapshot = a_snapshot(adapter, [pod], persisted=persisted, inventories={}, silent=[pod.name])
    planned = plan(snapshot, NOW, Settings(), find("default"), Random(0))
    assert Load(pod) in planned.actions
