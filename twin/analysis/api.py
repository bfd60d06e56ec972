"""Runs and sweeps from a notebook: the same as the commands `twin run` and `twin sweep`, with their folders and files.

What a sweep has done already is not run again, so a notebook is slow once. A notebook's kernel is itself a program on
an event loop, and two loops cannot run in one thread: the simulation gets a thread of its own.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd

from twin.analysis.frames import runs
from twin.experiments.design import build_design, grid, parse_axes
from twin.experiments.execution.executors import executor
from twin.experiments.execution.results import ResultStore
from twin.experiments.execution.runner import default_jobs, watching
from twin.experiments.sweep import sweep as run_all
from twin.runs import folder as runfolder
from twin.runs import run as running
from twin.scenario import load


def run(
    file: str | Path, settings: Mapping[str, str] | None = None, *, seed: int | None = None, out: str | Path = "reports"
) -> Path:
    """Runs a scenario once and gives its run folder.

    Raises:
        ScenarioErrors: with all that is wrong with it.
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
    """Runs a grid with every seed and gives its `runs`; without `vary`, that of the scenario.

    Raises:
        DesignErrors: with all that is wrong with any variant.
    """
    overrides = dict(settings or {})
    asked = [f"{path}={','.join(map(str, values))}" for path, values in (vary or {}).items()]
    design = build_design(Path(file), grid(parse_axes(Path(file), asked, overrides)), overrides, seeds)
    target = Path(out) / design.baseline.scenario.name / f"{('sweep-' + '+'.join(design.paths))[:80]}.parquet"
    with (
        executor("joblib", jobs or default_jobs()) as execute,
        ResultStore(target) as store,
        ThreadPoolExecutor(1) as aside,
    ):
        aside.submit(run_all, design, execute, store, lambda total: watching("sweeping", total, quiet=True)).result()
    return runs(target)
