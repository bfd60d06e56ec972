"""Checks that a user of the twin makes: simulated worlds with their expectations, invariants, swarm; not a test.

They run in the process of one mistake, cheapest first, until one fails.
"""

from collections.abc import Iterator
from pathlib import Path

from tests.harness.lifecycle import a_life, live
from tests.mutants.checks import HONEST
from tests.mutants.control import CONTROL_WORLDS
from tests.mutants.small import POD_WORLDS
from tests.mutants.weights import WEIGHT_WORLDS
from tests.twin.faults.test_controller_faults import HARD_TIMES, TWO
from tests.twin.worlds import a_scenario
from twin.evaluate import invariants
from twin.evaluate.judge import evaluate
from twin.experiments.random_histories import RECIPES
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
)
"""Scenarios that are shipped and show what the small worlds do not; they have to pass, as with `twin run`."""
Check = tuple[str, str]
"""Name, and what was found; empty if nothing was."""
_TOO_LARGE = ("shrunk-from-100",)
"""Histories whose world costs as much as ten others; the swarm meets it."""


def user_checks(folder: Path, seeds: range) -> Iterator[Check]:
    """Yield the results of all checks, lazily."""
    yield "life", _life(folder)
    for name, judge in (POD_WORLDS | CONTROL_WORLDS | WEIGHT_WORLDS).items():
        yield name, judge(folder)
    for name in [name for name in RECIPES if name not in _TOO_LARGE]:
        yield f"history {name}", violation(to_scenario(_with_history(name)))
    for name in SHIPPED:
        yield name, _run(SCENARIOS / name)
    for name, faults in HARD_TIMES.items():
        yield name, violation(a_scenario(folder, faults=faults, controller=TWO, duration="20m", seed=3))
    for seed in seeds:
        yield f"swarm, seed {seed}", violation(to_scenario(draw(seed)))


def violation(scenario: Scenario) -> str:
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


def _run(file: Path) -> str:
    """Run a scenario as `twin run` does; return why it did not pass, or an empty text."""
    scenario = load(file)
    lines = list(simulate(scenario).lines)
    result = evaluate(lines, scenario.expect)
    return _error(lines) if result.passed else result.verdict()


def _with_history(name: str) -> RawScenario:
    draft = draw(3, ())
    RECIPES[name](draft, Streams(3).get("mutants/history"))
    return draft


def _life(folder: Path) -> str:
    life = live(a_life(folder))
    if life.violations:
        first = life.violations[0]
        return f"{first.invariant}: {first.object} {first.message}"
    end = life.end()
    differs = next((f"{name} in the end: {end[name]}" for name in HONEST if end[name] != HONEST[name]), "")
    return differs or _error(life.lines)
