"""Faults that are on single pods for a while: of their engines, or of the way to them."""

from collections.abc import Callable

from fake_vllm.faults.rules import FaultRule
from twin.apiserver import Change
from twin.faults.context import SETTLED, ActiveFault, Process, Undo, running_pods
from twin.scenario import Candidate
from twin.scenario.faults import EngineFault, LastingFault, NetworkLatency, Partition
from twin.world.network.engine_host import EngineHost

Hit = Callable[[str, EngineHost], Undo]
"""Does it to a pod; returns what ends it there."""


def engine_fault(active: ActiveFault, fault: EngineFault) -> Process:
    """Requests to engines go wrong."""
    rule: FaultRule = fault.rule()

    def hit(_: str, host: EngineHost) -> Undo:
        handle = host.faults.add(rule)
        return lambda: host.faults.remove(handle)

    return _OnPods(active, fault, hit).run()


def partition(active: ActiveFault, fault: Partition) -> Process:
    """The way to engines is cut."""
    return _OnPods(active, fault, lambda _, host: host.link.partition(fault.callers)).run()


def latency(active: ActiveFault, fault: NetworkLatency) -> Process:
    """The way to engines is long; each pod has a stream of its own, so that others do not shift it."""
    streams = active.stage.streams

    def hit(pod: str, host: EngineHost) -> Undo:
        return host.link.delay(fault.callers, fault.extra, streams.get(f"fault/{active.number}/{fault.kind}/{pod}"))

    return _OnPods(active, fault, hit).run()


class _OnPods:
    """One such fault. Pods that are born while it lasts are hit too, unless it drew a number of them."""

    def __init__(self, active: ActiveFault, fault: EngineFault | Partition | NetworkLatency, hit: Hit) -> None:
        self._active = active
        self._fault: LastingFault = fault
        self._pods = fault.pods
        self._nodes = None if isinstance(fault, EngineFault) else fault.nodes
        self._hit_host = hit
        self._chosen_nodes: list[str] = []
        self._undo: dict[str, Undo] = {}
        self._lasting = False

    def run(self) -> Process:
        active, fault = self._active, self._fault
        turn = fault.window(active.stage.duration)
        yield active.until(max(turn.start, SETTLED))
        self._lasting = True
        targets = self._targets()
        for pod in targets:
            self._hit(pod)
        active.tell("begin", targets, detail=" ".join(self._chosen_nodes))
        if self._pods is None or (self._pods.count is None and self._pods.fraction is None):
            active.stage.store.subscribe(self._pod_changed, "pods")
        yield active.until(turn.end)
        self._lasting = False
        for undo in self._undo.values():
            undo()
        active.tell("end", sorted(self._undo), detail=" ".join(self._chosen_nodes))

    def _targets(self) -> list[str]:
        if self._pods is not None:
            return self._active.pods(self._pods)
        assert self._nodes is not None
        self._chosen_nodes = self._active.nodes(self._nodes)
        return sorted(pod.name for pod in running_pods(self._active.stage) if self._fits(pod))

    def _fits(self, pod: Candidate) -> bool:
        return pod.node in self._chosen_nodes if self._pods is None else self._pods.fits(pod)

    def _pod_changed(self, change: Change) -> None:
        """A pod that is born while the fault lasts is hit as soon as it is on a node."""
        meta = change.object["metadata"]
        name = f"{meta['namespace']}/{meta['name']}"
        if not self._lasting or change.type != "MODIFIED" or name in self._undo:
            return
        if any(pod.name == name and self._fits(pod) for pod in running_pods(self._active.stage)):
            self._hit(name)
            self._active.tell("begin", [name])

    def _hit(self, pod: str) -> None:
        host = self._active.stage.world.host_of(pod)
        if host is not None:
            self._undo[pod] = self._hit_host(pod, host)
