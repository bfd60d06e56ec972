"""Each problem for the user has a reason, a message with the next step, and one Event."""

from dataclasses import replace
from random import Random
from typing import Any

import pytest
from msgspec.structs import replace as with_fields

from controller.api.annotations import MOST_PODS, Attempt, PersistedState
from controller.api.spec import SpecProblem
from controller.api.types import Condition, ModelAdapterStatus
from controller.engine.errors import EngineError, Scope
from controller.policies import find
from controller.reconcile.actions import (
    EmitEvent,
    ListAdapters,
    Load,
    Plan,
    Unload,
    WriteAnnotations,
    WriteStatus,
)
from controller.reconcile.planning.plan import plan
from controller.reconcile.snapshot import Snapshot
from controller.requests.outcomes import EngineRecord, Inventory, RequestOutcome
from controller.settings import Settings
from tests.controller.builders import NOW, a_pod, a_snapshot, an_adapter, placed

PATH = "acme/sql"


def planned(snapshot: Snapshot) -> Plan:
    return plan(snapshot, NOW, Settings(), find("default"), Random(0))


def last_status(result: Plan) -> ModelAdapterStatus:
    return [action.status for action in result.actions if isinstance(action, WriteStatus)][-1]


def conditions(result: Plan) -> dict[str, Condition]:
    return {condition.type: condition for condition in last_status(result).conditions}


def events_of(result: Plan) -> list[tuple[str, str]]:
    return [(action.reason, action.note) for action in result.actions if isinstance(action, EmitEvent)]


def with_spec(snapshot: Snapshot, **fields: Any) -> Snapshot:
    spec = with_fields(snapshot.adapter.spec, **fields)
    return replace(snapshot, adapter=with_fields(snapshot.adapter, spec=spec))


def with_status(snapshot: Snapshot, status: ModelAdapterStatus) -> Snapshot:
    return replace(snapshot, adapter=with_fields(snapshot.adapter, status=status))


def test_the_first_status_only_says_that_reconciliation_starts() -> None:
    result = planned(a_snapshot(an_adapter(phase="", finalizer=False), [a_pod()]))
    assert isinstance(result.actions[0], WriteStatus)
    first = result.actions[0].status
    (condition,) = first.conditions
    assert (first.phase, condition.type, condition.status) == ("Pending", "Initialized", "Unknown")
    assert (condition.reason, condition.message) == ("ModelAdapterPending", "Starting reconciliation")


def test_no_matching_pod_is_reported_with_the_required_label() -> None:
    found = conditions(planned(a_snapshot(an_adapter(), [])))["Scheduled"]
    assert (found.status, found.reason) == ("False", "NoMatchingPod")
    assert "adapter.model.aibrix.ai/enabled=true" in found.message


def test_full_engines_are_reported_with_the_next_step() -> None:
    pod = a_pod()
    full = a_snapshot(an_adapter(), [pod], adapters_on={pod.name: pod.max_cpu_loras})
    result = plan(full, NOW, Settings(), find("bin-pack"), Random(0))
    found = conditions(result)["Ready"]
    assert (found.status, found.reason) == ("False", "NoCapacity")
    assert "--max-cpu-loras" in found.message
    assert not [action for action in result.actions if isinstance(action, Load)]


def test_a_missing_secret_blocks_loads_is_reported_once_and_rechecked() -> None:
    problem = SpecProblem("SecretNotFound", "Secret default/key does not exist: create it", recheck=10.0)
    snapshot = replace(a_snapshot(an_adapter(), [a_pod()]), problem=problem)
    result = planned(snapshot)
    assert not [action for action in result.actions if isinstance(action, Load | ListAdapters)]
    assert last_status(result).phase == "Failed"
    assert conditions(result)["Ready"].reason == "SecretNotFound"
    assert events_of(result) == [("SecretNotFound", problem.message)]
    assert result.wake == pytest.approx(NOW + 10)
    again = planned(with_status(snapshot, last_status(result)))
    assert events_of(again) == []
    assert again.wake == pytest.approx(NOW + 10)


