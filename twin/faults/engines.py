"""Requests to some engines go wrong for a while."""

from collections.abc import Callable

from twin.apiserver import Change
from twin.faults.stage import SETTLED, Acting, Process, living
from twin.scenario.faults import EngineSpell


class EngineFault:
    """One such fault. Pods that are born while it lasts are hit too, unless it drew a number of them."""

    def __init__(self, acting: Acting, fault: EngineSpell) -> None:
        self._acting = acting
        self._fault = fault
        self._undo: dict[str, Callable[[], None]] = {}
        self._lasting = False

    def run(self) -> Process:
        acting, fault = self._acting, self._fault
        yield acting.until(max(fault.start, SETTLED))
        self._lasting = True
        targets = acting.pods(fault.pods)
        for pod in targets:
            self._hit(pod)
        acting.tell("begin", targets)
        if fault.pods.count is None and fault.pods.fraction is None:
            acting.stage.store.subscribe(self._pod_changed, "pods")
        if not acting.ends_within(fault):
            return
        assert fault.until is not None
        yield acting.until(fault.until)
        self._lasting = False
        for undo in self._undo.values():
            undo()
        acting.tell("end", sorted(self._undo))

    def _pod_changed(self, change: Change) -> None:
        """A pod that is born while the fault lasts is hit as soon as it is on a node."""
        meta = change.object["metadata"]
        pod = f"{meta['namespace']}/{meta['name']}"
        if not self._lasting or change.type != "MODIFIED" or pod in self._undo:
            return
        born = [candidate for candidate in living(self._acting.stage) if candidate.name == pod]
        if born and self._fault.pods.fits(born[0]):
            self._hit(pod)
            self._acting.tell("begin", [pod])

    def _hit(self, pod: str) -> None:
        host = self._acting.stage.world.host_of(pod)
        if host is not None:
            handle = host.faults.add(self._fault.rule())
            self._undo[pod] = lambda: host.faults.remove(handle)
