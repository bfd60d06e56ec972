"""Snapshot → list of actions: every decision about an adapter is made here, and nothing else happens here. Pure.

`plan` returns actions in the order in which they are to be executed, so that a crash between any two of them is
harmless:

- a replica leaves `status.instances` and the slices before its engine is sent an unload, or another load;
- an attempt is announced on the object (one patch) before its request is sent, and nothing is written in between;
- a placement is dropped only when the engine is confirmed not to hold the adapter, or is gone.

A write that the API server has refused is not planned again before its time, and neither is what has to follow it: a
request to a pod that has not left the status waits for the status. All other work goes on.

Nothing waits: `Plan.wake` is the time of the next plan.
"""

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import replace
from random import Random

from controller.api.annotations import FINALIZER, PersistedState, pod_key
from controller.api.spec import artifact_of, lora_path
from controller.engine.prefix_cache import PrefixCache
from controller.policies import Policy
from controller.reconcile.actions import (
    Action,
    AdoptSlices,
    EmitEvent,
    ListAdapters,
    Load,
    Plan,
    Unload,
    WriteAnnotations,
    WriteStatus,
)
from controller.reconcile.planning.activation import idle_scaling, is_idle, plan_activation
from controller.reconcile.planning.conditions import ConditionBuilder
from controller.reconcile.planning.context import PlanContext
from controller.reconcile.planning.deletion import plan_deletion
from controller.reconcile.planning.endpoints import leftovers, plan_withdrawal, publication
from controller.reconcile.planning.inspection import inspection_due, is_inspecting
from controller.reconcile.planning.moves import move_events, plan_move
from controller.reconcile.planning.recovery import adopts_slices, plan_recovery
from controller.reconcile.planning.scaling import plan_scaling, scaling_decision
from controller.reconcile.planning.selection import Selection, select, select_none
from controller.reconcile.planning.steps import PodStep, pod_steps
from controller.reconcile.replica_state import ReplicaState, replica_states
from controller.reconcile.snapshot import Snapshot
from controller.reconcile.status import Phase
from controller.settings import Settings


def plan(snapshot: Snapshot, now: float, settings: Settings, policy: Policy, rng: Random) -> Plan:
    """Return what to do for one adapter. `now`: seconds since 1970."""
    planned, refused = _plan(snapshot, now, settings, policy, rng), snapshot.status_error
    if refused is None or refused.retry_at <= now:
        return planned
    actions = tuple(action for action in planned.actions if not isinstance(action, WriteStatus))
    return replace(planned, actions=actions, wake=min(planned.wake or refused.retry_at, refused.retry_at))


def _plan(snapshot: Snapshot, now: float, settings: Settings, policy: Policy, rng: Random) -> Plan:
    meta, persisted = snapshot.adapter.metadata, snapshot.persisted
    tracked = {*persisted.placements, *snapshot.selected, *snapshot.outcomes, *snapshot.in_flight}
    states = replica_states(snapshot, sorted(tracked), now, settings)
    if (withdrawal := plan_withdrawal(snapshot, states, now)) is not None:
        return withdrawal
    if (recovery := plan_recovery(snapshot, now)) is not None:
        return recovery
    if meta.deletion_timestamp is not None:
        return plan_deletion(PlanContext(snapshot, states, Selection(pods=()), now, settings))
    if (decided := plan_activation(snapshot, now, settings)) is not None:
        return decided
    if is_idle(snapshot) and snapshot.problem is None:
        selection = select_none(snapshot, now, settings)
        return _assemble(PlanContext(snapshot, states, selection, now, settings, idle_scaling(snapshot)))
    if (inspection := _plan_inspection(snapshot, states, now, settings)) is not None:
        return inspection
    scaling = scaling_decision(snapshot, now, settings)
    if scaling is not None and (scaled := plan_scaling(snapshot, scaling, now)) is not None:
        return scaled
    if (begun := plan_move(snapshot, now, settings)) is not None:
        return begun
    if snapshot.problem is None:
        selection = select(snapshot, states, now, settings, policy, rng)
    else:
        desired = snapshot.adapter.spec.replicas or 0
        selection = Selection(pods=snapshot.selected, desired=desired, move=persisted.move)
    states |= replica_states(snapshot, [pod for pod in selection.pods if pod not in states], now, settings)
    return _assemble(PlanContext(snapshot, states, selection, now, settings, scaling))


def _plan_inspection(
    snapshot: Snapshot, states: Mapping[str, ReplicaState], now: float, settings: Settings
) -> Plan | None:
    """Return the plan while the facts about the artifact are read; None if they are known, or cannot be."""
    due = inspection_due(snapshot, now, settings)
    if due is None and not is_inspecting(snapshot):
        return None
    context = PlanContext(snapshot, states, Selection(pods=snapshot.selected), now, settings)
    is_new = not snapshot.adapter.status.phase
    first = (WriteStatus(ConditionBuilder(context).initial()),) if is_new else ()
    return Plan((*first, *((due,) if due is not None else ())), selection=snapshot.selected)


