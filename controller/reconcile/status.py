"""The `status` of an adapter: phase and conditions. Pure.

All conditions are built here. `lastTransitionTime` changes only with a condition's status, as the API conventions of
Kubernetes require.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

from controller.api.types import ArtifactStatus, Condition, ModelAdapter, ModelAdapterStatus, json_value
from controller.cache.refusals import Refusal
from controller.cache.selector_index import candidate_selector

Phase = Literal["Pending", "Idle", "Scheduled", "Loading", "Bound", "Running", "Failed"]

SCALING = ("ScalingActive", "ScalingLimited")
"""Condition types of autoscaling, as HorizontalPodAutoscaler has them."""
_ADOPTED = "SlicesAdopted"
_OF_OTHERS = ("ResourceCreated", "Failed")
"""Condition types that only AIBrix's controller sets, and never resets."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Condition `Progressing`: true while the operator works towards the spec."""

    active: bool = True
    reason: str = "Loading"
    message: str = ""


@dataclass(frozen=True, slots=True)
class StatusInput:
    """Input of a status."""

    phase: Phase
    selected: Sequence[str] = ()
    instances: Sequence[str] = ()
    desired: int = 0
    candidates: int = 0
    reason: str = ""
    """Reason for which the adapter is not (fully) served, in CamelCase; empty if it is served."""
    message: str = ""
    progress: Progress | None = None
    """None only in the first status of all."""
    publication_error: Refusal | None = None
    """Last refusal of a write of the Service or a slice."""
    adoption_error: Refusal | None = None
    """Last refusal to adopt slices that another operator wrote."""
    foreign_base: str = ""
    """Message if the engines do not serve the base model that the spec names."""
    artifact: ArtifactStatus | None = None
    """None if nothing is known about the artifact."""
    misfit: tuple[str, str] = ("", "")
    """(reason, message) if the artifact does not fit some of the matching pods."""
    scaling: Sequence[Condition] = ()
    """Conditions of an adapter with autoscaling; a former one is reset without."""


def status_of(adapter: ModelAdapter, status_input: StatusInput, now: float) -> ModelAdapterStatus:
    """Return the status to write; equal to the current one if nothing has changed."""
    current = adapter.status
    now_utc = datetime.fromtimestamp(int(now), UTC)
    conditions = [condition for condition in current.conditions if condition.type not in _OF_OTHERS]
    for condition in _conditions(adapter, status_input):
        _put(conditions, condition, now_utc, adapter.metadata.generation)
    status = ModelAdapterStatus(
        phase=status_input.phase,
        conditions=tuple(conditions),
        instances=tuple(status_input.instances),
        candidates=status_input.candidates,
        desired_replicas=status_input.desired,
        ready_replicas=len(status_input.instances),
        selector=candidate_selector(adapter.spec.pod_selector),
        artifact=status_input.artifact,
    )
    # A change of `candidates` alone is not written: with 1000 adapters each flap of a pod would be 1000 writes.
    same = msgspec.structs.replace(status, candidates=current.candidates)
    return current if same == current else status


def with_adoption_error(adapter: ModelAdapter, error: Refusal, now: float) -> ModelAdapterStatus:
    """Return the current status with the condition of a refused adoption."""
    conditions = list(adapter.status.conditions)
    for condition in _adoption(adapter, error):
        _put(conditions, condition, datetime.fromtimestamp(int(now), UTC), adapter.metadata.generation)
    return msgspec.structs.replace(adapter.status, conditions=tuple(conditions))


def is_adoption_refused(status: ModelAdapterStatus) -> bool:
    """Return whether the last adoption of slices was refused."""
    return any(condition.type == _ADOPTED and condition.status == "False" for condition in status.conditions)


def patch(before: ModelAdapterStatus, after: ModelAdapterStatus) -> dict[str, Any]:
    """Return the merge patch for the status subresource."""
    old, new = _with_defaults(before), _with_defaults(after)
    changed = {key: new[key] for key in new if key not in old or new[key] != old[key] or not before.phase}
    return {"status": changed | dict.fromkeys(key for key in old if key not in new)}


def _with_defaults(status: ModelAdapterStatus) -> dict[str, Any]:
    return {
        "phase": "",
        "conditions": [],
        "instances": [],
        "candidates": 0,
        "desiredReplicas": 0,
        "readyReplicas": 0,
        "selector": "",
    } | json_value(status)


def _conditions(adapter: ModelAdapter, status_input: StatusInput) -> Iterable[Condition]:
    progress = status_input.progress
    if progress is None:
        yield _condition("Initialized", "Unknown", "ModelAdapterPending", "Starting reconciliation")
        return
    yield _condition("Initialized", "True", "Initialized", "Reconciliation has started")
    if status_input.phase in ("Pending", "Idle"):
        reason, message = status_input.reason or "NoPodSelected", status_input.message or "no pod is selected"
        yield _condition("Scheduled", "False", reason, message)
        yield from _not_ready(adapter, reason, message, "Loaded")
    else:
        yield from _scheduled_and_later(adapter, status_input)
    yield _condition("Progressing", "True" if progress.active else "False", progress.reason, progress.message)
    yield from _adoption(adapter, status_input.adoption_error)
    yield from _base_model(adapter, status_input)
    yield from _fit(adapter, status_input)
    yield from status_input.scaling or _not_scaled(adapter)


