"""Invariant of claims (13): what conditions and events say about requests, replicas and pods has happened."""

import re
from collections import Counter
from collections.abc import Hashable, Sequence
from functools import lru_cache
from typing import ClassVar, NamedTuple

from twin.evaluate.invariants.base import Kinds
from twin.evaluate.invariants.deadlines import DeadlineTracker
from twin.evaluate.invariants.placement import matching_count
from twin.evaluate.invariants.state import ClusterState
from twin.trace.lines import AdapterLine, ApiLine, ControllerLine, EventLine, Line, PodLine, RequestLine

_POD = r"(?P<pod>[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?)"
_FAILED = re.compile(rf"(?P<number>\d+) of (?P<allowed>\d+) attempts on {_POD} have failed")
_USED = re.compile(rf"(?P<number>\d+) of (?P<allowed>\d+) attempts on {_POD} are used, the results of (?P<unknown>\d+)")
_SERVE = re.compile(r"(?P<number>\d+) of \d+ replicas serve")
_SELECTED = re.compile(r"has selected (?P<number>\d+) pods for scheduling: \[(?P<pods>[^\]]*)\]")
_NONE_READY = re.compile(r"none of (?P<number>\d+) matching pods is ready")
_EXHAUSTED = re.compile(rf"Max retries exceeded for pod {_POD}: ")
_LOADED = re.compile(rf"Successfully loaded adapter on pod {_POD}$")
_UNLOADED = re.compile(rf"Unloaded adapter from pod {_POD}$")
_REFUSED = re.compile(rf"Loading on pod {_POD} failed: (?P<status>\d{{3}}) ")
_NONSENSE = re.compile(
    r"-\d+ (?:of|more|pods|replicas|attempts)\b|\b(?:pod|on|until) None\b|\bnan\b|<[\w.]+ object at|\bb'"
)
"""Texts that a reader cannot use: negative numbers of things, and values of Python."""
_REPORTED = 30.0
"""Seconds until an Event is written, from the load or from the Event before it: they are written one after another, in
the background."""
_REPORT = "report"
"""First part of the keys of these deadlines."""

_Place = tuple[str, str]
"""Adapter and pod, as `namespace/name`."""


class _Numbers(NamedTuple):
    """Numbers and names in the message of a condition: attempts, replicas and pods."""

    failed: Sequence[re.Match[str]]
    used: Sequence[re.Match[str]]
    serve: re.Match[str] | None
    none_ready: re.Match[str] | None


@lru_cache(maxsize=1 << 14)
def _numbers(text: str) -> _Numbers:
    """Return the numbers in a message; kept, because most lines repeat the messages of the line before."""
    return _Numbers(
        tuple(_FAILED.finditer(text)), tuple(_USED.finditer(text)), _SERVE.search(text), _NONE_READY.search(text)
    )


@lru_cache(maxsize=1 << 14)
def _nonsense(text: str) -> str:
    """Return a part of the text that no reader can use; empty if it has no such part."""
    match = _NONSENSE.search(text)
    return match[0] if match is not None else ""


