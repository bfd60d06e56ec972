"""Plan for an adapter that is being deleted: withdraw it, unload it everywhere, then release the object. Pure."""

from dataclasses import replace

from controller.api.annotations import FINALIZER, Placement
from controller.reconcile.actions import Action, EmitEvent, Plan, RemoveFinalizer, WriteAnnotations, WriteStatus
from controller.reconcile.planning.conditions import ConditionBuilder
from controller.reconcile.planning.context import PlanContext
from controller.reconcile.planning.endpoints import publication
from controller.reconcile.planning.steps import PodStep, release_step
from controller.reconcile.replica_state import ReplicaState


def plan_deletion(context: PlanContext) -> Plan:
    """Return the plan. An engine that cannot be reached delays the deletion by as many attempts as a load has."""
    snapshot, states = context.snapshot, context.states
    if FINALIZER not in snapshot.adapter.metadata.finalizers:
        return Plan(())
    placements = snapshot.persisted.placements
    abandoned = [pod for pod in sorted(placements) if _is_abandoned(context, states[pod])]
    steps = [_step(context, states[pod]) for pod in sorted(placements) if pod not in abandoned]
    remaining = {step.pod: step.placement for step in steps if step.placement is not None}
    actions: list[Action] = [WriteStatus(ConditionBuilder(context).deleting())]
    endpoints = publication(snapshot, [])
    if endpoints is not None and context.publication_waits() and not _may_stay_published(context):
        assert snapshot.publication_error is not None
        return Plan(tuple(actions), wake=snapshot.publication_error.retry_at)
    if endpoints is not None and not context.publication_waits():
        actions.append(endpoints)
    moved: dict[str, Placement] = {pod: place for pod, place in remaining.items() if place != placements[pod]}
    if moved:
        after = replace(snapshot.persisted, placements={**placements, **moved})
        actions.append(WriteAnnotations(snapshot.persisted, after))
    actions += [step.request for step in steps if step.request is not None]
    actions += [_abandonment(states[pod]) for pod in abandoned]
    if not remaining and not any(state.busy for state in states.values()):
        actions.append(RemoveFinalizer())
    return Plan(
        tuple(actions),
        wake=min((step.wake for step in steps if step.wake > 0), default=0.0),
        waiting_for_slot=tuple(step.pod for step in steps if step.waits_for_slot),
    )


def _may_stay_published(context: PlanContext) -> bool:
    """Return whether the attempts to withdraw are used up: the slices are then deleted with their owner."""
    error = context.snapshot.publication_error
    return error is not None and context.settings.backoff.exhausted(error.failures)


def _is_abandoned(context: PlanContext, state: ReplicaState) -> bool:
    """Return whether the attempts to unload are used up."""
    failed = state.failed_unload
    if failed is None or state.busy or state.maybe_on_new_incarnation or state.confirmed_absent:
        return False
    return context.settings.backoff.exhausted(failed.failures)


def _step(context: PlanContext, state: ReplicaState) -> PodStep:
    return PodStep(state.pod) if state.confirmed_absent else release_step(context, state)


def _abandonment(state: ReplicaState) -> EmitEvent:
    failed = state.failed_unload
    assert failed is not None
    assert failed.error is not None
    return EmitEvent("Warning", "UnloadAbandoned", f"Gave up unloading from pod {state.pod}: {failed.error.message}")
