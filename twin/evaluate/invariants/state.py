"""What the record has shown so far: objects, engines, who leads; and how long that has been to be seen."""

from collections import defaultdict
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
    """A pod as the API server shows it, with the times that matter."""

    line: PodLine
    bad_since: float | None
    """Since when it has not been ready (or is terminating); None if it is fine."""
    ready_anew: float
    """When it last became ready."""
    labelled: float
    """Since when it has had its labels."""
    engine_since: float


@dataclass(slots=True)
class Engine:
    """A running engine."""

    id: str
    holds: dict[str, float] = field(default_factory=dict)
    """Adapter name to when it came."""


class ClusterState:
    """Goes along with the record."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.audit = run.audit_interval + 30.0
        """Seconds to notice what only asking an engine shows (contract)."""
        self.pods: dict[str, Pod] = {}
        self.gone: dict[str, float] = {}
        """When a pod went."""
        self.adapters: dict[str, AdapterLine] = {}
        self.engines: dict[str, Engine] = {}
        self.slices: dict[str, dict[str, tuple[str, ...]]] = defaultdict(dict)
        self.published: dict[tuple[str, str], str] = {}
        """(adapter, pod) to the container id that the pod showed when it was published."""
        self.about: dict[str, set[str]] = defaultdict(set)
        """Pod to adapters that name it, or that its engine holds."""
        self.held: dict[str, set[str]] = defaultdict(set)
        """Adapter to pods whose living engine has it loaded."""
        self.last_request: dict[tuple[str, str], RequestLine] = {}
        """(adapter, pod) to the request sent last, or how it ended."""
        self.last_load: dict[tuple[str, str], RequestLine] = {}
        self._under_way: dict[str, dict[int, str]] = defaultdict(dict)
        """Pod to its loads and unloads that have not ended: their numbers, and who sent them."""
        self.leases: dict[str, float] = {}
        self.holder = ""
        self.leading: set[str] = set()
        self.excuses = Tolerances(run.notice)
        self.index = 0
        self.resumed = False
        """Whether with this very line somebody can act again who could not before."""
        self._resumed_at = 0.0

    @property
    def blind(self) -> bool:
        """Whether nobody leads, or a fault keeps the leader from seeing or writing."""
        return not self.leading or self.excuses.blinded

    def seen_for(self, since: float, t: float) -> float:
        """Seconds for which an operator could see, without a break until `t`, what was shown `since` then."""
        return 0.0 if self.blind else t - max(since, self._resumed_at)

    def notice(self, t: float) -> float:
        """Seconds that it may take at `t` to notice what the API server shows."""
        return self.excuses.notice(t)

    def wait_over(self, t: float) -> None:
        """The operator has had the time to try again after a fault has ended."""
        self.excuses.waited()
        self.resumed = not self.blind
        if self.resumed:
            self._resumed_at = t

    def see(self, line: Line, index: int) -> None:
        """Takes the next line."""
        was_blind = self.blind
        self.index = index
        match line:
            case PodLine():
                self._pod(line)
            case AdapterLine():
                self._adapter(line)
            case SliceLine():
                self._slice(line)
            case EngineLine():
                self._engine(line)
            case RequestLine():
                self._request(line)
            case ControllerLine():
                self._controller(line)
            case LeaseLine():
                self.leases[line.by] = line.until
                self.holder = line.by
            case FaultLine():
                self.excuses.see(line)
        ended = isinstance(line, FaultLine) and line.event == "end"
        relisted = isinstance(line, FaultLine) and line.fault == "watch-expired"
        self.resumed = not self.blind and (was_blind or ended or relisted)
        if not self.blind and (was_blind or relisted):
            self._resumed_at = line.t

    def endpoints(self, adapter: str) -> set[str]:
        """Pods (`namespace/name`) that the adapter's slices publish."""
        namespace = adapter.split("/")[0]
        return {f"{namespace}/{pod}" for pods in self.slices[adapter].values() for pod in pods}

    def holds(self, pod: str, adapter: str) -> bool:
        """Whether the pod's living engine has the adapter loaded."""
        engine = self.engines.get(pod)
        return engine is not None and adapter.split("/")[1] in engine.holds

    def holders(self, adapter: str) -> list[str]:
        """Pods whose living engine has the adapter loaded."""
        return sorted(self.held.get(adapter, ()))

    def disturbed(self, pod: str) -> bool:
        """Whether a fault that lasts keeps the operator from asking the pod's engine, or from being understood."""
        return self.excuses.disturbed(pod, self.pods[pod].line.node if pod in self.pods else "")

    def shown_wrong(self, pod: str) -> bool:
        """Whether the API server shows that the pod cannot serve."""
        known = self.pods.get(pod)
        return known is None or known.bad_since is not None

    # -- one line of each kind

    def _pod(self, line: PodLine) -> None:
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
            known.ready_anew = line.t
        if line.labels != known.line.labels:
            known.labelled = line.t
        if line.engine != known.line.engine:
            known.engine_since = line.t
        known.line = line

    def _adapter(self, line: AdapterLine) -> None:
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
        if line.event == "deleted":
            self.slices[line.adapter].pop(line.object, None)
            return
        self.slices[line.adapter][line.object] = tuple(line.pods)
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

    def _request(self, line: RequestLine) -> None:
        place = (f"{line.object.split('/')[0]}/{line.adapter}", line.object)
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

    def occupied(self, pod: str) -> bool:
        """Whether the pod's engine has as many loads and unloads under way as it gets, so that others wait in line."""
        return len(self._under_way[pod]) >= self.run.loads_per_pod
