"""Invariants of published and loaded adapters: one class each, whose docstring states the invariant.

Those of requests to engines are in `requests.py`.
"""

from collections.abc import Hashable, Iterable
from typing import ClassVar

from twin.evaluate.invariants.base import EVERY_LINE, AdapterInvariant, Kinds
from twin.evaluate.invariants.claims import ClaimsHaveHappened
from twin.evaluate.invariants.cost import RequestsHaveCauses
from twin.evaluate.invariants.deadlines import TOLERANCE, DeadlineTracker
from twin.evaluate.invariants.on_demand import OnDemandKeepsItsPromises
from twin.evaluate.invariants.own_faults import REFUSED_PUBLICATION, WITHOUT_CREDENTIALS, says
from twin.evaluate.invariants.progress import LoadsAreSent
from twin.evaluate.invariants.requests import AttemptsRespectBackoff, LoadsTargetReadyPods, UnloadsFollowWithdrawal
from twin.evaluate.invariants.state import ClusterState
from twin.evaluate.invariants.tolerances import hinders_withdrawal, settled_at
from twin.evaluate.invariants.weights import AnswersFromPublishedWeights
from twin.trace.lines import (
    AdapterLine,
    ApiLine,
    ControllerLine,
    EngineLine,
    EventLine,
    FaultLine,
    LeakLine,
    Line,
    RequestLine,
)

Endpoint = tuple[str, str, int]
"""Pod, its address and its port."""
_PUBLICATION = ("services", "endpointslices")
_REFUSALS = (403, 409, 422)
"""Statuses of writes that a person has to make possible: forbidden, a name or version that is taken, invalid."""


class EndpointsAreLoaded(AdapterInvariant):
    """1. No EndpointSlice of an adapter names a pod where that adapter is not loaded, longer than the notice bound."""

    number = 1

    def __init__(self, state: ClusterState) -> None:
        super().__init__(state)
        self._known: dict[str, set[str]] = {}

    def _check(self, adapter: str, t: float) -> None:
        pods = self.state.endpoints(adapter)
        self._check_pods(adapter, pods, self._known.get(adapter, set()), "an EndpointSlice", t)
        self._known[adapter] = pods


class DeadPodsAreWithdrawn(AdapterInvariant):
    """15. An endpoint whose pod is gone or not ready is withdrawn within the bound, whatever else the API refuses.

    Invariant 1 is suspended while any request to the API server fails. This one is not: it is excused by faults of the
    requests that a withdrawal needs (watches of pods, writes of slices, renewals of the Lease), and by the time without
    a leader.
    """

    number = 15

    def __init__(self, state: ClusterState) -> None:
        super().__init__(state)
        self.deadlines = DeadlineTracker(self.number, self._restart, own_excuses=True)
        self._known: dict[str, set[str]] = {}
        self._since: dict[Hashable, float] = {}
        self._hindrances: set[int] = set()
        self._able_since = 0.0
        """Time since which a leader has been able to withdraw endpoints."""

    def see(self, line: Line) -> None:
        match line:
            case FaultLine():
                self._fault(line)
            case ControllerLine():
                self._able_since = max(self._able_since, line.t)
            case _:
                super().see(line)

    def _fault(self, line: FaultLine) -> None:
        relisted = line.fault in ("watch-expired", "version-rollback")
        if not relisted and not hinders_withdrawal(line):
            return
        if line.event == "begin":
            self._hindrances.add(line.id)
        else:
            self._hindrances.discard(line.id)
            self._able_since = max(self._able_since, settled_at(line))

    def _check(self, adapter: str, t: float) -> None:
        state, pods = self.state, self.state.endpoints(adapter)
        bound = state.detection_bound(t)
        for pod in sorted(pods | self._known.get(adapter, set())):
            dead = pod in pods and state.is_unready(pod) and not state.holds(pod, adapter)
            key, message = (adapter, pod), f"an EndpointSlice names {pod}, which is gone or not ready,"
            if dead:
                self._since.setdefault(key, t)
            else:
                self._since.pop(key, None)
            self.deadlines.check(key, dead, t, bound, adapter, message, (state.index,))
        self._known[adapter] = pods

    def _restart(self, key: Hashable, t: float) -> tuple[float, float]:
        """Return (since when it could have been withdrawn, bound), as of `t`."""
        unable = bool(self._hindrances) or not self.state.leading
        return max(self._since[key], t if unable else self._able_since), self.state.detection_bound(t)


class InstancesAreServing(AdapterInvariant):
    """2. `status.instances` names no pod that is gone, not ready, or without the adapter, longer than the bound."""

    number = 2

    def __init__(self, state: ClusterState) -> None:
        super().__init__(state)
        self._known: dict[str, set[str]] = {}

    def _check(self, adapter: str, t: float) -> None:
        state = self.state
        line = state.adapters.get(adapter)
        namespace = adapter.split("/")[0]
        pods = {f"{namespace}/{pod}" for pod in line.instances} if line is not None else set()
        known = self._known.get(adapter, set())
        self._check_pods(adapter, pods, known, "status.instances", t)
        bound = state.detection_bound(t)
        for pod in sorted(known | pods):
            wrong = pod in pods and state.is_unready(pod)
            message = f"status.instances names {pod}, which is gone or not ready,"
            self.deadlines.check((adapter, pod, "ready"), wrong, t, bound, adapter, message, (state.index,))
        self._known[adapter] = pods


