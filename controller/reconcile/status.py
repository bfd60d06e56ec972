"""Phases and conditions: what `status` says about what was observed and decided. Pure.

One place builds a condition. `lastTransitionTime` moves only when a condition's status does, as the API
conventions of Kubernetes want it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

from controller.api.types import Condition, ModelAdapter, ModelAdapterStatus, json_value

Phase = Literal["Pending", "Scheduled", "Loading", "Bound", "Running", "Failed"]

ORDER: tuple[Phase, ...] = ("Pending", "Scheduled", "Loading", "Bound", "Running")


@dataclass(frozen=True, slots=True)
class Progress:
    """Whether the operator is on its way to what is wanted, and what it waits for."""

    under_way: bool = True
    reason: str = "Loading"
    message: str = ""


@dataclass(frozen=True, slots=True)
class StatusInput:
    """What a status is made from."""

    phase: Phase
    selected: Sequence[str] = ()
    instances: Sequence[str] = ()
    desired: int = 0
    candidates: int = 0
    reason: str = ""
    """Why it is not (fully) served, CamelCase; empty if nothing is wrong."""
    message: str = ""
    progress: Progress | None = None
    """None only in the first status of all, which says that somebody has begun."""
    foreign_base: str = ""
    """What is said if the engines do not serve the base model that the spec names."""


def status_of(adapter: ModelAdapter, situation: StatusInput, now: float) -> ModelAdapterStatus:
    """The status to write; equal to the present one if nothing has changed."""
    present = adapter.status
    moment = datetime.fromtimestamp(int(now), UTC)
    conditions = list(present.conditions)
    for new in _conditions(adapter, situation):
        _put(conditions, new, moment, adapter.metadata.generation)
    status = ModelAdapterStatus(
        phase=situation.phase,
        conditions=tuple(conditions),
        instances=tuple(situation.instances),
        candidates=situation.candidates,
        desired_replicas=situation.desired,
        ready_replicas=len(situation.instances),
    )
    # The number of candidates alone is no news: with a thousand adapters each flap of a pod would be a thousand writes.
    alike = msgspec.structs.replace(status, candidates=present.candidates)
    return present if alike == present else status


def patch(before: ModelAdapterStatus, after: ModelAdapterStatus) -> dict[str, Any]:
    """The merge patch for the status subresource."""
    old, new = _full(before), _full(after)
    return {"status": {key: new[key] for key in new if new[key] != old[key] or not before.phase}}


def _full(status: ModelAdapterStatus) -> dict[str, Any]:
    return {
        "phase": "",
        "conditions": [],
        "instances": [],
        "candidates": 0,
        "desiredReplicas": 0,
        "readyReplicas": 0,
    } | json_value(status)


def _conditions(adapter: ModelAdapter, situation: StatusInput) -> Iterable[Condition]:
    if situation.progress is None:
        yield _condition("Initialized", "Unknown", "ModelAdapterPending", "Starting reconciliation")
        return
    yield _condition("Initialized", "True", "Initialized", "Reconciliation has started")
    if situation.phase == "Pending":
        reason, message = situation.reason or "NoPodSelected", situation.message or "no pod is selected"
        yield _condition("Scheduled", "False", reason, message)
        yield from _not_ready(adapter, reason, message)
    else:
        yield from _of_work(adapter, situation)
    under_way = "True" if situation.progress.under_way else "False"
    yield _condition("Progressing", under_way, situation.progress.reason, situation.progress.message)
    yield from _of_base_model(adapter, situation)


def _of_work(adapter: ModelAdapter, situation: StatusInput) -> Iterable[Condition]:
    """Scheduled, Loaded, Bound, Ready and FullyReplicated, from Scheduled on."""
    key, phase = adapter.key, situation.phase
    if situation.selected:
        pods = " ".join(situation.selected)
        selected = f"ModelAdapter {key} has selected {len(situation.selected)} pods for scheduling: [{pods}]"
        yield _condition("Scheduled", "True", "Scheduled", selected)
    if phase in ("Loading", "Failed"):
        reason = situation.reason or "Loading"
        message = situation.message or "requests to engines are under way"
        yield _condition("Loaded", "Unknown" if phase == "Loading" else "False", reason, message)
        yield from _not_ready(adapter, reason, message)
    if phase in ("Bound", "Running"):
        have, want = len(situation.instances), situation.desired
        bound = "loaded and published" if phase == "Running" else "being published"
        yield _condition("Loaded", "True", "Loaded", f"loaded on {have} pods")
        yield _condition("Bound", "True", "Bound", bound)
    if phase == "Running":
        yield _condition("Ready", "True", "ModelAdapterAvailable", f"ModelAdapter {key} is ready")
        replicated = "True" if have >= want else "False"
        why = "FullyReplicated" if have >= want else situation.reason or "Progressing"
        yield _condition("FullyReplicated", replicated, why, f"{have} of {want} replicas serve")


def _of_base_model(adapter: ModelAdapter, situation: StatusInput) -> Iterable[Condition]:
    """Said when the engines serve another base model, and taken back when they no longer do."""
    if situation.foreign_base:
        yield _condition("BaseModelServed", "False", "BaseModelNotServed", situation.foreign_base)
    elif any(condition.type == "BaseModelServed" for condition in adapter.status.conditions):
        yield _condition("BaseModelServed", "True", "BaseModelServed", "the engines serve the base model")


def _not_ready(adapter: ModelAdapter, reason: str, message: str) -> Iterable[Condition]:
    """`Ready` False, and what else was claimed before is taken back."""
    known = {condition.type for condition in adapter.status.conditions}
    yield _condition("Ready", "False", reason, message)
    for kind in ("Bound", "FullyReplicated"):
        if kind in known:
            yield _condition(kind, "False", reason, message)


def _condition(kind: str, status: str, reason: str, message: str) -> Condition:
    return Condition(type=kind, status=status, reason=reason, message=message)


def _put(conditions: list[Condition], new: Condition, moment: datetime, generation: int) -> None:
    for index, old in enumerate(conditions):
        if old.type == new.type:
            since = old.last_transition_time if old.status == new.status else moment
            conditions[index] = msgspec.structs.replace(new, last_transition_time=since, observed_generation=generation)
            return
    conditions.append(msgspec.structs.replace(new, last_transition_time=moment, observed_generation=generation))
