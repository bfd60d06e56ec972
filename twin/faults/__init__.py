"""Turns a scenario's faults into SimPy processes.

Which kinds there are and what may be asked of them says `twin/scenario/faults`; here they are done, in a module for
what they are on: start at `begin`. Who is hit is decided when a fault strikes. A spell that names its pods (all, by
name, by labels) also hits those that are born while it lasts; one that draws a number of them keeps to whom it drew.
"""

from collections.abc import Sequence

from twin.faults import api, artifacts, cluster, controllers, engines
from twin.faults.context import Acting, Process, Stage
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

__all__ = ["Stage", "begin"]


def begin(faults: Sequence[Fault], stage: Stage, first: int = 0) -> None:
    """Starts a process for each fault; its place in the list, counted from `first`, is its id in the record."""
    for number, fault in enumerate(faults, first):
        acting = Acting(stage, number, fault.kind)
        if isinstance(fault, ControllerCrash):
            controllers.crash(acting, fault)
        else:
            stage.env.process(_process(acting, fault))


def _process(acting: Acting, fault: Fault) -> Process:
    match fault:
        case EngineFault():
            return engines.engine_fault(acting, fault)
        case Partition():
            return engines.partition(acting, fault)
        case NetworkLatency():
            return engines.latency(acting, fault)
        case RegistryFault():
            return artifacts.registry(acting, fault)
        case ReadinessFlap():
            return cluster.flap(acting, fault)
        case NodeDown():
            return cluster.node_down(acting, fault)
        case NodeDrain():
            return cluster.node_drain(acting, fault)
        case EngineRestart() | PodKill() | PodStuckTerminating() | Rollout():
            return cluster.strikes(acting, fault)
        case ApiFault():
            return api.answers(acting, fault)
        case ApiSlow():
            return api.slow(acting, fault)
        case WatchDrop():
            return api.watch_drop(acting, fault)
        case WatchExpired():
            return api.watch_expired(acting, fault)
        case StaleReads():
            return api.stale_reads(acting, fault)
        case LeaderLoss():
            return controllers.leader_loss(acting, fault)
        case ClockSkew():
            return controllers.clock_skew(acting, fault)
    raise TypeError(f"nothing is known of how {fault.kind} is done")
