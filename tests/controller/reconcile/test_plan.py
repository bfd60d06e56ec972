"""The plan: decisions of the operator, by their effect on the user."""

from dataclasses import replace
from random import Random

import pytest
from msgspec.structs import replace as with_fields

from controller.api.annotations import Attempt, PersistedState
from controller.engine.errors import EngineError, Scope
from controller.policies import find
from controller.reconcile.actions import (
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
from controller.reconcile.planning.plan import plan
from controller.reconcile.snapshot import Snapshot
from controller.requests.outcomes import RequestOutcome
from controller.settings import Settings
from tests.controller.builders import NOW, a_pod, a_snapshot, an_adapter, placed

REFUSED = EngineError("ConnectError", "connection refused", retriable=True)
BROKEN = EngineError("InvalidAdapter", "rank too large", retriable=False, scope=Scope.ADAPTER)
UNAUTHORIZED = EngineError("Unauthorized", "401", retriable=False)
NO_ROUTE = EngineError("RuntimeUpdatingOff", "404 the engine has no such route", retriable=False)


def planned(snapshot: Snapshot, now: float = NOW, settings: Settings | None = None) -> Plan:
    return plan(snapshot, now, settings or Settings(), find("default"), Random(0))


def of(result: Plan, kind: type) -> list:
    return [action for action in result.actions if isinstance(action, kind)]


def attempted(pod, retries: int, ago: float) -> PersistedState:
    return PersistedState(
        selected=(pod.name,),
        attempts={pod.name: Attempt(retries=retries, announced=NOW - ago)},
        placements={pod.name: placed(pod)},
    )


def test_a_new_adapter_gets_its_phases_then_one_patch_and_then_the_load() -> None:
    result = planned(a_snapshot(an_adapter(phase="", finalizer=False), [a_pod()]))
    kinds = [type(action) for action in result.actions]
    assert kinds[:5] == [WriteStatus, WriteStatus, WriteStatus, WriteAnnotations, Load]
    phases = [action.status.phase for action in of(result, WriteStatus)]
    assert phases[:3] == ["Pending", "Scheduled", "Loading"]
    (patch,) = of(result, WriteAnnotations)
    assert patch.add_finalizer
    assert patch.after.selected == ("pod-a",)
    assert patch.after.attempt("pod-a") == Attempt(retries=0, announced=NOW)
    assert patch.after.placements["pod-a"] == placed(a_pod())


def test_a_pod_that_is_not_stable_yet_is_looked_at_again_at_exactly_that_time() -> None:
    result = planned(a_snapshot(an_adapter(), [a_pod(ready_for=2)]))
    assert not of(result, Load)
    assert result.wake == NOW + 3


@pytest.mark.parametrize(("retries", "wait"), [(0, 5), (1, 10), (2, 20), (3, 40), (4, 80)])
def test_the_next_attempt_comes_when_the_wait_after_the_failed_one_is_over(retries: int, wait: float) -> None:
    pod = a_pod(ready_for=1000)
    persisted = attempted(pod, retries, ago=500)
    ended = NOW - 1
    outcomes = {pod.name: RequestOutcome("load", ended, pod.engine, 1, REFUSED, 1)}
    snapshot = a_snapshot(
        an_adapter(phase="Loading"), [pod], persisted=persisted, inventories={"pod-a": {}}, outcomes=outcomes
    )
    assert planned(snapshot).wake == ended + wait
    assert not of(planned(snapshot), Load)
    result = planned(snapshot, now=ended + wait)
    assert of(result, WriteAnnotations)[0].after.attempt("pod-a") == Attempt(retries + 1, ended + wait)
    assert of(result, Load)


def test_a_restarted_controller_counts_from_the_announcement_and_asks_the_engine_first() -> None:
    pod = a_pod(ready_for=1000)
    persisted = attempted(pod, 1, ago=3)
    assert of(
        planned(a_snapshot(an_adapter(phase="Loading"), [pod], persisted=persisted, inventories={})), ListAdapters
    )
    snapshot = a_snapshot(an_adapter(phase="Loading"), [pod], persisted=persisted, inventories={"pod-a": {}})
    assert planned(snapshot).wake == pytest.approx(NOW - 3 + 1 + 10)


def test_after_a_restart_what_the_engine_lists_counts_as_loaded() -> None:
    pod = a_pod(ready_for=1000)
    snapshot = a_snapshot(
        an_adapter(phase="Loading"),
        [pod],
        persisted=attempted(pod, 2, ago=3),
        inventories={"pod-a": {"sql": "acme/sql"}},
    )
    result = planned(snapshot)
    assert not of(result, Load)
    assert [action.status.phase for action in of(result, WriteStatus)] == ["Bound", "Running"]
    assert of(result, WriteAnnotations)[0].after.attempts == {}


def test_what_an_engine_already_has_is_taken_over_and_not_loaded_again() -> None:
    pod = a_pod()
    persisted = PersistedState(selected=(pod.name,))
    result = planned(a_snapshot(an_adapter(), [pod], persisted=persisted, inventories={pod.name: {"sql": "acme/sql"}}))
    assert not of(result, Load)
    assert of(result, WriteAnnotations)[0].after.placements == {pod.name: placed(pod)}


LATE = RequestOutcome("load", NOW - 1, "containerd://1", 1, None)
"""A successful load, sent before the operator learned that the engine had restarted."""
TIMED_OUT = replace(LATE, error=EngineError("Timeout", "timeout", retriable=True, ambiguous=True), failures=1)


@pytest.mark.parametrize("selected", [True, False])
@pytest.mark.parametrize("deleting", [True, False])
@pytest.mark.parametrize(
    ("sent", "lists", "silent", "asks", "counts"),
    [
        pytest.param(LATE, None, False, True, False, id="the present incarnation was not asked yet"),
        pytest.param(LATE, {"sql": "acme/sql"}, False, False, True, id="it reached the present one"),
        pytest.param(LATE, {}, False, False, False, id="it reached the former one"),
        pytest.param(TIMED_OUT, {}, False, False, True, id="it may still come to its end"),
        pytest.param(replace(LATE, error=REFUSED), None, False, False, False, id="it was refused"),
        pytest.param(LATE, None, True, False, False, id="the present incarnation says nothing"),
        pytest.param(None, None, False, False, False, id="nothing was sent"),
    ],
)
def test_a_load_that_reached_a_restarted_engine_is_found_there(
    sent: RequestOutcome | None,
    lists: dict[str, str] | None,
    silent: bool,
    asks: bool,
    counts: bool,
    selected: bool,
    deleting: bool,
) -> None:
    former, pod = a_pod(), a_pod(engine="containerd://2")
    other = a_pod("pod-b")
    names = (pod.name,) if selected else (other.name,)
    persisted = PersistedState(selected=names, placements={pod.name: placed(former)})
    snapshot = a_snapshot(
        an_adapter(deleting=deleting),
        [pod, other],
        persisted=persisted,
        inventories={other.name: {}} | ({} if lists is None else {pod.name: lists}),
        outcomes={} if sent is None else {pod.name: sent},
        silent=[pod.name] if silent else [],
    )
    result = planned(snapshot)
    looked = [look.pod.name for look in of(result, ListAdapters)]
    if asks or not selected or deleting:
        assert (pod.name in looked) is asks
    after = of(result, WriteAnnotations)[-1].after.placements if of(result, WriteAnnotations) else persisted.placements
    if counts:
        assert after[pod.name] == placed(pod)
    if deleting:
        assert bool(of(result, RemoveFinalizer)) is not (asks or counts)
    elif not selected and not asks and not counts:
        assert pod.name not in after


def test_the_sixth_failure_moves_the_adapter_to_another_pod_with_an_event() -> None:
    bad, good = a_pod("pod-a", ready_for=1000), a_pod("pod-b", ready_for=1000)
    outcomes = {"pod-a": RequestOutcome("load", NOW, bad.engine, 1, REFUSED, 6)}
    snapshot = a_snapshot(
        an_adapter(phase="Loading"),
        [bad, good],
        persisted=attempted(bad, 5, ago=1),
        inventories={"pod-a": {}, "pod-b": {}},
        outcomes=outcomes,
    )
    result = planned(snapshot)
    after = of(result, WriteAnnotations)[0].after
    assert after.selected == ("pod-b",)
    assert after.attempt("pod-a") == Attempt(5, NOW - 1), "chosen again soon, it must not get six attempts more"
    assert [load.pod.name for load in of(result, Load)] == ["pod-b"]
    assert any(
        tell.reason == "Switched" and "from pod pod-a to pod pod-b" in tell.note for tell in of(result, EmitEvent)
    )


@pytest.mark.parametrize(("policy", "place"), [("least-adapters", "pod-b"), ("bin-pack", "pod-c")])
def test_the_policy_replaces_a_pod_in_cooldown(policy: str, place: str) -> None:
    bad, idle, busy = (a_pod(name, ready_for=1000) for name in ("pod-a", "pod-b", "pod-c"))
    snapshot = a_snapshot(
        an_adapter(phase="Loading"),
        [bad, idle, busy],
        persisted=attempted(bad, 5, ago=1),
        outcomes={"pod-a": RequestOutcome("load", NOW, bad.engine, 1, REFUSED, 6)},
        adapters_on={"pod-c": 2},
    )
    result = plan(snapshot, NOW, Settings(), find(policy), Random(0))
    assert of(result, WriteAnnotations)[0].after.selected == (place,)


@pytest.mark.parametrize(
    ("switch", "others_failed", "place"),
    [
        ("exhausted", False, "pod-a"),
        ("eager", False, "pod-b"),
        ("eager", True, "pod-a"),
    ],
)
def test_after_one_failure_only_an_eager_operator_moves_and_only_to_a_pod_without_recent_errors(
    switch: str, others_failed: bool, place: str
) -> None:
    bad, other = a_pod("pod-a", ready_for=1000), a_pod("pod-b", ready_for=1000)
    snapshot = a_snapshot(
        an_adapter(phase="Loading"),
        [bad, other],
        persisted=attempted(bad, 0, ago=1),
        outcomes={"pod-a": RequestOutcome("load", NOW, bad.engine, 1, REFUSED, 1)},
        failed={"pod-b": NOW - 60} if others_failed else {},
    )
    result = plan(snapshot, NOW, Settings(retry_switch=switch), find("default"), Random(0))
    assert result.selection == (place,)
    writes = of(result, WriteAnnotations)
    assert not writes or writes[0].after.attempt("pod-a") == Attempt(0, NOW - 1), "the count of each pod is kept"


@pytest.mark.parametrize("policy", ["least-adapters", "bin-pack", "random"])
@pytest.mark.parametrize(("ago", "place"), [(60, "pod-b"), (301, "pod-a")])
def test_new_choices_put_pods_with_recent_errors_last(policy: str, ago: float, place: str) -> None:
    pods = [a_pod(name, ready_for=1000) for name in ("pod-a", "pod-b")]
    fuller = {"bin-pack": {"pod-a": 2}}.get(policy, {"pod-b": 2})
    snapshot = a_snapshot(an_adapter(), pods, adapters_on=fuller, failed={"pod-a": NOW - ago})
    chosen = {plan(snapshot, NOW, Settings(), find(policy), Random(seed)).selection for seed in range(9)}
    assert (place,) in chosen
    assert len(chosen) == 1 or (policy, ago) == ("random", 301)


def test_a_pod_with_recent_errors_is_chosen_if_there_is_no_other() -> None:
    snapshot = a_snapshot(an_adapter(replicas=2), [a_pod("pod-a"), a_pod("pod-b")], failed={"pod-a": NOW - 1})
    assert planned(snapshot).selection == ("pod-a", "pod-b")


def test_the_last_attempt_is_waited_for_before_another_pod_takes_the_place() -> None:
    bad, good = a_pod("pod-a", ready_for=1000), a_pod("pod-b", ready_for=1000)
    outcomes = {"pod-a": RequestOutcome("load", NOW - 90, bad.engine, 1, REFUSED, 5)}
    snapshot = a_snapshot(
        an_adapter(phase="Loading"),
        [bad, good],
        persisted=attempted(bad, 5, ago=1),
        inventories={"pod-a": {}, "pod-b": {}},
        outcomes=outcomes,
        busy={"pod-a": "load"},
    )
    result = planned(snapshot)
    assert not of(result, Load)
    assert not of(result, WriteAnnotations)


def test_a_last_attempt_that_ends_well_is_as_good_as_the_first() -> None:
    bad, good = a_pod("pod-a", ready_for=1000), a_pod("pod-b", ready_for=1000)
    snapshot = a_snapshot(
        an_adapter(phase="Loading"),
        [bad, good],
        persisted=attempted(bad, 5, ago=1),
        inventories={"pod-a": {"sql": "acme/sql"}, "pod-b": {}},
        outcomes={"pod-a": RequestOutcome("load", NOW, bad.engine, 1, None, 0)},
    )
    result = planned(snapshot)
    assert not of(result, Load)
    assert [action.status.instances for action in of(result, WriteStatus)][-1] == ("pod-a",)
    after = of(result, WriteAnnotations)[0].after
    assert (after.selected, after.attempts) == (("pod-a",), {})


def test_a_pod_is_forgotten_when_its_cooldown_is_over() -> None:
    bad, good = a_pod("pod-a", ready_for=1000), a_pod("pod-b", ready_for=1000)
    persisted = replace(
        attempted(bad, 5, ago=301), selected=("pod-b",), placements={"pod-a": placed(bad), "pod-b": placed(good)}
    )
    lists = {"pod-a": {}, "pod-b": {"sql": "acme/sql"}}
    adapter = an_adapter(phase="Running", instances=["pod-b"])
    outcomes = {"pod-a": RequestOutcome("load", NOW - 300, bad.engine, 1, REFUSED, 6)}
    snapshot = a_snapshot(adapter, [bad, good], persisted=persisted, inventories=lists, outcomes=outcomes)
    assert planned(snapshot, now=NOW - 10).wake == pytest.approx(NOW)
    after = of(planned(snapshot), WriteAnnotations)[0].after
    assert after.attempts == {}
    assert set(after.placements) == {"pod-b"}


def test_without_another_pod_it_stays_and_is_retried_after_five_minutes() -> None:
    pod = a_pod(ready_for=1000)
    outcomes = {"pod-a": RequestOutcome("load", NOW, pod.engine, 1, REFUSED, 6)}
    snapshot = a_snapshot(
        an_adapter(phase="Loading"), [pod], persisted=attempted(pod, 5, 1), inventories={"pod-a": {}}, outcomes=outcomes
    )
    result = planned(snapshot)
    assert of(result, WriteStatus)[-1].status.phase == "Failed"
    assert result.wake == NOW + 300
    again = planned(snapshot, now=NOW + 300)
    assert of(again, WriteAnnotations)[0].after.attempt("pod-a") == Attempt(0, NOW + 300)


@pytest.mark.parametrize(
    "pod", [a_pod(engine="containerd://2", ready_for=1000), a_pod(ready_for=6)], ids=["restarted", "ready again"]
)
def test_attempts_are_dropped_when_the_engine_restarts_or_the_pod_becomes_ready_again(pod) -> None:
    before = a_pod(ready_for=1000)
    snapshot = a_snapshot(
        an_adapter(phase="Loading"), [pod], persisted=attempted(before, 3, ago=8), inventories={"pod-a": {}}
    )
    assert of(planned(snapshot), WriteAnnotations)[0].after.attempt("pod-a") == Attempt(0, NOW)


def test_an_unready_pod_is_withdrawn_at_once_and_unloaded_only_after_that() -> None:
    lost, other = a_pod("pod-a", ready_for=None), a_pod("pod-b")
    persisted = PersistedState(selected=("pod-a",), placements={"pod-a": placed(lost)})
    snapshot = a_snapshot(
        an_adapter(phase="Running", instances=["pod-a"]),
        [lost, other],
        persisted=persisted,
        inventories={"pod-a": {"sql": "acme/sql"}, "pod-b": {}},
    )
    result = planned(snapshot)
    kinds = [type(action) for action in result.actions]
    assert of(result, WriteStatus)[0].status.instances == ()
    assert kinds.index(WriteStatus) < kinds.index(Unload)
    assert [load.pod.name for load in of(result, Load)] == ["pod-b"]


def test_an_unready_pod_without_a_replacement_keeps_its_copy() -> None:
    lost = a_pod("pod-a", ready_for=None)
    persisted = PersistedState(selected=("pod-a",), placements={"pod-a": placed(lost)})
    snapshot = a_snapshot(
        an_adapter(phase="Running", instances=["pod-a"]),
        [lost],
        persisted=persisted,
        inventories={"pod-a": {"sql": "acme/sql"}},
    )
    result = planned(snapshot)
    assert of(result, WriteStatus)[0].status.instances == ()
    assert not of(result, Unload)
    assert not of(result, WriteAnnotations)


def test_every_matching_pod_gets_an_adapter_without_replicas() -> None:
    snapshot = a_snapshot(an_adapter(replicas=None), [a_pod("pod-a"), a_pod("pod-b"), a_pod("pod-c", ready_for=None)])
    assert [load.pod.name for load in of(planned(snapshot), Load)] == ["pod-a", "pod-b"]


def test_zero_replicas_unload_and_keep_the_object() -> None:
    pod = a_pod()
    snapshot = a_snapshot(
        an_adapter(replicas=0, phase="Running", instances=["pod-a"]),
        [pod],
        persisted=PersistedState(selected=("pod-a",), placements={"pod-a": placed(pod)}),
        inventories={"pod-a": {"sql": "acme/sql"}},
    )
    result = planned(snapshot)
    assert of(result, Unload)
    assert of(result, WriteStatus)[0].status.instances == ()


def test_scaling_down_keeps_those_that_serve_on_the_emptiest_pods() -> None:
    pods = [a_pod(f"pod-{letter}") for letter in "abc"]
    snapshot = a_snapshot(
        an_adapter(replicas=1, phase="Running", instances=["pod-a", "pod-b"]),
        pods,
        persisted=PersistedState(
            selected=("pod-a", "pod-b", "pod-c"), placements={pod.name: placed(pod) for pod in pods}
        ),
        inventories={"pod-a": {"sql": "acme/sql"}, "pod-b": {"sql": "acme/sql"}, "pod-c": {}},
        adapters_on={"pod-a": 4, "pod-b": 2},
    )
    assert of(planned(snapshot), WriteStatus)[0].status.instances == ("pod-b",)


def test_a_copy_that_was_never_recorded_elsewhere_is_not_touched() -> None:
    pods = [a_pod("pod-a"), a_pod("pod-b")]
    snapshot = a_snapshot(
        an_adapter(phase="Running", instances=["pod-a"]),
        pods,
        persisted=PersistedState(selected=("pod-a",), placements={"pod-a": placed(pods[0])}),
        inventories={"pod-a": {"sql": "acme/sql"}, "pod-b": {"sql": "acme/other"}},
    )
    assert not of(planned(snapshot), Unload)


def test_another_artifact_is_unloaded_first_and_announced_afterwards() -> None:
    pod = a_pod()
    old = PersistedState(selected=("pod-a",), placements={"pod-a": placed(pod, "acme/old")})
    adapter = an_adapter(phase="Running", instances=["pod-a"])
    first = planned(a_snapshot(adapter, [pod], persisted=old, inventories={"pod-a": {"sql": "acme/old"}}))
    assert of(first, Unload)
    assert not of(first, Load)
    assert of(first, WriteStatus)[0].status.instances == ()
    then = planned(a_snapshot(adapter, [pod], persisted=old, inventories={"pod-a": {}}))
    assert of(then, WriteAnnotations)[0].after.placements["pod-a"] == placed(pod)
    assert of(then, Load)


@pytest.mark.parametrize(("announced", "replaced"), [("acme/sql", False), ("acme/old", True)])
def test_the_folder_of_aibrixs_own_sidecar_holds_what_was_announced(announced: str, replaced: bool) -> None:
    pod = a_pod()
    persisted = PersistedState(selected=("pod-a",), placements={"pod-a": placed(pod, announced)})
    lists = {"pod-a": {"sql": "/tmp/aibrix/adapters/sql"}}
    result = planned(a_snapshot(an_adapter(phase="Loading"), [pod], persisted=persisted, inventories=lists))
    assert bool(of(result, Unload)) is replaced
    assert of(result, WriteStatus)[-1].status.instances == (() if replaced else ("pod-a",))


def test_a_changed_artifact_rolls_pod_by_pod() -> None:
    pods = [a_pod("pod-a"), a_pod("pod-b")]
    old = PersistedState(selected=("pod-a", "pod-b"), placements={pod.name: placed(pod, "acme/old") for pod in pods})
    adapter = an_adapter(replicas=2, phase="Running", instances=["pod-a", "pod-b"])
    lists = {pod.name: {"sql": "acme/old"} for pod in pods}
    result = planned(a_snapshot(adapter, pods, persisted=old, inventories=lists))
    assert [unload.pod.name for unload in of(result, Unload)] == ["pod-a"]
    assert of(result, WriteStatus)[0].status.instances == ("pod-b",)


def test_copies_of_another_artifact_that_are_not_published_do_not_wait_for_each_other() -> None:
    """Two engines were started with `--lora-modules sql=/mnt/sql`, and become ready together."""
    pods = [a_pod("pod-a"), a_pod("pod-b")]
    lists = {pod.name: {"sql": "/mnt/sql"} for pod in pods}
    result = planned(a_snapshot(an_adapter(replicas=2), pods, inventories=lists))
    assert [unload.pod.name for unload in of(result, Unload)] == ["pod-a", "pod-b"]


def test_an_adapter_that_is_broken_is_not_tried_pod_after_pod() -> None:
    pods = [a_pod("pod-a"), a_pod("pod-b")]
    outcomes = {"pod-a": RequestOutcome("load", NOW - 1, pods[0].engine, 1, BROKEN, 1)}
    snapshot = a_snapshot(
        an_adapter(phase="Loading"),
        pods,
        persisted=attempted(pods[0], 0, 1),
        inventories={"pod-a": {}, "pod-b": {}},
        outcomes=outcomes,
    )
    result = planned(snapshot)
    assert not of(result, Load)
    assert of(result, WriteStatus)[-1].status.phase == "Failed"
    assert result.wake == pytest.approx(NOW - 1 + 300)


def test_a_changed_spec_ends_the_refusal_of_the_adapter() -> None:
    pod = a_pod(ready_for=1000)
    outcomes = {"pod-a": RequestOutcome("load", NOW - 100, pod.engine, 1, BROKEN, 1)}
    snapshot = a_snapshot(
        an_adapter(phase="Failed", generation=2),
        [pod],
        persisted=attempted(pod, 0, 100),
        inventories={"pod-a": {}},
        outcomes=outcomes,
    )
    assert of(planned(snapshot), Load)


def test_a_pod_that_refuses_the_key_is_left_for_another() -> None:
    pods = [a_pod("pod-a"), a_pod("pod-b")]
    outcomes = {"pod-a": RequestOutcome("load", NOW - 1, pods[0].engine, 1, UNAUTHORIZED, 1)}
    snapshot = a_snapshot(
        an_adapter(phase="Loading"),
        pods,
        persisted=attempted(pods[0], 0, 1),
        inventories={"pod-a": {}, "pod-b": {}},
        outcomes=outcomes,
    )
    assert [load.pod.name for load in of(planned(snapshot), Load)] == ["pod-b"]


def test_a_load_waits_for_a_free_slot() -> None:
    result = planned(a_snapshot(an_adapter(), [a_pod()], full=["pod-a"]))
    assert not of(result, Load)
    assert result.waiting_for_slot == ("pod-a",)


def test_deletion_withdraws_unloads_everywhere_and_then_lets_go() -> None:
    pods = [a_pod("pod-a"), a_pod("pod-b")]
    persisted = PersistedState(selected=("pod-a",), placements={pod.name: placed(pod) for pod in pods})
    adapter = an_adapter(deleting=True, phase="Running", instances=["pod-a"])
    result = planned(a_snapshot(adapter, pods, persisted=persisted, inventories={"pod-a": {"sql": "acme/sql"}}))
    assert of(result, WriteStatus)[0].status.instances == ()
    assert [unload.pod.name for unload in of(result, Unload)] == ["pod-a", "pod-b"]
    assert not of(result, RemoveFinalizer)
    outcomes = {pod.name: RequestOutcome("unload", NOW - 1, pod.engine) for pod in pods}
    inventories = {"pod-a": {}, "pod-b": {}}
    gone = planned(a_snapshot(adapter, pods, persisted=persisted, inventories=inventories, outcomes=outcomes))
    assert of(gone, RemoveFinalizer)


@pytest.mark.parametrize("deleting", [True, False])
@pytest.mark.parametrize(
    "outcome",
    [
        pytest.param(None, id="announced by a former process"),
        pytest.param(
            RequestOutcome("load", NOW - 1, "containerd://1", 1, REFUSED, 1), id="one of two attempts was seen"
        ),
        pytest.param(
            RequestOutcome("load", NOW - 1, "containerd://1", 1, REFUSED, 2, doubtful=True), id="one may still end"
        ),
    ],
)
def test_an_engine_that_does_not_list_it_yet_is_asked_to_unload_all_the_same(
    outcome: RequestOutcome | None, deleting: bool
) -> None:
    pod = a_pod()
    persisted = replace(attempted(pod, 1, ago=3), selected=())
    adapter = an_adapter(deleting=deleting, replicas=0)
    outcomes = {} if outcome is None else {pod.name: outcome}
    result = planned(a_snapshot(adapter, [pod], persisted=persisted, outcomes=outcomes))
    assert [unload.pod.name for unload in of(result, Unload)] == [pod.name]
    assert not of(result, RemoveFinalizer)


@pytest.mark.parametrize(
    "outcome",
    [
        pytest.param(
            RequestOutcome("load", NOW - 1, "containerd://1", 0, UNAUTHORIZED, 1), id="refused under another spec"
        ),
        pytest.param(RequestOutcome("unload", NOW - 1, "containerd://1", 1, NO_ROUTE, 1), id="no route to unload"),
    ],
)
def test_an_engine_that_cannot_hold_it_is_not_asked_to_unload(outcome: RequestOutcome) -> None:
    pod = a_pod()
    persisted = replace(attempted(pod, 0, ago=3), selected=())
    adapter = an_adapter(replicas=0)
    snapshot = a_snapshot(adapter, [pod], persisted=persisted, outcomes={pod.name: outcome}, inventories={pod.name: {}})
    assert not of(planned(snapshot), Unload)


def test_an_attempt_that_was_announced_and_not_sent_is_made_at_once_and_counts_once() -> None:
    pod = a_pod()
    persisted = attempted(pod, 2, ago=0.1)
    snapshot = a_snapshot(an_adapter(), [pod], persisted=persisted, unsent={pod.name: NOW - 0.1})
    result = planned(snapshot)
    assert [load.pod.name for load in of(result, Load)] == [pod.name]
    assert of(result, WriteAnnotations)[0].after.attempt(pod.name) == Attempt(retries=2, announced=NOW)


def test_an_attempt_that_was_not_sent_says_nothing_of_the_one_that_was_announced_after_it() -> None:
    pod = a_pod()
    snapshot = a_snapshot(an_adapter(), [pod], persisted=attempted(pod, 2, ago=2), unsent={pod.name: NOW - 3})
    assert not of(planned(snapshot), Load)


def test_the_end_of_a_first_attempt_waits_for_the_next_write() -> None:
    pod = a_pod()
    adapter = an_adapter(phase="Running", instances=["pod-a"])
    lists = {"pod-a": {"sql": "acme/sql"}}
    for retries, written in ((0, False), (1, True)):
        snapshot = a_snapshot(adapter, [pod], persisted=attempted(pod, retries, ago=30), inventories=lists)
        assert bool(of(planned(snapshot), WriteAnnotations)) is written


def test_an_engine_that_drops_an_adapter_gets_it_again_as_a_first_attempt() -> None:
    pod = a_pod(ready_for=1000)
    adapter = an_adapter(phase="Running", instances=["pod-a"])
    snapshot = a_snapshot(adapter, [pod], persisted=attempted(pod, 0, ago=2), inventories={"pod-a": {}})
    result = planned(snapshot)
    assert of(result, WriteAnnotations)[0].after.attempt("pod-a") == Attempt(retries=0, announced=NOW)
    assert [load.pod.name for load in of(result, Load)] == ["pod-a"]


def test_a_first_selection_is_persisted_with_the_first_announcement_and_stays_until_then() -> None:
    pods = [a_pod("pod-a"), a_pod("pod-b")]
    waiting = planned(a_snapshot(an_adapter(), pods, full=["pod-a"]))
    assert (waiting.selection, of(waiting, WriteAnnotations)) == (("pod-a",), [])
    snapshot = replace(a_snapshot(an_adapter(), pods, adapters_on={"pod-a": 5}), pending_selection=("pod-a",))
    announcing = of(planned(snapshot), WriteAnnotations)[0]
    assert (announcing.before.selected, announcing.after.selected) == ((), ("pod-a",))


def test_a_dead_engine_holds_a_deletion_for_six_tries_and_no_longer() -> None:
    pod = a_pod()
    persisted = PersistedState(placements={"pod-a": placed(pod)})
    for failures, given_up in ((5, False), (6, True)):
        outcomes = {"pod-a": RequestOutcome("unload", NOW - 1000, pod.engine, 1, REFUSED, failures)}
        result = planned(
            a_snapshot(an_adapter(deleting=True), [pod], persisted=persisted, outcomes=outcomes, inventories={})
        )
        assert bool(of(result, RemoveFinalizer)) is given_up
        assert any(tell.reason == "UnloadAbandoned" for tell in of(result, EmitEvent)) is given_up


def test_a_settled_adapter_has_an_empty_plan() -> None:
    pod = a_pod()
    adapter = an_adapter()
    persisted = PersistedState(selected=("pod-a",), placements={"pod-a": placed(pod)})
    snapshot = a_snapshot(adapter, [pod], persisted=persisted, inventories={"pod-a": {"sql": "acme/sql"}})
    first = planned(snapshot)
    publish = of(first, PublishEndpoints)[0]
    settled = an_adapter(phase="Running", instances=["pod-a"])
    settled = with_fields(settled, status=of(first, WriteStatus)[-1].status)
    assert publish.service is not None
    slices = [write.desired for write in publish.slices]
    again = planned(replace(snapshot, adapter=settled, service=publish.service.desired, slices=slices))
    assert all(isinstance(action, WriteStatus) and action.status == settled.status for action in again.actions)
    assert again.wake == 0


UNKNOWN = EngineError("LoadFailed", "500 gremlins", retriable=True, elsewhere=True)


def failed_on(*pods, error: EngineError, ago: float = 1) -> dict[str, RequestOutcome]:
    return {pod.name: RequestOutcome("load", NOW - ago, pod.engine, 1, error, 1) for pod in pods}


def tried_on(*pods, selected) -> PersistedState:
    return PersistedState(
        selected=(selected.name,),
        attempts={pod.name: Attempt(retries=0, announced=NOW - 4) for pod in pods},
        placements={pod.name: placed(pod) for pod in pods},
    )


def test_a_load_that_failed_for_an_unknown_reason_is_tried_on_another_pod_at_once() -> None:
    one, other = a_pod("pod-a"), a_pod("pod-b")
    snapshot = a_snapshot(
        an_adapter(phase="Loading"),
        [one, other],
        persisted=tried_on(one, selected=one),
        outcomes=failed_on(one, error=UNKNOWN),
    )
    result = planned(snapshot)
    assert [load.pod.name for load in of(result, Load)] == ["pod-b"]
    assert of(result, WriteAnnotations)[0].after.attempt("pod-a") is not None
    assert [event.reason for event in of(result, EmitEvent)] == ["Scheduled", "Switched"]


def test_a_second_attempt_in_flight_is_not_given_up_for_another_pod() -> None:
    one, other = a_pod("pod-a"), a_pod("pod-b")
    snapshot = a_snapshot(
        an_adapter(phase="Loading"),
        [one, other],
        persisted=tried_on(one, selected=one),
        outcomes=failed_on(one, error=UNKNOWN, ago=10),
        busy={one.name: "load"},
    )
    result = planned(snapshot)
    assert not of(result, Load)
    assert not [event for event in of(result, EmitEvent) if event.reason == "Switched"]


def test_a_load_that_may_succeed_on_the_same_pod_is_not_moved() -> None:
    one, other = a_pod("pod-a"), a_pod("pod-b")
    snapshot = a_snapshot(
        an_adapter(phase="Loading"),
        [one, other],
        persisted=tried_on(one, selected=one),
        outcomes=failed_on(one, error=REFUSED),
    )
    assert not of(planned(snapshot), Load)
    assert [load.pod.name for load in of(planned(snapshot, now=NOW + 4), Load)] == ["pod-a"]


def test_after_every_pod_an_unknown_error_is_tried_again_where_it_is_due_first_and_stays_loading() -> None:
    one, other = a_pod("pod-a"), a_pod("pod-b")
    snapshot = a_snapshot(
        an_adapter(phase="Loading"),
        [one, other],
        persisted=tried_on(one, other, selected=other),
        outcomes=failed_on(one, error=UNKNOWN, ago=3) | failed_on(other, error=UNKNOWN, ago=1),
    )
    waiting = planned(snapshot)
    assert not of(waiting, Load)
    assert waiting.wake == NOW + 2
    assert of(waiting, WriteStatus)[-1].status.phase == "Loading"
    assert [load.pod.name for load in of(planned(snapshot, now=NOW + 2), Load)] == ["pod-a"]


def test_with_one_pod_an_unknown_error_is_tried_again_there_after_the_wait() -> None:
    pod = a_pod()
    snapshot = a_snapshot(
        an_adapter(phase="Loading"),
        [pod],
        persisted=tried_on(pod, selected=pod),
        outcomes=failed_on(pod, error=UNKNOWN),
    )
    assert planned(snapshot).wake == NOW + 4
    assert of(planned(snapshot, now=NOW + 4), Load)


def test_a_policy_sees_the_rank_limits_of_the_engines() -> None:
    large, small = replace(a_pod("pod-a"), max_lora_rank=64), replace(a_pod("pod-b"), max_lora_rank=16)
    adapter = an_adapter()
    adapter = with_fields(adapter, spec=with_fields(adapter.spec, additional_config={"rank": "8"}))
    result = plan(a_snapshot(adapter, [large, small]), NOW, Settings(), find("rank-aware"), Random(0))
    assert result.selection == ("pod-b",)