def _assemble(context: PlanContext) -> Plan:
    snapshot, selection = context.snapshot, context.selection
    refused_until = context.refused_until()
    blocked = refused_until > context.now or snapshot.problem is not None
    steps = pod_steps(context, blocked=blocked)
    retrying = {step.pod for step in steps if step.attempt is not None and step.attempt.retries}
    conditions = ConditionBuilder(context, retrying)
    loads = [step.request for step in steps if isinstance(step.request, Load)]
    others = [step.request for step in steps if isinstance(step.request, Unload | ListAdapters)]
    if context.publication_waits():
        others = [request for request in others if not isinstance(request, Unload)]  # it may still be published
    leaving = {request.pod.name for request in others if isinstance(request, Unload)}
    serving = [pod for pod in selection.pods if pod not in leaving and context.serves(pod)]
    after = _persisted_after(context, steps)
    phase: Phase = "Running" if snapshot.publication_error is None else _phase_while_publishing(context)
    times = [selection.wake, *(step.wake for step in steps), *_recheck_times(context)]
    if refused_until > context.now:
        times.append(refused_until)
    actions: tuple[Action, ...] = (
        *([AdoptSlices()] if adopts_slices(snapshot, context.now) else []),
        *_writes_before_requests(context, conditions, serving),
        *_phases_before(context, conditions, serving, loads),
        *_persist(context, serving, after),
        *loads,
        *others,
        WriteStatus(conditions.serving(phase, serving) if serving else conditions.not_serving()),
        *_stale_prefixes(context, loads),
        *_events(context, conditions),
    )
    return Plan(
        actions=actions,
        selection=selection.pods,
        wake=min((time for time in times if time > 0), default=0.0),
        waiting_for_slot=tuple(step.pod for step in steps if step.waits_for_slot),
        unsettled=snapshot.problem is not None
        or selection.missing > 0
        or snapshot.adapter.spec.replicas is None
        or any(not context.serves(pod) for pod in selection.pods),
        short_of_capacity=selection.missing > 0 and selection.candidates > len(selection.pods),
        refused=snapshot.problem is not None
        or any(state.outcome is not None and state.outcome.is_final for state in context.states.values()),
        in_steps=selection.move is not None and selection.move.under_way,
    )


def _phase_while_publishing(context: PlanContext) -> Phase:
    """Return the phase of an adapter that is loaded and whose endpoints are not all written: it does not go back."""
    return "Running" if context.snapshot.adapter.status.phase == "Running" else "Bound"


def _persisted_after(context: PlanContext, steps: Sequence[PodStep]) -> PersistedState:
    """Return the state to persist before any request is sent."""
    snapshot, selection = context.snapshot, context.selection
    placements = {step.pod: step.placement for step in steps if step.placement is not None}
    if context.status_waits():  # a pod that the status names and that has no placement is one of another operator
        named = snapshot.adapter.status.instances
        former = {pod: place for pod, place in snapshot.persisted.placements.items() if pod in named}
        placements = former | placements
    return PersistedState(
        selected=selection.pods,
        placements=placements,
        attempts={pod_key(step.pod): step.attempt for step in steps if step.attempt is not None},
        move=selection.move,
        activation=snapshot.persisted.activation if snapshot.adapter.spec.on_demand else None,
    )


def _recheck_times(context: PlanContext) -> Iterable[float]:
    """Yield times at which to check what another object may have resolved, since its changes wake no adapter."""
    snapshot, now = context.snapshot, context.now
    if snapshot.problem is not None and snapshot.problem.recheck:
        yield now + snapshot.problem.recheck
    if snapshot.publication_error is not None and context.publication_waits():
        yield snapshot.publication_error.retry_at
    for error in (snapshot.scaling_error, snapshot.adoption_error):
        if error is not None and error.retry_at > now:
            yield error.retry_at
    outcomes = [state.outcome for state in context.states.values()]
    reasons = {outcome.error.reason for outcome in outcomes if outcome is not None and outcome.error is not None}
    if snapshot.adapter.spec.api_key_secret_ref is not None and "Unauthorized" in reasons:
        yield now + context.settings.audit_interval
    cooling = [state.cooldown_until for state in context.states.values() if state.in_cooldown(now)]
    if cooling:
        yield min(cooling)


