"""`make mutants SAMPLE=200 SEED=1`: rates at which random mistakes are found; not a test.

Each mistake runs in two processes of its own: one with what a user runs (`user_checks.py`), one with the unit tests of
the operator. The first check that fails ends a process, as does a check that takes too long.
"""

import argparse
import json
import os
import resource
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from math import inf
from pathlib import Path
from threading import Lock

import pytest

from tests.mutants.applying import ROOT
from tests.mutants.checks import QUIETLY
from tests.mutants.generated.operators import Mutation
from tests.mutants.generated.sample import draw
from tests.mutants.generated.swapping import swap
from tests.mutants.generated.user_checks import user_checks

LONGEST = 30
"""CPU seconds for one check of a user, of which the operator as it is needs at most ten."""
TESTS_LONGEST = 240
"""CPU seconds for the unit tests."""
MEMORY = 3 << 30
_FORKING = Lock()
FIRST_SEED = 1000
"""First seed of the swarm that each mistake meets."""
_UNIT = ("api", "cache", "client", "engine", "policies", "reconcile", "requests", "runtime")
_ALONE = ("test_backoff.py", "test_operator_stop.py")


@dataclass(frozen=True, slots=True)
class Finding:
    """Result of the checks of one mistake."""

    check: str
    """Check that failed; empty if none did."""
    what: str = ""


@dataclass(frozen=True, slots=True)
class Fate:
    """Findings for one mistake; None if that side did not run."""

    mutation: Mutation
    user: Finding | None
    tests: Finding | None

    @property
    def survived(self) -> bool:
        return not any(finding is not None and finding.check for finding in (self.user, self.tests))


def as_user(mutation: Mutation | None, seeds: int = 0, budget: float = inf) -> Finding:
    """Run what a user runs, in a process of its own.

    `seeds`: number of the swarm's scenarios. `budget`: CPU seconds after which no further check begins.
    """
    return _forked(lambda: _user(mutation, seeds, budget))


def in_tests(mutation: Mutation | None) -> Finding:
    """Run the unit tests of the operator, those of the changed package first, in a process of its own."""
    return _forked(lambda: _tests(mutation))


def _user(mutation: Mutation | None, seeds: int, budget: float) -> Finding:
    last = "start"
    try:
        if mutation is not None:
            swap(mutation)
        with tempfile.TemporaryDirectory() as folder:
            _limit(LONGEST)
            for check, what in user_checks(Path(folder), range(FIRST_SEED, FIRST_SEED + seeds)):
                last = check
                if what:
                    return Finding(check, what)
                if resource.getrusage(resource.RUSAGE_SELF).ru_utime > budget:
                    return Finding("", f"the budget ended after {check}")
                _limit(LONGEST)
    except Exception as error:  # the operator itself failed
        return Finding(f"after {last}", f"{type(error).__name__}: {error}")
    return Finding("")


def _tests(mutation: Mutation | None) -> Finding:
    _limit(TESTS_LONGEST)
    if mutation is not None:
        swap(mutation)
    failed: list[str] = []

    class Failures:
        def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
            if report.failed:
                failed.append(report.nodeid.split("::")[-1])

    with tempfile.TemporaryDirectory() as folder:
        files = [str(ROOT / "tests/controller" / name) for name in _unit_tests(mutation)]
        ended = pytest.main([*QUIETLY, f"--basetemp={folder}/tests", *files], [Failures()])
    return Finding(failed[0] if failed else f"pytest ended with {ended!r}" if ended else "")


def _unit_tests(mutation: Mutation | None) -> Sequence[str]:
    own = mutation.file.split("/")[0] if mutation is not None else ""
    return sorted((*_UNIT, *_ALONE), key=lambda name: name != own)


def _limit(seconds: int) -> None:
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)  # ends the process


def _forked(work: Callable[[], Finding]) -> Finding:
    """Return the result of `work` in a child process, or how that process died."""
    with _FORKING:  # so that no other child inherits this pipe
        reading, writing = os.pipe()
        child = os.fork()
        if child:
            os.close(writing)
    if child == 0:
        os.close(reading)
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        finding = work()
        os.write(writing, json.dumps([finding.check, finding.what[:500]]).encode())
        os._exit(0)
    with os.fdopen(reading, "rb") as pipe:
        answer = pipe.read()
    _, status = os.waitpid(child, 0)
    if answer:
        return Finding(*json.loads(answer))
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGVTALRM:
        return Finding("time limit", "it never ends")
    return Finding("its process", f"died with status {status}")


@dataclass(frozen=True, slots=True)
class Sides:
    """Kinds of checks that run."""

    user: bool
    tests: bool
    seeds: int
    budget: float


def examine(sample: Sequence[Mutation], sides: Sides, jobs: int) -> list[Fate]:
    """Run both kinds of checks for each mistake, and print each result as it comes."""

    def one(mutation: Mutation) -> Fate:
        user = as_user(mutation, sides.seeds, sides.budget) if sides.user else None
        fate = Fate(mutation, user, in_tests(mutation) if sides.tests else None)
        ends = [("user", fate.user), ("tests", fate.tests)]
        texts = [
            f"{name}: {end.check or 'SURVIVED'} {' '.join(end.what.split())[:90]}"
            for name, end in ends
            if end is not None
        ]
        print(f"{mutation}\n    {' | '.join(texts)}", flush=True)
        return fate

    with ThreadPoolExecutor(jobs) as pool:
        return list(pool.map(one, sample))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="make mutants", description=__doc__)
    parser.add_argument("--sample", type=int, default=200, help="Number of random mistakes.")
    parser.add_argument("--seed", type=int, default=1, help="Seed of the sample.")
    parser.add_argument("--only", choices=("user", "tests"), help="Run one side only (default: both).")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="Processes at a time.")
    parser.add_argument("--seeds", type=int, default=12, help="Number of the swarm's scenarios for each mistake.")
    parser.add_argument("--budget", type=float, default=inf, help="CPU seconds of a user's checks for each mistake.")
    parser.add_argument("--trust", action="store_true", help="Do not run the operator as it is first.")
    options = parser.parse_args(arguments)
    sides = Sides(options.only != "tests", options.only != "user", options.seeds, options.budget)
    if not options.trust and (accusation := _accusation(sides)):
        print(accusation)
        return 1
    fates = examine(draw(options.sample, options.seed), sides, options.jobs)
    _print_rates(fates, sides)
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"{children.ru_utime + children.ru_stime:.0f} CPU seconds in {options.jobs} processes at a time")
    return 0


def _accusation(sides: Sides) -> str:
    """Run the operator as it is; return what it is accused of, or an empty text."""
    findings = [as_user(None, sides.seeds)] if sides.user else []
    findings += [in_tests(None)] if sides.tests else []
    accused = next((finding for finding in findings if finding.check), None)
    return f"the operator as it is was accused by {accused.check}: {accused.what}" if accused is not None else ""


def _print_rates(fates: Sequence[Fate], sides: Sides) -> None:
    total, rates = len(fates), []
    if sides.user:
        rates.append(("worlds, invariants and swarm", sum(bool(fate.user and fate.user.check) for fate in fates)))
    if sides.tests:
        rates.append(("unit tests", sum(bool(fate.tests and fate.tests.check) for fate in fates)))
    if sides.user and sides.tests:
        rates.append(("either", sum(not fate.survived for fate in fates)))
    for name, count in rates:
        print(f"{name}: {count} of {total}, {count / max(total, 1):.0%}")
    for fate in fates:
        if fate.survived:
            print(f"survived: {fate.mutation}")


if __name__ == "__main__":
    sys.exit(main())
