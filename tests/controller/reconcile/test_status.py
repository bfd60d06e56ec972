"""Conditions follow the API conventions: transition time and observed generation."""

from dataclasses import replace as with_fields

from msgspec.structs import replace

from controller.api.types import Condition, ModelAdapterStatus
from controller.reconcile.status import Progress, StatusInput, patch, status_of
from tests.controller.builders import NOW, an_adapter

LOADING = StatusInput(
    "Loading", selected=("pod-a",), desired=1, reason="ConnectError", message="once", progress=Progress()
)
RUNNING = StatusInput("Running", ("pod-a",), ("pod-a",), desired=1, progress=Progress(False, "Complete", "1 of 1"))


def conditions(status: ModelAdapterStatus) -> dict[str, Condition]:
    return {condition.type: condition for condition in status.conditions}


def test_the_transition_time_changes_only_with_the_status() -> None:
    adapter = an_adapter()
    first = status_of(adapter, LOADING, NOW)
    later = status_of(replace(adapter, status=first), with_fields(LOADING, message="twice"), NOW + 60)
    ready, again = conditions(first)["Ready"], conditions(later)["Ready"]
    assert again.message == "twice"
    assert again.last_transition_time == ready.last_transition_time
    runs = conditions(status_of(replace(adapter, status=later), RUNNING, NOW + 120))["Ready"]
    assert runs.last_transition_time is not None
    assert ready.last_transition_time is not None
    assert (runs.last_transition_time - ready.last_transition_time).total_seconds() == 120


def test_conditions_have_the_observed_generation() -> None:
    status = status_of(an_adapter(generation=7), RUNNING, NOW)
    assert {condition.observed_generation for condition in status.conditions} == {7}


def test_an_unchanged_input_gives_the_same_status() -> None:
    adapter = an_adapter()
    adapter = replace(adapter, status=status_of(adapter, RUNNING, NOW))
    assert status_of(adapter, RUNNING, NOW + 60) is adapter.status


def test_a_patch_has_only_the_changed_fields() -> None:
    before = status_of(an_adapter(), RUNNING, NOW)
    after = replace(before, instances=(), ready_replicas=0)
    assert patch(before, after) == {"status": {"instances": [], "readyReplicas": 0}}
