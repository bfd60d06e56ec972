"""Reduce a scenario that violates an invariant to a smaller one that still does.

Cuts are tried from coarse to fine: first faults, edits and whole adapter templates, then adapters, pods and replicas,
then time, then settings back to their defaults. A cut is kept if the same invariant is still violated with the same
seed. Shrinking ends when a whole round of cuts changes nothing, so the result is minimal with respect to single cuts.
"""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from formats.durations import format_duration, parse_duration
from twin.experiments.execution.task import Interrupted, Row, Task
from twin.experiments.execution.trial import perform
from twin.experiments.raw_scenario import RawScenario, to_scenario
from twin.scenario import ScenarioErrors
from twin.scenario.manifests.pod_templates import pod_templates

MAX_RUNS = 600
"""Limit of runs."""
ProgressCallback = Callable[[int, RawScenario], None]
"""Called after every run with the number of runs and the smallest scenario so far."""


@dataclass(frozen=True, slots=True)
class ShrinkResult:
    """A shrunk scenario and the violation that it still shows."""

    raw: RawScenario
    invariant: str
    violation: str
    runs: int
    partial: bool = False
    """True if Ctrl-C ended it before the smallest scenario was found."""


class NothingToShrink(Exception):
    """The scenario violates no invariant."""


def shrink(
    raw: RawScenario, source: str = "", invariant: str = "", on_run: ProgressCallback | None = None
) -> ShrinkResult:
    """Return the smallest scenario found that violates the same invariant (default: the first one violated).

    Raises:
        NothingToShrink: if the invariant is not violated.
        ScenarioErrors: if the raw scenario is not valid.
        KeyboardInterrupt: on Ctrl-C during the first run.
    """
    row = _run(raw, source)
    broken = row.collected.get("invariants", ())
    invariant = invariant or row.violation.partition(":")[0].removeprefix("invariant ")
    if invariant not in broken:
        raise NothingToShrink(row.error or "no invariant is violated")
    return _Shrinker(raw, invariant, row.violation, source, on_run).shrink()


class _Shrinker:
    def __init__(
        self, raw: RawScenario, invariant: str, violation: str, source: str, on_run: ProgressCallback | None
    ) -> None:
        self._best, self._violation = raw, violation
        self._invariant, self._source, self._on_run = invariant, source, on_run
        self._runs = 1

    def shrink(self) -> ShrinkResult:
        """Apply rounds of all cuts until a round changes nothing, or until Ctrl-C."""
        changed, partial = True, False
        try:
            while changed and self._runs < MAX_RUNS:
                changed = max([self._try_all(cuts) for cuts in CUTS])
        except KeyboardInterrupt:
            partial = True
        tidy = {key: value for key, value in self._best.items() if value not in ([], {})}
        return ShrinkResult(tidy, self._invariant, self._violation, self._runs, partial)

    def _try_all(self, cuts: Callable[[RawScenario], Iterator[RawScenario]]) -> bool:
        """Apply the first cut that keeps the violation, repeatedly; return True if any was applied."""
        changed = False
        while (smaller := next(filter(self._still_violates, cuts(self._best)), None)) is not None:
            self._best, changed = smaller, True
            if self._runs >= MAX_RUNS:
                break
        return changed

    def _still_violates(self, raw: RawScenario) -> bool:
        if self._runs >= MAX_RUNS:
            return False
        try:
            row = _run(raw, self._source)
        except ScenarioErrors:
            return False
        self._runs += 1
        if self._on_run is not None:
            self._on_run(self._runs, self._best)
        if self._invariant not in row.collected.get("invariants", ()):
            return False
        self._violation = row.violation
        return True


def _run(raw: RawScenario, source: str) -> Row:
    scenario = to_scenario(raw)
    task = Task(
        key="", variant="", seed=scenario.seed, settings={}, scenario=scenario, source=source, collect=("invariants",)
    )  # fmt: skip
    try:
        return perform(task)
    except Interrupted:
        raise KeyboardInterrupt from None


def _without_parts(section: str) -> Callable[[RawScenario], Iterator[RawScenario]]:
    """Cuts of a list: without half of it, a quarter, down to a single item."""

    def cuts(raw: RawScenario) -> Iterator[RawScenario]:
        items = raw.get(section) or []
        size = max(len(items), 1)
        while size >= 1 and items:
            for start in range(0, len(items), size):
                yield {**raw, section: [*items[:start], *items[start + size :]]}
            size //= 2

    return cuts


