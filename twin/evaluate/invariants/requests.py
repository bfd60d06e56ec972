"""Invariants of requests to engines (4, 5 and 9), checked when a request is sent."""

from typing import ClassVar

from formats.retry_after import parse_retry_after
from twin.evaluate.invariants.base import Kinds
from twin.evaluate.invariants.deadlines import TOLERANCE, DeadlineTracker
from twin.evaluate.invariants.placement import selects
from twin.evaluate.invariants.state import ClusterState
from twin.trace.lines import AdapterLine, FaultLine, Line, RequestLine, SecretLine, SliceLine

LONGEST_RETRY_AFTER = 60.0
"""Seconds; an engine that asks for more is tried again earlier."""


class LoadsTargetReadyPods:
    """4. No load is sent to a pod that is not ready, not stable, terminating, or does not match the selector.

    Checked against the state that the API server had shown for longer than `notice` when the request was sent.
    """

    kinds: ClassVar[Kinds] = frozenset({RequestLine})

    def __init__(self, state: ClusterState) -> None:
        self.state = state
        self.deadlines = DeadlineTracker(4)

    def see(self, line: Line) -> None:
        if isinstance(line, RequestLine) and line.event == "sent" and line.verb == "load":
            self.deadlines.checked += 1
            fault = self._fault(line)
            if fault:
                adapter = f"{line.object.split('/')[0]}/{line.adapter}"
                self.deadlines.violate(
                    line.t, adapter, f"a load was sent to {line.object}, {fault}", (self.state.index,)
                )

    def _fault(self, line: RequestLine) -> str:
        state, run, t = self.state, self.state.run, line.t
        pod = state.pods.get(line.object)
        if pod is None:
            return "which does not exist" if self._shown(state.gone.get(line.object, 0.0), t) else ""
        if pod.bad_since is not None and self._shown(pod.bad_since, t):
            return "which is terminating" if pod.line.terminating else "which is not ready"
        since = pod.line.ready_since
        wrong = TOLERANCE + state.tolerances.skew(t - state.detection_bound(t), t)
        fresh = since is not None and t - since < run.stable_for - wrong
        if pod.bad_since is None and fresh and self._shown(pod.last_became_ready, t):
            return f"which has been ready for less than {run.stable_for:g} s"
        adapter = state.adapters.get(f"{line.object.split('/')[0]}/{line.adapter}")
        if adapter is not None and self._shown(pod.labelled, t) and not selects(adapter, pod.line.labels):
            return "which its selector does not match"
        return ""

    def _shown(self, since: float, t: float) -> bool:
        """Return whether the operator had to know at `t` a state that began `since`."""
        return self.state.visible_for(since, t) > self.state.detection_bound(t)


