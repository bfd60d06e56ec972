"""`twin sweep`: a grid of variants, or random points between ends, with every seed into one Parquet file."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from twin.commands.common import FAILED, OK, UsageError, exit_code, parse_overrides, print_errors
from twin.commands.experiments import Address, ExecutorName, File, Jobs, Settings, open_executor, usage_errors

if TYPE_CHECKING:
    from twin.experiments.design import Design
    from twin.experiments.execution.results import ResultStore
    from twin.experiments.sweep import SweepResult

MOST_POINTS = 100_000
"""Each is checked before anything runs, at some 15 ms."""


@exit_code
def sweep(
    file: File,
    vary: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATH=A,B|PATH=LOW..HIGH",
            help="What varies; instead of the file's `vary:`. A range needs --random; `1s..60s log` doubles evenly.",
        ),
    ] = None,
    random: Annotated[
        int, typer.Option(min=0, metavar="N", help="So many points drawn at random instead of the grid.")
    ] = 0,
    points_seed: Annotated[int, typer.Option(min=0, help="Seed of the random points.")] = 0,
    seeds: Annotated[int, typer.Option(min=1, max=100_000, help="Seeds for each point.")] = 5,
    settings: Settings = None,
    jobs: Jobs = 0,
    engine: ExecutorName = "joblib",
    address: Address = "",
    out: Annotated[Path, typer.Option(help="Where results go: OUT/NAME/sweep-….parquet.")] = Path("reports"),
    as_json: Annotated[bool, typer.Option("--json", help="Print what was done as JSON.")] = False,
) -> int:
    """Run a grid of variants, or random points, with every seed; one row a run in one Parquet file."""
    from twin.experiments.execution.executors import ExecutorError
    from twin.experiments.execution.results import ResultStore
    from twin.experiments.execution.runner import watching
    from twin.experiments.sweep import sweep as run_all

    with usage_errors():
        design = _design(file, vary or [], parse_overrides(settings or []), random, points_seed, seeds)
        target = out / design.baseline.scenario.name / f"{('sweep-' + '+'.join(design.paths))[:80]}.parquet"
        with open_executor(engine, jobs, address) as execute, ResultStore(target) as store:
            try:
                outcome = run_all(design, execute, store, lambda total: watching("sweeping", total, quiet=as_json))
            except KeyboardInterrupt:
                print_errors(_kept(store))
                raise
            except ExecutorError as error:
                raise UsageError(f"{error}; {_kept(store)}") from None
    _tell(outcome, design, target, as_json)
    return FAILED if outcome.crashed or outcome.broken else OK


def _design(
    file: Path, vary: list[str], overrides: dict[str, str], random: int, points_seed: int, seeds: int
) -> "Design":
    from twin.experiments.design import build_design, grid, parse_axes, random_points

    axes = parse_axes(file, vary, overrides)
    points = random_points(axes, random, points_seed) if random else grid(axes)
    distinct = list({tuple(point.items()): point for point in points}.values())
    if len(distinct) > MOST_POINTS:
        raise UsageError(f"{len(distinct):,} points are more than one sweep takes; allowed: up to {MOST_POINTS:,}")
    return build_design(file, distinct, overrides, seeds)


def _kept(store: "ResultStore") -> str:
    return f"{store.path} holds {len(store):,} finished runs, the same command goes on from there"


def _tell(outcome: "SweepResult", design: "Design", target: Path, as_json: bool) -> None:
    if as_json:
        told = {
            "file": str(target),
            "scenario": design.baseline.scenario.name,
            "paths": design.paths,
            "variants": len(design.variants),
            "seeds": list(design.seeds),
            "runs": {
                "total": outcome.runs,
                "fresh": outcome.fresh,
                "crashed": outcome.crashed,
                "broken": outcome.broken,
            },
        }
        print(json.dumps(told, indent=2, ensure_ascii=False))
        return
    variants, seeds = len(design.variants), len(design.seeds)
    print(
        f"{target}: {outcome.runs:,} runs, {variants:,} variants with {seeds:,} seeds each; {outcome.fresh:,} were new"
    )
    if outcome.first:
        print(f"  {outcome.crashed:,} crashed, {outcome.broken:,} broke an invariant or an expectation; the first:")
        print(f"  {outcome.first}")


def register(app: typer.Typer) -> None:
    """Hangs the command on the application."""
    app.command()(sweep)
