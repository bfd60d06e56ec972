"""Run one task: simulate, evaluate, and extract its row.

A run that crashes is a row with its error, so that one failing corner of a sweep does not cost the rest.
"""

import gc
import traceback
from collections.abc import Mapping
from itertools import count
from pathlib import Path
from typing import Any

from twin.evaluate.judge import evaluate
from twin.experiments.execution.collectors import COLLECTORS
from twin.experiments.execution.task import Interrupted, Row, Task
from twin.experiments.execution.worktree import perform_in_checkout
from twin.runs.folder import FolderError
from twin.runs.run import write_result
from twin.scenario import MEASURES, resolved
from twin.sim.simulation import simulate

MAX_ERROR_LENGTH = 400
"""Characters of an error message that a row keeps."""
_TRIALS = count(1)
_COLLECT_EVERY = 10
"""Trials between two full searches for cyclic garbage. A simulated cluster is full of cycles, some 4 MB after a small
run, and garbage is searched for so seldom here (`twin/sim/simulation.py`) that a thousand runs would keep them all."""


def perform(task: Task) -> Row:
    """Run a task. An error of the run itself is stored in its row.

    Raises:
        Interrupted: on Ctrl-C, if this process receives the signal.
        FolderError: if the run folder cannot be written; stored in a row, it would never be run again.
    """
    try:
        return perform_in_checkout(task) if task.source else perform_local(task)
    except (Interrupted, FolderError):
        raise
    except Exception as error:
        return failed_row(task, error_line(error, task.scenario.secrets))
    finally:
        if next(_TRIALS) % _COLLECT_EVERY == 0:
            gc.collect()


def perform_local(task: Task) -> Row:
    """Run a task with the operator of this process."""
    simulation = simulate(task.scenario)
    if simulation.partial:
        raise Interrupted
    text = resolved(task.scenario) if task.keep else ""
    result = evaluate(simulation.lines, task.scenario.expect, scenario=text)
    if task.keep:
        write_result(Path(task.keep), result, timing={})
    first = result.measures["invariants"]["first"]
    return Row(
        key=task.key,
        variant=task.variant,
        seed=task.seed,
        settings=task.settings,
        measures=comparable_measures(result.measures),
        passed=result.passed,
        violation=_violation_line(first) if first else "",
        collected={name: COLLECTORS[name](result) for name in task.collect},
    )


def failed_row(task: Task, error: str) -> Row:
    """Return the row of a run that crashed."""
    return Row(key=task.key, variant=task.variant, seed=task.seed, settings=task.settings, error=error)


def error_line(error: BaseException, secrets: tuple[str, ...] = ()) -> str:
    """Return an error on one line: type, message, and the innermost frame in this project's code."""
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if Path(frame.filename).parts[-3:-1] and {"twin", "controller", "fake_vllm"} & set(Path(frame.filename).parts)
    ]
    location = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    message = " ".join(f"{type(error).__name__}: {error}".split())
    for secret in secrets:
        message = message.replace(secret, "[secret]")
    return message[:MAX_ERROR_LENGTH] + location


def comparable_measures(measures: Mapping[str, Any]) -> dict[str, float | None]:
    """Return the measures that runs are compared by, by dotted name."""
    return {name: _number(measures, name.split(".")) for name in MEASURES}


def _number(measures: Any, path: list[str]) -> float | None:
    for step in path:
        measures = measures.get(step) if isinstance(measures, Mapping) else None
    return float(measures) if isinstance(measures, int | float) else None


def _violation_line(first: Mapping[str, Any]) -> str:
    name = str(first["invariant"])
    return f"{f'invariant {name}' if name.isdecimal() else name}: {first['object']}: {first['message']}"
