"""Turns a scenario's faults into SimPy processes.

Which kinds there are and what may be asked of them says `twin/scenario/faults.py`; here they are done. Who is hit is
decided when a fault strikes. A spell that names its pods (all, by name, by labels) also hits those that are born
while it lasts; one that draws a number of them keeps to whom it drew.
"""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import simpy

from twin.apiserver import ApiError, Change, Store
from twin.record import FaultLine
from twin.recorder import Recorder
from twin.replicas import Replica, leader
from twin.scenario import Candidate, Fault, PodTargets
from twin.scenario.faults import (
    ApiConflict,
    ControllerCrash,
    EngineRestart,
    EngineSpell,
    Moment,
    NodeDown,
    PodKill,
    ReadinessFlap,
    Rollout,
)
from twin.streams import Streams
from twin.world.cluster import ApiFaults
from twin.world.world import World

Process = Generator[simpy.Event, Any, None]

SETTLED = 1.0
"""Seconds until the pods of the first manifests exist; a fault of pods that begins earlier begins then."""


@dataclass(frozen=True, slots=True)
class Stage:
    """What faults act on."""

    env: simpy.Environment
    store: Store
    world: World
    streams: Streams
    recorder: Recorder
    api_faults: ApiFaults
    replicas: Sequence[Replica]
    restart: Callable[[Replica, float], None]
    """Starts a replica again in so many seconds."""
    duration: float


def begin(faults: Sequence[Fault], stage: Stage) -> None:
    """Starts a process for each fault; its place in the list is its id in the record."""
    for number, fault in enumerate(faults):
        match fault:
            case EngineSpell():
                stage.env.process(_EngineFault(stage, number, fault).run())
            case ReadinessFlap():
                stage.env.process(_flap(stage, number, fault))
            case NodeDown():
                stage.env.process(_node_down(stage, number, fault))
            case ApiConflict():
                stage.env.process(_api_conflict(stage, number, fault))
            case ControllerCrash():
                _controller_crash(stage, number, fault)
            case Moment():
                stage.env.process(_moments(stage, number, fault))


def _until(stage: Stage, moment: float) -> simpy.Event:
    return stage.env.timeout(max(moment - stage.env.now, 0.0))


def _tell(
    stage: Stage,
    number: int,
    kind: str,
    event: Literal["begin", "end", "strike"],
    targets: Sequence[str] = (),
    detail: str = "",
) -> None:
    line = FaultLine(t=stage.recorder.now(), id=number, fault=kind, event=event, targets=list(targets), detail=detail)
    stage.recorder.emit(line)


def _pods(stage: Stage) -> list[Candidate]:
    """Pods that live and are on a node."""
    found = []
    for pod in stage.store.list("pods").items:
        meta = pod["metadata"]
        name = f"{meta['namespace']}/{meta['name']}"
        if "deletionTimestamp" in meta or stage.world.host_of(name) is None:
            continue
        found.append(Candidate(name, meta.get("labels", {}), stage.world.workload_of(pod)))
    return found


class _EngineFault:
    """Requests to some engines go wrong for a while."""

    def __init__(self, stage: Stage, number: int, fault: EngineSpell) -> None:
        self._stage = stage
        self._number = number
        self._fault = fault
        self._rng = stage.streams.get(f"fault/{number}/{fault.kind}/targets")
        self._undo: dict[str, Callable[[], None]] = {}
        self._lasting = False

    def run(self) -> Process:
        stage, fault = self._stage, self._fault
        yield _until(stage, max(fault.start, SETTLED))
        self._lasting = True
        targets = fault.pods.pick(_pods(stage), self._rng)
        for pod in targets:
            self._hit(pod)
        _tell(stage, self._number, fault.kind, "begin", targets)
        if fault.pods.count is None and fault.pods.fraction is None:
            stage.store.subscribe(self._pod_changed, "pods")
        if fault.until is None or fault.until > stage.duration:
            return
        yield _until(stage, fault.until)
        self._lasting = False
        for undo in self._undo.values():
            undo()
        _tell(stage, self._number, fault.kind, "end", sorted(self._undo))

    def _pod_changed(self, change: Change) -> None:
        """A pod that is born while the fault lasts is hit as soon as it is on a node."""
        meta = change.object["metadata"]
        pod = f"{meta['namespace']}/{meta['name']}"
        if self._lasting and change.type == "MODIFIED" and pod not in self._undo:
            born = [candidate for candidate in _pods(self._stage) if candidate.name == pod]
            if self._fault.pods.pick(born, self._rng):
                self._hit(pod)
                _tell(self._stage, self._number, self._fault.kind, "begin", [pod])

    def _hit(self, pod: str) -> None:
        host = self._stage.world.host_of(pod)
        if host is not None:
            handle = host.faults.add(self._fault.rule())
            self._undo[pod] = lambda: host.faults.remove(handle)


