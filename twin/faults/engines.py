"""Lasting faults of single pods: of their engines or of the network link to them."""

from collections.abc import Callable

from fake_vllm.faults.rules import FaultRule
from twin.apiserver import Change
from twin.faults.context import SETTLED, ActiveFault, Process, Undo, running_pods
from twin.scenario import Candidate
from twin.scenario.faults import EngineFault, LastingFault, NetworkLatency, Partition
from twin.world.network.engine_host import EngineHost

Apply = Callable[[str, EngineHost], Undo]
"""Applies the fault to a pod; returns the function that ends it there."""


def engine_fault(active: ActiveFault, fault: EngineFault) -> Process:
    """Make requests to engines fail."""
    rule: FaultRule = fault.rule()

    def apply(_: str, host: EngineHost) -> Undo:
        handle = host.faults.add(rule)
        return lambda: host.faults.remove(handle)

    return _PodFault(active, fault, apply).run()


def partition(active: ActiveFault, fault: Partition) -> Process:
    """Cut the link to engines."""
    return _PodFault(active, fault, lambda _, host: host.link.partition(fault.callers)).run()


def latency(active: ActiveFault, fault: NetworkLatency) -> Process:
    """Make the link to engines slow. Each pod has its own random stream, so pods do not affect each other's draws."""
    streams = active.context.streams

    def apply(pod: str, host: EngineHost) -> Undo:
        return host.link.delay(fault.callers, fault.extra, streams.get(f"fault/{active.number}/{fault.kind}/{pod}"))

    return _PodFault(active, fault, apply).run()


class _PodFault:
    """A fault of pods in a run; also of pods that are created while it lasts, unless it drew a number of them."""

    def __init__(self, active: ActiveFault, fault: EngineFault | Partition | NetworkLatency, apply: Apply) -> None:
        self._active = active
        self._fault: LastingFault = fault
        self._pods = fault.pods
        self._nodes = None if isinstance(fault, EngineFault) else fault.nodes
        self._apply_to_host = apply
        self._chosen_nodes: list[str] = []
        self._undo: dict[str, Undo] = {}
        self._lasting = False

    def run(self) -> Process:
        active, fault = self._active, self._fault
        window = fault.window(active.context.duration)
        yield active.until(max(window.start, SETTLED))
        self._lasting = True
        targets = self._targets()
        for pod in targets:
            self._apply(pod)
        active.record("begin", targets, detail=" ".join(self._chosen_nodes))
        if self._pods is None or (self._pods.count is None and self._pods.fraction is None):
            active.context.store.subscribe(self._pod_changed, "pods")
        yield from active.until_end(window.end)
        self._lasting = False
        for undo in self._undo.values():
            undo()
        active.record("end", sorted(self._undo), detail=" ".join(self._chosen_nodes))

    def _targets(self) -> list[str]:
        if self._pods is not None:
            return self._active.pods(self._pods)
        assert self._nodes is not None
        self._chosen_nodes = self._active.nodes(self._nodes)
        return sorted(pod.name for pod in running_pods(self._active.context) if self._fits(pod))

    def _fits(self, pod: Candidate) -> bool:
        return pod.node in self._chosen_nodes if self._pods is None else self._pods.fits(pod)

    def _pod_changed(self, change: Change) -> None:
        """Apply the fault to a pod that is created while it lasts, as soon as it is on a node."""
        meta = change.object["metadata"]
        name = f"{meta['namespace']}/{meta['name']}"
        if not self._lasting or change.type != "MODIFIED" or name in self._undo:
            return
        if any(pod.name == name and self._fits(pod) for pod in running_pods(self._active.context)):
            self._apply(name)
            self._active.record("begin", [name])

    def _apply(self, pod: str) -> None:
        host = self._active.context.world.host_of(pod)
        if host is not None:
            self._undo[pod] = self._apply_to_host(pod, host)
