"""Loading of an adapter by its first request, and unloading when it is idle: a decision, then a plan of its own. Pure.

The decision is written to the object before anything follows from it. While it is "idle", no pod is selected, and the
Service of the adapter publishes the activator, which holds requests (`controller/activator`). An adapter becomes idle
only if recent metrics of all engines that serve it show no request for it in the whole time.
"""

from dataclasses import replace

from controller.api.annotations import ActivationRecord
from controller.api.spec import SpecProblem
from controller.api.types import ModelAdapterSpec
from controller.demand.scaling import Limit, ScalingDecision
from controller.reconcile.actions import EmitEvent, Plan, WriteAnnotations
from controller.reconcile.snapshot import Snapshot
from controller.settings import Settings


def activation_problem(spec: ModelAdapterSpec, settings: Settings) -> SpecProblem | None:
    """Return why an adapter on demand cannot be served by this operator, if it cannot."""
    if not spec.on_demand or settings.activator is not None:
        return None
    return SpecProblem(
        "NoActivator",
        "activation.mode is OnDemand, and this operator has no activator that could hold the first request: start it "
        "with --activator-bind-address, or set mode Always",
    )


def is_idle(snapshot: Snapshot) -> bool:
    """Return whether an adapter on demand is to be loaded nowhere.

    Before the first decision it is idle, unless it has been loaded in another mode.
    """
    if not snapshot.adapter.spec.on_demand:
        return False
    record = snapshot.persisted.activation
    return not (snapshot.persisted.placements or snapshot.selected) if record is None else not record.active


def plan_activation(snapshot: Snapshot, now: float, settings: Settings) -> Plan | None:
    """Return the plan that decides to load the adapter, or to unload it; None if the last decision stands."""
    if not snapshot.adapter.spec.on_demand or snapshot.problem is not None:
        return None
    if is_idle(snapshot):
        event = EmitEvent("Normal", "Activated", "A request has come: the adapter is loaded")
        return _decide(snapshot, ActivationRecord(True, now), event) if snapshot.requested else None
    if snapshot.persisted.activation is None:
        return _decide(snapshot, ActivationRecord(True, now))
    if _is_unused(snapshot, now, settings):
        seconds = snapshot.adapter.spec.activation.idle_seconds
        event = EmitEvent("Normal", "Deactivated", f"No request for {seconds:g} s: the adapter is unloaded")
        return _decide(snapshot, ActivationRecord(False, now), event)
    return None


def idle_message(snapshot: Snapshot) -> str:
    """Return why an idle adapter is not loaded."""
    if snapshot.persisted.activation is None:
        return "no request has come yet; the first one loads it"
    return f"no request for {snapshot.adapter.spec.activation.idle_seconds:g} s; the next one loads it"


def idle_scaling(snapshot: Snapshot) -> ScalingDecision | None:
    """Return the decision about the replicas of an idle adapter; None without autoscaling."""
    if snapshot.adapter.spec.autoscaling is None:
        return None
    return ScalingDecision(0, Limit("ScalingDisabled", "the adapter is idle"))


def _decide(snapshot: Snapshot, record: ActivationRecord, *events: EmitEvent) -> Plan:
    after = replace(snapshot.persisted, activation=record)
    return Plan((WriteAnnotations(snapshot.persisted, after), *events), selection=snapshot.selected, wake=record.since)


def _is_unused(snapshot: Snapshot, now: float, settings: Settings) -> bool:
    """Return whether recent metrics show that no request has come for the adapter's idle time."""
    spec, persisted, usage = snapshot.adapter.spec, snapshot.persisted, snapshot.usage
    if spec.pinned or snapshot.requested or usage is None or persisted.activation is None:
        return False
    if persisted.move is not None and persisted.move.under_way:
        return False
    if not 0 <= now - usage.measured_at <= settings.scrape_interval:
        return False
    return now - max(usage.unused_since, persisted.activation.since) >= spec.activation.idle_seconds
