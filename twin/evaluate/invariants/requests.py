"""The invariants of what is sent to engines, judged at the moment at which it is sent: 4, 5 and 9."""

from formats.label_selectors import Expression, compile_selector
from twin.evaluate.invariants.deadlines import TOLERANCE, DeadlineTracker
from twin.evaluate.invariants.state import ClusterState
from twin.trace.lines import AdapterLine, Line, RequestLine, SecretLine, SliceLine


class LoadsTargetReadyPods:
    """4. No load is sent to a pod that is not ready, not stable, terminating, or does not match the selector.

    Judged against what the API server had shown for longer than `notice` when the request was sent.
    """

    def __init__(self, scene: ClusterState) -> None:
        self.scene = scene
        self.clocks = DeadlineTracker(4)

    def see(self, line: Line) -> None:
        if isinstance(line, RequestLine) and line.event == "sent" and line.verb == "load":
            self.clocks.checked += 1
            fault = self._fault(line)
            if fault:
                adapter = f"{line.object.split('/')[0]}/{line.adapter}"
                self.clocks.accuse(line.t, adapter, f"a load was sent to {line.object}, {fault}", (self.scene.index,))

    def _fault(self, line: RequestLine) -> str:
        scene, run, t = self.scene, self.scene.run, line.t
        pod = scene.pods.get(line.object)
        if pod is None:
            return "which does not exist" if self._shown(scene.gone.get(line.object, 0.0), t) else ""
        if pod.bad_since is not None and self._shown(pod.bad_since, t):
            return "which is terminating" if pod.line.terminating else "which is not ready"
        since = pod.line.ready_since
        wrong = TOLERANCE + scene.excuses.skew(t - scene.notice(t), t)
        fresh = since is not None and t - since < run.stable_for - wrong
        if pod.bad_since is None and fresh and self._shown(pod.ready_anew, t):
            return f"which has been ready for less than {run.stable_for:g} s"
        adapter = scene.adapters.get(f"{line.object.split('/')[0]}/{line.adapter}")
        if adapter is not None and self._shown(pod.labelled, t) and not _matches(adapter, pod.line.labels):
            return "which its selector does not match"
        return ""

    def _shown(self, since: float, t: float) -> bool:
        """Whether what was so `since` then had to be known at `t`."""
        return self.scene.seen_for(since, t) > self.scene.notice(t)


class AttemptsRespectBackoff:
    """5. Attempts on one pod for one adapter never exceed the limit nor come sooner than the backoff says.

    A series is forgotten when a load succeeds, the adapter is unloaded there, the engine's container is another, the
    pod becomes ready anew, a Secret of the namespace is another, or the aside time has passed since its last attempt.
    """

    def __init__(self, scene: ClusterState) -> None:
        self.scene = scene
        self.clocks = DeadlineTracker(5)
        self._series: dict[tuple[str, str], tuple[str, str, list[float]]] = {}

    def see(self, line: Line) -> None:
        if isinstance(line, SecretLine):
            namespace = line.object.split("/")[0]
            for place in [place for place in self._series if place[1].startswith(f"{namespace}/")]:
                del self._series[place]
        if not isinstance(line, RequestLine):
            return
        place = (f"{line.object.split('/')[0]}/{line.adapter}", line.object)
        if line.verb == "unload" or (line.event == "done" and line.status == 200):
            self._series.pop(place, None)
        elif line.event == "sent":
            self._attempt(place, line)

    def _attempt(self, place: tuple[str, str], line: RequestLine) -> None:
        waits, scene = self.scene.run.retry_waits, self.scene
        engine, root, starts = self._series.get(place, ("", "", []))
        pod = scene.pods.get(line.object)
        anew = pod is not None and bool(starts) and pod.ready_anew > starts[-1]
        wrong = TOLERANCE + (scene.excuses.skew(starts[-1], line.t) if starts else 0.0)
        late = bool(starts) and line.t - starts[-1] >= scene.run.aside_for - wrong
        if (engine, root) != (line.engine, line.root) or anew or late:
            starts = []
        self.clocks.checked += 1
        number = len(starts)
        if number > len(waits):
            text = f"attempt {number + 1} on {line.object}, of {len(waits) + 1} that a pod gets"
            self.clocks.accuse(line.t, place[0], text, (scene.index,))
        elif number and line.t - starts[-1] < waits[number - 1] - wrong:
            gap = line.t - starts[-1]
            text = f"attempt {number + 1} on {line.object} came {gap:.3f} s after the last, not {waits[number - 1]:g} s"
            self.clocks.accuse(line.t, place[0], text, (scene.index,))
        self._series[place] = (line.engine, line.root, [*starts, line.t])


class UnloadsFollowWithdrawal:
    """9. No unload is sent to a pod that an EndpointSlice of the adapter, or its `status.instances`, still names.

    Judged against what had been shown for longer than `notice`: a replica that has just taken the lead may not have
    seen yet what the last one published.
    """

    def __init__(self, scene: ClusterState) -> None:
        self.scene = scene
        self.clocks = DeadlineTracker(9)
        self._since: dict[str, dict[tuple[str, str], float]] = {}

    def see(self, line: Line) -> None:
        match line:
            case SliceLine():
                self._shown(line.adapter, "an EndpointSlice", self.scene.endpoints(line.adapter), line.t)
            case AdapterLine():
                namespace = line.object.split("/")[0]
                named = {f"{namespace}/{pod}" for pod in line.instances if line.event != "deleted"}
                self._shown(line.object, "status.instances", named, line.t)
            case RequestLine(event="sent", verb="unload"):
                self._judge(line)

    def _shown(self, adapter: str, where: str, pods: set[str], t: float) -> None:
        """Keeps since when each pod has been named without a break."""
        known = self._since.setdefault(adapter, {})
        for place in [place for place in known if place[0] == where and place[1] not in pods]:
            del known[place]
        for pod in pods:
            known.setdefault((where, pod), t)

    def _judge(self, line: RequestLine) -> None:
        scene, adapter = self.scene, f"{line.object.split('/')[0]}/{line.adapter}"
        self.clocks.checked += 1
        for where in ("an EndpointSlice", "status.instances"):
            since = self._since.get(adapter, {}).get((where, line.object))
            if since is not None and scene.seen_for(since, line.t) > scene.notice(line.t):
                text = f"an unload was sent to {line.object}, which {where} still names"
                self.clocks.accuse(line.t, adapter, text, (scene.index,))


def _matches(adapter: AdapterLine, labels: dict[str, str]) -> bool:
    expressions = [Expression(key, operator, values) for key, operator, values in adapter.expressions]
    return compile_selector(adapter.selector, expressions)(labels)
