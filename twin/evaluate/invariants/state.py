"""Cluster state replayed from the trace: objects, engines, leader, and since when each of them has been visible."""

from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field

from twin.evaluate.invariants.tolerances import Tolerances
from twin.trace.lines import (
    AdapterLine,
    ControllerLine,
    EngineLine,
    FaultLine,
    LeaseLine,
    Line,
    PodLine,
    RequestLine,
    Run,
    SliceLine,
)


@dataclass(slots=True)
class Pod:
    """Pod as the API server shows it, with the times that the invariants need."""

    line: PodLine
    bad_since: float | None
    """Time since which it has not been ready (or is terminating); None if it is ready."""
    last_became_ready: float
    """Time at which it last became ready."""
    labelled: float
    """Time since which it has had its labels."""
    engine_since: float


@dataclass(slots=True)
class Engine:
    """Running engine."""

    id: str
    holds: dict[str, float] = field(default_factory=dict)
    """Adapter name to the time at which it was loaded."""


class ClusterState:
    """State after the lines that have been applied."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.pods: dict[str, Pod] = {}
        self.takers: dict[Hashable, Sequence[Pod]] = {}
        """See `placement.ready_takers`; emptied when a pod changes."""
        self.matching: dict[Hashable, int] = {}
        """See `placement.matching_count`; emptied when a pod changes."""
        self.gone: dict[str, float] = {}
        """Pod to the time at which it was deleted."""
        self.adapters: dict[str, AdapterLine] = {}
        self.engines: dict[str, Engine] = {}
        self.slices: dict[str, dict[str, SliceLine]] = defaultdict(dict)
        """Adapter to its EndpointSlices by key."""
        self.concerned: Sequence[str] = ()
        """Adapters that the last line may concern."""
        self._adapter_of_slice: dict[str, str] = {}
        self.published: dict[tuple[str, str], str] = {}
        """(adapter, pod) to the container id of the pod when the endpoint was published."""
        self.about: dict[str, set[str]] = defaultdict(set)
        """Pod to the adapters that are published on it or loaded in its engine."""
        self.held: dict[str, set[str]] = defaultdict(set)
        """Adapter to the pods whose running engine has it loaded."""
        self.last_request: dict[tuple[str, str], RequestLine] = {}
        """(adapter, pod) to the line of its last request, sent or done."""
        self.last_load: dict[tuple[str, str], RequestLine] = {}
        self._under_way: dict[str, dict[int, str]] = defaultdict(dict)
        """Pod to its loads and unloads in flight: id to the replica that sent it."""
        self.leases: dict[str, float] = {}
        self.holder = ""
        self.leading: set[str] = set()
        self.tolerances = Tolerances(run.notice)
        self.index = 0
        self.is_blind = True
        """True if no replica leads, or a fault prevents the leader from reading or writing."""
        self.resumed = False
        """True if a replica can act again since this line."""
        self.resumed_at = 0.0
        """Time since which a replica has been able to act."""

    def visible_for(self, since: float, t: float) -> float:
        """Return for how many seconds, without a break until `t`, the operator could see a state that began `since`."""
        return 0.0 if self.is_blind else t - max(since, self.resumed_at)

    def detection_bound(self, t: float) -> float:
        """Return the seconds that the operator may take at `t` to react to what the API server shows."""
        return self.tolerances.detection_bound(t)

    def audit_bound(self, t: float) -> float:
        """Return the seconds that the operator may take at `t` to react to what only a request to the engine shows."""
        return max(self.run.audit_interval + 30.0, self.detection_bound(t))

    def end_patience(self, t: float) -> None:
        """End the grace period after a fault: the operator has had time to retry."""
        self.tolerances.patience_over()
        self._update_blindness()
        self.resumed = not self.is_blind
        if self.resumed:
            self.resumed_at = t

    def see(self, line: Line, index: int) -> None:
        """Apply the next line."""
        self.index, self.resumed, self.concerned = index, False, ()
        match line:
            case AdapterLine():
                self._adapter(line)
            case RequestLine():
                self._request(line)
            case EngineLine():
                self._engine(line)
            case SliceLine():
                self._slice(line)
            case PodLine():
                self._pod(line)
                self.concerned = sorted(self.about.get(line.object, ()))
            case LeaseLine():
                self.leases[line.by] = line.until
                self.holder = line.by
            case ControllerLine() | FaultLine():
                self._ability(line)
                self.concerned = sorted({*self.adapters, *self.slices})

    def _ability(self, line: ControllerLine | FaultLine) -> None:
        """Apply a line that changes what the operator is able to see and do."""
        was_blind, ended, relisted = self.is_blind, False, False
        if isinstance(line, ControllerLine):
            self._controller(line)
        else:
            self.tolerances.see(line)
            ended, relisted = line.event == "end", line.fault in ("watch-expired", "version-rollback")
        self._update_blindness()
        self.resumed = not self.is_blind and (was_blind or ended or relisted)
        if not self.is_blind and (was_blind or relisted):
            self.resumed_at = line.t

    def _update_blindness(self) -> None:
        self.is_blind = not self.leading or self.tolerances.is_blinded

    def endpoints(self, adapter: str) -> set[str]:
        """Return the pods (`namespace/name`) in the adapter's EndpointSlices."""
        namespace = adapter.split("/")[0]
        return {f"{namespace}/{pod}" for item in self.slices[adapter].values() for pod in item.pods}

    def holds(self, pod: str, adapter: str) -> bool:
        """Return whether the pod's running engine has the adapter loaded."""
        engine = self.engines.get(pod)
        return engine is not None and adapter.split("/")[1] in engine.holds

    def holders(self, adapter: str) -> list[str]:
        """Return the pods whose running engine has the adapter loaded."""
        return sorted(self.held.get(adapter, ()))

    def is_disturbed(self, pod: str) -> bool:
        """Return whether an active fault disturbs the operator's requests to the pod's engine."""
        return bool(self.tolerances.lasting) and self.tolerances.is_disturbed(
            pod, self.pods[pod].line.node if pod in self.pods else ""
        )

    def is_unready(self, pod: str) -> bool:
        """Return whether the API server shows the pod as absent, unready or terminating."""
        known = self.pods.get(pod)
        return known is None or known.bad_since is not None

    def _pod(self, line: PodLine) -> None:
        self.takers.clear()
        self.matching.clear()
        if line.event == "deleted":
            self.pods.pop(line.object, None)
            self.gone[line.object] = line.t
            return
        known = self.pods.get(line.object)
        fine = line.ready and not line.terminating
        if known is None or known.line.uid != line.uid:
            self.pods[line.object] = Pod(line, None if fine else line.t, line.t if line.ready else -1.0, line.t, line.t)
            return
        if fine:
            known.bad_since = None
        elif known.bad_since is None:
            known.bad_since = line.t
        if line.ready and not known.line.ready:
            known.last_became_ready = line.t
        if line.labels != known.line.labels:
            known.labelled = line.t
        if line.engine != known.line.engine:
            known.engine_since = line.t
        known.line = line

    def _adapter(self, line: AdapterLine) -> None:
        self.concerned = (line.object,)
        if line.event == "deleted":
            self.adapters.pop(line.object, None)
            return
        self.adapters[line.object] = line
        namespace = line.object.split("/")[0]
        for pod in line.instances:
            place = (line.object, f"{namespace}/{pod}")
            self.about[place[1]].add(line.object)
            self._note_engine(place)

    def _slice(self, line: SliceLine) -> None:
        former = self._adapter_of_slice.pop(line.object, "")
        self.concerned = list(dict.fromkeys(name for name in (line.adapter, former) if name))
        if former:
            self.slices[former].pop(line.object, None)
        if line.event == "deleted":
            return
        self._adapter_of_slice[line.object] = line.adapter
        self.slices[line.adapter][line.object] = line
        namespace = line.adapter.split("/")[0]
        for pod in line.pods:
            place = (line.adapter, f"{namespace}/{pod}")
            self.about[place[1]].add(line.adapter)
            self._note_engine(place)

    def _note_engine(self, place: tuple[str, str]) -> None:
        known = self.pods.get(place[1])
        if known is not None:
            self.published.setdefault(place, known.line.engine)

    def _engine(self, line: EngineLine) -> None:
        namespace = line.object.split("/")[0]
        match line.event:
            case "started":
                self.engines[line.object] = Engine(line.engine)
            case "stopped" if line.object in self.engines:
                for name in self.engines.pop(line.object).holds:
                    self.held[f"{namespace}/{name}"].discard(line.object)
            case "loaded" if line.object in self.engines:
                self.engines[line.object].holds[line.adapter] = line.t
                self.about[line.object].add(f"{namespace}/{line.adapter}")
                self.held[f"{namespace}/{line.adapter}"].add(line.object)
                self.published.pop((f"{namespace}/{line.adapter}", line.object), None)
            case "unloaded" if line.object in self.engines:
                self.engines[line.object].holds.pop(line.adapter, None)
                self.held[f"{namespace}/{line.adapter}"].discard(line.object)
        if line.event in ("loaded", "unloaded"):
            self.concerned = (f"{namespace}/{line.adapter}",)
        else:
            self.concerned = sorted(self.about.get(line.object, ()))

    def _request(self, line: RequestLine) -> None:
        place = (f"{line.object.split('/')[0]}/{line.adapter}", line.object)
        self.concerned = place[:1]
        self.last_request[place] = line
        if line.event == "sent":
            self._under_way[line.object][line.id] = line.by
        else:
            self._under_way[line.object].pop(line.id, None)
        if line.verb == "load":
            self.last_load[place] = line

    def _controller(self, line: ControllerLine) -> None:
        if line.event == "leading":
            self.leading.add(line.by)
        elif line.event != "started":
            self.leading.discard(line.by)
            for requests in self._under_way.values():
                for number in [number for number, by in requests.items() if by == line.by]:
                    del requests[number]

    def is_busy(self, namespace: str) -> bool:
        """Return whether a load or unload is in flight to one of the namespace's engines."""
        return any(requests and pod.startswith(f"{namespace}/") for pod, requests in self._under_way.items())

    def is_saturated(self, pod: str) -> bool:
        """Return whether the pod has its maximum of loads and unloads in flight, so that others have to wait."""
        return len(self._under_way[pod]) >= self.run.max_requests_per_pod
