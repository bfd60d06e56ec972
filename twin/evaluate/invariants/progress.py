"""Invariant of progress (12): what can be loaded is loaded, however slow the API server is."""

from collections import defaultdict
from collections.abc import Hashable
from math import inf
from typing import ClassVar

from controller.api.annotations import MOST_PODS
from twin.evaluate.invariants.base import Kinds
from twin.evaluate.invariants.deadlines import DeadlineTracker
from twin.evaluate.invariants.own_faults import OWN_FAULT, says
from twin.evaluate.invariants.placement import ready_takers
from twin.evaluate.invariants.state import ClusterState, Pod
from twin.evaluate.invariants.tolerances import CHAIN, PATIENCE
from twin.trace.lines import AdapterLine, ApiLine, FaultLine, Line, RequestLine

_POLL = 12.0
"""Seconds after which an adapter that no pod can take is looked at again; until then it is only lines that cost."""


class LoadsAreSent:
    """12. While an adapter can be loaded somewhere, a load is sent within a bound that follows from the API's latency.

    A load follows from a chain of requests to the API server: the phases that a user should see, the announcement, and
    once more all of them after a conflict. So latency may delay a load by `CHAIN` requests (and by their wait for the
    client's own rate limit), and never prevent it.

    The time counts from the last excuse: a change of the adapter, a request in flight to an engine of the namespace
    (others are served first), a fault of a pod that may have been chosen and lists nothing, a refused write, and for
    each pod its readiness, its stability, and attempts that failed there. A pod on which the adapter is loaded, is
    being loaded or waits for a retry counts as a replica.
    """

    kinds: ClassVar[Kinds] = frozenset({AdapterLine, RequestLine, ApiLine, FaultLine})

    def __init__(self, state: ClusterState) -> None:
        self.state = state
        self.deadlines = DeadlineTracker(12, self._restart)
        self._tried: dict[str, dict[str, RequestLine]] = defaultdict(dict)
        """Adapter to pod to the line of the last load there."""
        self._since: dict[str, float] = {}
        """Adapter to the end of its own last excuse."""
        self._specs: dict[str, tuple[str, int, bool]] = {}
        """Adapter to its UID, its generation, and whether its own fault is said."""
        self._active: dict[str, float] = {}
        """Namespace to the time of the last line about a request to one of its engines."""
        self._calm: dict[str, float] = {}
        """Pod or node to the end of the last fault that disturbed it."""

    def see(self, line: Line) -> None:
        match line:
            case AdapterLine():
                self._adapter(line)
            case RequestLine():
                namespace = line.object.split("/")[0]
                self._active[namespace] = line.t
                if line.verb == "load":
                    self._tried[f"{namespace}/{line.adapter}"][line.object] = line
                self._check(f"{namespace}/{line.adapter}", line.t)
            case ApiLine(resource="modeladapters") if line.code >= 400 and line.code != 409:
                self._since[line.object] = line.t + PATIENCE
            case FaultLine(event="end" | "strike"):
                self._calm |= dict.fromkeys(line.targets, line.t)

    def _adapter(self, line: AdapterLine) -> None:
        if line.event == "deleted":
            self._tried.pop(line.object, None)
            self._specs.pop(line.object, None)
        else:
            spec = (line.uid, line.generation, line.phase == "Failed" or says(line, OWN_FAULT))
            if self._specs.get(line.object) != spec:
                self._specs[line.object] = spec
                self._since[line.object] = line.t
        self._check(line.object, line.t)

    def _check(self, adapter: str, t: float) -> None:
        line = self.state.adapters.get(adapter)
        lacks = line is not None and not line.deleting and self._lacks(line, t)
        message = "no load is sent, although a pod could take it,"
        self.deadlines.check(adapter, lacks, t, self._bound(t), adapter, message, (self.state.index,))

    def _bound(self, t: float) -> float:
        run = self.state.run
        return self.state.detection_bound(t) + CHAIN * run.api_request + run.unready_grace

    def _lacks(self, line: AdapterLine, t: float) -> bool:
        """Return whether fewer pods have it, are loading it or wait for a retry than are desired."""
        if line.wanted is None:
            return len(line.placements) < MOST_PODS
        namespace = line.object.split("/")[0]
        places = {f"{namespace}/{pod}" for pod in line.instances}
        places.update(self.state.holders(line.object))
        places.update(pod for pod in self._tried[line.object] if self._tried_until(line.object, pod) > t)
        return len(places) < min(line.wanted, MOST_PODS)

    def _tried_until(self, adapter: str, pod: str) -> float:
        """Return until when attempts on the pod explain that none is made now; `inf` while one is in flight."""
        last, shown = self._tried[adapter].get(pod), self.state.pods.get(pod)
        if last is None or shown is None or last.engine != shown.line.engine or shown.last_became_ready > last.t:
            return 0.0
        if last.event == "sent":
            return inf
        return 0.0 if last.status == 200 else last.t + self.state.run.pod_cooldown + self._longest_wait()

    def _longest_wait(self) -> float:
        """Return the longest wait before a retry, in seconds; 0 without retries."""
        return max(self.state.run.retry_waits, default=0.0)

    def _restart(self, adapter: Hashable, t: float) -> tuple[float, float]:
        """Return (since when a load has been possible, bound), as of `t`."""
        assert isinstance(adapter, str)
        state, line = self.state, self.state.adapters[adapter]
        namespace, (_, _, own_fault) = adapter.split("/")[0], self._specs[adapter]
        if own_fault or state.is_busy(namespace):
            return t, self._bound(t)
        pods = ready_takers(state, line)
        if any(state.is_disturbed(pod.line.object) for pod in pods):
            return t, self._bound(t)
        first = min((self._usable_since(pod, adapter, t) for pod in pods), default=inf)
        if first == inf:
            return t + _POLL, self._bound(t)
        calm = max(self._calm.get(name, -inf) for pod in pods for name in (pod.line.object, pod.line.node))
        excused = (
            self._since[adapter],
            self._active.get(namespace, 0.0),
            self._resumed(line),
            calm + state.run.list_timeout,
        )
        return max(first, *excused), self._bound(t)

    def _resumed(self, line: AdapterLine) -> float:
        """Return since when the leader could load the adapter.

        After a crash it does not know whether an attempt that the object announces was sent: it counts, and the leader
        waits as after a failed one.
        """
        resumed = self.state.resumed_at
        return resumed + self._longest_wait() if resumed and line.attempts else resumed

    def _usable_since(self, pod: Pod, adapter: str, t: float) -> float:
        """Return since when the adapter could have been loaded on the pod; `inf` if it cannot be."""
        state, line = self.state, pod.line
        since, tried_until = line.ready_since, self._tried_until(adapter, line.object)
        if since is None or not (line.ip and line.engine) or tried_until > t or state.holds(line.object, adapter):
            return inf
        stable = since + state.run.stable_for + state.tolerances.skew(since, t)
        return max(stable, tried_until, pod.last_became_ready, pod.labelled, pod.engine_since)
