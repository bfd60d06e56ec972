"""`make mutants SAMPLE=200 SEED=1`: rates at which random mistakes are found; not a test.

Each mistake is judged by two sides, each in a process of its own: what a user runs (`user_checks.py`), and the unit
tests and stories of the operator. Only checks that run the changed line are made, until one fails.
"""

import argparse
import gc
import importlib
import os
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from pathlib import Path

from tests.mutants.generated import unit_tests
from tests.mutants.generated.children import run_all
from tests.mutants.generated.judging import Case, Finding, Side, finding, judge, order_checks
from tests.mutants.generated.operators import Mutation
from tests.mutants.generated.reach import ReachTable, reach_table
from tests.mutants.generated.sample import draw
from tests.mutants.generated.user_checks import Check, user_checks

SIDES: tuple[Side, ...] = ("user", "tests")
_NAMES: Mapping[Side, str] = {"user": "worlds, invariants and swarm", "tests": "unit tests and stories"}


@dataclass(slots=True)
class Examination:
    """Findings about a sample."""

    table: ReachTable
    checks: Mapping[str, Check]
    sides: Sequence[Side]
    budget: float = inf
    """CPU seconds of a user's checks for one mistake."""
    findings: dict[Mutation, dict[Side, Finding]] = field(default_factory=dict)
    kills: Counter[str] = field(default_factory=Counter)
    """Check to the number of mistakes that it has found."""
    cpu: float = 0.0

    def run(self, sample: Sequence[Mutation], jobs: int) -> None:
        """Judge each mistake, and print each result as it comes."""
        for ending in run_all(self._cases(sample), judge, jobs):
            result = finding(ending)
            self.kills[result.check] += 1
            self.cpu += result.cpu
            results = self.findings.setdefault(result.mutation, {})
            results[result.side] = result
            if len(results) == len(self.sides):
                print(f"{result.mutation}\n    {' | '.join(_line(results[side]) for side in self.sides)}", flush=True)

    def _cases(self, sample: Sequence[Mutation]) -> Iterator[Case]:
        for mutation in sample:
            for side in self.sides:
                reach = self.table.user if side == "user" else self.table.tests
                order = order_checks(mutation, reach, self.kills)
                yield Case(mutation, side, order, reach, self.checks, self.budget)

    def rates(self) -> Iterator[str]:
        """Yield the lines of the result."""
        total = len(self.findings)
        for side in self.sides:
            count = sum(bool(results[side].check) for results in self.findings.values())
            yield f"{_NAMES[side]}: {count} of {total}, {count / max(total, 1):.1%}"
        survivors = [m for m, results in self.findings.items() if not any(f.check for f in results.values())]
        count = total - len(survivors)
        yield f"either: {count} of {total}, {count / max(total, 1):.1%}"
        if "user" in self.sides:
            visible = sum(bool(r["user"].check or r["user"].differing) for r in self.findings.values())
            yield f"a user who compares records with those of the operator before sees {visible} of {total}"
        partly = [m for m in survivors if any(f.tried < f.reaching for f in self.findings[m].values())]
        if partly:
            yield f"{len(partly)} of the survivors were not judged to the end: --budget is too small"
        for mutation in survivors:
            yield f"survived: {mutation}"


def _line(result: Finding) -> str:
    if result.check:
        return f"{result.side}: {result.check}: {result.what[:90]} ({result.tried}, {result.cpu:.1f} s)"
    visible = f", other records in {', '.join(result.differing[:3])}" if result.differing else ""
    return f"{result.side}: SURVIVED {result.tried} of {result.reaching} checks{visible} ({result.cpu:.1f} s)"


def prepare(sides: Sequence[Side], seeds: int, jobs: int, reach: Path | None) -> tuple[Mapping[str, Check], ReachTable]:
    """Return the checks and their reach, and import what they need, so that no child process does."""
    checks = user_checks(seeds) if "user" in sides else {}
    files = unit_tests.files() if "tests" in sides else []
    table = reach_table(checks, files, jobs, reach)
    for module in table.modules:
        importlib.import_module(module)
    gc.collect()
    gc.freeze()
    return checks, table


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="make mutants", description=__doc__)
    parser.add_argument("--sample", type=int, default=200, help="Number of random mistakes.")
    parser.add_argument("--seed", type=int, default=1, help="Seed of the sample.")
    parser.add_argument("--only", choices=SIDES, help="Run one side only (default: both).")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="Processes at a time.")
    parser.add_argument("--seeds", type=int, default=12, help="Number of the swarm's scenarios for each mistake.")
    parser.add_argument("--budget", type=float, default=inf, help="CPU seconds of a user's checks for each mistake.")
    parser.add_argument(
        "--reach",
        type=Path,
        metavar="FILE",
        help="Lines that each check runs, from an earlier run; a check that it lacks is added "
        "(default: those of the current code, in ~/.cache/lora-twin/mutants).",
    )
    options = parser.parse_args(arguments)
    began = os.times().elapsed
    sides: Sequence[Side] = (options.only,) if options.only else SIDES
    checks, table = prepare(sides, options.seeds, options.jobs, options.reach)
    if wrong := table.wrong():
        print("\n".join(f"the operator as it is was accused by {text}" for text in wrong))
        return 1
    costs = [sum(entry.cost for entry in side.values()) for side in (table.user, table.tests)]
    print(
        f"{len(table.user)} checks of a user ({costs[0]:.0f} CPU seconds), {len(table.tests)} tests ({costs[1]:.0f}); "
        f"after {os.times().elapsed - began:.0f} s",
        flush=True,
    )
    examination = Examination(table, checks, sides, options.budget)
    examination.run(draw(options.sample, options.seed), options.jobs)
    print("\n".join(examination.rates()))
    real, cpu = os.times().elapsed - began, examination.cpu
    print(f"{real:.0f} s, {cpu:.0f} CPU seconds in {options.jobs} processes at a time")
    return 0


if __name__ == "__main__":
    sys.exit(main())