class InstancesArePublished(AdapterInvariant):
    """11. The slices of an adapter's Service together are exactly `status.instances`, by address and port.

    A gateway or a client that resolves the Service would otherwise miss a replica, or reach another process. Each
    address of a pod is in one slice; there is no other endpoint, and an empty slice only while nothing serves.

    A refused publication is an excuse while the last write of the Service or its slices was refused and the conditions
    have the reason: for missing endpoints in any case, for endpoints too many only if a slice that exists could not be
    changed.
    """

    number = 11
    kinds: ClassVar[Kinds] = AdapterInvariant.kinds | {ApiLine}

    def __init__(self, state: ClusterState) -> None:
        super().__init__(state)
        self._known: dict[str, set[Endpoint]] = {}
        self._refused: dict[str, set[str]] = {}
        """Adapter to the verbs of its writes that were refused since the last one that succeeded."""

    def see(self, line: Line) -> None:
        if isinstance(line, ApiLine) and line.resource in _PUBLICATION:
            self._write(line)
        super().see(line)

    def _write(self, line: ApiLine) -> None:
        adapter = line.object if line.resource == "services" else line.object.rpartition("-")[0]
        if line.code < 400:
            self._refused.pop(adapter, None)
        elif line.code in _REFUSALS and line.reason != "Conflict":
            self._refused.setdefault(adapter, set()).add(line.verb)
        self._check(adapter, line.t)

    def _check(self, adapter: str, t: float) -> None:
        line, verbs = self.state.adapters.get(adapter), self._refused.get(adapter, set())
        expected, published = self._expected(line), self._published(adapter)
        if line is not None and verbs and says(line, REFUSED_PUBLICATION):
            expected &= set(published) if verbs == {"create"} else set()
            published = published if verbs == {"create"} else []
        bound, context = self.state.detection_bound(t), (self.state.index,)
        for endpoint in sorted(expected.union(published, self._known.get(adapter, ()))):
            pod, address, port = endpoint
            times = published.count(endpoint)
            text = f"status.instances names {pod}, which no slice of its Service has at its address and port,"
            lacks = endpoint in expected and not times
            self.deadlines.check((adapter, endpoint), lacks, t, bound, adapter, text, context)
            if times > 1:
                text = f"its slices have {pod} {times} times at {address}:{port},"
            else:
                text = f"a slice has {pod} at {address}:{port}, which is no endpoint of an instance,"
            extra = times > (endpoint in expected)
            self.deadlines.check((adapter, endpoint, "extra"), extra, t, bound, adapter, text, context)
        self._known[adapter] = expected.union(published)
        self._check_obsolete(adapter, t)

    def _expected(self, line: AdapterLine | None) -> set[Endpoint]:
        if line is None or line.deleting:
            return set()
        namespace = line.object.split("/")[0]
        shown = [self.state.pods.get(f"{namespace}/{pod}") for pod in line.instances]
        pods = [pod.line for pod in shown if pod is not None and pod.line.ip]
        return {(pod.object, address, pod.port) for pod in pods for address in pod.ips or [pod.ip]}

    def _published(self, adapter: str) -> list[Endpoint]:
        namespace = adapter.split("/")[0]
        return [
            (f"{namespace}/{pod}", address, item.port)
            for item in self.state.slices[adapter].values()
            for pod, address in zip(item.pods, item.addresses, strict=True)
        ]

    def _check_obsolete(self, adapter: str, t: float) -> None:
        slices = self.state.slices[adapter].values()
        empty = [item.object for item in slices if not item.pods]
        obsolete = empty if len(empty) < len(slices) else empty[1:]
        message = f"{len(obsolete)} of {len(slices)} slices of its Service are empty: {', '.join(obsolete)},"
        bound = self.state.detection_bound(t)
        self.deadlines.check((adapter, "obsolete"), bool(obsolete), t, bound, adapter, message, (self.state.index,))


