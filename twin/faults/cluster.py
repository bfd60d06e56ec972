"""Pods and nodes: what goes, what flaps, what is made anew."""

from collections.abc import Sequence
from functools import partial

from fake_vllm.faults.windows import flapping
from twin.apiserver import ApiError
from twin.faults.context import SETTLED, Acting, Process, Stage, Undo
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


def flap(acting: Acting, fault: ReadinessFlap) -> Process:
    """Pods turn unready and ready in turns."""
    stage = acting.stage
    whole = fault.turn(stage.duration)
    whole = whole._replace(start=max(whole.start, SETTLED))
    yield acting.until(whole.start)
    targets = acting.pods(fault.pods)
    acting.tell("begin", targets)
    for turn in flapping(whole, down=fault.unready_for, up=fault.ready_for):
        yield acting.until(turn.start)
        _force(stage, targets, unready=True)
        yield acting.until(turn.end)
        _force(stage, targets, unready=False)
    yield acting.until(whole.end)
    acting.tell("end", targets)


def _force(stage: Stage, pods: Sequence[str], *, unready: bool) -> None:
    for pod in pods:
        if stage.world.host_of(pod) is not None:
            stage.world.set_unready(pod, unready)


def node_down(acting: Acting, fault: NodeDown) -> Process:
    """Nodes lose power, and boot again when it ends."""
    world = acting.stage.world

    def begin() -> tuple[list[str], Undo]:
        down = []
        for node in acting.nodes(fault.nodes):
            try:
                world.node_down(node)
            except ValueError:
                continue  # another fault has it down already
            down.append(node)
        return down, partial(_boot, acting.stage, down)

    return acting.lasting(fault, begin)


def node_drain(acting: Acting, fault: NodeDrain) -> Process:
    """Nodes are drained, and take pods again when it ends."""
    stage = acting.stage

    def begin() -> tuple[list[str], Undo]:
        nodes = acting.nodes(fault.nodes)
        for node in nodes:
            stage.world.drain(node)
        return nodes, partial(_uncordon, stage, nodes)

    return acting.lasting(fault, begin)


def _uncordon(stage: Stage, nodes: Sequence[str]) -> None:
    for node in nodes:
        stage.world.uncordon(node)


def _boot(stage: Stage, nodes: Sequence[str]) -> None:
    for node in nodes:
        stage.world.node_up(node)


def strikes(acting: Acting, fault: Stroke) -> Process:
    """Faults of a moment, each time."""
    times = acting.stage.streams.get(f"fault/{acting.number}/{fault.kind}/times")
    for moment in fault.strikes(acting.stage.duration, times):
        yield acting.until(moment)
        acting.tell("strike", _strike(acting, fault))


def _strike(acting: Acting, fault: Stroke) -> list[str]:
    """Does it; returns who was hit."""
    world = acting.stage.world
    if isinstance(fault, Rollout):
        return _roll_out(acting.stage, fault.deployment)
    pods = acting.pods(fault.pods)
    for pod in pods:
        try:
            match fault:
                case EngineRestart():
                    world.restart_engine(pod)
                case PodStuckTerminating():
                    world.strand_pod(pod, fault.duration)
                case PodKill():
                    world.kill_pod(pod)
        except (ValueError, ApiError):
            continue  # its node is down, or it went at this very moment
    return pods


def _roll_out(stage: Stage, name: str) -> list[str]:
    found = [
        f"{item['metadata']['namespace']}/{item['metadata']['name']}"
        for item in stage.store.list("deployments.apps").items
        if item["metadata"]["name"] == name
    ]
    for deployment in found:
        stage.world.rollout(deployment)
    return found
