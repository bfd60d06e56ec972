"""Checks of an operator, cheapest first, until one fails; not a test.

It is the program of a process of its own, since a process holds one `controller` only: it adopts a checkout, and names
each check on a line of its own before it makes it. The last line is the verdict.

    python -m tests.mutants.checks CHECKOUT SEEDS
"""

import signal
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twin.experiments.execution.worktree_child import use_controller_from

if TYPE_CHECKING:
    from tests.harness.lifecycle import Life

LONGEST = 20
"""CPU seconds for one check (one story), of which a correct operator needs two; the limit ends a busy loop."""
KILLS = 20
"""Number of points of a life at which it is killed."""
MIXED = Path(__file__).parents[1] / "data" / "mixed.yaml"
HARNESS = Path(__file__).parents[1] / "harness"
QUIETLY = (
    "-x",
    "-p",
    "no:terminal",
    "-p",
    "no:cacheprovider",
    "--assert=plain",
    "-o",
    "addopts=--import-mode=importlib",
)
STORIES = (
    "test_status_is_true.py",
    "test_choice_and_identity.py",
    "test_loads_and_changes.py",
    "test_refused_loads.py",
    "test_other_peoples_clusters.py",
    "test_takeover.py",
    "test_dying_engines.py",
    "test_autoscaling.py",
    "test_rebalancing.py",
    "test_on_demand.py",
    "test_refused_writes.py",
)

HONEST: dict[str, Any] = {
    "phases": {"default/a-0": "Running"},
    "replicas": {"default/a-0": 1},
    "retries forgotten": {"default/a-0": True},
    "roots": {("a-0", "acme/second"): 1},
    "published where loaded": True,
}
"""End of the life, which follows from its edits."""
EVENT_REASONS = {"Scheduled", "Loaded", "Unloaded", "MaxRetriesExceeded", "Switched"}
"""Reasons of the Events during the life."""
PHASES = ["Pending", "Scheduled", "Loading", "Bound", "Running"]
"""All phases of an adapter without problems."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A failed check."""

    check: str
    what: str


def check_all(folder: Path, seeds: int) -> Iterator[tuple[str, str]]:
    """Yield (check, violation or nothing) lazily; random checks run with at most `seeds` seeds."""
    for make in (_life, _worlds, _stories, _hard_times):
        yield from make(folder)
    yield from _kills(folder, min(seeds, KILLS))
    yield from _mixed(seeds)


def _life(folder: Path) -> Iterator[tuple[str, str]]:
    from tests.harness.lifecycle import a_life, live

    yield "life", ""
    life = live(a_life(folder))
    yield "life", _wrong(life) or _missing_events(life)


def _missing_events(life: "Life") -> str:
    from twin.trace.lines import AdapterLine, RequestLine

    if lacking := EVENT_REASONS - life.reasons():
        return f"no Event has the reasons {', '.join(sorted(lacking))}"
    phases: list[str] = []
    for line in life.lines:
        match line:
            case AdapterLine(object="default/all-0", phase=phase) if phase not in ("", *phases):
                phases.append(phase)
            case RequestLine(adapter="all-0", verb="load") if "Loading" not in phases:
                return f"a load is sent while its phase is {phases[-1:]}"
    return "" if phases == PHASES else f"its phases are {', '.join(phases)}"


def _wrong(life: "Life") -> str:
    if life.violations:
        first = life.violations[0]
        return f"{first.invariant}: {first.object} {first.message}"
    end = life.end()
    return next((f"{key} in the end: {end[key]}" for key in HONEST if end[key] != HONEST[key]), "")


def _worlds(folder: Path) -> Iterator[tuple[str, str]]:
    from tests.mutants.accounts import WORLDS, difference, run_world
    from tests.mutants.records import Records

    records = Records()
    for name in WORLDS:
        yield name, ""
        wrong, told = run_world(name, folder, records)
        yield name, wrong or difference(name, told)
    records.restore()


class _Failures:
    """pytest plug-in that collects failed tests."""

    def __init__(self) -> None:
        self.failed: list[tuple[str, str]] = []

    def pytest_runtest_setup(self) -> None:
        _limit_time()

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed:
            crash = getattr(report.longrepr, "reprcrash", None)
            self.failed.append((report.nodeid.split("::")[-1], crash.message if crash is not None else "failed"))


def _stories(folder: Path) -> Iterator[tuple[str, str]]:
    """The regression tests of `tests/harness`, named after the failure."""
    import pytest

    yield "stories", ""
    failures = _Failures()
    files = [str(file) for file in sorted(HARNESS.glob("test_*.py")) if file.name in STORIES]
    ended = pytest.main([*QUIETLY, f"--basetemp={folder / 'tests'}", *files], [failures])
    if ended and not failures.failed:
        yield "stories", f"pytest ended with {ended!r}"
    yield failures.failed[0] if failures.failed else ("stories", "")


def _hard_times(folder: Path) -> Iterator[tuple[str, str]]:
    from tests.twin.faults.test_controller_faults import HARD_TIMES, TWO
    from tests.twin.worlds import a_scenario

    for name, faults in HARD_TIMES.items():
        yield f"times: {name}", ""
        scenario = a_scenario(folder, faults=faults, controller=TWO, duration="20m", seed=3)
        yield f"times: {name}", _violation(scenario)


def _kills(folder: Path, number: int) -> Iterator[tuple[str, str]]:
    from tests.harness.lifecycle import a_life, live, points

    scenario = a_life(folder)
    every = points(live(scenario).steps)
    for point in every[:: max(len(every) // number, 1)]:
        yield f"life killed {point}", ""
        yield f"life killed {point}", _wrong(live(scenario, point))


def _mixed(seeds: int) -> Iterator[tuple[str, str]]:
    from dataclasses import replace

    from twin.scenario import load

    scenario = load(MIXED)
    for seed in range(seeds):
        yield f"mixed, seed {seed}", ""
        yield f"mixed, seed {seed}", _violation(replace(scenario, seed=seed))


def _violation(scenario: Any) -> str:
    from twin.evaluate import invariants
    from twin.sim.simulation import simulate

    violations = invariants.check(list(simulate(scenario).lines)).violations
    if not violations:
        return ""
    first = violations[0]
    return f"{first.invariant}: {first.object} {first.message}"


def _limit_time() -> None:
    """Let this process end itself after `LONGEST` from now."""
    signal.setitimer(signal.ITIMER_VIRTUAL, LONGEST)


def main(checkout: str, seeds: int) -> None:
    use_controller_from(checkout)
    tried, last = 0, ""
    with tempfile.TemporaryDirectory() as folder:
        checks = check_all(Path(folder), seeds)
        while True:
            _limit_time()
            try:
                check, wrong = next(checks)
            except StopIteration:
                break
            except Exception as error:
                wrong, check = f"{type(error).__name__}: {error}", last
            if check != last:
                tried, last = tried + 1, check
                print(f"{tried}\t{check}\t", flush=True)
            if wrong:
                print(f"{tried}\t{check}\t{' '.join(wrong.split())}", flush=True)
                return
    print(f"{tried}\tnone\t", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
