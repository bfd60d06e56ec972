"""Histories that a run has met, detected from its record: what survivors of mutation tests needed to be found."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from twin.trace.lines import (
    AdapterLine,
    ControllerLine,
    Counts,
    LeaseLine,
    Line,
    PodLine,
    RequestLine,
    Run,
    SliceLine,
)

HISTORIES: Mapping[str, str] = {
    "recreated-while-failed": "an adapter is deleted while Failed, and created again under its name",
    "edited-late-in-retries": "a spec changes after the third attempt of a series",
    "same-name-other-address": "a pod comes back with its name and another address, as in a StatefulSet",
    "equal-labels-in-namespaces": "adapters of several namespaces select pods by the same labels",
    "ipv6": "pods have an IPv6 address first",
    "dual-stack": "pods have an address of each family",
    "shrunk-from-100": "a Service with more than 100 endpoints shrinks to fewer",
    "full-queue-pod-died": "a pod goes away while it has as many requests in flight as are allowed",
    "list-overtaken": "a load or unload succeeds between an engine's list and its answer",
    "slow-credentials": "reading a Secret takes more than a second",
    "retry-after": "an engine answers 429, 503 or 504 with Retry-After",
    "slow-lease": "two renewals of the Lease are more than five seconds apart",
    "long-termination": "a pod is terminating for more than a minute",
    "leftovers-of-two-leaders": "two leaders have gone while an adapter had a request in flight, or a pod to unload",
}
"""Name to description."""

_MANY = 100  # endpoints; Kubernetes' own limit of a slice
_LATE = 3  # retries
_LONG_TERMINATION = 60.0  # seconds
_SLOW_RENEWAL = 5.0  # seconds; the Lease is renewed every two
_OVERLOADED = (429, 503, 504)


def histories(lines: Sequence[Line]) -> list[str]:
    """Return the names of the histories that a run has met, sorted."""
    run = lines[0]
    assert isinstance(run, Run)
    detector = _Detector(run)
    for line in lines[1:]:
        detector.see(line)
    return sorted(detector.met)


class _Detector:
    def __init__(self, run: Run) -> None:
        self.met: set[str] = set()
        self._run = run
        self._adapters: dict[str, AdapterLine] = {}
        self._failed: set[str] = set()
        """Adapters that were Failed when they were deleted."""
        self._selectors: dict[str, set[str]] = defaultdict(set)
        """Selector to the namespaces of its adapters."""
        self._addresses: dict[str, str] = {}
        self._terminating: dict[str, float] = {}
        self._in_flight: dict[str, dict[int, RequestLine]] = defaultdict(dict)
        self._renewed: dict[str, float] = {}
        self._slices: dict[str, dict[str, int]] = defaultdict(dict)
        self._large: set[str] = set()
        self._left: Counter[str] = Counter()
        """Adapter to the leaders that have left something of it."""

    def see(self, line: Line) -> None:
        match line:
            case AdapterLine():
                self._adapter(line)
            case PodLine():
                self._pod(line)
            case RequestLine():
                self._request(line)
            case SliceLine():
                self._slice(line)
            case LeaseLine():
                self._meet("slow-lease", line.t - self._renewed.get(line.by, line.t) > _SLOW_RENEWAL)
                self._renewed[line.by] = line.t
            case Counts():
                self._meet("list-overtaken", "engine.lists_overtaken" in line.counts)
                self._meet("slow-credentials", "api.slow_secrets" in line.counts)
            case ControllerLine(event="crashed" | "lost"):
                self._leader_gone(line)

    def _meet(self, name: str, met: bool) -> None:
        if met:
            self.met.add(name)

    def _adapter(self, line: AdapterLine) -> None:
        before = self._adapters.get(line.object)
        if line.event == "deleted":
            self._left.pop(line.object, None)
            self._adapters.pop(line.object, None)
            return
        if line.deleting and before is not None and not before.deleting and before.phase == "Failed":
            self._failed.add(line.object)
        self._meet("recreated-while-failed", line.event == "created" and line.object in self._failed)
        if before is not None and before.generation != line.generation and not line.deleting:
            self._meet("edited-late-in-retries", max(before.attempts.values(), default=0) >= _LATE)
        selector = f"{sorted(line.selector.items())} {line.expressions}"
        self._selectors[selector].add(line.object.split("/")[0])
        self._meet("equal-labels-in-namespaces", len(self._selectors[selector]) > 1)
        self._adapters[line.object] = line

    def _pod(self, line: PodLine) -> None:
        gone = line.event == "deleted"
        if gone or line.terminating:
            full = len(self._in_flight[line.object]) >= self._run.max_requests_per_pod
            self._meet("full-queue-pod-died", full)
            since = self._terminating.setdefault(line.object, line.t)
            self._meet("long-termination", gone and line.t - since > _LONG_TERMINATION)
        if gone:
            del self._terminating[line.object]
            return
        if line.ip:
            former = self._addresses.setdefault(f"{line.object} {line.uid}", line.ip)
            names = [ip for name, ip in self._addresses.items() if name.startswith(f"{line.object} ")]
            self._meet("same-name-other-address", line.ip != former or len(set(names)) > 1)
            self._meet("ipv6", ":" in line.ip)
            self._meet("dual-stack", len(line.ips) > 1)

    def _request(self, line: RequestLine) -> None:
        if line.event == "sent":
            self._in_flight[line.object][line.id] = line
            return
        self._in_flight[line.object].pop(line.id, None)
        self._meet("retry-after", line.status in _OVERLOADED and bool(line.retry_after))

    def _slice(self, line: SliceLine) -> None:
        self._slices[line.adapter][line.object] = len(line.pods) if line.event != "deleted" else 0
        endpoints = sum(self._slices[line.adapter].values())
        if endpoints > _MANY:
            self._large.add(line.adapter)
        self._meet("shrunk-from-100", line.adapter in self._large and endpoints <= _MANY)

    def _leader_gone(self, line: ControllerLine) -> None:
        left = set[str]()
        for requests in self._in_flight.values():
            for number in [number for number, request in requests.items() if request.by == line.by]:
                request = requests.pop(number)
                left.add(f"{request.object.split('/')[0]}/{request.adapter}")
        left |= {name for name, item in self._adapters.items() if set(item.placements) - set(item.instances)}
        self._left.update(left)
        self._meet("leftovers-of-two-leaders", any(self._left[name] > 1 for name in left))
