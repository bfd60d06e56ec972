"""Timelines of a run: the lines of the trace, sorted by object for the figures.

Adapters and pods are identified by uid, so that a second one with the same name has its own timeline. Times are seconds
since the start of the run.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from controller.engine.errors import name_taken, name_unknown
from twin.trace.lines import (
    AdapterLine,
    Counts,
    EngineLine,
    EventLine,
    FaultLine,
    Line,
    PodLine,
    RequestLine,
    Run,
    TrafficLine,
)


@dataclass(slots=True)
class Attempt:
    """Load or unload request. `end` is None if there was no response by the end of the run."""

    pod: str
    verb: Literal["load", "unload"]
    start: float
    end: float | None = None
    status: int = 0
    error: str = ""

    @property
    def ok(self) -> bool:
        """True if the request succeeded, or had no effect because the adapter was already in that state."""
        if self.verb == "unload" and (self.status == 404 or name_unknown(self.status, self.error)):
            return True
        return 200 <= self.status < 300 or name_taken(self.error)

    @property
    def failed(self) -> bool:
        """True if the request ended without success."""
        return self.end is not None and not self.ok


@dataclass(slots=True)
class AdapterTimeline:
    """One ModelAdapter from creation to deletion."""

    name: str
    created: float
    deleted: float | None = None
    phases: list[tuple[float, str]] = field(default_factory=list)
    """Start of each phase; the phase is empty until the operator has reconciled the adapter."""
    attempts: list[Attempt] = field(default_factory=list)
    switches: list[float] = field(default_factory=list)
    desired: int | None = None
    instances: tuple[str, ...] = ()
    message: str = ""

    @property
    def phase(self) -> str:
        """Return the last phase; empty if the operator never wrote one."""
        return self.phases[-1][1]

    @property
    def time_to_running(self) -> float | None:
        """Return the seconds from creation to the first Running, or None."""
        return next((t - self.created for t, phase in self.phases if phase == "Running"), None)


@dataclass(slots=True)
class PodTimeline:
    """One pod: its existence, readiness and number of loaded adapters."""

    name: str
    created: float
    deleted: float | None = None
    node: str = ""
    ready: list[tuple[float, bool]] = field(default_factory=list)
    loaded: list[tuple[float, int]] = field(default_factory=list)


@dataclass(slots=True)
class FaultTimeline:
    """One fault of the scenario: when it was active, when it occurred."""

    id: int
    kind: str
    windows: list[tuple[float, float]] = field(default_factory=list)
    occurrences: list[tuple[float, tuple[str, ...]]] = field(default_factory=list)
    targets: set[str] = field(default_factory=set)
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Timeline:
    """Timelines of a whole run."""

    run: Run
    end: float
    """End of the run, in simulated seconds."""
    adapters: Sequence[AdapterTimeline]
    pods: Sequence[PodTimeline]
    faults: Sequence[FaultTimeline]
    counts: Sequence[Counts]
    traffic: Sequence[TrafficLine] = ()


def build_timeline(lines: Sequence[Line], *, partial: bool = False) -> Timeline:
    """Return the timelines of a trace, whose first line is its `Run`.

    Raises:
        ValueError: if the first line is not a `Run`.
    """
    if not lines or not isinstance(lines[0], Run):
        raise ValueError('the trace does not start with a "run" line; it is truncated or not a trace')
    end = lines[-1].t if partial else max(lines[0].duration, lines[-1].t)
    builder = _TimelineBuilder()
    for line in lines:
        builder.add(line)
    return Timeline(
        run=lines[0],
        end=end,
        adapters=list(builder.adapters.values()),
        pods=sorted(builder.pods.values(), key=lambda pod: (pod.name, pod.created)),
        faults=builder.finished_faults(end),
        counts=builder.counts,
        traffic=builder.traffic,
    )


class _TimelineBuilder:
    """Sorts lines into timelines."""

    def __init__(self) -> None:
        self.adapters: dict[str, AdapterTimeline] = {}
        self.pods: dict[str, PodTimeline] = {}
        self.counts: list[Counts] = []
        self.traffic: list[TrafficLine] = []
        self._faults: dict[int, FaultTimeline] = {}
        self._open: dict[int, float] = {}
        self._in_flight: dict[int, Attempt] = {}
        self._adapter_by_name: dict[str, AdapterTimeline] = {}
        self._pod_by_name: dict[str, PodTimeline] = {}
        self._loaded: dict[str, set[str]] = {}

    def add(self, line: Line) -> None:
        match line:
            case AdapterLine():
                self._adapter(line)
            case PodLine():
                self._pod(line)
            case EngineLine():
                self._engine(line)
            case RequestLine():
                self._request(line)
            case EventLine(reason="Switched") if line.object in self._adapter_by_name:
                self._adapter_by_name[line.object].switches.append(line.t)
            case FaultLine():
                self._fault(line)
            case Counts():
                self.counts.append(line)
            case TrafficLine():
                self.traffic.append(line)
            case _:
                pass

    def _adapter(self, line: AdapterLine) -> None:
        timeline = self.adapters.get(line.uid)
        if timeline is None and line.event == "deleted":
            return
        if timeline is None:
            timeline = self.adapters[line.uid] = AdapterTimeline(line.object, line.t)
            self._adapter_by_name[line.object] = timeline
        if line.event == "deleted":
            timeline.deleted = line.t
            return
        if not timeline.phases or timeline.phases[-1][1] != line.phase:
            timeline.phases.append((line.t, line.phase))
        timeline.desired, timeline.instances, timeline.message = (
            line.wanted,
            tuple(line.instances),
            line.message or timeline.message,
        )

    def _pod(self, line: PodLine) -> None:
        timeline = self.pods.get(line.uid)
        if timeline is None and line.event == "deleted":
            return
        if timeline is None:
            timeline = self.pods[line.uid] = PodTimeline(line.object, line.t)
            self._pod_by_name[line.object] = timeline
        if line.event == "deleted":
            timeline.deleted = line.t
            return
        timeline.node = line.node or timeline.node
        if not timeline.ready or timeline.ready[-1][1] != line.ready:
            timeline.ready.append((line.t, line.ready))

    def _engine(self, line: EngineLine) -> None:
        adapters = self._loaded.setdefault(line.object, set())
        if line.event == "loaded":
            adapters.add(line.adapter)
        elif line.event == "unloaded":
            adapters.discard(line.adapter)
        else:
            adapters.clear()
        if (pod := self._pod_by_name.get(line.object)) is not None:
            pod.loaded.append((line.t, len(adapters)))

    def _request(self, line: RequestLine) -> None:
        if line.event == "sent":
            attempt = self._in_flight[line.id] = Attempt(line.object, line.verb, line.t)
            namespace = line.object.partition("/")[0]
            if (timeline := self._adapter_by_name.get(f"{namespace}/{line.adapter}")) is not None:
                timeline.attempts.append(attempt)
        elif (answered := self._in_flight.pop(line.id, None)) is not None:
            answered.end, answered.status, answered.error = line.t, line.status, line.error

    def _fault(self, line: FaultLine) -> None:
        timeline = self._faults.setdefault(line.id, FaultTimeline(line.id, line.fault))
        timeline.targets.update(line.targets)
        timeline.detail = line.detail or timeline.detail
        if line.event == "begin":
            self._open.setdefault(line.id, line.t)
        elif line.event == "end":
            timeline.windows.append((self._open.pop(line.id, 0.0), line.t))
        else:
            timeline.occurrences.append((line.t, tuple(line.targets)))

    def finished_faults(self, end: float) -> list[FaultTimeline]:
        """Return the faults in the scenario's order; a fault that was not ended lasts until the end of the run."""
        for id_, start in self._open.items():
            self._faults[id_].windows.append((start, end))
        return [self._faults[id_] for id_ in sorted(self._faults)]


def steps(changes: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """Convert changes of a level (time, +n or -n) to the level after each change."""
    level, result = 0.0, list[tuple[float, float]]()
    for t, change in sorted(changes):
        level += change
        if result and result[-1][0] == t:
            result[-1] = (t, level)
        else:
            result.append((t, level))
    return result