def _flap(stage: Stage, number: int, fault: ReadinessFlap) -> Process:
    yield _until(stage, max(fault.start, SETTLED))
    end = stage.duration if fault.until is None else fault.until
    targets = fault.pods.pick(_pods(stage), stage.streams.get(f"fault/{number}/{fault.kind}/targets"))
    _tell(stage, number, fault.kind, "begin", targets)
    while stage.env.now < end:
        _force(stage, targets, unready=True)
        yield _until(stage, min(stage.env.now + fault.down, end))
        _force(stage, targets, unready=False)
        yield _until(stage, min(stage.env.now + fault.up, end))
    if fault.until is not None and fault.until <= stage.duration:
        _tell(stage, number, fault.kind, "end", targets)


def _force(stage: Stage, pods: Sequence[str], *, unready: bool) -> None:
    for pod in pods:
        if stage.world.host_of(pod) is not None:
            stage.world.set_unready(pod, unready)


def _node_down(stage: Stage, number: int, fault: NodeDown) -> Process:
    yield _until(stage, fault.start)
    nodes = [
        Candidate(node["metadata"]["name"], node["metadata"].get("labels", {}))
        for node in stage.store.list("nodes").items
    ]
    down = []
    for node in fault.nodes.pick(nodes, stage.streams.get(f"fault/{number}/{fault.kind}/targets")):
        try:
            stage.world.node_down(node)
        except ValueError:
            continue  # another fault has it down already
        down.append(node)
    _tell(stage, number, fault.kind, "begin", down)
    if fault.until is None or fault.until > stage.duration:
        return
    yield _until(stage, fault.until)
    for node in down:
        stage.world.node_up(node)
    _tell(stage, number, fault.kind, "end", down)


def _api_conflict(stage: Stage, number: int, fault: ApiConflict) -> Process:
    yield _until(stage, fault.start)
    stage.api_faults.add(number, fault.probability, stage.streams.get(f"fault/{number}/{fault.kind}"))
    _tell(stage, number, fault.kind, "begin")
    if fault.until is None or fault.until > stage.duration:
        return
    yield _until(stage, fault.until)
    stage.api_faults.remove(number)
    _tell(stage, number, fault.kind, "end")


def _moments(stage: Stage, number: int, fault: EngineRestart | PodKill | Rollout) -> Process:
    for moment in fault.strikes(stage.duration, stage.streams.get(f"fault/{number}/{fault.kind}/times")):
        yield _until(stage, moment)
        _tell(stage, number, fault.kind, "strike", _strike(stage, number, fault))


def _strike(stage: Stage, number: int, fault: EngineRestart | PodKill | Rollout) -> list[str]:
    """Does it; returns who was hit."""
    if isinstance(fault, Rollout):
        hit = [
            f"{item['metadata']['namespace']}/{item['metadata']['name']}"
            for item in stage.store.list("deployments.apps").items
            if item["metadata"]["name"] == fault.deployment
        ]
        for deployment in hit:
            stage.world.rollout(deployment)
        return hit
    pods = _targets(stage, number, fault.kind, fault.pods)
    for pod in pods:
        try:
            stage.world.restart_engine(pod) if isinstance(fault, EngineRestart) else stage.world.kill_pod(pod)
        except (ValueError, ApiError):
            continue  # its node is down, or it went at this very moment
    return pods


def _targets(stage: Stage, number: int, kind: str, pods: PodTargets) -> list[str]:
    return pods.pick(_pods(stage), stage.streams.get(f"fault/{number}/{kind}/targets"))


def _controller_crash(stage: Stage, number: int, fault: ControllerCrash) -> None:
    """Kills a replica at a time, or beside its Nth write, once."""

    def kill(replica: Replica, detail: str) -> None:
        _tell(stage, number, fault.kind, "strike", [replica.name], detail)
        replica.crash()
        stage.restart(replica, fault.restart_after)

    if fault.at is not None:
        stage.env.process(_crash_at(stage, fault, kill))
        return
    wanted = "before" if fault.before_write is not None else "after"
    nth = fault.before_write or fault.after_write
    struck: list[str] = []

    def wrote(replica: Replica, moment: str) -> None:
        if moment == wanted and replica.writes == nth and not struck:
            struck.append(replica.name)
            kill(replica, f"{wanted} write {nth}")

    for index, replica in enumerate(stage.replicas):
        if fault.replica is None or fault.replica == index:
            replica.watchers.append(wrote)


def _crash_at(stage: Stage, fault: ControllerCrash, kill: Callable[[Replica, str], None]) -> Process:
    assert fault.at is not None
    yield _until(stage, fault.at)
    if fault.replica is None:
        replica = leader(stage.replicas)
    else:
        replica = stage.replicas[fault.replica] if fault.replica < len(stage.replicas) else None
    if replica is not None and replica.alive:
        kill(replica, "")