class AttemptsRespectBackoff:
    """5. Attempts on one pod for one adapter never exceed the limit nor come earlier than the backoff allows.

    An engine that answers with Retry-After is not asked again before that time, of which up to a minute counts. A
    series of attempts ends when a load succeeds, the adapter is unloaded or its object deleted, the engine's container
    is replaced, the pod becomes ready again, a Secret of the namespace changes (or may have, since all versions went
    back), or the pod cooldown has passed since the last attempt.

    An announcement has the time before its write, and a new leader knows no other: behind a slow API server its first
    attempt may be early by that write.
    """

    kinds: ClassVar[Kinds] = frozenset({RequestLine, AdapterLine, SecretLine, FaultLine})

    def __init__(self, state: ClusterState) -> None:
        self.state = state
        self.deadlines = DeadlineTracker(5)
        self._series: dict[tuple[str, str], tuple[str, str, list[float]]] = {}
        self._asked_to_wait: dict[tuple[str, str], tuple[float, float]] = {}
        """Place to the time of the engine's answer, and the time that it named."""

    def see(self, line: Line) -> None:
        if isinstance(line, SecretLine):
            namespace = line.object.split("/")[0]
            for place in [place for place in self._series if place[1].startswith(f"{namespace}/")]:
                del self._series[place]
        if isinstance(line, FaultLine) and line.fault == "version-rollback":
            self._series.clear()
        if isinstance(line, AdapterLine) and line.event == "deleted":
            for place in [place for place in self._series if place[0] == line.object]:
                del self._series[place]
        if not isinstance(line, RequestLine):
            return
        place = (f"{line.object.split('/')[0]}/{line.adapter}", line.object)
        if line.verb == "unload" or (line.event == "done" and line.status == 200):
            self._series.pop(place, None)
        elif line.event == "sent":
            self._attempt(place, line)
        else:
            wait = min(parse_retry_after(line.retry_after) or 0.0, LONGEST_RETRY_AFTER)
            self._asked_to_wait[place] = line.t, line.t + wait

    def _attempt(self, place: tuple[str, str], line: RequestLine) -> None:
        waits, state = self.state.run.retry_waits, self.state
        engine, root, starts = self._series.get(place, ("", "", []))
        pod = state.pods.get(line.object)
        ready_again = pod is not None and bool(starts) and pod.last_became_ready > starts[-1]
        wrong = TOLERANCE + (state.tolerances.skew(starts[-1], line.t) if starts else 0.0)
        if starts and starts[-1] < state.resumed_at:
            wrong += state.tolerances.write_latency(starts[-1])
        late = bool(starts) and line.t - starts[-1] >= state.run.pod_cooldown - wrong
        if (engine, root) != (line.engine, line.root) or ready_again or late:
            starts = []
        self.deadlines.checked += 1
        number = len(starts)
        if number > len(waits):
            text = f"attempt {number + 1} on {line.object}, where {len(waits) + 1} are allowed"
            self.deadlines.violate(line.t, place[0], text, (state.index,))
        elif number and line.t - starts[-1] < waits[number - 1] - wrong:
            gap = line.t - starts[-1]
            text = f"attempt {number + 1} on {line.object} came {gap:.3f} s after the last, not {waits[number - 1]:g} s"
            self.deadlines.violate(line.t, place[0], text, (state.index,))
        elif number and (early := self._early(place, line.t)) > wrong:
            text = f"attempt {number + 1} on {line.object} came {early:.3f} s before the time that its engine had named"
            self.deadlines.violate(line.t, place[0], text, (state.index,))
        self._series[place] = (line.engine, line.root, [*starts, line.t])

    def _early(self, place: tuple[str, str], t: float) -> float:
        """Return the seconds until the time that the engine named; 0 if the leader did not receive its answer."""
        answered, until = self._asked_to_wait.get(place, (0.0, 0.0))
        return until - t if answered >= self.state.resumed_at else 0.0


class UnloadsFollowWithdrawal:
    """9. No unload is sent to a pod that an EndpointSlice of the adapter, or its `status.instances`, still names.

    Checked against the state that had been visible for longer than `notice`: a new leader may not have seen yet what
    the previous one published.
    """

    kinds: ClassVar[Kinds] = frozenset({SliceLine, AdapterLine, RequestLine})

    def __init__(self, state: ClusterState) -> None:
        self.state = state
        self.deadlines = DeadlineTracker(9)
        self._since: dict[str, dict[tuple[str, str], float]] = {}

    def see(self, line: Line) -> None:
        match line:
            case SliceLine():
                self._shown(line.adapter, "an EndpointSlice", self.state.endpoints(line.adapter), line.t)
            case AdapterLine():
                namespace = line.object.split("/")[0]
                named = {f"{namespace}/{pod}" for pod in line.instances if line.event != "deleted"}
                self._shown(line.object, "status.instances", named, line.t)
            case RequestLine(event="sent", verb="unload"):
                self._check(line)

    def _shown(self, adapter: str, where: str, pods: set[str], t: float) -> None:
        """Record since when each pod has been named without a break."""
        since = self._since.setdefault(adapter, {})
        for place in [place for place in since if place[0] == where and place[1] not in pods]:
            del since[place]
        for pod in pods:
            since.setdefault((where, pod), t)

    def _check(self, line: RequestLine) -> None:
        state, adapter = self.state, f"{line.object.split('/')[0]}/{line.adapter}"
        self.deadlines.checked += 1
        for where in ("an EndpointSlice", "status.instances"):
            since = self._since.get(adapter, {}).get((where, line.object))
            if since is not None and state.visible_for(since, line.t) > state.detection_bound(line.t):
                text = f"an unload was sent to {line.object}, which {where} still names"
                self.deadlines.violate(line.t, adapter, text, (state.index,))
