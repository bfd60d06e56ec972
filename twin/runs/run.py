"""Runs of scenarios: simulate, evaluate, draw, write. Start reading at `run_to_folder`.

Importing this module loads the whole twin, so the command line imports it only where a scenario is run.
"""

import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from twin.evaluate.judge import evaluate
from twin.evaluate.measures import placement_rows
from twin.evaluate.run_result import RunResult
from twin.report import build_report
from twin.runs.folder import REPORT, check_target, run_path, write_run
from twin.scenario import Scenario, resolved
from twin.sim.simulation import simulate
from twin.trace.lines import Line

Progress = Callable[[float], None]
"""Called with the simulated seconds that are done."""


def run_to_folder(scenario: Scenario, out: Path, progress: Progress | None = None) -> tuple[RunResult, Path]:
    """Run a scenario and write its folder below `out`. Return the result and the path of the report.

    Raises:
        FolderError: if the folder cannot be written; before the run if possible.
    """
    target = run_path(out, scenario.name, scenario.seed)
    check_target(target)
    started = time.perf_counter()
    result = simulate_and_judge(scenario, progress)
    wall = time.perf_counter() - started
    timing = {"wall_seconds": round(wall, 3), "simulated_per_wall_second": round(result.covered / wall, 1)}
    write_result(target, result, timing)
    return result, target / REPORT


def simulate_and_judge(scenario: Scenario, progress: Progress | None = None) -> RunResult:
    """Run a scenario and evaluate its trace."""
    text = resolved(scenario)
    with _sigint_between_steps(progress) as step:
        simulation = simulate(scenario, progress=step)
    return evaluate(simulation.lines, scenario.expect, scenario=text, partial=simulation.partial)


def judge_to_folder(scenario: Scenario, lines: Sequence[Line], out: Path, *, partial: bool) -> tuple[RunResult, Path]:
    """Evaluate an existing trace and write its run folder below `out`. Return the result and the path of the report."""
    result = evaluate(lines, scenario.expect, scenario=resolved(scenario), partial=partial)
    target = run_path(out, result.run.name, result.run.seed)
    write_result(target, result, {})
    return result, target / REPORT


def write_result(target: Path, result: RunResult, timing: Mapping[str, float]) -> None:
    """Draw the report of a result and write the run folder `target`.

    Raises:
        FolderError: if `target` is something other than a run folder, or writing fails.
    """
    write_run(target, result, placement_rows(result.lines), build_report(result), timing)


@contextmanager
def _sigint_between_steps(progress: Progress | None) -> Iterator[Progress | None]:
    """Make Ctrl-C end the simulation between two steps; a second Ctrl-C ends it at once.

    By default Python raises KeyboardInterrupt anywhere, also inside a task of the operator, which could then not shut
    down cleanly. In other threads, and where another handler is installed, nothing is changed.
    """
    handler = signal.getsignal(signal.SIGINT)
    if handler is not signal.default_int_handler or threading.current_thread() is not threading.main_thread():
        yield progress
        return
    interrupted = threading.Event()

    def on_sigint(_number: int, _frame: object) -> None:
        signal.signal(signal.SIGINT, handler)
        interrupted.set()

    def step(t: float) -> None:
        if interrupted.is_set():
            raise KeyboardInterrupt
        if progress is not None:
            progress(t)

    signal.signal(signal.SIGINT, on_sigint)
    try:
        yield step
    finally:
        signal.signal(signal.SIGINT, handler)
