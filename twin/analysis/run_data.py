"""Access to a run by its folder or by its `RunResult`."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from twin.report import RunResult
from twin.runs import folder as runfolder
from twin.scenario import Scenario, load
from twin.trace.lines import Line

Source = str | Path | RunResult


def lines_of(run: Source) -> Sequence[Line]:
    """Return the trace."""
    return run.lines if isinstance(run, RunResult) else runfolder.read(Path(run)).lines()


def end_of(run: Source) -> float:
    """Return the end of the run, in seconds since its start; of an interrupted run, where it was interrupted."""
    if isinstance(run, RunResult):
        return run.covered
    folder = runfolder.read(Path(run))
    return folder.lines()[-1].t if folder.partial else float(folder.summary["duration_seconds"])


def scenario_of(run: Source) -> Scenario:
    """Return the scenario as it was run."""
    if not isinstance(run, RunResult):
        return load(Path(run) / runfolder.SCENARIO)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / runfolder.SCENARIO
        file.write_text(run.scenario, encoding="utf-8")
        return load(file)
