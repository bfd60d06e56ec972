"""Invariant of cost (14): each request of the operator has a cause, and each cause has few requests."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import ClassVar

from controller.cache.secrets import MISSING_TTL
from twin.evaluate.invariants.base import EVERY_LINE, Kinds
from twin.evaluate.invariants.causes import Causes, Mark
from twin.evaluate.invariants.deadlines import TOLERANCE, DeadlineTracker
from twin.evaluate.invariants.own_faults import OWN_FAULT, says
from twin.evaluate.invariants.state import ClusterState
from twin.evaluate.invariants.tolerances import PATIENCE
from twin.trace.lines import AdapterLine, ApiLine, ControllerLine, Counts, EventLine, Line, RequestLine

MOST_WRITES: Mapping[str, int] = {"modeladapters/status": 8, "modeladapters": 5, "services": 3, "endpointslices": 3}
"""Writes for one adapter between two of its causes.

The status passes five phases (Pending, Scheduled, Loading, Bound, Running), and a reconcile that a second cause has
made due may pass three of them once more. The object gets its finalizer, an announcement and its end, the first
selection, and the removal of the finalizer; a Service is created, its port changes, and it is repaired.
"""
EVENTS_OF_A_CAUSE = 2
"""Events for one cause. A load that fails has two causes, its begin and its end, and up to four Events: the choice of
the pod, the switch to it, a base model that it does not serve, and the failure."""
SLICES_OF_A_POD = 2
"""EndpointSlices that one pod may be in: one for each address family."""
MOST_LOADS = 1
"""Successful loads on one pod without a cause to move the adapter: what is loaded stays loaded."""
REST = 300.0
"""Seconds between two moves of an adapter, as the operator's documentation promises."""
_MINUTE = 60.0
LISTS_OF_A_MINUTE = 8
"""Lists of Kubernetes objects in an idle minute: a watch may end at any time, and each kind that is watched is listed
again then."""


