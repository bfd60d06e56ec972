"""`twin search`: the best settings among those that satisfy the limits."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from twin.commands.common import FAILED, OK, UsageError, exit_code, parse_overrides
from twin.commands.endings import kept
from twin.commands.experiments.options import (
    Address,
    AsJson,
    ExecutorName,
    File,
    Jobs,
    Settings,
    all_runs_in,
    experiment_path,
    kept_runs,
    open_executor,
    usage_errors,
)  # fmt: skip

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import Console
    from rich.table import Table

    from twin.commands.experiments.options import Workers
    from twin.experiments.search import Evaluation, Objective, SearchOptions, SearchResult, SearchSpace

TABLE_ROWS = 5
"""Points in the table."""

Vary = Annotated[
    list[str] | None,
    typer.Option(metavar="PATH=LOW..HIGH|PATH=A,B", help="Setting to search; replaces the file's `vary:`."),
]
Minimise = Annotated[str, typer.Option(metavar="MEASURE", help="Measure to minimise.")]
Maximise = Annotated[str, typer.Option(metavar="MEASURE", help="Measure to maximise.")]
Satisfy = Annotated[
    list[str] | None, typer.Option(metavar='"NAME OP NUMBER"', help="Limit for the mean over seeds; repeatable.")
]
Trials = Annotated[int, typer.Option(min=1, max=10_000, help="Maximum number of points.")]
Seeds = Annotated[int, typer.Option(min=1, max=10_000, help="Seeds of each point.")]
SearchSeed = Annotated[int, typer.Option(min=0, help="Seed of the search itself.")]
Out = Annotated[Path, typer.Option(help="Output folder; results are in OUT/NAME/search-….")]


@exit_code
def search(
    file: File,
    vary: Vary = None,
    minimise: Minimise = "",
    maximise: Maximise = "",
    satisfy: Satisfy = None,
    trials: Trials = 60,
    seeds: Seeds = 5,
    search_seed: SearchSeed = 0,
    settings: Settings = None,
    jobs: Jobs = 0,
    executor: ExecutorName = "joblib",
    address: Address = "",
    out: Out = Path("reports"),
    as_json: AsJson = False,
) -> int:
    """Find the settings that minimise a measure or satisfy limits; check the best with new seeds."""
    from twin.experiments.design import parse_axes

    with usage_errors():
        overrides = parse_overrides(settings or [])
        axes = parse_axes(file, vary or [], overrides)
        from twin.experiments.pages.search import render  # after errors of the input: needs an extra
        from twin.experiments.search import SearchOptions, SearchSpace

        objective = _parse_objective(minimise, maximise, satisfy or [])
        space = SearchSpace(file, axes, overrides)
        scenario = space.design([{}], 1).baseline.scenario
        path = experiment_path(out, scenario.name, "search", list(space.axes))
        options = SearchOptions(trials, seeds, search_seed)
        result = _run(space, objective, options, open_executor(executor, jobs, address), path, quiet=as_json)
        target, page = path.with_name(f"{path.name}.json"), path.with_name(f"{path.name}.html")
        with kept(all_runs_in(path.with_name(f"{path.name}.parquet"))):
            target.write_text(json.dumps(_as_json(result), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
            page.write_text(render(result, scenario, str(file)), encoding="utf-8")
    if as_json:
        print(target.read_text(encoding="utf-8"), end="")
    else:
        _print_result(result, target, page)
    return OK if result.passed else FAILED


def _run(
    space: "SearchSpace",
    objective: "Objective",
    options: "SearchOptions",
    workers: "Workers",
    path: Path,
    *,
    quiet: bool,
) -> "SearchResult":
    from twin.experiments.execution.results import ResultStore
    from twin.experiments.execution.runner import progress_bar
    from twin.experiments.search import search as run_search

    with workers as execute, ResultStore(path.with_name(f"{path.name}.parquet")) as store, kept_runs(store):
        return run_search(
            space, objective, options, execute, store,
            lambda total: progress_bar("searching", total, quiet=quiet),
        )  # fmt: skip


def _parse_objective(minimise: str, maximise: str, satisfy: list[str]) -> "Objective":
    from pydantic_core import PydanticCustomError

    from twin.experiments.comparison import select_measures
    from twin.experiments.search import Objective
    from twin.scenario import parse_expectation, unknown_measure

    if minimise and maximise:
        raise UsageError("--minimise and --maximise exclude each other")
    measure = minimise or maximise
    if not measure and not satisfy:
        raise UsageError("no objective; use --minimise MEASURE, --maximise MEASURE or --satisfy 'NAME OP NUMBER'")
    if measure and measure not in select_measures([]):
        option = "--minimise" if minimise else "--maximise"
        raise UsageError(f"{option} {measure}: {'; '.join(unknown_measure(measure))}")
    try:
        limits = tuple(parse_expectation(text) for text in satisfy)
    except PydanticCustomError as error:
        raise UsageError(f"--satisfy: {error.message()}; {(error.context or {}).get('allowed', '')}") from None
    return Objective(measure, -1 if maximise else 1, limits)


def _as_json(result: "SearchResult") -> dict[str, Any]:
    objective, best = result.objective, result.best
    return {
        ("maximise" if objective.sign < 0 else "minimise"): objective.measure or None,
        "satisfy": [str(limit) for limit in objective.limits],
        "seeds": result.options.seeds,
        "best": None if best is None else {"settings": dict(best.settings), "means": dict(best.means)},
        "check": {
            "passed": result.passed,
            "means": dict(result.checked),
            "against_unchanged_scenario": [asdict(comparison) for comparison in result.check],
        },
        "trials": [asdict(evaluation) | {"satisfied": evaluation.satisfied} for evaluation in result.evaluations],
    }


def _print_result(result: "SearchResult", target: Path, page: Path) -> None:
    from rich.markup import escape

    from twin.experiments.design import set_options
    from twin.report import terminal

    output, ranked = terminal.console(), result.ranked()
    failed = [evaluation for evaluation in result.evaluations if evaluation.error]
    output.print(
        f"{len(result.evaluations)} points with {result.options.seeds} seeds each; {len(ranked)} satisfy the limits"
    )
    if failed:
        first = f"{_format_point(failed[0].settings)}: {failed[0].error}"
        output.print(f"  {len(failed)} have no result; the first is {escape(first)}")
    if result.best is None:
        output.print(f"  [red]none found[/]; all points are in {escape(str(target))}")
        output.print(f"  [dim]report[/]  {escape(str(page))}")
        return
    output.print(_table(result, result.best, ranked))
    _print_check(result, output)
    arguments = set_options(result.best.settings)
    output.print(f"  [dim]try it[/]  {escape(arguments)}")
    output.print(f"  [dim]all[/]     {escape(str(target))}")
    output.print(f"  [dim]report[/]  {escape(str(page))}")


def _table(result: "SearchResult", best: "Evaluation", ranked: "list[Evaluation]") -> "Table":
    from rich.markup import escape
    from rich.table import Table

    from twin.report.wording import format_number

    table = Table(box=None, padding=(0, 2, 0, 2), header_style="dim")
    for column in (*best.settings, *result.objective.measures):
        table.add_column(escape(column), justify="right")
    for evaluation in ranked[:TABLE_ROWS]:
        means = (format_number(evaluation.means.get(name)) for name in result.objective.measures)
        table.add_row(*map(escape, evaluation.settings.values()), *means)
    return table


def _print_check(result: "SearchResult", output: "Console") -> None:
    """Print how the best point compares with the unchanged scenario, with new seeds."""
    from rich.markup import escape

    from twin.experiments.search import constraint_violations
    from twin.report.wording import format_number, sentence

    output.print(f"best point, with {result.check[0].pairs} new seeds, against the unchanged scenario:")
    output.print(f"  {escape(sentence(result.check))}")
    for c in result.check:
        interval = f"{format_number(c.ci_low)} to {format_number(c.ci_high)}"
        mean, difference = format_number(c.variant_mean), format_number(c.difference)
        output.print(f"  {escape(c.measure)}: {mean}, difference {difference} ({interval})")
    violations = constraint_violations(result.objective, result.checked)
    for limit, violation in zip(result.objective.limits, violations, strict=True):
        output.print(f"  {'[red]violated[/]' if violation else '[green]satisfied[/]'} {escape(str(limit))}")


def _format_point(settings: "Mapping[str, str]") -> str:
    return ", ".join(f"{path}={value}" for path, value in settings.items())


def register(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(search)
