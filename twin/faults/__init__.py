"""Runs a scenario's faults as SimPy processes; start reading at `start`.

The kinds of faults and their fields are defined in `twin/scenario/faults`; here is one module for each target. The
targets of a fault are chosen when it starts. A lasting fault that selects pods by name or labels, or all of them, also
applies to pods that are created while it lasts; one that draws a number of pods does not.
"""

from collections.abc import Sequence

from twin.faults import api, artifacts, cluster, controllers, engines
from twin.faults.context import ActiveFault, FaultContext, Process
from twin.scenario import Fault
from twin.scenario.faults import (
    ApiFault,
    ApiSlow,
    ClockSkew,
    ConflictStorm,
    ControllerCrash,
    EngineCoreCrash,
    EngineFault,
    EngineRestart,
    ImageRegistryDown,
    LeaderLoss,
    NetworkLatency,
    NodeDown,
    NodeDrain,
    NodeLost,
    NodeNotReady,
    Partition,
    PodKill,
    PodStuckTerminating,
    ReadinessFlap,
    RegistryFault,
    Rollout,
    StaleReads,
    VersionRollback,
    WatchDrop,
    WatchExpired,
    WatchFreeze,
)

__all__ = ["FaultContext", "lift", "start"]


def start(faults: Sequence[Fault], context: FaultContext, first: int = 0) -> None:
    """Start a process for each fault. Its id in the record is its index in the list plus `first`."""
    for index, fault in enumerate(faults, first):
        active = ActiveFault(context, index, fault.kind)
        if isinstance(fault, ControllerCrash):
            controllers.crash(active, fault)
        else:
            context.processes[index] = context.env.process(_process(active, fault))


def lift(context: FaultContext, number: int) -> None:
    """End a fault that has begun and lasts, as if its time were over."""
    context.processes[number].interrupt()


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
        case NodeDown() | NodeLost() | NodeNotReady():
            return cluster.node_failure(active, fault)
        case ImageRegistryDown():
            return cluster.image_registry_down(active, fault)
        case NodeDrain():
            return cluster.node_drain(active, fault)
        case EngineRestart() | EngineCoreCrash() | PodKill() | PodStuckTerminating() | Rollout():
            return cluster.repeat(active, fault)
        case ApiFault():
            return api.respond(active, fault)
        case ApiSlow():
            return api.slow(active, fault)
        case WatchDrop():
            return api.watch_drop(active, fault)
        case WatchFreeze():
            return api.watch_freeze(active, fault)
        case ConflictStorm():
            return api.conflict_storm(active, fault)
        case VersionRollback():
            return api.version_rollback(active, fault)
        case WatchExpired():
            return api.watch_expired(active, fault)
        case StaleReads():
            return api.stale_reads(active, fault)
        case LeaderLoss():
            return controllers.leader_loss(active, fault)
        case ClockSkew():
            return controllers.clock_skew(active, fault)
    raise TypeError(f"no implementation for fault {fault.kind}")
