"""Measures of a run, computed from its trace.

`summarise` returns the contents of `summary.json`, whose names are used by expectations and comparisons.
`placement_rows` returns the table of `placement.parquet`. Times are seconds. A measure without a value is None, not 0.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from controller.engine.errors import name_taken
from twin.evaluate.availability import Availability
from twin.evaluate.gpu_use import GpuUse
from twin.evaluate.invariants import InvariantReport
from twin.evaluate.percentiles import percentiles
from twin.evaluate.traffic_measures import OnDemandSummary, TrafficSummary
from twin.trace.lines import (
    AdapterLine,
    Counts,
    EngineLine,
    EventLine,
    HeldLine,
    Line,
    PodLine,
    RequestLine,
    Run,
    SliceLine,
    TrafficLine,
)

Summary = dict[str, Any]

_DIGITS = 6
_API = ("get", "list", "watch", "create", "patch", "delete")


def summarise(lines: Sequence[Line], verdicts: InvariantReport) -> Summary:
    """Return the summary of a trace whose first line is its `Run`."""
    run = lines[0]
    assert isinstance(run, Run)
    end = max(line.t for line in lines)
    story = _SummaryBuilder(pod_cooldown=run.pod_cooldown, gpus=GpuUse(run.gpus))
    for line in lines:
        story.see(line)
    story.finish(end)
    return {
        "name": run.name,
        "seed": run.seed,
        "version": run.version,
        "adapters": story.adapters(),
        "time_to_running_seconds": _spread(story.to_running, "p50", "p95", "p99", "max", "mean"),
        "recovery_seconds": _spread(story.recoveries, "p50", "p95", "max"),
        "unavailable_adapter_seconds": _rounded(story.availability.unavailable),
        "availability": _share(story.availability.present - story.availability.unavailable, story.availability.present),
        "availability_worst": story.availability.worst(),
        "loads": story.loads(),
        "pod_switches": story.switches,
        "migrations": max(story.moves - story.switches, 0),
        "rebalancing": story.rebalancing(),
        "gpu_hours": _rounded(story.gpus.hours(end)) if run.gpus else None,
        "backoff_seconds": _spread(story.waits, "p50", "p95", "max"),
        "engine_requests": _totals(story.counts, "engine", ("list", "load", "unload", "metrics")),
        "api_requests": _totals(story.counts, "api", _API, ("conflicts", "throttled")),
        "reconciles": story.reconciles(),
        "placement": story.density.summary(),
        "traffic": story.traffic.summary(),
        "on_demand": story.on_demand.summary(),
        "invariants": {
            "checked": verdicts.checked,
            "violations": len(verdicts.violations),
            "first": _first(verdicts),
            "liveness_judged": verdicts.liveness_judged,
        },
        "notes": list(run.notes),
    }


def samples(lines: Sequence[Line]) -> dict[str, list[float]]:
    """Return the single values behind the percentiles of a summary, in the order of the trace."""
    run = lines[0]
    assert isinstance(run, Run)
    story = _SummaryBuilder(pod_cooldown=run.pod_cooldown, gpus=GpuUse(run.gpus))
    for line in lines:
        story.see(line)
    return {
        "time_to_running_seconds": story.to_running,
        "recovery_seconds": story.recoveries,
        "backoff_seconds": story.waits,
    }


def placement_rows(lines: Iterable[Line]) -> Mapping[str, list[Any]]:
    """Return each change of the loaded adapters: `time`, `pod`, `node`, `adapter`, `state` (loaded or unloaded)."""
    nodes: dict[str, str] = {}
    held: dict[str, set[str]] = {}
    rows: dict[str, list[Any]] = {"time": [], "pod": [], "node": [], "adapter": [], "state": []}

    def add(t: float, pod: str, adapter: str, state: str) -> None:
        for name, value in zip(rows, (t, pod, nodes.get(pod, ""), adapter, state), strict=True):
            rows[name].append(value)

    for line in lines:
        if isinstance(line, PodLine):
            nodes[line.object] = line.node or nodes.get(line.object, "")
        elif isinstance(line, EngineLine):
            here = held.setdefault(line.object, set())
            if line.event == "loaded":
                here.add(line.adapter)
                add(line.t, line.object, line.adapter, "loaded")
            elif line.event == "unloaded":
                here.discard(line.adapter)
                add(line.t, line.object, line.adapter, "unloaded")
            elif line.event == "stopped":
                for adapter in sorted(here):
                    add(line.t, line.object, adapter, "unloaded")
                here.clear()
    return rows


@dataclass
class _Adapter:
    """One ModelAdapter while it exists."""

    created: float
    wanted: int | None = None
    phase: str = ""
    ran: bool = False
    serving: int = 0
    changed: float = 0.0
    full: bool = False
    """True once it has had all desired replicas."""
    lost: float | None = None
    """Time since which it has had fewer again."""
    placements: frozenset[str] = frozenset()
    idled: bool = False
    """True once it has waited for a request."""


class _Density:
    """Time-weighted number of adapters loaded in each running engine."""

    def __init__(self) -> None:
        self._held: dict[str, int] = {}
        self._since: dict[str, float] = {}
        self._area: Counter[str] = Counter()
        self._life: Counter[str] = Counter()
        self._max = 0
        self._used: set[str] = set()

    def see(self, line: EngineLine) -> None:
        pod = line.object
        if line.event == "started":
            self._held[pod], self._since[pod] = 0, line.t
            return
        if pod not in self._held:
            return
        self._settle(pod, line.t)
        match line.event:
            case "loaded":
                self._held[pod] += 1
                self._max = max(self._max, self._held[pod])
                self._used.add(pod)
            case "unloaded":
                self._held[pod] -= 1
            case "stopped":
                del self._held[pod]

    def finish(self, end: float) -> None:
        for pod in self._held:
            self._settle(pod, end)

    def summary(self) -> Summary:
        """Return statistics over pods of the mean number of adapters while the engine was running."""
        loads = np.array([self._area[pod] / self._life[pod] for pod in sorted(self._life) if self._life[pod] > 0])
        mean = float(loads.mean()) if loads.size else None
        squares = float((loads**2).sum()) if loads.size else 0.0
        return {
            "adapters_per_pod": {
                "mean": _rounded(mean),
                "max": self._max if loads.size else None,
                "cv": _rounded(float(loads.std()) / mean) if mean else None,
            },
            "jain": _rounded(float(loads.sum()) ** 2 / (loads.size * squares)) if squares else None,
            "pods_used": len(self._used),
            "slot_hours": _rounded(sum(self._area.values()) / 3600) if loads.size else None,
        }

    def _settle(self, pod: str, t: float) -> None:
        span = t - self._since[pod]
        self._area[pod] += self._held[pod] * span  # type: ignore[assignment]
        self._life[pod] += span  # type: ignore[assignment]
        self._since[pod] = t


@dataclass
class _SummaryBuilder:
    """Accumulates the lines of a trace."""

    pod_cooldown: float
    gpus: GpuUse
    counts: Counter[str] = field(default_factory=Counter)
    to_running: list[float] = field(default_factory=list)
    recoveries: list[float] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    availability: Availability = field(default_factory=Availability)
    switches: int = 0
    moves: int = 0
    density: _Density = field(default_factory=_Density)
    traffic: TrafficSummary = field(default_factory=TrafficSummary)
    _ended_moves: dict[tuple[str, str, str], int] = field(default_factory=dict)
    """(reason, adapter, note) of an Event to its number."""
    on_demand: OnDemandSummary = field(default_factory=OnDemandSummary)
    _living: dict[str, _Adapter] = field(default_factory=dict)
    _created: int = 0
    _deleted: int = 0
    _loads: Counter[str] = field(default_factory=Counter)
    _failed_at: dict[tuple[str, str], float] = field(default_factory=dict)
    _slices: dict[str, dict[str, frozenset[str]]] = field(default_factory=dict)
    _adapter_of_slice: dict[str, str] = field(default_factory=dict)

    def see(self, line: Line) -> None:
        match line:
            case Counts():
                self.counts.update(line.counts)
            case AdapterLine():
                self._adapter(line)
            case SliceLine():
                self._slice(line)
            case RequestLine():
                self._request(line)
            case EngineLine():
                self.density.see(line)
            case TrafficLine():
                self.traffic.see(line)
            case PodLine():
                self.gpus.see(line)
            case HeldLine():
                self.on_demand.see(line)
            case EventLine(reason="Switched"):
                self.switches += 1
            case EventLine(reason="Moved" | "MoveCancelled", object=adapter, note=note, count=count):
                self._ended_moves[line.reason, adapter, note] = count

    def finish(self, end: float) -> None:
        """Count open intervals up to the end."""
        for name, adapter in self._living.items():
            self._settle(name, adapter, end)
        self.density.finish(end)

    def adapters(self) -> Summary:
        phases = Counter(adapter.phase for adapter in self._living.values())
        running, failed = phases["Running"], phases["Failed"]
        return {
            "total": self._created,
            "running": running,
            "failed": failed,
            "pending": len(self._living) - running - failed,
            "deleted": self._deleted,
        }

    def loads(self) -> Summary:
        names = ("attempted", "succeeded", "failed_retriable", "failed_final", "redundant")
        return {name: self._loads[name] for name in names}

    def rebalancing(self) -> Summary:
        """Return the moves that rebalancing has completed and cancelled, by their Events."""
        ended: Counter[str] = Counter()
        for (reason, _, _), count in self._ended_moves.items():
            ended[reason] += count
        return {"moved": ended["Moved"], "cancelled": ended["MoveCancelled"]}

    def reconciles(self) -> Summary:
        """Return the reconciliations; None for an operator outside the twin, whose metrics are not read."""
        counted = "reconciles.total" in self.counts
        return {name: self.counts[f"reconciles.{name}"] if counted else None for name in ("total", "with_actions")}

    def _adapter(self, line: AdapterLine) -> None:
        if line.event == "created":
            self._living[line.object] = _Adapter(created=line.t, changed=line.t)
            self._created += 1
        adapter = self._living.get(line.object)
        if adapter is None:
            return
        if (adapter.wanted == 0) != (line.wanted == 0):
            self._settle(line.object, adapter, line.t)
        adapter.wanted = line.wanted
        adapter.idled |= line.phase == "Idle"
        if line.phase == "Running" and not adapter.ran:
            adapter.ran = True
            if not adapter.idled:
                self.to_running.append(line.t - adapter.created)
        if line.phase == "Idle" and adapter.phase != "Idle":
            adapter.full, adapter.lost = False, None
        elif adapter.phase == "Idle" and line.phase != "Idle" and line.on_demand:
            self.on_demand.cold_starts += 1
        adapter.phase = line.phase
        self._replicas(line, adapter)
        placements = frozenset(line.placements)
        if adapter.full and placements - adapter.placements and adapter.wanted is not None:
            self.moves += len(placements - adapter.placements)
        adapter.placements = placements
        if line.event == "deleted" or line.deleting:
            self._settle(line.object, adapter, line.t)
            del self._living[line.object]
            self._deleted += 1

    def _replicas(self, line: AdapterLine, adapter: _Adapter) -> None:
        """Record the time from losing a replica to having all desired replicas again."""
        wanted = 1 if line.wanted is None else line.wanted
        have = len(line.instances)
        if line.deleting or line.phase == "Idle":
            return
        if have >= wanted > 0:
            if adapter.lost is not None:
                self.recoveries.append(line.t - adapter.lost)
            adapter.full, adapter.lost = True, None
        elif adapter.full and adapter.lost is None:
            adapter.lost = line.t

    def _slice(self, line: SliceLine) -> None:
        """Update availability: a published endpoint is available."""
        former = self._adapter_of_slice.get(line.object, line.adapter)
        self._slices.setdefault(former, {}).pop(line.object, None)
        self._adapter_of_slice[line.object] = line.adapter
        pods = frozenset() if line.event == "deleted" else frozenset(line.pods)
        self._slices.setdefault(line.adapter, {})[line.object] = pods
        for name in dict.fromkeys((former, line.adapter)):
            if (adapter := self._living.get(name)) is not None:
                self._settle(name, adapter, line.t)
                adapter.serving = sum(map(len, self._slices[name].values()))

    def _settle(self, name: str, adapter: _Adapter, t: float) -> None:
        """Add the time since the last change: as present, and as unavailable if no endpoint was published."""
        if adapter.ran and adapter.wanted != 0:
            self.availability.add(name, t - adapter.changed, available=adapter.serving > 0)
        adapter.changed = t

    def _request(self, line: RequestLine) -> None:
        if line.verb != "load":
            return
        place = (line.adapter, line.object)
        if line.event == "sent":
            self._loads["attempted"] += 1
            if place in self._failed_at:
                self._waited(line.t - self._failed_at.pop(place))
            return
        if line.status == 200 or name_taken(line.error):
            self._loads["succeeded"] += 1
            self._redundant(line)
            return
        final = line.status in range(400, 500) and line.status not in (408, 429)
        self._loads["failed_final" if final else "failed_retriable"] += 1
        if not final:
            self._failed_at[place] = line.t

    def _waited(self, seconds: float) -> None:
        """Record a delay within one series of attempts; after the pod cooldown a new series begins."""
        if seconds < self.pod_cooldown:
            self.waits.append(seconds)

    def _redundant(self, line: RequestLine) -> None:
        namespace, _, pod = line.object.partition("/")
        adapter = self._living.get(f"{namespace}/{line.adapter}")
        if adapter is None or pod not in adapter.placements:
            self._loads["redundant"] += 1


def _totals(counts: Counter[str], group: str, names: Sequence[str], others: Sequence[str] = ()) -> Summary:
    found = {name: counts[f"{group}.{name}"] for name in (*names, *others)}
    return {"total": sum(found[name] for name in names), **found}


def _spread(values: Sequence[float], *names: str) -> Summary:
    """Return percentiles, mean and maximum; None for each if there are no values."""
    if not values:
        return dict.fromkeys(names)
    data = np.array(values)
    known = {"max": float(data.max()), "mean": float(data.mean())}
    return {name: _rounded(known[name] if name in known else percentiles(values, int(name[1:]))[0]) for name in names}


def _share(part: float, whole: float) -> float | None:
    return _rounded(part / whole) if whole > 0 else None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, _DIGITS)


def _first(verdicts: InvariantReport) -> Summary | None:
    if not verdicts.violations:
        return None
    first = verdicts.violations[0]
    return {"t": _rounded(first.t), "invariant": str(first.invariant), "object": first.object, "message": first.message}
