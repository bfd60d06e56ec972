"""Turns a scenario's faults into SimPy processes.

Which kinds there are and what may be asked of them says `twin/scenario/faults`; here they are done, in a module for
what they are on: start at `begin`. Who is hit is decided when a fault strikes. A spell that names its pods (all, by
name, by labels) also hits those that are born while it lasts; one that draws a number of them keeps to whom it drew.
"""

from collections.abc import Sequence

from twin.faults import api, artifacts, cluster, controllers, engines
from twin.faults.context import ActiveFault, FaultContext, Process
from twin.scenario import Fault
from twin.scenario.faults import (
    ApiFault,
    ApiSlow,
    ClockSkew,
    ControllerCrash,
    EngineFault,
    EngineRestart,
    LeaderLoss,
    NetworkLatency,
    NodeDown,
    NodeDrain,
    Partition,
    PodKill,
    PodStuckTerminating,
    ReadinessFlap,
    RegistryFault,
    Rollout,
    StaleReads,
    WatchDrop,
    WatchExpired,
)

__all__ = ["FaultContext", "begin"]


def begin(faults: Sequence[Fault], stage: FaultContext, first: int = 0) -> None:
    """Starts a process for each fault; its place in the list, counted from `first`, is its id in the record."""
    for number, fault in enumerate(faults, first):
        active = ActiveFault(stage, number, fault.kind)
        if isinstance(fault, ControllerCrash):
            controllers.crash(active, fault)
        else:
            stage.env.process(_process(active, fault))


def _process(active: ActiveFault, fault: Fault) -> Process:
    match fault:
        case EngineFault():
            return engines.engine_fault(active, fault)
        case Partition():
            return engines.partition(active, fault)
        case NetworkLatency():
            return engines.latency(active, fault)
        case RegistryFault():
            return artifacts.registry(active, fault)
        case ReadinessFlap():
            return cluster.flap(active, fault)
        case NodeDown():
            return cluster.node_down(active, fault)
        case NodeDrain():
            return cluster.node_drain(active, fault)
        case EngineRestart() | PodKill() | PodStuckTerminating() | Rollout():
            return cluster.strikes(active, fault)
        case ApiFault():
            return api.answers(active, fault)
        case ApiSlow():
            return api.slow(active, fault)
        case WatchDrop():
            return api.watch_drop(active, fault)
        case WatchExpired():
            return api.watch_expired(active, fault)
        case StaleReads():
            return api.stale_reads(active, fault)
        case LeaderLoss():
            return controllers.leader_loss(active, fault)
        case ClockSkew():
            return controllers.clock_skew(active, fault)
    raise TypeError(f"nothing is known of how {fault.kind} is done")
