"""What faults act on, and what all of them do: wait for their time, choose whom they hit, tell the record."""

import math
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import simpy

from twin.apiserver import Store
from twin.kernel.random_streams import Streams
from twin.scenario import Candidate, NodeTargets, PodTargets
from twin.scenario.faults import LastingFault
from twin.trace.lines import FaultLine
from twin.trace.recorder import Recorder
from twin.world.api_faults import ApiFaults
from twin.world.cluster import World
from twin.world.controller_replica import Replica
from twin.world.kubelet.pod_spec import is_operator

Process = Generator[simpy.Event, Any, None]
Undo = Callable[[], object]
Begin = Callable[[], tuple[Sequence[str], Undo]]
"""Does what a fault that lasts does; returns who is hit, and what ends it."""

SETTLED = 1.0
"""Seconds until the pods of the first manifests exist; a fault of pods that begins earlier begins then."""


@dataclass(frozen=True, slots=True)
class FaultContext:
    """The run, as faults see it."""

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
    api_latency: float
    """Longest time that a request to the API server takes, in seconds."""


@dataclass(frozen=True, slots=True)
class ActiveFault:
    """One fault of the scenario on the stage; `number` is its place in the list, and its id in the record."""

    stage: FaultContext
    number: int
    kind: str

    def until(self, moment: float) -> simpy.Event:
        """Happens at `moment`: at once if that is past, never if it is infinite."""
        env = self.stage.env
        return env.event() if math.isinf(moment) else env.timeout(max(moment - env.now, 0.0))

    def tell(
        self,
        event: Literal["begin", "end", "strike"],
        targets: Sequence[str] = (),
        *,
        detail: str = "",
        seconds: float = 0.0,
    ) -> None:
        """Records it."""
        recorder = self.stage.recorder
        line = FaultLine(
            t=recorder.now(),
            id=self.number,
            fault=self.kind,
            event=event,
            targets=list(targets),
            detail=detail,
            seconds=seconds,
        )
        recorder.emit(line)

    def pods(self, targets: PodTargets) -> list[str]:
        """The pods that are hit, of those that live now."""
        return targets.pick(
            running_pods(self.stage), self.stage.streams.get(f"fault/{self.number}/{self.kind}/targets")
        )

    def nodes(self, targets: NodeTargets) -> list[str]:
        """The nodes that are hit."""
        nodes = [
            Candidate(node["metadata"]["name"], node["metadata"].get("labels", {}))
            for node in self.stage.store.list("nodes").items
        ]
        return targets.pick(nodes, self.stage.streams.get(f"fault/{self.number}/{self.kind}/targets"))

    def lasting(self, fault: LastingFault, begin: Begin, *, seconds: float = 0.0) -> Process:
        """A fault that is begun, lasts and is ended, with a line for both; `seconds` is its size in time."""
        turn = fault.window(self.stage.duration)
        yield self.until(turn.start)
        targets, undo = begin()
        self.tell("begin", targets, seconds=seconds)
        yield self.until(turn.end)
        undo()
        self.tell("end", targets, seconds=seconds)


def running_pods(stage: FaultContext) -> list[Candidate]:
    """Pods that live and are on a node; an operator's own are hit by the faults of controllers alone."""
    found = []
    for pod in stage.store.list("pods").items:
        meta = pod["metadata"]
        name = f"{meta['namespace']}/{meta['name']}"
        if "deletionTimestamp" in meta or stage.world.host_of(name) is None or is_operator(pod["spec"]["containers"]):
            continue
        node = pod["spec"].get("nodeName", "")
        found.append(Candidate(name, meta.get("labels", {}), stage.world.workload_of(pod), node))
    return found