def _writes_before_requests(
    context: PlanContext, conditions: ConditionBuilder, serving: Sequence[str]
) -> Iterable[Action]:
    """Yield the writes to the status and the endpoints that come before any request."""
    snapshot, status = context.snapshot, context.snapshot.adapter.status
    if not status.phase:
        yield WriteStatus(conditions.initial())
    endpoints = publication(snapshot, [view for pod in serving if (view := context.states[pod].view) is not None])
    if tuple(serving) != status.instances or endpoints is not None:
        if serving:
            yield WriteStatus(conditions.serving(_phase_while_publishing(context), serving))
        else:
            yield WriteStatus(conditions.not_serving())
    if endpoints is not None and not context.publication_waits():
        yield endpoints


def _persist(context: PlanContext, serving: Sequence[str], after: PersistedState) -> Iterable[WriteAnnotations]:
    """Yield the patch of the object, unless what it would change can wait for the next one."""
    snapshot, before = context.snapshot, context.snapshot.persisted
    add_finalizer = bool(after.placements) and FINALIZER not in snapshot.adapter.metadata.finalizers
    if add_finalizer or _has_to_be_written(before, after, serving):
        yield WriteAnnotations(before, after, add_finalizer)


def _has_to_be_written(before: PersistedState, after: PersistedState, serving: Sequence[str]) -> bool:
    """Return whether a restarted controller would act differently without the change.

    Two changes wait for the next write: the first selection, until something is announced, and the end of a first
    attempt that has succeeded, which `status.instances` shows.
    """
    if not (before.selected or before.placements or before.unreadable or after.placements):
        return False
    succeeded = {pod_key(pod) for pod in serving}
    settled = {key for key, attempt in before.attempts.items() if not attempt.retries and key in succeeded}
    kept = {key: attempt for key, attempt in before.attempts.items() if key in settled and key not in after.attempts}
    return replace(after, attempts={**after.attempts, **kept}) != before


def _phases_before(
    context: PlanContext, conditions: ConditionBuilder, serving: Sequence[str], loads: Sequence[Load]
) -> Iterable[Action]:
    """Yield the phases that a user should see before the loads are sent, while nothing serves."""
    snapshot, phase = context.snapshot, context.snapshot.adapter.status.phase
    if serving:
        return
    newly_selected = phase in ("", "Pending", "Idle") and context.selection.pods and snapshot.problem is None
    if newly_selected or (loads and phase == "Failed"):
        yield WriteStatus(conditions.serving("Scheduled", ()))
    if loads:
        yield WriteStatus(conditions.serving("Loading", ()))


def _stale_prefixes(context: PlanContext, loads: Sequence[Load]) -> Iterable[EmitEvent]:
    """Yield a warning for each load of another artifact into an engine that may use the former one's prefixes."""
    desired = artifact_of(lora_path(context.snapshot.adapter.spec.artifact_url))
    for load in loads:
        placement = context.states[load.pod.name].placement
        former = placement.artifact if placement is not None else context.snapshot.served_before(load.pod)
        if load.pod.prefix_cache is PrefixCache.SHARED and former not in ("", desired):
            yield EmitEvent(
                "Warning",
                "StalePrefixCache",
                f"The engine of pod {load.pod.name} may answer with cached prefixes of the former artifact until it "
                "restarts: give each version a ModelAdapter of its own, or use vLLM 0.31 or later, "
                "--no-enable-prefix-caching, or VLLM_SERVER_DEV_MODE=1",
            )


def _moving(context: PlanContext) -> Set[str]:
    """Return the pods of a move that is under way, or ends now: it has events of its own."""
    move = context.selection.move
    if move is None or (move == context.snapshot.persisted.move and not move.under_way):
        return frozenset()
    return {move.source, move.target}


def _events(context: PlanContext, conditions: ConditionBuilder) -> Iterable[EmitEvent]:
    snapshot, selection = context.snapshot, context.selection
    if selection.pods and ({*selection.pods} ^ {*snapshot.selected}) - _moving(context):
        pods = " ".join(selection.pods)
        key = snapshot.adapter.key
        note = f"ModelAdapter {key} has selected {len(selection.pods)} pods for scheduling: [{pods}]"
        yield EmitEvent("Normal", "Scheduled", note)
    for old, new in selection.switched:
        outcome = context.states[old].outcome
        cause = outcome.error.message if outcome is not None and outcome.error is not None else "unknown error"
        yield EmitEvent("Normal", "Switched", f"Switched from pod {old} to pod {new}: {cause}")
    yield from move_events(snapshot.persisted.move, selection.move)
    if selection.policy_error:
        yield EmitEvent("Warning", "PolicyFailed", selection.policy_error)
    if snapshot.service is not None and snapshot.service.spec.selector:
        yield EmitEvent("Warning", "SelectorRemoved", leftovers(snapshot.service))
    yield from conditions.warnings()