def test_replicas_keep_serving_while_the_secret_is_missing() -> None:
    pod = a_pod()
    persisted = PersistedState(selected=(pod.name,), placements={pod.name: placed(pod)})
    adapter = an_adapter(phase="Running", instances=[pod.name])
    problem = SpecProblem("SecretNotFound", "create it", recheck=10.0)
    snapshot = replace(
        a_snapshot(adapter, [pod], persisted=persisted, inventories={pod.name: {"sql": PATH}}), problem=problem
    )
    result = planned(snapshot)
    assert not [action for action in result.actions if isinstance(action, Unload)]
    assert last_status(result).phase == "Running"
    assert last_status(result).instances == (pod.name,)
    assert conditions(result)["Progressing"].reason == "SecretNotFound"


def test_a_foreign_base_model_is_reported_once_and_does_not_block_loads() -> None:
    pod = a_pod()
    snapshot = with_spec(a_snapshot(an_adapter(), [pod]), base_model="llama2-7b")
    inventory = Inventory(pod.engine, {}, frozenset({"qwen", "Qwen/Qwen3"}))
    snapshot = replace(snapshot, engines={pod.uid: EngineRecord(inventory)})
    result = planned(snapshot)
    found = conditions(result)["BaseModelServed"]
    assert (found.status, found.reason) == ("False", "BaseModelNotServed")
    served = f"pod {pod.name} serves Qwen/Qwen3, qwen and not llama2-7b"
    assert found.message == f"{served}: correct baseModel or podSelector"
    assert [reason for reason, _ in events_of(result)].count("BaseModelNotServed") == 1
    assert [action for action in result.actions if isinstance(action, Load)]
    again = planned(with_status(snapshot, last_status(result)))
    assert "BaseModelNotServed" not in [reason for reason, _ in events_of(again)]
    mended = planned(with_spec(with_status(snapshot, last_status(result)), base_model="qwen"))
    assert conditions(mended)["BaseModelServed"].status == "True"


REFUSED = EngineError("ConnectError", "connection refused", retriable=True)
LAST_FAILED = RequestOutcome("load", NOW - 1, "containerd://1", 1, REFUSED, 1)
ALL_FAILED = replace(LAST_FAILED, failures=2)


@pytest.mark.parametrize(
    ("outcome", "unsent", "text"),
    [
        pytest.param(ALL_FAILED, None, "2 of 6 attempts on pod-b have failed", id="both were seen to fail"),
        pytest.param(
            LAST_FAILED,
            None,
            "2 of 6 attempts on pod-b are used, the results of 1 are not known",
            id="the operator restarted after the first",
        ),
        pytest.param(
            None,
            None,
            "2 of 6 attempts on pod-b are used, the results of 2 are not known",
            id="the operator restarted after both",
        ),
        pytest.param(LAST_FAILED, NOW - 1, "1 of 6 attempts on pod-b have failed", id="the second was never sent"),
    ],
)
def test_progress_counts_attempts_that_are_known_to_have_failed(
    outcome: RequestOutcome | None, unsent: float | None, text: str
) -> None:
    good, bad = a_pod("pod-a"), a_pod("pod-b")
    persisted = PersistedState(
        selected=(good.name, bad.name),
        attempts={bad.name: Attempt(retries=1, announced=NOW - 1)},
        placements={good.name: placed(good), bad.name: placed(bad)},
    )
    adapter = an_adapter(replicas=2, phase="Running", instances=[good.name])
    inventories = {good.name: {"sql": PATH}, bad.name: {}}
    snapshot = a_snapshot(
        adapter,
        [good, bad],
        persisted=persisted,
        inventories=inventories,
        outcomes={} if outcome is None else {bad.name: outcome},
        unsent={} if unsent is None else {bad.name: unsent},
        full=[bad.name],
    )
    progress = conditions(planned(snapshot))["Progressing"]
    assert (progress.status, progress.reason) == ("True", "Retrying")
    assert progress.message == f"1 of 2 replicas serve; {text}"


