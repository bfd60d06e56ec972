"""Checks that a user of the twin makes: simulated worlds with their expectations, invariants, swarm; not a test."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from tests.harness.lifecycle import a_life, live
from tests.mutants.accounts import WORLDS, difference, run_world
from tests.mutants.checks import HONEST
from tests.mutants.records import Records
from tests.twin.faults.test_controller_faults import HARD_TIMES, TWO
from tests.twin.worlds import a_scenario
from twin.evaluate import invariants
from twin.evaluate.judge import evaluate
from twin.experiments.random_histories import RECIPES
from twin.experiments.random_mistakes import MISTAKES
from twin.experiments.random_scenario import draw
from twin.experiments.raw_scenario import RawScenario, to_scenario
from twin.kernel.random_streams import Streams
from twin.scenario import Scenario, load
from twin.sim.simulation import simulate
from twin.trace.lines import Line, LogLine

SCENARIOS = Path(__file__).parents[3] / "scenarios"
SHIPPED = (
    "troubleshooting/pending.yaml",
    "troubleshooting/failed.yaml",
    "private-artifacts.yaml",
    "refused-then-fine.yaml",
    "faults/unauthorized.yaml",
    "faults/metrics-stale.yaml",
    "faults/metrics-wrong.yaml",
    "kubernetes/statefulset.yaml",
    "demand/flash-crowd.yaml",
    "quickstart.yaml",
    "burst.yaml",
    "flapping-readiness.yaml",
    "node-loss.yaml",
    "kubernetes/drain.yaml",
    "kubernetes/leader-worker-set.yaml",
    "kubernetes/registry-outage.yaml",
    "outages/control-plane-down.yaml",
    "outages/cut-off-and-crowded.yaml",
    "outages/no-registry-in-a-burst.yaml",
    "retries/leave-at-once.yaml",
    "retries/one-bad-pod.yaml",
    "retries/short-outage.yaml",
    "retries/too-little-patience.yaml",
    "stability/a-grace-for-blips.yaml",
    "stability/restarts-all-around.yaml",
)
"""Scenarios that are shipped, take a second or two, and have to pass, as with `twin run`."""
Check = Callable[[Path, Records], str]
"""Takes a folder for its files, and what keeps its records; returns what it found, or an empty text."""
FIRST_SEED = 1000
"""First seed of the swarm."""
_TOO_LARGE = ("shrunk-from-100",)
"""Histories whose world costs as much as ten others; the swarm meets it."""


def user_checks(seeds: int) -> Mapping[str, Check]:
    """Return all checks by name. `seeds`: number of the swarm's scenarios."""
    checks: dict[str, Check] = {"life": _life} | {name: partial(_world, name) for name in WORLDS}
    checks |= {f"history {name}": partial(_history, name) for name in RECIPES if name not in _TOO_LARGE}
    checks |= {f"mistake: {name}": partial(_mistake, name) for name in MISTAKES}
    checks |= {name: partial(_shipped, name) for name in SHIPPED}
    checks |= {name: partial(_hard_times, name) for name in HARD_TIMES}
    return checks | {f"swarm, seed {seed}": partial(_swarm, seed) for seed in range(FIRST_SEED, FIRST_SEED + seeds)}


def _world(name: str, folder: Path, records: Records) -> str:
    wrong, told = run_world(name, folder, records)
    return wrong or difference(name, told)


def _life(folder: Path, records: Records) -> str:
    life = live(a_life(folder))
    if life.violations:
        first = life.violations[0]
        return f"{first.invariant}: {first.object} {first.message}"
    end = life.end()
    differs = next((f"{name} in the end: {end[name]}" for name in HONEST if end[name] != HONEST[name]), "")
    return differs or _error(life.lines)


def _history(name: str, folder: Path, records: Records) -> str:
    draft: RawScenario = draw(3, ())
    RECIPES[name](draft, Streams(3).get("mutants/history"))
    return _violation(to_scenario(draft))


def _mistake(name: str, folder: Path, records: Records) -> str:
    draft: RawScenario = draw(3, ())
    draft["cluster"]["missing_secrets"] = "absent"
    MISTAKES[name](draft, Streams(3).get("mutants/mistake"))
    return _violation(to_scenario(draft))


def _shipped(name: str, folder: Path, records: Records) -> str:
    """Run a scenario as `twin run` does; return why it did not pass, or an empty text."""
    scenario = load(SCENARIOS / name)
    lines = list(simulate(scenario).lines)
    result = evaluate(lines, scenario.expect)
    return _error(lines) if result.passed else result.verdict()


def _hard_times(name: str, folder: Path, records: Records) -> str:
    return _violation(a_scenario(folder, faults=HARD_TIMES[name], controller=TWO, duration="20m", seed=3))


def _swarm(seed: int, folder: Path, records: Records) -> str:
    return _violation(to_scenario(draw(seed)))


def _violation(scenario: Scenario) -> str:
    """Run a scenario and return the first violation or logged failure; empty without one."""
    lines = list(simulate(scenario).lines)
    violations = invariants.check(lines).violations
    if violations:
        first = violations[0]
        return f"{first.invariant}: {first.object} {first.message}"
    return _error(lines)


def _error(lines: list[Line]) -> str:
    """Return an error in the operator's log, which is never expected: a fault is a warning."""
    return next((line.text for line in lines if isinstance(line, LogLine) and line.level == "error"), "")
