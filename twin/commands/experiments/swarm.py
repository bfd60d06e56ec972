"""`twin swarm` and `twin shrink`: random scenarios that look for violated invariants, and the smallest of them."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from twin.commands.common import FAILED, OK, UsageError, exit_code, run_folder_errors
from twin.commands.endings import kept
from twin.commands.experiments.options import (
    Address,
    AsJson,
    Checkout,
    ExecutorName,
    Jobs,
    kept_runs,
    open_executor,
    resolve_checkout,
    usage_errors,
)  # fmt: skip
from twin.commands.runs import RunPath

if TYPE_CHECKING:
    from rich.table import Table

    from twin.experiments.raw_scenario import RawScenario
    from twin.experiments.shrink import ShrinkResult
    from twin.experiments.swarm import Coverage, FoundScenario, Swarm

MAX_SHRUNK = 8
"""Number of violated invariants whose first violation is shrunk."""

Seeds = Annotated[int, typer.Option(min=1, help="Number of random scenarios.")]
FirstSeed = Annotated[int, typer.Option(min=0, help="Seed of the first scenario.")]
Faults = Annotated[
    list[str] | None,
    typer.Option("--fault", metavar="KIND", help="Kind of fault to inject; repeatable (default: all)."),
]
Mistakes = Annotated[bool, typer.Option("--mistakes", help="Let users make mistakes instead of injecting faults.")]
Shrink = Annotated[bool, typer.Option("--shrink/--no-shrink", help="Shrink scenarios that violate an invariant.")]
Out = Annotated[Path, typer.Option(help="Output folder.")]


@exit_code
def swarm(
    seeds: Seeds = 1000,
    first_seed: FirstSeed = 0,
    faults: Faults = None,
    mistakes: Mistakes = False,
    checkout: Checkout = None,
    shrunk: Shrink = True,
    jobs: Jobs = 0,
    executor: ExecutorName = "joblib",
    address: Address = "",
    out: Out = Path("reports/swarm"),
    as_json: AsJson = False,
) -> int:
    """Run random scenarios with random faults; report coverage, shrink those that violate an invariant."""
    if mistakes and faults:
        raise UsageError("--mistakes: has no faults; leave --fault out")
    from twin.experiments.execution.results import ResultStore
    from twin.experiments.execution.runner import progress_bar, run_all
    from twin.experiments.pages.swarm import render
    from twin.experiments.swarm import Swarm, measure_coverage

    kinds = _fault_kinds(faults or [])
    runs = Swarm(range(first_seed, first_seed + seeds), kinds, resolve_checkout(checkout), mistakes)
    with usage_errors(), ResultStore(out / "swarm.parquet") as store:
        missing = sum(runs.key(seed) not in store for seed in runs.seeds)
        workers, bar = open_executor(executor, jobs, address), progress_bar("swarm", missing, quiet=as_json)
        with kept_runs(store):
            with workers as execute, bar as on_row:
                run_all(runs.tasks(store), execute, store, on_row)
            coverage = measure_coverage(store.rows([runs.key(seed) for seed in runs.seeds]))
            violations = _write_violations(coverage, runs, out, shrunk=shrunk)
            page = out / "swarm.html"
            page.write_text(render(coverage, runs, violations), encoding="utf-8")
    if as_json:
        document = {**coverage.as_json(runs.kinds), "found": [asdict(violation) for violation in violations]}
        print(json.dumps(document, indent=2, ensure_ascii=False))
    else:
        _print_result(coverage, runs.kinds, violations)
        print(f"  report: {page}")
    return FAILED if coverage.broken or coverage.crashed else OK


@exit_code
def shrink(
    path: RunPath,
    checkout: Checkout = None,
    invariant: Annotated[str, typer.Option(help="Invariant (default: the first one violated).")] = "",
    out: Annotated[Path | None, typer.Option(help="Scenario file to write (default: RUN-shrunk.yaml).")] = None,
) -> int:
    """Reduce a run that violated an invariant to a smaller scenario that still does."""
    from twin.experiments import raw_scenario, shrink
    from twin.runs import folder as runfolder
    from twin.scenario import ScenarioErrors

    with run_folder_errors():
        folder = runfolder.read(path)
    target = out or path.resolve().parent / f"{path.resolve().name}-shrunk.yaml"
    try:
        raw = raw_scenario.read(path / runfolder.SCENARIO)
        with kept(f"{path} is unchanged; run the same command again"):
            result = shrink.shrink(raw, resolve_checkout(checkout), invariant, _progress_line())
    except shrink.NothingToShrink as error:
        raise UsageError(f"{path}: nothing to shrink: run again, {error}") from None
    except ScenarioErrors as errors:
        raise UsageError(*map(str, errors.problems)) from None
    with usage_errors():
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(_scenario_file(result, str(folder.summary.get("name"))), encoding="utf-8")
    if result.partial:
        raise KeyboardInterrupt(f"{target} is the smallest so far, after {result.runs} runs; go on from a run of it")
    print(f"{path}: {shrink.describe_size(raw)}")
    size = shrink.describe_size(result.raw)
    print(f"{target}: {size}, after {result.runs} runs; still violates {result.violation}")
    return OK


def _fault_kinds(names: list[str]) -> tuple[str, ...]:
    from twin.scenario import FAULTS
    from twin.scenario.errors import choices

    for kind in names:
        if kind not in FAULTS:
            raise UsageError(f"--fault {kind}: unknown fault; {choices(kind, FAULTS)}")
    return tuple(dict.fromkeys(names)) or tuple(FAULTS)


def _write_violations(coverage: "Coverage", runs: "Swarm", out: Path, *, shrunk: bool) -> "list[FoundScenario]":
    """Write a scenario file for each violated invariant, shrunk if requested, and describe each."""
    from twin.experiments import shrink
    from twin.experiments.swarm import FoundScenario

    violations = []
    for name, rows in sorted(coverage.broken.items())[:MAX_SHRUNK]:
        seed = min(row.seed for row in rows)
        raw = runs.draft(seed)
        result = shrink.ShrinkResult(raw, name, next(row.violation for row in rows if row.seed == seed), 0)
        if shrunk:
            result = shrink.shrink(raw, runs.source, name, _progress_line())
            if result.partial:
                raise KeyboardInterrupt
        file = out / "found" / f"{name}-seed-{seed}.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(_scenario_file(result, f"swarm-{seed}"), encoding="utf-8")
        size, before = shrink.describe_size(result.raw), shrink.describe_size(raw)
        violations.append(FoundScenario(name, seed, result.violation, str(file), size, before))
    return violations


def _scenario_file(result: "ShrinkResult", name: str) -> str:
    """Return the scenario file of a violation."""
    from twin.experiments.random_scenario import EXPECTATIONS
    from twin.experiments.raw_scenario import to_yaml

    raw: RawScenario = {
        **result.raw,
        "name": f"{name}-shrunk" if result.runs else name,
        "description": f"Found at random: does the operator violate {result.violation}?",
        "expect": list(EXPECTATIONS),
    }
    return to_yaml(raw, f"Violated {result.violation}\nFound by twin swarm or a run, reduced by twin shrink.")


def _progress_line() -> "Callable[[int, RawScenario], None] | None":
    """Return a callback that shows the progress of shrinking, if stderr is a terminal."""
    from rich.console import Console

    from twin.experiments.shrink import describe_size

    console = Console(stderr=True)
    if not console.is_terminal:
        return None
    return lambda runs, best: console.print(f"shrinking: run {runs}, {describe_size(best)}   ", end="\r")


def _print_result(coverage: "Coverage", kinds: tuple[str, ...], violations: "list[FoundScenario]") -> None:
    from rich.markup import escape

    from twin.experiments.histories import HISTORIES
    from twin.experiments.swarm import possible_pairs
    from twin.report import terminal

    output = terminal.console()
    output.print(f"[bold]swarm[/] · {coverage.runs:,} random scenarios")
    output.print(_table(coverage, kinds))
    output.print("  number of runs with each fault, and with an adapter in that phase while the fault was active")
    output.print(f"  pairs of faults at the same time: {len(coverage.pairs):,} of {len(possible_pairs(kinds)):,}")
    output.print(_history_table(coverage))
    output.print("  number of runs that met a history (first in its row), and that met both it and that of the column")
    met, possible = len(coverage.history_pairs), len(possible_pairs(HISTORIES))
    output.print(f"  histories: {len(coverage.histories)} of {len(HISTORIES)}, in pairs: {met} of {possible}")
    for row in coverage.crashed[:3]:
        output.print(f"  [red]crashed[/] seed {row.seed}: {escape(row.error)}")
    if not coverage.broken:
        output.print("  [green]no invariant was violated[/]")
    for violation in violations:
        times = len(coverage.broken[violation.invariant])
        output.print(f"  [red]violated[/] in {times} run{'s' if times > 1 else ''}: {escape(violation.violation)}")
        output.print(f"    {escape(violation.file)}: {violation.size} (from {violation.before})")


def _table(coverage: "Coverage", kinds: tuple[str, ...]) -> "Table":
    from rich.markup import escape
    from rich.table import Table

    from twin.experiments.swarm import PHASES

    table = Table(box=None, padding=(0, 2, 0, 2), header_style="dim")
    table.add_column("fault")
    for column in ("runs", *PHASES):
        table.add_column(column, justify="right")
    for kind in kinds:
        cells = [f"{coverage.phases[kind, phase]:,}" if coverage.phases[kind, phase] else "-" for phase in PHASES]
        table.add_row(escape(kind), f"{coverage.faults[kind]:,}", *cells)
    return table


def _history_table(coverage: "Coverage") -> "Table":
    from rich.table import Table

    from twin.experiments.histories import HISTORIES

    table = Table(box=None, padding=(0, 1, 0, 1), header_style="dim")
    table.add_column("")
    table.add_column("history")
    names = sorted(HISTORIES)
    for number in range(1, len(names) + 1):
        table.add_column(str(number), justify="right")
    for number, name in enumerate(names, start=1):
        pairs = [coverage.history_pairs[name, other] for other in names[number:]]
        counts = [coverage.histories[name], *pairs]
        cells = [""] * (number - 1) + [f"{count:,}" if count else "-" for count in counts]
        table.add_row(str(number), name, *cells)
    return table


def register(app: typer.Typer) -> None:
    """Register the commands."""
    app.command()(swarm)
    app.command()(shrink)
