"""Judging of generated mistakes: which checks reach one, the first that fails, and what ends a process."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from controller.backoff import Backoff
from tests.mutants.generated.children import Ending, Tell, limit_step, run_all
from tests.mutants.generated.judging import Case, Finding, finding, judge, order_checks
from tests.mutants.generated.line_tracer import LineTracer
from tests.mutants.generated.operators import Mutation
from tests.mutants.generated.reach import Reach
from tests.mutants.generated.sample import all_mutations
from tests.mutants.generated.user_checks import user_checks

BACKOFF_TESTS = "tests/controller/test_backoff.py"


def a_mistake(function: str, operator: str) -> Mutation:
    return next(item for item in all_mutations() if (item.function, item.operator) == (function, operator))


def judged(case: Case) -> Finding:
    (ending,) = run_all([case], judge, 1)
    return finding(ending)


def test_the_lines_that_run_are_recorded_and_no_others() -> None:
    tracer = LineTracer()
    tracer.start()
    Backoff().exhausted(7)
    lines = tracer.stop()
    late = a_mistake("Backoff.exhausted", "boundary")
    assert Reach(0.0, lines).meets(late)
    assert not Reach(0.0, lines).meets(a_mistake("Backoff.delay", "boundary"))
    assert set(lines) == {"backoff.py"}


def test_the_cheapest_check_is_first_and_then_the_one_that_finds_more() -> None:
    late = a_mistake("Backoff.exhausted", "boundary")
    lines = {"backoff.py": frozenset({late.line})}
    reach = {"dear": Reach(3.0, lines), "cheap": Reach(1.0, lines), "elsewhere": Reach(0.1, {})}
    assert order_checks(late, reach, Counter()) == ["cheap", "dear"]
    assert order_checks(late, reach, Counter({"dear": 9})) == ["dear", "cheap"]


def test_a_mistake_is_found_by_what_a_user_runs_and_stays_in_its_own_process() -> None:
    late, before = a_mistake("Backoff.exhausted", "boundary"), Backoff.exhausted.__code__
    name = "a pod refuses"
    found = judged(Case(late, "user", [name], {name: Reach(1.0, {})}, user_checks(0)))
    assert (found.check, bool(found.what)) == (name, True)
    assert Backoff.exhausted.__code__ is before


def test_a_mistake_is_found_by_a_unit_test() -> None:
    late = a_mistake("Backoff.exhausted", "boundary")
    tests = [f"{BACKOFF_TESTS}::{name}" for name in _names_of_tests()]
    found = judged(Case(late, "tests", tests, {name: Reach(1.0, {}) for name in tests}, {}))
    assert found.check.startswith(BACKOFF_TESTS)


def _names_of_tests() -> list[str]:
    import tests.controller.test_backoff as module

    return [name for name in vars(module) if name.startswith("test_")]


def test_a_process_that_never_ends_or_dies_is_ended_and_its_last_words_are_kept() -> None:
    def work(kind: str, tell: Tell) -> None:
        tell(["began", kind])
        limit_step(0.2)
        if kind == "busy":
            while True:
                pass
        if kind == "raises":
            raise ValueError

    endings: Mapping[str, Ending[Any]] = {ending.job: ending for ending in run_all(["busy", "raises", "fine"], work, 2)}
    assert {name: (ending.told, ending.death) for name, ending in endings.items()} == {
        "busy": ([["began", "busy"]], "it never ends"),
        "raises": ([["began", "raises"]], "its process died"),
        "fine": ([["began", "fine"]], ""),
    }
