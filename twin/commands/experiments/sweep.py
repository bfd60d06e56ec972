"""`twin sweep`: a grid of variants, or random points, with every seed into one Parquet file."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from twin.commands.common import FAILED, OK, UsageError, exit_code, parse_overrides
from twin.commands.experiments.options import (
    Address,
    AsJson,
    ExecutorName,
    File,
    Jobs,
    Settings,
    experiment_path,
    kept_runs,
    open_executor,
    usage_errors,
)  # fmt: skip
from twin.commands.progress import DRAWING, busy

if TYPE_CHECKING:
    from twin.experiments.design import Design
    from twin.experiments.sweep import SweepResult

MAX_POINTS = 100_000
"""Each is checked before anything runs, which takes about 15 ms."""

Vary = Annotated[
    list[str] | None,
    typer.Option(
        metavar="PATH=A,B|PATH=LOW..HIGH",
        help="Axis; replaces the file's `vary:`. A range needs --random; `1s..60s log` has a logarithmic scale.",
    ),
]
Random = Annotated[int, typer.Option(min=0, metavar="N", help="Number of random points, instead of the grid.")]
PointsSeed = Annotated[int, typer.Option(min=0, help="Seed of the random points.")]
Seeds = Annotated[int, typer.Option(min=1, max=100_000, help="Seeds of each point.")]
Out = Annotated[Path, typer.Option(help="Output folder; results are in OUT/NAME/sweep-….parquet.")]


@exit_code
def sweep(
    file: File,
    vary: Vary = None,
    random: Random = 0,
    points_seed: PointsSeed = 0,
    seeds: Seeds = 5,
    settings: Settings = None,
    jobs: Jobs = 0,
    executor: ExecutorName = "joblib",
    address: Address = "",
    out: Out = Path("reports"),
    as_json: AsJson = False,
) -> int:
    """Run a grid of variants, or random points, with every seed; write a Parquet file with all runs, and a page."""
    with usage_errors():
        design = _build_design(file, vary or [], parse_overrides(settings or []), random, points_seed, seeds)
        from twin.experiments.execution.results import ResultStore  # after errors of the input: needs an extra
        from twin.experiments.execution.runner import progress_bar
        from twin.experiments.pages.sweep import render
        from twin.experiments.sweep import sweep as run_sweep

        path = experiment_path(out, design.baseline.scenario.name, "sweep", design.paths)
        target = path.with_name(f"{path.name}.parquet")
        with open_executor(executor, jobs, address) as execute, ResultStore(target) as store, kept_runs(store):
            result = run_sweep(design, execute, store, lambda total: progress_bar("sweeping", total, quiet=as_json))
            with busy(DRAWING, quiet=as_json):
                page = path.with_name(f"{path.name}.html")
                page.write_text(render(design, store.rows(design.keys()), str(file)), encoding="utf-8")
    if as_json:
        _print_json(result, design, target, page)
    else:
        _print_result(result, design, target, page)
    return FAILED if result.crashed or result.broken else OK


def _build_design(
    file: Path, vary: list[str], overrides: dict[str, str], random: int, points_seed: int, seeds: int
) -> "Design":
    from twin.experiments.design import build_design, grid, parse_axes, random_points

    axes = parse_axes(file, vary, overrides)
    points = random_points(axes, random, points_seed) if random else grid(axes)
    distinct = list({tuple(point.items()): point for point in points}.values())
    if len(distinct) > MAX_POINTS:
        raise UsageError(f"{len(distinct):,} points are too many; allowed: up to {MAX_POINTS:,}")
    return build_design(file, distinct, overrides, seeds)


def _print_json(result: "SweepResult", design: "Design", target: Path, page: Path) -> None:
    document = {
        "file": str(target),
        "page": str(page),
        "scenario": design.baseline.scenario.name,
        "paths": design.paths,
        "variants": len(design.variants),
        "seeds": list(design.seeds),
        "runs": {
            "total": result.runs,
            "fresh": result.fresh,
            "crashed": result.crashed,
            "broken": result.broken,
        },
    }
    print(json.dumps(document, indent=2, ensure_ascii=False))


def _print_result(result: "SweepResult", design: "Design", target: Path, page: Path) -> None:
    variants, seeds = len(design.variants), len(design.seeds)
    print(f"{target}: {result.runs:,} runs, {variants:,} variants with {seeds:,} seeds each; {result.fresh:,} were new")
    if result.first:
        print(f"  {result.crashed:,} crashed, {result.broken:,} failed an invariant or an expectation; the first is")
        print(f"  {result.first}")
    print(f"report: {page}")


def register(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(sweep)
