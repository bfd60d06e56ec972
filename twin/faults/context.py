"""The parts of a run that faults act on, and their common steps: wait, choose targets, record events."""

import math
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
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
"""Starts the effect of a lasting fault; returns its targets and the function that ends it."""

SETTLED = 1.0
"""Seconds until the pods of the first manifests exist; a fault of pods that begins earlier is delayed until then."""


@dataclass(frozen=True, slots=True)
class FaultContext:
    """The parts of a run that faults need."""

    env: simpy.Environment
    store: Store
    world: World
    streams: Streams
    recorder: Recorder
    api_faults: ApiFaults
    replicas: Sequence[Replica]
    restart: Callable[[Replica, float], None]
    """Start a replica again after this number of seconds."""
    duration: float
    api_latency: float
    """Upper bound of a request to the API server, in seconds."""
    processes: dict[int, simpy.Process] = field(default_factory=dict)
    """Processes of the faults by number; an interrupt ends a fault that is active."""


@dataclass(frozen=True, slots=True)
class ActiveFault:
    """A fault of the scenario in a run; `number` is its id in the record."""

    context: FaultContext
    number: int
    kind: str

    def until(self, time: float) -> simpy.Event:
        """Return an event at that time: immediately if it is past, never if it is infinite."""
        env = self.context.env
        return env.event() if math.isinf(time) else env.timeout(max(time - env.now, 0.0))

    def until_end(self, time: float) -> Process:
        """Wait until that time, or until the fault is lifted."""
        with suppress(simpy.Interrupt):
            yield self.until(time)

    def record(
        self,
        event: Literal["begin", "end", "strike"],
        targets: Sequence[str] = (),
        *,
        detail: str = "",
        seconds: float = 0.0,
    ) -> None:
        """Record an event of the fault."""
        recorder = self.context.recorder
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
        """Return the target pods, from those that run now."""
        return targets.pick(
            running_pods(self.context), self.context.streams.get(f"fault/{self.number}/{self.kind}/targets")
        )

    def nodes(self, targets: NodeTargets) -> list[str]:
        """Return the target nodes."""
        nodes = [
            Candidate(node["metadata"]["name"], node["metadata"].get("labels", {}))
            for node in self.context.store.list("nodes").items
        ]
        return targets.pick(nodes, self.context.streams.get(f"fault/{self.number}/{self.kind}/targets"))

    def lasting(self, fault: LastingFault, begin: Begin, *, seconds: float = 0.0) -> Process:
        """Start a lasting fault, wait, and end it, with a line in the record for both; `seconds` is its magnitude."""
        window = fault.window(self.context.duration)
        yield self.until(window.start)
        targets, undo = begin()
        self.record("begin", targets, seconds=seconds)
        yield from self.until_end(window.end)
        undo()
        self.record("end", targets, seconds=seconds)


def running_pods(context: FaultContext) -> list[Candidate]:
    """Return the pods that run on a node. An operator's own pods are left out; they have faults of their own."""
    pods = []
    for pod in context.store.list("pods").items:
        meta = pod["metadata"]
        name = f"{meta['namespace']}/{meta['name']}"
        if "deletionTimestamp" in meta or context.world.host_of(name) is None or is_operator(pod["spec"]["containers"]):
            continue
        node = pod["spec"].get("nodeName", "")
        pods.append(Candidate(name, meta.get("labels", {}), context.world.workload_of(pod), node))
    return pods