class ClaimsHaveHappened:
    """13. Each number in a condition or an event agrees with what the engines and the API server have recorded.

    Attempts that are said to have failed are loads that the pod was sent and that did not succeed; what is said of a
    load or unload has happened as often as the event counts it; replicas that are said to serve are those in
    `status.instances`; pods are those that the API server shows. An attempt that was announced before a crash, or whose
    announcement failed, counts as used, sent or not, so each of these may add one. A text has no negative number of
    things and no value of Python, and the count of an Event only grows. An Event reports each load that has succeeded,
    unless a crash or a failed write has lost it.
    """

    kinds: ClassVar[Kinds] = frozenset({RequestLine, ControllerLine, ApiLine, AdapterLine, EventLine, PodLine})

    def __init__(self, state: ClusterState) -> None:
        self.state = state
        self.deadlines = DeadlineTracker(13, self._restart)
        self._failed: Counter[_Place] = Counter()
        self._announced: Counter[_Place] = Counter()
        """Highest number of attempts that the object has announced: the status is written after they are removed."""
        self._sent: Counter[tuple[str, _Place]] = Counter()
        """(verb, place) to the number of requests."""
        self._answers: set[tuple[_Place, int]] = set()
        """Places and the statuses of their loads."""
        self._crashes = 0
        self._counts: dict[tuple[str, str], int] = {}
        """Adapter's UID and note to the count of the Event."""
        self._unreported: set[_Place] = set()
        """Loads that have succeeded and that no Event has reported yet."""
        self._last_event = 0.0
        self._counted: dict[str, int] = {}
        """Adapter to the number of matching pods that its conditions name."""

    def see(self, line: Line) -> None:
        match line:
            case RequestLine():
                self._request(line)
            case ControllerLine(event="crashed" | "lost" | "stopped"):
                self._crashes += 1
                self._forget_reports(line.t)
            case ApiLine(resource="events") if line.code >= 400:
                self._forget_reports(line.t)
            case ApiLine(resource="modeladapters") if line.code >= 500:
                self._crashes += 1
            case AdapterLine():
                self._conditions(line)
            case EventLine():
                self._event(line)
            case PodLine():
                for adapter in sorted(self._counted):
                    self._check_matching(adapter, line.t)

    def _request(self, line: RequestLine) -> None:
        place = (f"{line.object.split('/')[0]}/{line.adapter}", line.object)
        if line.event == "sent":
            self._sent[line.verb, place] += 1
        elif line.verb == "load":
            self._failed[place] += line.status != 200
            self._answers.add((place, line.status))
            if line.status == 200:
                self._report(place, line.t, missing=True)

    def _conditions(self, line: AdapterLine) -> None:
        for pod, retries in line.attempts.items():
            place = (line.object, f"{line.object.split('/')[0]}/{pod}")
            self._announced[place] = max(self._announced[place], retries + 1)
        if line.event == "deleted":
            for place in [place for place in self._unreported if place[0] == line.object]:
                self._report(place, line.t, missing=False)
        self._readable(line, line.message)
        for text in line.messages.values():
            self._readable(line, text)
            named = _numbers(text)
            for match in named.failed:
                self._at_most(line, match, self._failed[self._place(line, match)], "loads there have failed", text)
            for match in named.used:
                announced = self._announced[self._place(line, match)]
                self._at_most(line, match, announced, "attempts were announced", text)
                known = self._failed[self._place(line, match)]
                self._claim(line, int(match["number"]) - int(match["unknown"]) <= known, text, f"{known} have failed")
            if named.serve is not None:
                count = len(line.instances)
                self._claim(line, int(named.serve["number"]) == count, text, f"status.instances has {count}")
            self._selected(line, text)
        found = [_numbers(text).none_ready for text in line.messages.values()]
        counts = [int(match["number"]) for match in found if match is not None]
        if counts and line.event != "deleted":
            self._counted[line.object] = counts[0]
        elif line.object in self._counted:
            del self._counted[line.object]
            self.deadlines.check(line.object, False, line.t, 0.0, line.object, "")
        if counts:
            self._check_matching(line.object, line.t)

    def _event(self, line: EventLine) -> None:
        allowed = len(self.state.run.retry_waits) + 1
        self._last_event = line.t
        self._selected(line, line.note)
        self._readable(line, line.note)
        self._grows(line)
        if (match := _LOADED.match(line.note)) is not None:
            self._report(self._place(line, match), line.t, missing=False)
        if (match := _EXHAUSTED.match(line.note)) is not None:
            failed = self._failed[self._place(line, match)]
            self._claim(line, failed + self._crashes >= allowed, line.note, f"{failed} of {allowed} loads have failed")
        for pattern, verb in ((_LOADED, "load"), (_UNLOADED, "unload")):
            if (match := pattern.match(line.note)) is not None:
                sent = self._sent[verb, self._place(line, match)]
                self._claim(line, sent >= line.count, f"{line.note} ({line.count} times)", f"{sent} {verb}s were sent")
        if (match := _REFUSED.match(line.note)) is not None:
            answered = (self._place(line, match), int(match["status"])) in self._answers
            self._claim(line, answered, line.note, "no load got that answer")

    def _readable(self, line: AdapterLine | EventLine, text: str) -> None:
        nonsense = _nonsense(text)
        self._claim(line, not nonsense, text, f"{nonsense} says nothing")

    def _grows(self, line: EventLine) -> None:
        adapter = self.state.adapters.get(line.object)
        event = (adapter.uid if adapter is not None else line.object, f"{line.reason} {line.note}")
        before = self._counts.get(event, 0)
        self._claim(
            line, line.count > before or line.count == 1, line.note, f"its count was {before} and is {line.count}"
        )
        self._counts[event] = line.count

    def _report(self, place: _Place, t: float, *, missing: bool) -> None:
        """Record that a successful load has to be reported, or is."""
        if missing:
            self._unreported.add(place)
        else:
            self._unreported.discard(place)
        message = f"no Event reports the load on {place[1]}"
        bound = self.state.detection_bound(t) + _REPORTED
        self.deadlines.check((_REPORT, *place), missing, t, bound, place[0], message, (self.state.index,))

    def _restart(self, key: Hashable, t: float) -> tuple[float, float]:
        """Return (since, bound) of a deadline that ends at `t`: while Events are written, the queue moves."""
        bound = self.state.detection_bound(t)
        if not isinstance(key, tuple) or key[0] != _REPORT:
            return t - bound, bound
        return max(t - bound - _REPORTED, self._last_event), bound + _REPORTED

    def _forget_reports(self, t: float) -> None:
        """Excuse Events that were queued: they are the least important writes, and a lost one is not repeated."""
        for place in sorted(self._unreported):
            self._report(place, t, missing=False)

    def _selected(self, line: AdapterLine | EventLine, text: str) -> None:
        if (match := _SELECTED.search(text)) is None:
            return
        namespace, pods = line.object.split("/")[0], match["pods"].split()
        self._claim(line, int(match["number"]) == len(pods), text, f"it names {len(pods)}")
        shown, gone = self.state.pods, self.state.gone
        unknown = [pod for pod in pods if (key := f"{namespace}/{pod}") not in shown and key not in gone]
        self._claim(line, not unknown, text, f"no pod is called {unknown[:1]}")

    def _check_matching(self, adapter: str, t: float) -> None:
        """Check the number of matching pods; it may lag behind the API server."""
        line = self.state.adapters.get(adapter)
        if line is None:
            return
        claimed, count = self._counted[adapter], matching_count(self.state, line)
        message = f"its conditions count {claimed} matching pods, the API server shows {count},"
        bound = self.state.detection_bound(t)
        self.deadlines.check(adapter, claimed != count, t, bound, adapter, message, (self.state.index,))

    def _at_most(self, line: AdapterLine, match: re.Match[str], most: int, what: str, text: str) -> None:
        allowed = len(self.state.run.retry_waits) + 1
        right = int(match["number"]) <= most and int(match["allowed"]) == allowed
        self._claim(line, right, text, f"{most} {what}, {allowed} are allowed")

    def _claim(self, line: AdapterLine | EventLine, right: bool, text: str, record: str) -> None:
        self.deadlines.checked += 1
        if not right:
            message = f"it says {text!r}, but {record}"
            self.deadlines.violate(line.t, line.object, message, (self.state.index,))

    def _place(self, line: AdapterLine | EventLine, match: re.Match[str]) -> _Place:
        return line.object, f"{line.object.split('/')[0]}/{match['pod']}"