def _fewer_adapters(raw: RawScenario) -> Iterator[RawScenario]:
    for number, template in enumerate(raw.get("adapters") or []):
        for count in _fewer(template.get("count", 1)):
            yield _with(raw, ("adapters", number, "count"), count)


def _fewer_pods(raw: RawScenario) -> Iterator[RawScenario]:
    for number, item in enumerate(raw.get("objects") or []):
        for count in _fewer((item.get("spec") or {}).get("replicas", 1)):
            yield _with(raw, ("objects", number, "spec", "replicas"), count)


def _fewer_replicas(raw: RawScenario) -> Iterator[RawScenario]:
    for number, template in enumerate(raw.get("adapters") or []):
        for count in _fewer(template["spec"].get("replicas", 1)):
            yield _with(raw, ("adapters", number, "spec", "replicas"), count)
    for count in _fewer((raw.get("controller") or {}).get("replicas", 1)):
        yield _with(raw, ("controller", "replicas"), count)


def _simpler_arrivals(raw: RawScenario) -> Iterator[RawScenario]:
    for number, template in enumerate(raw.get("adapters") or []):
        if "leave" in template:
            yield _without(raw, ("adapters", number, "leave"))
        if "arrive" in template:
            yield _without(raw, ("adapters", number, "arrive"))


def _earlier(raw: RawScenario) -> Iterator[RawScenario]:
    """Each fault active from the start, so that the order of events matters less."""
    for number, fault in enumerate(raw.get("faults") or []):
        if "from" in fault and "until" in fault:
            yield _without(raw, ("faults", number, "from"))


def _defaults(raw: RawScenario) -> Iterator[RawScenario]:
    """Each setting of the cluster, the controller and the faults back to its default."""
    for section in ("cluster", "controller", "vary", "notes"):
        if section in raw:
            yield _without(raw, (section,))
            for key in raw[section] if isinstance(raw[section], dict) else ():
                yield _without(raw, (section, key))
    for number, fault in enumerate(raw.get("faults") or []):
        for key in fault:
            if key not in ("kind", "from", "until", "at", "every"):
                yield _without(raw, ("faults", number, key))


def _shorter(raw: RawScenario) -> Iterator[RawScenario]:
    """The run itself, then each fault, shortened."""
    total = parse_duration(raw.get("duration", "10m"))
    for share in (0.5, 0.8):
        yield {**raw, "duration": format_duration(float(round(total * share)))}
    for number, fault in enumerate(raw.get("faults") or []):
        if "until" in fault:
            begin, end = parse_duration(fault.get("from", 0)), parse_duration(fault["until"])
            if end - begin > 4:
                yield _with(raw, ("faults", number, "until"), format_duration(float(round(begin + (end - begin) / 2))))


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
    """Return smaller numbers than `count`, the smallest first."""
    if isinstance(count, int):
        yield from dict.fromkeys(number for number in (1, 2, 3, count // 2, count - 1) if 1 <= number < count)


def _with(raw: RawScenario, path: tuple[str | int, ...], value: Any) -> RawScenario:
    changed = copy.deepcopy(raw)
    parent: Any = changed
    for step in path[:-1]:
        parent = parent[step]
    parent[path[-1]] = value
    return changed


def _without(raw: RawScenario, path: tuple[str | int, ...]) -> RawScenario:
    changed = copy.deepcopy(raw)
    parent: Any = changed
    for step in path[:-1]:
        parent = parent[step]
    del parent[path[-1]]
    return changed


def describe_size(raw: RawScenario) -> str:
    """Describe the size of a scenario, for example "2 faults, 3 adapters, 2 pods, 10m"."""
    adapters = sum(template.get("count", 1) for template in raw.get("adapters") or [])
    adapters += sum(item.get("kind") == "ModelAdapter" for item in raw.get("objects") or [])
    pods = sum(
        template.replicas
        for item in raw.get("objects") or []
        if isinstance(item, dict)
        for template in pod_templates(item)
    )
    faults = len(raw.get("faults") or [])
    return (
        f"{faults} fault{'' if faults == 1 else 's'}, {adapters} adapter{'' if adapters == 1 else 's'}, "
        f"{pods} pod{'' if pods == 1 else 's'}, {raw.get('duration', '10m')}"
    )