@pytest.mark.parametrize("replicas", [None, MOST_PODS + 20])
def test_pods_beyond_the_placement_limit_are_not_selected_and_reported(replicas: int | None) -> None:
    pods = [a_pod(f"pod-{number:03}") for number in range(MOST_PODS + 20)]
    first = next(
        a for a in planned(a_snapshot(an_adapter(replicas=replicas), pods)).actions if isinstance(a, WriteAnnotations)
    )
    assert len(first.after.selected) == MOST_PODS
    kept = first.after.selected
    persisted = PersistedState(selected=kept, placements={pod.name: placed(pod) for pod in pods if pod.name in kept})
    adapter = an_adapter(replicas=replicas, phase="Running", instances=kept)
    found = conditions(
        planned(a_snapshot(adapter, pods, persisted=persisted, inventories={pod.name: {"sql": PATH} for pod in pods}))
    )
    assert found["Ready"].status == "True"
    assert (found["FullyReplicated"].status, found["Progressing"].reason) == ("False", "PlacementLimit")
    assert found["Progressing"].message == (
        "500 of 520 replicas serve; 20 more: one object can use at most 500 pods: use several adapters, with narrower "
        "selectors"
    )


def test_an_unchanged_status_is_not_written_again() -> None:
    pod = a_pod()
    persisted = PersistedState(selected=(pod.name,), placements={pod.name: placed(pod)})
    adapter = an_adapter(phase="Running", instances=[pod.name])
    snapshot = a_snapshot(adapter, [pod], persisted=persisted, inventories={pod.name: {"sql": PATH}})
    written = last_status(planned(snapshot))
    later = plan(with_status(snapshot, written), NOW + 3600, Settings(), find("default"), Random(0))
    assert last_status(later) == written


def test_an_unlisted_engine_is_listed_before_it_gets_a_load() -> None:
    pod = a_pod()
    result = planned(a_snapshot(an_adapter(), [pod], inventories={}))
    assert [action.pod.name for action in result.actions if isinstance(action, ListAdapters)] == [pod.name]
    assert not [action for action in result.actions if isinstance(action, Load)]
    silent = planned(a_snapshot(an_adapter(), [pod], inventories={}, silent=[pod.name]))
    assert [action for action in silent.actions if isinstance(action, Load)]


def test_a_refused_key_is_retried_once_its_secret_has_changed() -> None:
    pod = a_pod()

    refused = RequestOutcome(
        "load", NOW - 10, pod.engine, 1, EngineError("Unauthorized", "401", retriable=False), 1, "5"
    )
    persisted = PersistedState(
        selected=(pod.name,),
        attempts={pod.name: Attempt(retries=0, announced=NOW - 10)},
        placements={pod.name: placed(pod)},
    )
    snapshot = a_snapshot(an_adapter(), [pod], persisted=persisted, outcomes={pod.name: refused})
    same, rotated = replace(snapshot, secret="5"), replace(snapshot, secret="6")
    assert not [action for action in planned(same).actions if isinstance(action, Load)]
    assert [action for action in planned(rotated).actions if isinstance(action, Load)]


def test_a_refusal_by_a_pod_that_is_no_longer_selected_is_still_the_reason() -> None:
    gone, present = a_pod("pod-a"), a_pod("pod-b")
    broken = EngineError("InvalidAdapter", "500 broken", retriable=False, scope=Scope.ADAPTER)
    snapshot = a_snapshot(
        an_adapter(phase="Failed"),
        [gone, present],
        persisted=PersistedState(selected=("pod-b",)),
        outcomes={"pod-a": RequestOutcome("load", NOW - 10, gone.engine, 1, broken, 1)},
    )
    found = conditions(planned(snapshot))
    assert (found["Ready"].reason, found["Progressing"].reason) == ("InvalidAdapter", "InvalidAdapter")
    assert all(condition.reason for condition in found.values())
