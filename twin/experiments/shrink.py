"""From a scenario that breaks an invariant to the smallest one found that still does.

Cuts are tried from the coarse to the fine: faults, edits and whole templates of adapters go first, then adapters,
pods and replicas, then time is cut off, then settings return to their defaults. A cut stays if the same invariant is
still broken with the same seed; when a whole round brings nothing more, that is the result. It is a smallest one only
as far as single cuts reach.
"""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from formats.durations import format_duration, parse_duration
from twin.experiments.execution.task import Row, Task
from twin.experiments.execution.trial import perform
from twin.experiments.raw_scenario import RawScenario, to_scenario
from twin.scenario import ScenarioErrors

MOST_RUNS = 600
"""Runs after which it is small enough."""
ProgressCallback = Callable[[int, RawScenario], None]
"""ProgressCallback after every run how many there were, and what is the smallest so far."""


@dataclass(frozen=True, slots=True)
class ShrinkResult:
    """What came of it."""

    draft: RawScenario
    invariant: str
    violation: str
    runs: int


class NothingToShrink(Exception):
    """There is nothing to shrink: the scenario breaks no invariant."""


def shrink(
    draft: RawScenario, source: str = "", invariant: str = "", told: ProgressCallback | None = None
) -> ShrinkResult:
    """The smallest scenario found that breaks the same invariant (the first one that is broken, unless said).

    Raises:
        NothingToShrink: if nothing is broken to begin with.
        ScenarioErrors: if the draft is no scenario.
    """
    row = _run(draft, source)
    broken = row.collected.get("invariants", ())
    invariant = invariant or row.violation.partition(":")[0].removeprefix("invariant ")
    if invariant not in broken:
        raise NothingToShrink(row.error or "no invariant is broken")
    return _Search(draft, invariant, row.violation, source, told).go()


class _Search:
    def __init__(
        self, draft: RawScenario, invariant: str, violation: str, source: str, told: ProgressCallback | None
    ) -> None:
        self._best, self._violation = draft, violation
        self._invariant, self._source, self._told = invariant, source, told
        self._runs = 1

    def go(self) -> ShrinkResult:
        """Rounds of all cuts, until one changes nothing."""
        changed = True
        while changed and self._runs < MOST_RUNS:
            changed = max([self._try_all(cuts) for cuts in CUTS])
        tidy = {key: value for key, value in self._best.items() if value not in ([], {})}
        return ShrinkResult(tidy, self._invariant, self._violation, self._runs)

    def _try_all(self, cuts: Callable[[RawScenario], Iterator[RawScenario]]) -> bool:
        """Takes the first cut that keeps the violation, again and again."""
        changed = False
        while (smaller := next(filter(self._keeps, cuts(self._best)), None)) is not None:
            self._best, changed = smaller, True
            if self._runs >= MOST_RUNS:
                break
        return changed

    def _keeps(self, draft: RawScenario) -> bool:
        if self._runs >= MOST_RUNS:
            return False
        try:
            row = _run(draft, self._source)
        except ScenarioErrors:
            return False
        self._runs += 1
        if self._told is not None:
            self._told(self._runs, self._best)
        if self._invariant not in row.collected.get("invariants", ()):
            return False
        self._violation = row.violation
        return True


def _run(draft: RawScenario, source: str) -> Row:
    scenario = to_scenario(draft)
    task = Task(
        key="", variant="", seed=scenario.seed, settings={}, scenario=scenario, source=source, collect=("invariants",)
    )  # fmt: skip
    return perform(task)


def _without_parts(section: str) -> Callable[[RawScenario], Iterator[RawScenario]]:
    """A list without a half of it, a quarter, …, a single one."""

    def cuts(draft: RawScenario) -> Iterator[RawScenario]:
        items = draft.get(section) or []
        size = max(len(items), 1)
        while size >= 1 and items:
            for start in range(0, len(items), size):
                yield {**draft, section: [*items[:start], *items[start + size :]]}
            size //= 2

    return cuts


def _fewer_adapters(draft: RawScenario) -> Iterator[RawScenario]:
    for number, template in enumerate(draft.get("adapters") or []):
        for count in _fewer(template.get("count", 1)):
            yield _with(draft, ("adapters", number, "count"), count)


