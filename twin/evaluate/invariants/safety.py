"""The invariants of what is shown and held: one class each, whose docstring opens with the contract's words.

Those of what is sent are in `sending.py`.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import ClassVar, Protocol

from twin.evaluate.invariants.deadlines import TOLERANCE, DeadlineTracker
from twin.evaluate.invariants.requests import AttemptsRespectBackoff, LoadsTargetReadyPods, UnloadsFollowWithdrawal
from twin.evaluate.invariants.state import ClusterState
from twin.trace.lines import (
    AdapterLine,
    ApiLine,
    ControllerLine,
    EngineLine,
    EventLine,
    FaultLine,
    LeakLine,
    Line,
    PodLine,
    RequestLine,
    SliceLine,
)


class Invariant(Protocol):
    """Sees each line after the scene has."""

    clocks: DeadlineTracker

    def see(self, line: Line) -> None: ...


class _Placed(ABC):
    """What 1, 2 and 3 share: an adapter is judged anew when a line may have changed its case."""

    number: ClassVar[int]

    def __init__(self, scene: ClusterState) -> None:
        self.scene = scene
        self.clocks = DeadlineTracker(self.number)

    def see(self, line: Line) -> None:
        for adapter in self._concerned(line):
            self._judge(adapter, line.t)

    def _concerned(self, line: Line) -> Iterable[str]:
        match line:
            case AdapterLine():
                return (line.object,)
            case SliceLine():
                return (line.adapter,)
            case EngineLine(event="loaded" | "unloaded"):
                return (f"{line.object.split('/')[0]}/{line.adapter}",)
            case EngineLine() | PodLine():
                return sorted(self.scene.about.get(line.object, ()))
            case RequestLine():
                return (f"{line.object.split('/')[0]}/{line.adapter}",)
            case FaultLine() | ControllerLine():
                return sorted({*self.scene.adapters, *self.scene.slices})
        return ()

    @abstractmethod
    def _judge(self, adapter: str, t: float) -> None: ...

    def _judge_pods(self, adapter: str, pods: set[str], known: set[str], what: str, t: float) -> None:
        """Each named pod must hold the adapter; `notice` is allowed where the API server shows more, else `audit`."""
        scene = self.scene
        for pod in sorted(known | pods):
            lacks = pod in pods and not scene.holds(pod, adapter)
            shown = scene.pods.get(pod)
            restarted = (
                shown is not None and scene.published.get((adapter, pod), shown.line.engine) != shown.line.engine
            )
            visible = lacks and (scene.shown_wrong(pod) or restarted)
            hidden = lacks and not scene.disturbed(pod)
            notice, audit = scene.notice(t), scene.audit
            said = f"{what} names {pod}, where it is not loaded,"
            context = (scene.index,)
            self.clocks.judge((adapter, pod, "shown"), visible, t, notice, adapter, said, context)
            self.clocks.judge((adapter, pod, "hidden"), hidden, t, audit, adapter, said, context)


class EndpointsAreLoaded(_Placed):
    """1. No EndpointSlice of an adapter names a pod where that adapter is not loaded, longer than the notice bound."""

    number = 1

    def __init__(self, scene: ClusterState) -> None:
        super().__init__(scene)
        self._known: dict[str, set[str]] = {}

    def _judge(self, adapter: str, t: float) -> None:
        pods = self.scene.endpoints(adapter)
        self._judge_pods(adapter, pods, self._known.get(adapter, set()), "an EndpointSlice", t)
        self._known[adapter] = pods


class InstancesAreServing(_Placed):
    """2. `status.instances` names no pod that is gone, not ready, or without the adapter, longer than the bound."""

    number = 2

    def __init__(self, scene: ClusterState) -> None:
        super().__init__(scene)
        self._known: dict[str, set[str]] = {}

    def _judge(self, adapter: str, t: float) -> None:
        scene = self.scene
        line = scene.adapters.get(adapter)
        namespace = adapter.split("/")[0]
        pods = {f"{namespace}/{pod}" for pod in line.instances} if line is not None else set()
        known = self._known.get(adapter, set())
        self._judge_pods(adapter, pods, known, "status.instances", t)
        for pod in sorted(known | pods):
            wrong = pod in pods and scene.shown_wrong(pod)
            said = f"status.instances names {pod}, which is gone or not ready,"
            self.clocks.judge((adapter, pod, "ready"), wrong, t, scene.notice(t), adapter, said, (scene.index,))
        self._known[adapter] = pods


class ReplicasWithinLimit(_Placed):
    """3. Never more replicas than wanted, apart from a replacement that is under way.

    Counted are living engines that can be reached and hold the adapter. One does not count whose unload has been
    sent, or failed and waits for its next try, or waits in line while the engine has all the requests that it gets; nor
    one that a fault keeps from being asked.
    """

    number = 3

    def __init__(self, scene: ClusterState) -> None:
        super().__init__(scene)
        self._in_line: dict[str, set[str]] = {}

    def _concerned(self, line: Line) -> Iterable[str]:
        concerned = super()._concerned(line)
        if isinstance(line, RequestLine) and line.event == "done":
            return [*concerned, *sorted(self._in_line.pop(line.object, ()))]
        return concerned

    def _judge(self, adapter: str, t: float) -> None:
        scene = self.scene
        line = scene.adapters.get(adapter)
        wanted = line.wanted if line is not None and not line.deleting else None
        counted = [] if wanted is None else [pod for pod in scene.holders(adapter) if self._counts(adapter, pod)]
        surprises = [pod for pod in counted if not self._answered(adapter, pod)]
        many = wanted is not None and len(counted) > wanted
        sure = wanted is not None and len(counted) - len(surprises) > wanted
        said = f"{len(counted)} engines hold it, {wanted} are wanted: {', '.join(counted)},"
        notice, audit = scene.notice(t), scene.audit
        self.clocks.judge((adapter, "known"), sure, t, notice + scene.run.unready_grace, adapter, said, (scene.index,))
        self.clocks.judge((adapter, "hidden"), many, t, audit + scene.run.unready_grace, adapter, said, (scene.index,))

    def _counts(self, adapter: str, pod: str) -> bool:
        scene = self.scene
        last = scene.last_request.get((adapter, pod))
        leaving = last is not None and last.verb == "unload" and last.status != 200
        shown = scene.pods.get(pod)
        if leaving or scene.disturbed(pod) or shown is None or shown.line.terminating:
            return False
        if scene.occupied(pod):
            self._in_line.setdefault(pod, set()).add(adapter)
            return False
        return True

    def _answered(self, adapter: str, pod: str) -> bool:
        """Whether the operator was told that its load there had succeeded."""
        load = self.scene.last_load.get((adapter, pod))
        return load is not None and load.event == "done" and load.status == 200


class DeletedAdaptersAreUnloaded(_Placed):
    """6. After an adapter is deleted and its finalizer gone, no living engine still holds it.

    An engine that could not be reached is excused by the Event that says so, until it has unloaded it after all. The
    Event may be the later of the two: it is written while the finalizer goes.
    """

    number = 6

    def __init__(self, scene: ClusterState) -> None:
        super().__init__(scene)
        self._gone: dict[str, bool] = {}
        self._excused: set[tuple[str, str]] = set()

    def see(self, line: Line) -> None:
        match line:
            case EventLine(reason="UnloadAbandoned"):
                namespace = line.object.split("/")[0]
                self._excused |= {
                    (line.object, pod)
                    for pod in self.scene.about
                    if pod.startswith(f"{namespace}/") and f" pod {pod.split('/')[1]}:" in line.note
                }
                self._judge(line.object, line.t)
            case EngineLine(event="unloaded"):
                self._excused.discard((f"{line.object.split('/')[0]}/{line.adapter}", line.object))
            case AdapterLine():
                self._gone[line.object] = line.event == "deleted"
        super().see(line)

    def _judge(self, adapter: str, t: float) -> None:
        if adapter not in self._gone:
            return
        holders = [pod for pod in self.scene.holders(adapter) if (adapter, pod) not in self._excused]
        wrong = self._gone[adapter] and bool(holders)
        said = f"it is deleted and still loaded on {', '.join(holders)}"
        self.clocks.judge(adapter, wrong, t, self.scene.notice(t), adapter, said, (self.scene.index,))


class NoSecretLeak:
    """7. No secret (API key, credential) appears in a status, an event, a log line or a report."""

    def __init__(self, scene: ClusterState) -> None:
        self.scene = scene
        self.clocks = DeadlineTracker(7)

    def see(self, line: Line) -> None:
        self.clocks.checked += 1
        if isinstance(line, LeakLine):
            self.clocks.accuse(line.t, line.object, f"a secret appeared in a {line.where}", (self.scene.index,))


class SingleLeader:
    """8. At most one controller replica acts at a time.

    An act is a write or an engine request after the lease that covered it had run out, or under another's lease.
    """

    def __init__(self, scene: ClusterState) -> None:
        self.scene = scene
        self.clocks = DeadlineTracker(8)

    def see(self, line: Line) -> None:
        if self.scene.run.replicas < 2:
            return
        act = isinstance(line, ApiLine) and line.resource != "leases"
        asked = isinstance(line, RequestLine) and line.event == "sent"
        if not (act or asked):
            return
        assert isinstance(line, ApiLine | RequestLine)
        self.clocks.checked += 1
        scene = self.scene
        if scene.holder != line.by:
            text = f"{line.by} acted while {scene.holder or 'nobody'} held the lease"
            self.clocks.accuse(line.t, line.object, text, (scene.index,))
        elif line.t > scene.leases[line.by] + TOLERANCE:
            text = f"{line.by} acted {line.t - scene.leases[line.by]:.3f} s after its lease had run out"
            self.clocks.accuse(line.t, line.object, text, (scene.index,))


SAFETY = (
    EndpointsAreLoaded,
    InstancesAreServing,
    ReplicasWithinLimit,
    LoadsTargetReadyPods,
    AttemptsRespectBackoff,
    DeletedAdaptersAreUnloaded,
    NoSecretLeak,
    SingleLeader,
    UnloadsFollowWithdrawal,
)
"""All of them, 1 to 9."""