def _scheduled_and_later(adapter: ModelAdapter, status_input: StatusInput) -> Iterable[Condition]:
    """Scheduled, Loaded, Bound, Ready and FullyReplicated."""
    key, phase = adapter.key, status_input.phase
    if status_input.selected:
        pods = " ".join(status_input.selected)
        message = f"ModelAdapter {key} has selected {len(status_input.selected)} pods for scheduling: [{pods}]"
        yield _condition("Scheduled", "True", "Scheduled", message)
    if phase in ("Loading", "Failed"):
        reason = status_input.reason or "Loading"
        message = status_input.message or "requests to engines are in flight"
        if not status_input.selected:
            yield _condition("Scheduled", "False", reason, message)
        yield _condition("Loaded", "Unknown" if phase == "Loading" else "False", reason, message)
        yield from _not_ready(adapter, reason, message)
    have, want = len(status_input.instances), status_input.desired
    if phase in ("Bound", "Running"):
        yield _condition("Loaded", "True", "Loaded", f"loaded on {have} pods")
        yield from _bound(phase, status_input.publication_error)
    if phase == "Running":
        yield _condition("Ready", "True", "ModelAdapterAvailable", f"ModelAdapter {key} is ready")
        complete = have >= want
        reason = "FullyReplicated" if complete else status_input.reason or "Progressing"
        message = f"{have} of {want} replicas serve"
        yield _condition("FullyReplicated", "True" if complete else "False", reason, message)


def _bound(phase: Phase, error: Refusal | None) -> Iterable[Condition]:
    """`Bound`; and `Ready` False while the API server refuses to publish an adapter that was not published before."""
    if error is None:
        yield _condition("Bound", "True", "Bound", "loaded and published" if phase == "Running" else "being published")
        return
    yield _condition("Bound", "False", error.reason, error.message)
    if phase == "Bound":
        yield _condition("Ready", "False", error.reason, error.message)


def _adoption(adapter: ModelAdapter, error: Refusal | None) -> Iterable[Condition]:
    """Reported when the API server refuses to let the slices of another operator be adopted, reset when it does not."""
    if error is not None:
        yield _condition(_ADOPTED, "False", error.reason, error.message)
    elif any(condition.type == _ADOPTED for condition in adapter.status.conditions):
        yield _condition(_ADOPTED, "True", _ADOPTED, "the slices that another operator wrote are adopted")


def _base_model(adapter: ModelAdapter, status_input: StatusInput) -> Iterable[Condition]:
    """Reported when the engines serve another base model, and reset when they no longer do."""
    if status_input.foreign_base:
        yield _condition("BaseModelServed", "False", "BaseModelNotServed", status_input.foreign_base)
    elif any(condition.type == "BaseModelServed" for condition in adapter.status.conditions):
        yield _condition("BaseModelServed", "True", "BaseModelServed", "the engines serve the base model")


def _fit(adapter: ModelAdapter, status_input: StatusInput) -> Iterable[Condition]:
    """Reported when the artifact does not fit some matching pods, and reset when it fits all."""
    reason, message = status_input.misfit
    if reason:
        yield _condition("ArtifactFits", "False", reason, message)
    elif any(condition.type == "ArtifactFits" for condition in adapter.status.conditions):
        yield _condition("ArtifactFits", "True", "ArtifactFits", "the artifact fits all matching pods")


def _not_scaled(adapter: ModelAdapter) -> Iterable[Condition]:
    """Reset the conditions of an adapter that had autoscaling before."""
    for condition in adapter.status.conditions:
        if condition.type in SCALING:
            yield _condition(condition.type, "False", "ScalingDisabled", "the spec has no autoscaling")


def _not_ready(adapter: ModelAdapter, reason: str, message: str, *others: str) -> Iterable[Condition]:
    """`Ready` False, and with it the conditions that were set earlier and are no longer true."""
    current = {condition.type for condition in adapter.status.conditions}
    yield _condition("Ready", "False", reason, message)
    for kind in ("Bound", "FullyReplicated", *others):
        if kind in current:
            yield _condition(kind, "False", reason, message)


def _condition(kind: str, status: str, reason: str, message: str) -> Condition:
    return Condition(type=kind, status=status, reason=reason, message=message)


def _put(conditions: list[Condition], new: Condition, now: datetime, generation: int) -> None:
    for index, old in enumerate(conditions):
        if old.type == new.type:
            since = old.last_transition_time if old.status == new.status else now
            conditions[index] = msgspec.structs.replace(new, last_transition_time=since, observed_generation=generation)
            return
    conditions.append(msgspec.structs.replace(new, last_transition_time=now, observed_generation=generation))
