"""One run of many: from a task to a row.

A task travels to other processes and machines, so it holds the scenario itself and no path that it would need. A run
that crashes is a row with its error: one bad corner of a sweep must not cost the rest. Nothing in a row depends on
where, when or how fast it was run.
"""

import signal
import threading
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from twin.evaluate.judge import evaluate
from twin.experiments.execution import collectors as collect
from twin.experiments.execution import worktree as checkout
from twin.runs import folder as runfolder
from twin.scenario import MEASURES, Scenario, resolved
from twin.sim.simulation import simulate

LONGEST_ERROR = 400
"""Characters of an error that a row keeps."""


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """A run that is to be done."""

    key: str
    """Names everything that the result depends on; a row with this key need not be run again."""
    variant: str
    seed: int
    settings: dict[str, str]
    """What makes this variant: paths and values as of `--set`."""
    scenario: Scenario
    """With the seed in it."""
    source: str = ""
    """Folder of the checkout whose operator is to run; this one's own if empty."""
    keep: str = ""
    """Where to write the run folder; not at all if empty."""
    collect: tuple[str, ...] = ()
    """What else is wanted from the record, by the names in `collect.py`."""


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a task."""

    key: str
    variant: str
    seed: int
    settings: dict[str, str]
    measures: dict[str, float | None] = {}
    """By their names in `summary.json`; None where nothing was measured, all missing if the run crashed."""
    holds: bool | None = None
    """Whether invariants and expectations held; None if the run crashed."""
    violation: str = ""
    """The first invariant that was broken, with its object."""
    error: str = ""
    """Why the run crashed, on one line."""
    collected: dict[str, Any] = {}


class Interrupted(Exception):
    """The run was stopped by Ctrl-C before its end; there is no row."""


def perform(task: Task) -> Row:
    """Runs a task. What goes wrong with the run itself is in its row.

    Raises:
        Interrupted: on Ctrl-C, where this process is the one that hears it.
        FolderError: if its folder cannot be written; a row that blamed the run for it would never be run again.
    """
    try:
        return checkout.perform_elsewhere(task) if task.source else perform_here(task)
    except (Interrupted, runfolder.FolderError):
        raise
    except Exception as error:
        return failed(task, said(error, task.scenario.secrets))


def perform_deaf(task: Task) -> Row:
    """`perform` in a worker process: Ctrl-C reaches the whole group, and whoever gave out the task decides."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    return perform(task)


def perform_here(task: Task) -> Row:
    """Runs a task with the operator of this process."""
    result = simulate(task.scenario)
    if result.partial:
        raise Interrupted
    text = resolved(task.scenario) if task.keep else ""
    findings = evaluate(result.lines, task.scenario.expect, scenario=text)
    if task.keep:
        runfolder.write_at(Path(task.keep), findings, timing={})
    first = findings.measures["invariants"]["first"]
    return Row(
        key=task.key,
        variant=task.variant,
        seed=task.seed,
        settings=task.settings,
        measures=numbers(findings.measures),
        holds=findings.holds,
        violation=_violation(first) if first else "",
        collected={name: collect.COLLECTORS[name](findings) for name in task.collect},
    )


def failed(task: Task, error: str) -> Row:
    """The row of a run that crashed."""
    return Row(key=task.key, variant=task.variant, seed=task.seed, settings=task.settings, error=error)


def said(error: BaseException, secrets: tuple[str, ...] = ()) -> str:
    """An error on one line: type, words, and the innermost place in our own code."""
    ours = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if Path(frame.filename).parts[-3:-1] and {"twin", "controller", "fake_vllm"} & set(Path(frame.filename).parts)
    ]
    where = f" ({Path(ours[-1].filename).name}:{ours[-1].lineno})" if ours else ""
    words = " ".join(f"{type(error).__name__}: {error}".split())
    for secret in secrets:
        words = words.replace(secret, "[secret]")
    return words[:LONGEST_ERROR] + where


def numbers(measures: Mapping[str, Any]) -> dict[str, float | None]:
    """The measures that may be compared, by dotted name."""
    return {name: _number(measures, name.split(".")) for name in MEASURES}


def _number(measures: Any, path: list[str]) -> float | None:
    for step in path:
        measures = measures.get(step) if isinstance(measures, Mapping) else None
    return float(measures) if isinstance(measures, int | float) else None


def _violation(first: Mapping[str, Any]) -> str:
    name = str(first["invariant"])
    return f"{f'invariant {name}' if name.isdecimal() else name}: {first['object']}: {first['message']}"
