"""Causes of an operator's requests: what has happened to an adapter, to its namespace, or to the whole cluster.

A cause is a change that the operator did not make, a request to an engine that began or ended, a write that failed, a
fault, or another leader. The operator's own successful writes are no cause: a level-based controller that reacts to its
own writes never stops. The one exception is a move by rebalancing, whose begin and end are decisions of their own; how
often it may decide so is bounded (`cost.py`).
"""

from collections import Counter
from dataclasses import dataclass, field

from twin.trace.lines import (
    AdapterLine,
    ApiLine,
    ControllerLine,
    Counts,
    EngineLine,
    FaultLine,
    HeldLine,
    Line,
    PodLine,
    RequestLine,
    SecretLine,
    SliceLine,
)

Mark = tuple[int, int, int]
"""Number of causes so far: in the cluster, in the adapter's namespace, of the adapter itself."""


@dataclass(slots=True)
class Causes:
    """Causes up to the current line."""

    last: float = 0.0
    """Time of the last cause of any adapter, in seconds."""
    _cluster: int = 0
    _namespaces: Counter[str] = field(default_factory=Counter)
    _adapters: Counter[str] = field(default_factory=Counter)
    _moves: Counter[str] = field(default_factory=Counter)
    """Adapter to its causes that may move it to another pod: all but requests that succeeded."""
    _specs: dict[str, tuple[str, int, bool]] = field(default_factory=dict)
    _places: dict[str, frozenset[str]] = field(default_factory=dict)
    """Adapter to the pods that it occupies."""
    _short: set[str] = field(default_factory=set)
    """Adapters whose policy finds no capacity: one that another adapter frees is a cause."""
    _steps: dict[str, tuple[str, bool]] = field(default_factory=dict)
    """Adapter to its last move, and whether it is under way."""
    _services: dict[str, str] = field(default_factory=dict)
    """EndpointSlice to its adapter."""
    _unloading: set[tuple[str, str]] = field(default_factory=set)
    """(pod, adapter) of unloads in flight; an engine that drops an adapter without one has lost it."""
    _scaled: set[str] = field(default_factory=set)
    """Adapters whose replicas follow users' demand, or that are loaded on demand, which has a say once a minute."""
    _changed: str = ""
    """Object of the last line, if it changed and the writer is not known yet."""

    def mark(self, adapter: str) -> Mark:
        """Return a value that differs after each cause of the adapter."""
        return self._cluster, self._namespaces[adapter.split("/")[0]], self._adapters[adapter]

    def count(self, adapter: str) -> int:
        """Return the number of causes of the adapter so far."""
        return sum(self.mark(adapter))

    def move_mark(self, adapter: str) -> Mark:
        """Return a value that differs after each cause that may move the adapter to another pod and back."""
        return self._cluster, self._namespaces[adapter.split("/")[0]], self._moves[adapter]

    def adapter_of(self, line: ApiLine) -> str:
        """Return the adapter for which an object was written: its Service has its name, its slices name it."""
        return self._services.get(line.object, line.object) if line.resource == "endpointslices" else line.object

    def see(self, line: Line) -> None:
        """Count the causes in the next line."""
        changed, self._changed = self._changed, ""
        if changed and not (isinstance(line, ApiLine) and line.object == changed):
            self._add(self._services.get(changed, changed), line.t)  # not written by the operator
        match line:
            case AdapterLine():
                self._adapter(line)
            case SliceLine():
                self._services[line.object] = line.adapter
                self._changed = line.object
            case RequestLine():
                self._request(line)
            case EngineLine(event="loaded" | "unloaded"):
                lost = line.event == "unloaded" and (line.object, line.adapter) not in self._unloading
                self._add(f"{line.object.split('/')[0]}/{line.adapter}", line.t, moves=lost)
            case EngineLine() | PodLine() | SecretLine():
                self._namespaces[line.object.split("/")[0]] += 1
                self.last = line.t
            case HeldLine(event="held"):
                self._add(line.object, line.t)
            case Counts():
                for adapter in sorted(self._scaled):
                    self._add(adapter, line.t)
            case FaultLine() | ControllerLine():
                self._cluster += 1
                self._unloading.clear()
                self.last = line.t
            case ApiLine() if line.code >= 400 and line.resource not in ("leases", "events"):
                self._add(self.adapter_of(line), line.t)

    def _adapter(self, line: AdapterLine) -> None:
        self._capacity(line)
        follows = line.on_demand or line.conditions.get("ScalingActive", ("", ""))[0] == "True"
        if follows and line.event != "deleted":
            self._scaled.add(line.object)
        else:
            self._scaled.discard(line.object)
        spec = (line.uid, line.generation, line.deleting)
        if self._specs.get(line.object) != spec:
            self._specs[line.object] = spec
            self._add(line.object, line.t)
        step = (line.move, line.moving)
        if self._steps.get(line.object, ("", False)) != step:
            self._steps[line.object] = step
            self._add(line.object, line.t)
        self._changed = line.object

    def _capacity(self, line: AdapterLine) -> None:
        gone = line.event == "deleted"
        places = frozenset[str]() if gone else frozenset(line.placements)
        if self._places.get(line.object, frozenset()) - places:
            namespace = f"{line.object.split('/')[0]}/"
            for adapter in sorted(self._short):
                if adapter.startswith(namespace):
                    self._add(adapter, line.t)
        self._places[line.object] = places
        if not gone and any(reason == "NoCapacity" for _, reason in line.conditions.values()):
            self._short.add(line.object)
        else:
            self._short.discard(line.object)

    def _request(self, line: RequestLine) -> None:
        failed = line.event == "done" and line.status != 200
        if line.event == "sent" and line.verb == "unload":
            self._unloading.add((line.object, line.adapter))
        elif line.verb == "unload":
            self._unloading.discard((line.object, line.adapter))
        self._add(f"{line.object.split('/')[0]}/{line.adapter}", line.t, moves=failed)

    def _add(self, adapter: str, t: float, *, moves: bool = True) -> None:
        self._adapters[adapter] += 1
        self._moves[adapter] += moves
        self.last = t
