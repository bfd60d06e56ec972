"""`twin swarm` and `twin shrink`: random scenarios in search of a broken invariant, and the smallest that shows it."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from twin.commands.common import FAILED, OK, UsageError, exit_code, run_folder_errors
from twin.commands.experiments import Address, ExecutorName, Jobs, open_executor, usage_errors
from twin.commands.runs import RunPath

if TYPE_CHECKING:
    from twin.experiments.raw_scenario import RawScenario
    from twin.experiments.shrink import ShrinkResult
    from twin.experiments.swarm import Coverage

MOST_SHRUNK = 8
"""Invariants of which the first violation is shrunk."""

Source = Annotated[
    Path | None, typer.Option(metavar="FOLDER", help="A checkout whose operator runs, instead of this one's.")
]


@exit_code
def swarm(
    seeds: Annotated[int, typer.Option(min=1, help="How many random scenarios.")] = 1000,
    first: Annotated[int, typer.Option(min=0, help="The first of them.")] = 0,
    faults: Annotated[
        list[str] | None, typer.Option("--fault", metavar="KIND", help="Draw from these kinds only, repeatable.")
    ] = None,
    source: Source = None,
    shrunk: Annotated[bool, typer.Option("--shrink/--no-shrink", help="Whether to shrink what is found.")] = True,
    jobs: Jobs = 0,
    engine: ExecutorName = "joblib",
    address: Address = "",
    out: Annotated[Path, typer.Option(help="Where results go.")] = Path("reports/swarm"),
    as_json: Annotated[bool, typer.Option("--json", help="Print what was covered and found as JSON.")] = False,
) -> int:
    """Run random scenarios with random faults; say what was covered, shrink what breaks an invariant."""
    from twin.experiments.execution.results import ResultStore
    from twin.experiments.execution.runner import run_all, watching
    from twin.experiments.swarm import Swarm, covered

    crew = Swarm(range(first, first + seeds), _kinds(faults or []), _source(source))
    with usage_errors(), ResultStore(out / "swarm.parquet") as store:
        missing = sum(crew.key(seed) not in store for seed in crew.seeds)
        with open_executor(engine, jobs, address) as execute, watching("swarm", missing, quiet=as_json) as watch:
            run_all(crew.tasks(store), execute, store, watch)
        coverage = covered(store.rows([crew.key(seed) for seed in crew.seeds]))
        found = _found(coverage, crew.kinds, crew.source, out, shrunk=shrunk)
    told = {**coverage.as_json(crew.kinds), "found": found}
    if as_json:
        print(json.dumps(told, indent=2, ensure_ascii=False))
    else:
        _show(coverage, crew.kinds, found)
    return FAILED if coverage.broken or coverage.crashed else OK


@exit_code
def shrink(
    path: RunPath,
    source: Source = None,
    invariant: Annotated[str, typer.Option(help="Which; the first that was broken if left out.")] = "",
    out: Annotated[Path | None, typer.Option(help="Scenario file to write; RUN-shrunk.yaml if left out.")] = None,
) -> int:
    """From a run that broke an invariant to the smallest scenario that still does."""
    from twin.experiments import raw_scenario, shrink
    from twin.runs import folder as runfolder
    from twin.scenario import ScenarioErrors

    with run_folder_errors():
        folder = runfolder.read(path)
    target = out or path.resolve().parent / f"{path.resolve().name}-shrunk.yaml"
    try:
        draft = raw_scenario.read(path / runfolder.SCENARIO)
        result = shrink.shrink(draft, _source(source), invariant, _telling())
    except shrink.NothingToShrink as sound:
        raise UsageError(f"{path}: nothing to shrink: run again, {sound}") from None
    except ScenarioErrors as errors:
        raise UsageError(*map(str, errors.problems)) from None
    with usage_errors():
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(_small(result, str(folder.summary.get("name"))), encoding="utf-8")
    print(f"{path}: {shrink.sizes(draft)}")
    print(f"{target}: {shrink.sizes(result.draft)}, after {result.runs} runs; still breaks {result.violation}")
    return OK


def _kinds(asked: list[str]) -> tuple[str, ...]:
    from twin.scenario import FAULTS
    from twin.scenario.errors import choices

    for kind in asked:
        if kind not in FAULTS:
            raise UsageError(f"--fault {kind}: there is no such fault; {choices(kind, FAULTS)}")
    return tuple(dict.fromkeys(asked)) or tuple(FAULTS)


def _source(folder: Path | None) -> str:
    from twin.experiments.execution.worktree import checkout_error

    if folder is None:
        return ""
    wrong = checkout_error(str(folder.resolve()))
    if wrong:
        raise UsageError(f"--source {folder}: {wrong}; allowed: the folder of a checkout")
    return str(folder.resolve())


def _found(coverage: "Coverage", kinds: tuple[str, ...], source: str, out: Path, *, shrunk: bool) -> list[Any]:
    """Writes a scenario for each broken invariant, shrunk if wanted, and says where."""
    from twin.experiments import random_scenario, shrink

    found = []
    for name, rows in sorted(coverage.broken.items())[:MOST_SHRUNK]:
        seed = min(row.seed for row in rows)
        draft = random_scenario.draw(seed, kinds)
        result = shrink.ShrinkResult(draft, name, next(row.violation for row in rows if row.seed == seed), 0)
        if shrunk:
            result = shrink.shrink(draft, source, name, _telling())
        file = out / "found" / f"{name}-seed-{seed}.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(_small(result, f"swarm-{seed}"), encoding="utf-8")
        size, before = shrink.sizes(result.draft), shrink.sizes(draft)
        said = {"invariant": name, "seed": seed, "violation": result.violation}
        found.append({**said, "file": str(file), "size": size, "before": before})
    return found


def _small(result: "ShrinkResult", name: str) -> str:
    """The scenario file of a violation."""
    from twin.experiments.raw_scenario import written

    draft: RawScenario = {
        **result.draft,
        "name": f"{name}-shrunk" if result.runs else name,
        "description": f"Found by chance: does the operator break {result.violation}?",
        "expect": ["invariants.violations == 0"],
    }
    return written(draft, f"Broke {result.violation}\nFound by twin swarm or a run, cut down by twin shrink.")


def _telling() -> Any:
    """A line on a terminal that tells how far shrinking is; nothing when nobody watches."""
    from rich.console import Console

    from twin.experiments.shrink import sizes

    console = Console(stderr=True)
    if not console.is_terminal:
        return None
    return lambda runs, best: console.print(f"shrinking: run {runs}, {sizes(best)}   ", end="\r")


def _show(coverage: "Coverage", kinds: tuple[str, ...], found: list[Any]) -> None:
    from rich.markup import escape
    from rich.table import Table

    from twin.experiments.swarm import PHASES, possible_pairs
    from twin.report import terminal

    output = terminal.console()
    output.print(f"[bold]swarm[/] · {coverage.runs:,} random scenarios")
    table = Table(box=None, padding=(0, 2, 0, 2), header_style="dim")
    table.add_column("fault")
    for column in ("runs", *PHASES):
        table.add_column(column, justify="right")
    for kind in kinds:
        cells = [f"{coverage.phases[kind, phase]:,}" if coverage.phases[kind, phase] else "-" for phase in PHASES]
        table.add_row(escape(kind), f"{coverage.faults[kind]:,}", *cells)
    output.print(table)
    output.print("  in how many runs each fault struck, and met an adapter in that phase")
    possible = len(possible_pairs(kinds))
    output.print(f"  pairs of faults at the same time: {len(coverage.pairs):,} of {possible:,}")
    for row in coverage.crashed[:3]:
        output.print(f"  [red]crashed[/] seed {row.seed}: {escape(row.error)}")
    if not coverage.broken:
        output.print("  [green]no invariant was broken[/]")
    for each in found:
        times = len(coverage.broken[each["invariant"]])
        output.print(f"  [red]broken[/] in {times} run{'s' if times > 1 else ''}: {escape(each['violation'])}")
        output.print(f"    {escape(each['file'])}: {each['size']} (from {each['before']})")


def register(app: typer.Typer) -> None:
    """Hangs the commands on the application."""
    app.command()(swarm)
    app.command()(shrink)
