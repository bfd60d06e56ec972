"""Run scenarios and sweeps from a notebook, with the folders and files of `twin run` and `twin sweep`.

Runs of a sweep that are stored already are not run again. A notebook's kernel runs an event loop, and two loops cannot
run in one thread, so the simulation gets a thread of its own.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd

from twin.analysis.frames import runs
from twin.experiments.design import build_design, grid, parse_axes
from twin.experiments.execution.executors import open_executor
from twin.experiments.execution.results import ResultStore
from twin.experiments.execution.runner import default_jobs, progress_bar
from twin.experiments.sweep import sweep as run_sweep
from twin.runs import folder as runfolder
from twin.runs import run as running
from twin.scenario import load


def run(
    file: str | Path, settings: Mapping[str, str] | None = None, *, seed: int | None = None, out: str | Path = "reports"
) -> Path:
    """Run a scenario once and return its run folder.

    Raises:
        ScenarioErrors: with all problems of the scenario.
    """
    scenario = load(Path(file), overrides=settings or {}, seed=seed)
    with ThreadPoolExecutor(1) as thread:
        thread.submit(running.run_to_folder, scenario, Path(out)).result()
    return runfolder.run_path(Path(out), scenario.name, scenario.seed)


def sweep(
    file: str | Path,
    vary: Mapping[str, Sequence[object]] | None = None,
    *,
    seeds: int = 5,
    settings: Mapping[str, str] | None = None,
    jobs: int = 0,
    out: str | Path = "reports",
) -> pd.DataFrame:
    """Run a grid with every seed and return its `runs`; without `vary`, the grid of the scenario.

    Raises:
        DesignErrors: with all problems of all variants.
    """
    overrides = dict(settings or {})
    arguments = [f"{path}={','.join(map(str, values))}" for path, values in (vary or {}).items()]
    design = build_design(Path(file), grid(parse_axes(Path(file), arguments, overrides)), overrides, seeds)
    target = Path(out) / design.baseline.scenario.name / f"{('sweep-' + '+'.join(design.paths))[:80]}.parquet"
    with (
        open_executor("joblib", jobs or default_jobs()) as execute,
        ResultStore(target) as store,
        ThreadPoolExecutor(1) as aside,
    ):
        aside.submit(
            run_sweep, design, execute, store, lambda total: progress_bar("sweeping", total, quiet=True)
        ).result()
    return runs(target)