class RequestsHaveCauses:
    """14. The operator writes and sends no more than follows from what has happened.

    - No write asks for what already is so. The operator compares before it writes, so such a write is a mistake.
    - Between two causes of an adapter, its objects are written at most `MOST_WRITES` times, and once more for each pod,
      whose attempts are forgotten when its own cooldown is over, and for each placement, since a read that lags shows
      the end of its pod after everything else. Slices may each be written once more, since one pod
      that comes and goes can move the members of all of them.
    - Each cause has at most `EVENTS_OF_A_CAUSE` Events.
    - After its last cause and the longest wait (a cooldown, a retry, a resync of the engines), an adapter is not
      written at all: time alone changes nothing.
    - An adapter has at most one load or unload in flight on an engine, and an engine at most `max_requests_per_pod`.
    - A move by rebalancing is followed by `REST` seconds without another one of that adapter, so that two decisions
      cannot undo each other in turn.
    - A pod that comes and goes gets at most one load of an adapter: a second successful one needs another cause.
    - In a minute in which nothing happens, the operator reconciles each adapter at most once and lists each engine as
      often as `audit_interval` says. An adapter with a fault of its own may be looked at as often as its Secret is.
    """

    kinds: ClassVar[Kinds] = EVERY_LINE  # the line after a change tells whether the operator made it

    def __init__(self, state: ClusterState) -> None:
        self.state = state
        self.deadlines = DeadlineTracker(14)
        self._causes = Causes()
        self._rests_since: dict[str, float] = {}
        """Adapter to the end of its last move, in seconds."""
        self._moving: set[str] = set()
        self._writes: dict[tuple[str, str], tuple[Mark, int]] = {}
        """(adapter, resource) to the adapter's mark, and the number of writes since."""
        self._placed: dict[str, tuple[Mark, int, int]] = {}
        """Adapter to its mark, the most placements that it has had since, and the last number of them."""
        self._since: dict[str, tuple[Mark, float]] = {}
        """Adapter to its mark, and the time of the first write after it."""
        self._in_flight: dict[str, dict[int, RequestLine]] = defaultdict(dict)
        """Pod to its requests by id."""
        self._sent_at: dict[int, Mark] = {}
        """Request in flight to the adapter's mark when it was sent."""
        self._events: Counter[str] = Counter()
        self._faulty: set[str] = set()
        """Adapters that have a fault of their own, by their conditions."""
        self._loaded: dict[tuple[str, str], tuple[Mark, str, int]] = {}
        """(adapter, pod) to the mark of the last successful load, its engine, and the number of them."""
        self._longest = (
            max([*state.run.retry_waits, state.run.pod_cooldown]) + state.audit_bound(0.0) + state.run.list_timeout
        )

    def see(self, line: Line) -> None:
        self._causes.see(line)
        match line:
            case ApiLine() if line.resource not in ("leases", "events") and line.code < 400:
                self._write(line)
            case EventLine():
                self._event(line)
            case AdapterLine():
                self._adapter(line)
            case RequestLine(event="sent"):
                self._sent(line)
            case RequestLine():
                self._done(line)
            case ControllerLine(event="crashed" | "lost" | "stopped"):
                for requests in self._in_flight.values():
                    for number in [number for number, request in requests.items() if request.by == line.by]:
                        del requests[number]
            case Counts() if line.seconds == _MINUTE and self._causes.last + self._longest + _MINUTE < line.t:
                self._idle(line)

    def _adapter(self, line: AdapterLine) -> None:
        if line.event != "deleted" and says(line, OWN_FAULT):
            self._faulty.add(line.object)
        else:
            self._faulty.discard(line.object)
        self._place(line)
        if line.move:
            self._move(line)

    def _write(self, line: ApiLine) -> None:
        adapter = self._causes.adapter_of(line)
        resource = f"{line.resource}/{line.subresource}" if line.subresource else line.resource
        self.deadlines.checked += 1
        if line.unchanged:
            self._violate(line.t, line.object, f"a {line.verb} of {resource} changes nothing")
        most = MOST_WRITES.get(resource, 1)
        if line.resource == "endpointslices":
            most += SLICES_OF_A_POD * len(self.state.slices[adapter])
        elif line.resource == "modeladapters":
            most += len(self.state.pods) + self._most_placed(adapter)
        self._count(adapter, resource, most, line.t)
        mark, since = self._since.get(adapter, (None, 0.0))
        if mark != self._causes.mark(adapter):
            self._since[adapter] = self._causes.mark(adapter), line.t
        elif line.t > max(since, self.state.resumed_at) + self._bound(line.t):
            text = f"a {line.verb} of {resource}, {line.t - since:.0f} s after anything else happened to it"
            self._violate(line.t, line.object, text)

    def _most_placed(self, adapter: str) -> int:
        _, most, _ = self._placed.get(adapter, (None, 0, 0))
        return most

    def _place(self, line: AdapterLine) -> None:
        mark, count = self._causes.mark(line.object), len(line.placements)
        before, most, last = self._placed.get(line.object, (mark, 0, 0))
        self._placed[line.object] = mark, max(count, most if before == mark else last), count

    def _bound(self, t: float) -> float:
        return self._longest + self.state.detection_bound(t) + PATIENCE

    def _count(self, adapter: str, resource: str, most: int, t: float) -> None:
        mark = self._causes.mark(adapter)
        before, count = self._writes.get((adapter, resource), (mark, 0))
        count = count + 1 if before == mark else 1
        self._writes[adapter, resource] = mark, count
        self.deadlines.checked += 1
        if count == most + 1:
            self._violate(t, adapter, f"more than {most} writes of {resource} for one cause")

    def _event(self, line: EventLine) -> None:
        self._events[line.object] += 1
        self.deadlines.checked += 1
        count, causes = self._events[line.object], self._causes.count(line.object)
        if count == EVENTS_OF_A_CAUSE * causes + 1:
            self._violate(line.t, line.object, f"{count} Events for {causes} causes")

    def _move(self, line: AdapterLine) -> None:
        """Check that an adapter whose move has ended is left where it is for a while."""
        adapter, t = line.object, line.t
        if line.moving and adapter not in self._moving:
            self.deadlines.checked += 1
            ended = self._rests_since.get(adapter)
            if ended is not None and t - ended < REST - TOLERANCE - self.state.tolerances.skew(ended, t):
                self._violate(t, adapter, f"it is moved again {t - ended:.0f} s after its last move")
            self._moving.add(adapter)
        elif not line.moving and adapter in self._moving:
            self._moving.discard(adapter)
            self._rests_since[adapter] = t

    def _sent(self, line: RequestLine) -> None:
        adapter, requests = f"{line.object.split('/')[0]}/{line.adapter}", self._in_flight[line.object]
        own = [request for request in requests.values() if request.by == line.by]
        requests[line.id] = line
        self._sent_at[line.id] = self._causes.move_mark(adapter)
        self.deadlines.checked += 1
        if any(request.adapter == line.adapter for request in own):
            self._violate(line.t, adapter, f"a second request is sent to {line.object} while one is in flight")
        if len(own) >= self.state.run.max_requests_per_pod:
            text = f"{len(own) + 1} requests are in flight to {line.object}, {len(own)} are allowed"
            self._violate(line.t, adapter, text)
        mark, engine, count = self._loaded.get((adapter, line.object), ((0, 0, 0), "", 0))
        same = mark == self._causes.move_mark(adapter) and engine == line.engine
        if line.verb == "load" and same and count >= MOST_LOADS:
            self._violate(line.t, adapter, f"it is loaded again on {line.object}, where a load has succeeded")

    def _done(self, line: RequestLine) -> None:
        self._in_flight[line.object].pop(line.id, None)
        sent = self._sent_at.pop(line.id, None)
        if line.verb != "load" or line.status != 200:
            return
        adapter = f"{line.object.split('/')[0]}/{line.adapter}"
        mark, engine, count = self._loaded.get((adapter, line.object), ((0, 0, 0), "", 0))
        now = self._causes.move_mark(adapter)
        if sent != now:
            self._loaded.pop((adapter, line.object), None)  # something happened meanwhile, such as another artifact
            return
        count = count + 1 if (mark, engine) == (now, line.engine) else 1
        self._loaded[adapter, line.object] = now, line.engine, count

    def _idle(self, line: Counts) -> None:
        """Check the counts of a minute in which nothing has happened."""
        state = self.state
        looks = len(self._faulty) * (_MINUTE / min(MISSING_TTL, state.run.audit_interval) + 1)
        most: Counter[str] = Counter(
            {
                "reconciles.total": int(looks) + len(state.adapters),
                "engine.list": int(looks + len(state.pods) * (_MINUTE / state.run.audit_interval + 1)),
                "api.list": LISTS_OF_A_MINUTE,
            }
        )
        for name, bound in most.items():
            self.deadlines.checked += 1
            if line.counts.get(name, 0) > bound:
                text = f"{line.counts[name]} {name} in a minute in which nothing happened, {bound} are allowed"
                self._violate(line.t, "the operator", text)

    def _violate(self, t: float, object_: str, text: str) -> None:
        self.deadlines.violate(t, object_, text, (self.state.index,))