def _fewer_pods(draft: RawScenario) -> Iterator[RawScenario]:
    for number, item in enumerate(draft.get("objects") or []):
        for count in _fewer((item.get("spec") or {}).get("replicas", 1)):
            yield _with(draft, ("objects", number, "spec", "replicas"), count)


def _fewer_replicas(draft: RawScenario) -> Iterator[RawScenario]:
    for number, template in enumerate(draft.get("adapters") or []):
        for count in _fewer(template["spec"].get("replicas", 1)):
            yield _with(draft, ("adapters", number, "spec", "replicas"), count)
    for count in _fewer((draft.get("controller") or {}).get("replicas", 1)):
        yield _with(draft, ("controller", "replicas"), count)


def _simpler_arrivals(draft: RawScenario) -> Iterator[RawScenario]:
    for number, template in enumerate(draft.get("adapters") or []):
        if "leave" in template:
            yield _without(draft, ("adapters", number, "leave"))
        if "arrive" in template:
            yield _without(draft, ("adapters", number, "arrive"))


def _earlier(draft: RawScenario) -> Iterator[RawScenario]:
    """Each fault from the start on: then it matters less who comes when."""
    for number, fault in enumerate(draft.get("faults") or []):
        if "from" in fault and "until" in fault:
            yield _without(draft, ("faults", number, "from"))


def _defaults(draft: RawScenario) -> Iterator[RawScenario]:
    """One setting after the other back at its default: of the cluster, of the controller, of each fault."""
    for section in ("cluster", "controller", "vary", "notes"):
        if section in draft:
            yield _without(draft, (section,))
            for key in draft[section] if isinstance(draft[section], dict) else ():
                yield _without(draft, (section, key))
    for number, fault in enumerate(draft.get("faults") or []):
        for key in fault:
            if key not in ("kind", "from", "until", "at", "every"):
                yield _without(draft, ("faults", number, key))


def _shorter(draft: RawScenario) -> Iterator[RawScenario]:
    """The run itself, then each fault: a half, then nine tenths."""
    whole = parse_duration(draft.get("duration", "10m"))
    for share in (0.5, 0.8):
        yield {**draft, "duration": format_duration(float(round(whole * share)))}
    for number, fault in enumerate(draft.get("faults") or []):
        if "until" in fault:
            begin, end = parse_duration(fault.get("from", 0)), parse_duration(fault["until"])
            if end - begin > 4:
                until = format_duration(float(round(begin + (end - begin) / 2)))
                yield _with(draft, ("faults", number, "until"), until)


CUTS: tuple[Callable[[RawScenario], Iterator[RawScenario]], ...] = (
    _without_parts("faults"),
    _without_parts("edits"),
    _without_parts("adapters"),
    _without_parts("objects"),
    _fewer_adapters,
    _fewer_pods,
    _fewer_replicas,
    _simpler_arrivals,
    _earlier,
    _shorter,
    _defaults,
)


def _fewer(count: Any) -> Iterator[int]:
    """Smaller numbers than `count`, the smallest first."""
    if isinstance(count, int):
        yield from dict.fromkeys(number for number in (1, 2, 3, count // 2, count - 1) if 1 <= number < count)


def _with(draft: RawScenario, path: tuple[str | int, ...], value: Any) -> RawScenario:
    changed = copy.deepcopy(draft)
    place: Any = changed
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return changed


def _without(draft: RawScenario, path: tuple[str | int, ...]) -> RawScenario:
    changed = copy.deepcopy(draft)
    place: Any = changed
    for step in path[:-1]:
        place = place[step]
    del place[path[-1]]
    return changed


def sizes(draft: RawScenario) -> str:
    """How large it is, such as "2 faults, 3 adapters, 2 pods, 10m"."""
    adapters = sum(template.get("count", 1) for template in draft.get("adapters") or [])
    adapters += sum(item.get("kind") == "ModelAdapter" for item in draft.get("objects") or [])
    pods = sum(
        (item.get("spec") or {}).get("replicas", 1)
        for item in draft.get("objects") or []
        if item.get("kind") in ("Deployment", "ReplicaSet", "Pod")
    )
    faults = len(draft.get("faults") or [])
    return (
        f"{faults} fault{'' if faults == 1 else 's'}, {adapters} adapter{'' if adapters == 1 else 's'}, "
        f"{pods} pod{'' if pods == 1 else 's'}, {draft.get('duration', '10m')}"
    )
