"""Pods and nodes: what goes, what flaps, what is made anew."""

from collections.abc import Sequence
from functools import partial

from fake_vllm.faults.windows import flap_windows
from twin.apiserver import ApiError
from twin.faults.context import SETTLED, ActiveFault, FaultContext, Process, Undo
from twin.scenario.faults import (
    EngineRestart,
    NodeDown,
    NodeDrain,
    PodKill,
    PodStuckTerminating,
    ReadinessFlap,
    Rollout,
)

Stroke = EngineRestart | PodKill | PodStuckTerminating | Rollout


def flap(active: ActiveFault, fault: ReadinessFlap) -> Process:
    """Pods turn unready and ready in turns."""
    stage = active.stage
    whole = fault.window(stage.duration)
    whole = whole._replace(start=max(whole.start, SETTLED))
    yield active.until(whole.start)
    targets = active.pods(fault.pods)
    active.tell("begin", targets)
    for turn in flap_windows(whole, unready_for=fault.unready_for, ready_for=fault.ready_for):
        yield active.until(turn.start)
        _force(stage, targets, unready=True)
        yield active.until(turn.end)
        _force(stage, targets, unready=False)
    yield active.until(whole.end)
    active.tell("end", targets)


def _force(stage: FaultContext, pods: Sequence[str], *, unready: bool) -> None:
    for pod in pods:
        if stage.world.host_of(pod) is not None:
            stage.world.force_unready(pod, unready)


def node_down(active: ActiveFault, fault: NodeDown) -> Process:
    """Nodes lose power, and boot again when it ends."""
    world = active.stage.world

    def begin() -> tuple[list[str], Undo]:
        down = []
        for node in active.nodes(fault.nodes):
            try:
                world.node_down(node)
            except ValueError:
                continue  # another fault has it down already
            down.append(node)
        return down, partial(_boot, active.stage, down)

    return active.lasting(fault, begin)


def node_drain(active: ActiveFault, fault: NodeDrain) -> Process:
    """Nodes are drained, and take pods again when it ends."""
    stage = active.stage

    def begin() -> tuple[list[str], Undo]:
        nodes = active.nodes(fault.nodes)
        for node in nodes:
            stage.world.drain(node)
        return nodes, partial(_uncordon, stage, nodes)

    return active.lasting(fault, begin)


def _uncordon(stage: FaultContext, nodes: Sequence[str]) -> None:
    for node in nodes:
        stage.world.uncordon(node)


def _boot(stage: FaultContext, nodes: Sequence[str]) -> None:
    for node in nodes:
        stage.world.node_up(node)


def strikes(active: ActiveFault, fault: Stroke) -> Process:
    """Faults of a moment, each time."""
    times = active.stage.streams.get(f"fault/{active.number}/{fault.kind}/times")
    for moment in fault.strikes(active.stage.duration, times):
        yield active.until(moment)
        active.tell("strike", _strike(active, fault))


def _strike(active: ActiveFault, fault: Stroke) -> list[str]:
    """Does it; returns who was hit."""
    world = active.stage.world
    if isinstance(fault, Rollout):
        return _roll_out(active.stage, fault.deployment)
    pods = active.pods(fault.pods)
    for pod in pods:
        try:
            match fault:
                case EngineRestart():
                    world.restart_engine(pod)
                case PodStuckTerminating():
                    world.hold_termination(pod, fault.duration)
                case PodKill():
                    world.kill_pod(pod)
        except (ValueError, ApiError):
            continue  # its node is down, or it went at this very moment
    return pods


def _roll_out(stage: FaultContext, name: str) -> list[str]:
    found = [
        f"{item['metadata']['namespace']}/{item['metadata']['name']}"
        for item in stage.store.list("deployments.apps").items
        if item["metadata"]["name"] == name
    ]
    for deployment in found:
        stage.world.rollout(deployment)
    return found
