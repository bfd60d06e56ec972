"""Faults of pods and nodes."""

from collections.abc import Callable, Sequence
from functools import partial

import simpy

from fake_vllm.faults.windows import flap_windows
from twin.apiserver import ApiError
from twin.apiserver.meta.objects import key
from twin.faults.context import SETTLED, ActiveFault, FaultContext, Process, Undo
from twin.scenario.faults import (
    EngineCoreCrash,
    EngineRestart,
    ImageRegistryDown,
    NodeDown,
    NodeDrain,
    NodeLost,
    NodeNotReady,
    PodKill,
    PodStuckTerminating,
    ReadinessFlap,
    Rollout,
)

_RESTARTABLE = ("deployments.apps", "statefulsets.apps", "daemonsets.apps")
NodeFailure = NodeDown | NodeLost | NodeNotReady
PodFault = EngineRestart | EngineCoreCrash | PodKill | PodStuckTerminating | Rollout


def flap(active: ActiveFault, fault: ReadinessFlap) -> Process:
    """Switch pods between unready and ready."""
    context = active.context
    window = fault.window(context.duration)
    window = window._replace(start=max(window.start, SETTLED))
    yield active.until(window.start)
    targets = active.pods(fault.pods)
    active.record("begin", targets)
    try:
        for unready in flap_windows(window, unready_for=fault.unready_for, ready_for=fault.ready_for):
            yield active.until(unready.start)
            _force(context, targets, unready=True)
            yield active.until(unready.end)
            _force(context, targets, unready=False)
        yield active.until(window.end)
    except simpy.Interrupt:
        _force(context, targets, unready=False)
    active.record("end", targets)


def _force(context: FaultContext, pods: Sequence[str], *, unready: bool) -> None:
    for pod in pods:
        if context.world.host_of(pod) is not None:
            context.world.force_unready(pod, unready)


def node_failure(active: ActiveFault, fault: NodeFailure) -> Process:
    """Power off nodes, lose them or let them be not ready; and restore them when the fault ends."""
    world = active.context.world
    fail, restore = {
        "node-down": (world.node_down, world.node_up),
        "node-lost": (world.node_lost, world.node_found),
        "node-not-ready": (world.node_not_ready, world.node_ready),
    }[fault.kind]

    def begin() -> tuple[list[str], Undo]:
        failed = []
        for node in active.nodes(fault.nodes):
            try:
                fail(node)
            except ValueError:
                continue  # it has another of these faults, or is not one of the scenario's
            failed.append(node)
        return failed, partial(_for_each, restore, failed)

    return active.lasting(fault, begin)


def image_registry_down(active: ActiveFault, fault: ImageRegistryDown) -> Process:
    """Let pulls of images fail."""
    return active.lasting(fault, lambda: ((), active.context.world.images.fail(active.number, fault.registries)))


def node_drain(active: ActiveFault, fault: NodeDrain) -> Process:
    """Drain nodes, and uncordon them when the fault ends."""
    context = active.context

    def begin() -> tuple[list[str], Undo]:
        nodes = active.nodes(fault.nodes)
        for node in nodes:
            context.world.drain(node)
        return nodes, partial(_for_each, context.world.uncordon, nodes)

    return active.lasting(fault, begin)


def _for_each(act: Callable[[str], None], nodes: Sequence[str]) -> None:
    for node in nodes:
        act(node)


def repeat(active: ActiveFault, fault: PodFault) -> Process:
    """Run an instant fault each time it is due."""
    times = active.context.streams.get(f"fault/{active.number}/{fault.kind}/times")
    for time in fault.strikes(active.context.duration, times):
        yield active.until(time)
        active.record("strike", _apply(active, fault))


def _apply(active: ActiveFault, fault: PodFault) -> list[str]:
    """Apply the fault once; return its targets."""
    world = active.context.world
    if isinstance(fault, Rollout):
        return _restart_workload(active.context, fault.deployment)
    pods = active.pods(fault.pods)
    for pod in pods:
        try:
            match fault:
                case EngineRestart():
                    world.restart_engine(pod)
                case EngineCoreCrash():
                    world.kill_engine_core(pod)
                case PodStuckTerminating():
                    world.hold_termination(pod, fault.duration)
                case PodKill():
                    world.kill_pod(pod)
        except (ValueError, ApiError):
            continue  # its node is down, or the pod has just been deleted
    return pods


def _restart_workload(context: FaultContext, name: str) -> list[str]:
    workloads = [
        (key(item), resource)
        for resource in _RESTARTABLE
        for item in context.store.list(resource).items
        if item["metadata"]["name"] == name
    ]
    for workload, resource in workloads:
        context.world.rollout(workload, resource)
    return [workload for workload, _ in workloads]
