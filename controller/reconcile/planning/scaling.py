"""Change of `spec.replicas` by demand: a plan of its own, which is written before anything follows from it. Pure."""

from collections.abc import Sequence
from dataclasses import replace

from controller.api.annotations import scaled_at
from controller.api.types import Condition
from controller.cache.refusals import Refusal
from controller.cache.routing import pods_able_to_load
from controller.demand.scaling import Demand, Limit, ScalingDecision, decide
from controller.reconcile.actions import EmitEvent, Plan, SetReplicas
from controller.reconcile.snapshot import Snapshot
from controller.settings import Settings


def scaling_decision(snapshot: Snapshot, now: float, settings: Settings) -> ScalingDecision | None:
    """Return the decision about the replicas of an adapter; None without autoscaling."""
    adapter = snapshot.adapter
    if adapter.spec.autoscaling is None:
        return None
    return decide(
        adapter.spec.autoscaling,
        adapter.spec.replicas,
        snapshot.demand or Demand(),
        scaled_at=scaled_at(adapter.metadata.annotations),
        room=_room(snapshot, now, settings),
        now=now,
    )


def plan_scaling(snapshot: Snapshot, decision: ScalingDecision, now: float) -> Plan | None:
    """Return the plan that sets `spec.replicas`; None if the number stays.

    After a refusal the adapter is run with the replicas that it has, until the next attempt. Without a number it would
    be loaded on all pods, so nothing is planned then.
    """
    if not decision.cause:
        return None
    error = snapshot.scaling_error
    if error is not None and error.retry_at > now:
        waits = Plan((), selection=snapshot.selected, wake=error.retry_at)
        return waits if snapshot.adapter.spec.replicas is None else None
    event = EmitEvent("Normal", "SuccessfulRescale", f"New size: {decision.replicas}; reason: {decision.cause}")
    return Plan((SetReplicas(decision.replicas, now), event), selection=snapshot.selected, wake=now)


def scaling_conditions(decision: ScalingDecision | None, error: Refusal | None) -> Sequence[Condition]:
    """Return the conditions of an adapter with autoscaling. `error`: last refusal of a change of its replicas."""
    if decision is None:
        return ()
    if error is not None and decision.cause:
        decision = replace(decision, problem=Limit("FailedUpdateScale", error.message))
    active = Limit("ValidMetricFound", "replicas follow the requests in flight")
    within = Limit("DesiredWithinRange", "the demand asks for no more and no fewer replicas than allowed")
    return (
        _condition("ScalingActive", decision.problem is None, decision.problem or active),
        _condition("ScalingLimited", decision.limit is not None, decision.limit or within),
    )


def _condition(kind: str, status: bool, why: Limit) -> Condition:
    return Condition(type=kind, status="True" if status else "False", reason=why.reason, message=why.message)


def _room(snapshot: Snapshot, now: float, settings: Settings) -> int:
    """Return the number of further pods that can take the adapter without evicting another from memory."""
    able = pods_able_to_load(snapshot.adapter.spec, snapshot.matching, settings)
    stable = able.stable(now, settings.stable_for)
    return sum(pod.name not in snapshot.selected and snapshot.adapters_on(pod) < pod.max_cpu_loras for pod in stable)
