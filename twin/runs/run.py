"""From scenario files to judged runs: what the commands `run`, `check` and `replay` share.

Importing this loads the whole twin, so the command line does it only where something is to be run.
"""

import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from twin.evaluate.judge import evaluate
from twin.report import RunResult
from twin.runs import folder as runfolder
from twin.scenario import Scenario, ScenarioErrors, load, resolved
from twin.sim.simulation import simulate
from twin.trace.lines import Line

Progress = Callable[[float], None]
"""Told how many simulated seconds are done."""


def load_all(files: Sequence[Path], overrides: Mapping[str, str], seed: int | None) -> tuple[list[Scenario], list[str]]:
    """The scenarios that can be used, and a line for every reason why others can't."""
    loaded: dict[tuple[str, int], tuple[Path, Scenario]] = {}
    problems = list[str]()
    for file in files:
        try:
            scenario = load(file, overrides=overrides, seed=seed)
        except ScenarioErrors as errors:
            problems += map(str, errors.problems)
            continue
        place = (scenario.name, scenario.seed)
        if place in loaded:
            other = loaded[place][0]
            problems.append(f"{file}: has the name and seed of {other}, whose results it would replace; rename one")
        loaded.setdefault(place, (file, scenario))
    return [scenario for _, scenario in loaded.values()], problems


def simulate_and_judge(scenario: Scenario, progress: Progress | None = None) -> RunResult:
    """Runs a scenario and judges it."""
    with _ending_at_a_step(progress) as step:
        result = simulate(scenario, progress=step)
    return evaluate(result.lines, scenario.expect, scenario=resolved(scenario), partial=result.partial)


def run_to_folder(scenario: Scenario, out: Path, progress: Progress | None = None) -> tuple[RunResult, Path]:
    """Runs a scenario and writes its folder below `out`; gives the report's page too.

    Raises:
        FolderError: if the folder cannot be written; said before the run, if it can be known then.
    """
    runfolder.check_place(runfolder.run_path(out, scenario.name, scenario.seed))
    started = time.perf_counter()
    findings = simulate_and_judge(scenario, progress)
    wall = time.perf_counter() - started
    timing = {"wall_seconds": round(wall, 3), "simulated_per_wall_second": round(findings.covered / wall, 1)}
    folder = runfolder.write(out, findings, timing=timing)
    return findings, folder / runfolder.REPORT


def judge_to_folder(scenario: Scenario, lines: Sequence[Line], out: Path, *, partial: bool) -> tuple[RunResult, Path]:
    """Judges a record that was made elsewhere and writes its folder below `out`; gives the report's page too."""
    findings = evaluate(lines, scenario.expect, scenario=resolved(scenario), partial=partial)
    folder = runfolder.write(out, findings, timing={})
    return findings, folder / runfolder.REPORT


@contextmanager
def _ending_at_a_step(progress: Progress | None) -> Iterator[Progress | None]:
    """Lets Ctrl-C end the simulation between two steps, where nothing is half done; a second one ends it at once.

    Python would raise wherever it happens to be, deep in some task of the operator, which then could not be taken down
    in order. Where somebody else sees to signals (another thread, a job in the background), that is left as it is.
    """
    handler = signal.getsignal(signal.SIGINT)
    if handler is not signal.default_int_handler or threading.current_thread() is not threading.main_thread():
        yield progress
        return
    asked = threading.Event()

    def ask(_number: int, _frame: object) -> None:
        signal.signal(signal.SIGINT, handler)
        asked.set()

    def step(t: float) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        if progress is not None:
            progress(t)

    signal.signal(signal.SIGINT, ask)
    try:
        yield step
    finally:
        signal.signal(signal.SIGINT, handler)