class ReplicasWithinLimit(AdapterInvariant):
    """3. Never more replicas than desired, apart from a replacement in progress.

    Counts the running and reachable engines that have the adapter loaded. An engine does not count if its unload has
    been sent, has failed and is waiting for a retry, or is waiting for a request slot, nor if a fault disturbs its
    requests. Adapters whose credentials cannot be read are not judged.
    """

    number = 3

    def __init__(self, state: ClusterState) -> None:
        super().__init__(state)
        self._in_line: dict[str, set[str]] = {}

    def _concerned(self, line: Line) -> Iterable[str]:
        concerned = super()._concerned(line)
        if isinstance(line, RequestLine) and line.event == "done":
            return [*concerned, *sorted(self._in_line.pop(line.object, ()))]
        return concerned

    def _check(self, adapter: str, t: float) -> None:
        state = self.state
        line = state.adapters.get(adapter)
        desired = line.wanted if line is not None and not line.deleting else None
        if line is not None and says(line, WITHOUT_CREDENTIALS):
            desired = None
        counted = [] if desired is None else [pod for pod in state.holders(adapter) if self._counts(adapter, pod)]
        surprises = [pod for pod in counted if not self._answered(adapter, pod)]
        many = desired is not None and len(counted) > desired
        sure = desired is not None and len(counted) - len(surprises) > desired
        message = f"{len(counted)} engines hold it, {desired} are desired: {', '.join(counted)},"
        notice, audit = state.detection_bound(t), state.audit_bound(t)
        self.deadlines.check(
            (adapter, "known"), sure, t, notice + state.run.unready_grace, adapter, message, (state.index,)
        )
        self.deadlines.check(
            (adapter, "hidden"), many, t, audit + state.run.unready_grace, adapter, message, (state.index,)
        )

    def _counts(self, adapter: str, pod: str) -> bool:
        state = self.state
        last = state.last_request.get((adapter, pod))
        leaving = last is not None and last.verb == "unload" and last.status != 200
        shown = state.pods.get(pod)
        if leaving or state.is_disturbed(pod) or shown is None or shown.line.terminating:
            return False
        if state.is_saturated(pod):
            self._in_line.setdefault(pod, set()).add(adapter)
            return False
        return True

    def _answered(self, adapter: str, pod: str) -> bool:
        """Return whether the operator received a successful response to its load."""
        load = self.state.last_load.get((adapter, pod))
        return load is not None and load.event == "done" and load.status == 200


class DeletedAdaptersAreUnloaded(AdapterInvariant):
    """6. After an adapter is deleted and its finalizer gone, no living engine still holds it.

    An unreachable engine is excused by the Event `UnloadAbandoned` until it has unloaded the adapter. The Event may
    come later than the deletion, because it is written while the finalizer is removed.
    """

    kinds: ClassVar[Kinds] = AdapterInvariant.kinds | {EventLine}
    number = 6

    def __init__(self, state: ClusterState) -> None:
        super().__init__(state)
        self._gone: dict[str, bool] = {}
        self._excused: set[tuple[str, str]] = set()

    def see(self, line: Line) -> None:
        match line:
            case EventLine(reason="UnloadAbandoned"):
                namespace = line.object.split("/")[0]
                self._excused |= {
                    (line.object, pod)
                    for pod in self.state.about
                    if pod.startswith(f"{namespace}/") and f" pod {pod.split('/')[1]}:" in line.note
                }
                self._check(line.object, line.t)
            case EngineLine(event="unloaded"):
                self._excused.discard((f"{line.object.split('/')[0]}/{line.adapter}", line.object))
            case AdapterLine():
                self._gone[line.object] = line.event == "deleted"
        super().see(line)

    def _check(self, adapter: str, t: float) -> None:
        if adapter not in self._gone:
            return
        holders = [pod for pod in self.state.holders(adapter) if (adapter, pod) not in self._excused]
        wrong = self._gone[adapter] and bool(holders)
        message = f"it is deleted and still loaded on {', '.join(holders)}"
        self.deadlines.check(adapter, wrong, t, self.state.detection_bound(t), adapter, message, (self.state.index,))


class NoSecretLeak:
    """7. No secret (API key, credential) appears in a status, an event, a log line or a report."""

    kinds: ClassVar[Kinds] = EVERY_LINE

    def __init__(self, state: ClusterState) -> None:
        self.state = state
        self.deadlines = DeadlineTracker(7)

    def see(self, line: Line) -> None:
        self.deadlines.checked += 1
        if isinstance(line, LeakLine):
            self.deadlines.violate(line.t, line.object, f"a secret appeared in a {line.where}", (self.state.index,))


class SingleLeader:
    """8. At most one controller replica acts at a time.

    A replica acts if it writes or sends an engine request. It must hold the Lease, which must not have expired.
    """

    kinds: ClassVar[Kinds] = frozenset({ApiLine, RequestLine})

    def __init__(self, state: ClusterState) -> None:
        self.state = state
        self.deadlines = DeadlineTracker(8)

    def see(self, line: Line) -> None:
        if self.state.run.replicas < 2:
            return
        act = isinstance(line, ApiLine) and line.resource != "leases"
        asked = isinstance(line, RequestLine) and line.event == "sent"
        if not (act or asked):
            return
        assert isinstance(line, ApiLine | RequestLine)
        self.deadlines.checked += 1
        state = self.state
        if state.holder != line.by:
            text = f"{line.by} acted while the lease was held by {state.holder or 'no replica'}"
            self.deadlines.violate(line.t, line.object, text, (state.index,))
        elif line.t > state.leases[line.by] + TOLERANCE:
            text = f"{line.by} acted {line.t - state.leases[line.by]:.3f} s after its lease had run out"
            self.deadlines.violate(line.t, line.object, text, (state.index,))


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
    InstancesArePublished,
    AnswersFromPublishedWeights,
    LoadsAreSent,
    ClaimsHaveHappened,
    RequestsHaveCauses,
    DeadPodsAreWithdrawn,
    OnDemandKeepsItsPromises,
)
"""All invariants but liveness."""
