"""Next step on each pod: the request to send, and what to persist about the pod. Pure.

Exactly one step is made for each pod on which the adapter is, was or will be.
"""

from dataclasses import dataclass, replace

import msgspec

from controller.api.annotations import Attempt, Placement
from controller.api.spec import artifact_of, lora_path
from controller.cache.pod_view import PodView
from controller.reconcile.actions import ListAdapters, Load, Unload
from controller.reconcile.planning.context import PlanContext
from controller.reconcile.replica_state import AdapterPresence, ReplicaState


@dataclass(frozen=True, slots=True)
class PodStep:
    """Request to send to one pod, and what to persist about it."""

    pod: str
    placement: Placement | None = None
    """Placement to persist."""
    attempt: Attempt | None = None
    """Attempt to persist."""
    request: Load | Unload | ListAdapters | None = None
    wake: float = 0.0
    """Time of the next plan, in seconds since 1970; 0 if time alone changes nothing."""
    waits_for_slot: bool = False


def pod_steps(context: PlanContext, *, blocked: bool) -> tuple[PodStep, ...]:
    """Return the steps on all pods. `blocked`: no load may be sent, whatever the pod's state."""
    states, selected = context.states, context.selection.pods
    former = [
        release_step(context, states[pod])
        for pod in sorted(context.snapshot.persisted.placements)
        if pod not in selected or states[pod].maybe_on_new_incarnation
    ]
    return (*former, *_selected_steps(context, blocked=blocked))


def release_step(context: PlanContext, state: ReplicaState) -> PodStep:
    """Return the step on a pod that is not selected: unload until the engine is confirmed not to hold the adapter."""
    persisted = PodStep(state.pod, state.placement, state.announced)
    if state.maybe_on_new_incarnation:
        return _probe_new_incarnation(context, state, persisted)
    if state.presence is AdapterPresence.GONE:
        return PodStep(state.pod)
    if state.busy:
        return persisted
    if not state.confirmed_absent:
        return _unload(context, state, persisted)
    if state.attempts_expire_at > context.now:
        # Selected again within the cooldown, the pod must not get a new series of attempts.
        return replace(persisted, wake=state.attempts_expire_at)
    return PodStep(state.pod)


def _probe_new_incarnation(context: PlanContext, state: ReplicaState, persisted: PodStep) -> PodStep:
    """List the current incarnation; if it has an inventory, the placement moves to it, and the rest follows at once."""
    assert state.view is not None
    assert state.placement is not None
    if context.snapshot.inventory(state.view) is None:
        return replace(persisted, request=ListAdapters(state.view))
    moved = msgspec.structs.replace(state.placement, engine=state.view.engine)
    return replace(persisted, placement=moved)


def _unload(context: PlanContext, state: ReplicaState, persisted: PodStep) -> PodStep:
    if held := context.held_until(state.pod):
        return replace(persisted, wake=held)
    failed = state.failed_unload
    if failed is not None:
        due = failed.finished_at + context.settings.backoff.delay(failed.failures)
        if due > context.now:
            return replace(persisted, wake=due)
    if (drained := context.drained_at()) > context.now:
        return replace(persisted, wake=drained)
    assert state.view is not None
    if context.snapshot.has_slot(state.view):
        return replace(persisted, request=Unload(state.view))
    return replace(persisted, waits_for_slot=True)


def _selected_steps(context: PlanContext, *, blocked: bool) -> list[PodStep]:
    steps, replacing = [], False
    for pod in context.selection.pods:
        state = context.states[pod]
        if state.maybe_on_new_incarnation:
            continue
        step, state = _persisted(state), state.current
        if state.presence is AdapterPresence.DESIRED and not state.busy:
            assert state.view is not None
            step = PodStep(pod, step.placement or _placement(context, state.view))
        elif state.view is None or not state.view.available:
            pass
        elif state.busy:
            replacing = True
        elif state.presence is AdapterPresence.OTHER and not state.view.takes_rank(context.snapshot.artifact.rank):
            pass  # the former artifact goes on serving; a condition says why
        elif state.presence is AdapterPresence.OTHER:
            if not context.serves(pod):  # not published, such as an adapter of `--lora-modules`
                step = _unload(context, state, step)
            # Pod by pod: one that still serves the former artifact waits until the others have the new one.
            elif not replacing and not _another_is_down(context, pod):
                step, replacing = _unload(context, state, step), True
        elif not blocked:
            step = _load(context, state, step)
        steps.append(step)
    return steps


def _persisted(state: ReplicaState) -> PodStep:
    """Return the step that changes nothing; a placement on a former incarnation is dropped."""
    if state.presence is AdapterPresence.GONE and state.placement is not None:
        return PodStep(state.pod)
    return PodStep(state.pod, state.placement, state.announced)


def _another_is_down(context: PlanContext, pod: str) -> bool:
    """Return whether another selected pod is expected to serve soon, so that this one should go on serving."""
    return any(
        other != pod and not context.serves(other) and not state.in_cooldown(context.now) and state.view is not None
        for other, state in ((other, context.states[other]) for other in context.selection.pods)
    )


def _load(context: PlanContext, state: ReplicaState, persisted: PodStep) -> PodStep:
    """Announce and send the next attempt if its time has come."""
    view, snapshot, now = state.view, context.snapshot, context.now
    assert view is not None
    if state.presence is AdapterPresence.UNKNOWN and not snapshot.did_not_answer(view):
        return replace(persisted, request=ListAdapters(view))
    if state.presence is AdapterPresence.UNKNOWN and context.serves(state.pod):
        return persisted  # this incarnation did serve; the next audit shows whether it still does
    if not view.stable(now, context.settings.stable_for):
        return replace(persisted, wake=view.changed + context.settings.stable_for)
    if wait := context.held_until(state.pod) or (0.0 if state.retry_due(now) else state.next_try):
        return replace(persisted, wake=wait)
    if not snapshot.has_slot(view):
        return replace(persisted, waits_for_slot=True)
    attempt = Attempt(retries=state.used_attempts, announced=now)
    return PodStep(state.pod, _placement(context, view), attempt, Load(view))


def _placement(context: PlanContext, view: PodView) -> Placement:
    path = lora_path(context.snapshot.adapter.spec.artifact_url)
    return Placement(uid=view.uid, engine=view.engine, artifact=artifact_of(path))
