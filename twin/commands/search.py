"""`twin search`: the best settings, among those that keep what is asked for."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from twin.commands.common import FAILED, OK, UsageError, exit_code, parse_overrides, print_errors
from twin.commands.experiments import Address, ExecutorName, File, Jobs, Settings, open_executor, usage_errors

if TYPE_CHECKING:
    from twin.experiments.search import Objective, SearchResult

SHOWN = 5
"""Points in the table."""


@exit_code
def search(
    file: File,
    vary: Annotated[
        list[str] | None,
        typer.Option(metavar="PATH=LOW..HIGH|PATH=A,B", help="What may be set; instead of the file's `vary:`."),
    ] = None,
    minimise: Annotated[str, typer.Option(metavar="MEASURE", help="Make this small.")] = "",
    maximise: Annotated[str, typer.Option(metavar="MEASURE", help="Or this large.")] = "",
    satisfy: Annotated[
        list[str] | None,
        typer.Option(metavar='"NAME OP NUMBER"', help="What must hold of the mean over seeds, repeatable."),
    ] = None,
    trials: Annotated[int, typer.Option(min=1, max=10_000, help="Points to try at most.")] = 60,
    seeds: Annotated[int, typer.Option(min=1, max=10_000, help="Seeds for each point.")] = 5,
    search_seed: Annotated[int, typer.Option(min=0, help="Seed of the search itself.")] = 0,
    settings: Settings = None,
    jobs: Jobs = 0,
    engine: ExecutorName = "joblib",
    address: Address = "",
    out: Annotated[Path, typer.Option(help="Where results go: OUT/NAME/search-….")] = Path("reports"),
    as_json: Annotated[bool, typer.Option("--json", help="Print what was found as JSON.")] = False,
) -> int:
    """Find the settings that minimise a measure, or satisfy limits; check the best on fresh seeds."""
    from twin.experiments.design import parse_axes
    from twin.experiments.execution.results import ResultStore
    from twin.experiments.execution.runner import watching
    from twin.experiments.search import SearchOptions, SearchSpace
    from twin.experiments.search import search as look

    objective = _goal(minimise, maximise, satisfy or [])
    with usage_errors():
        overrides = parse_overrides(settings or [])
        space = SearchSpace(file, parse_axes(file, vary or [], overrides), overrides)
        name = space.design([{}], 1).baseline.scenario.name
        target = out / name / f"{('search-' + '+'.join(space.axes))[:80]}.parquet"
        with open_executor(engine, jobs, address) as execute, ResultStore(target) as store:
            try:
                found = look(
                    space, objective, SearchOptions(trials, seeds, search_seed), execute, store,
                    lambda total: watching("searching", total, quiet=as_json),
                )  # fmt: skip
            except KeyboardInterrupt:
                print_errors(f"{len(store):,} finished runs are kept, the same command goes on from there")
                raise
        written = target.with_suffix(".json")
        written.write_text(json.dumps(_told(found), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    if as_json:
        print(written.read_text(encoding="utf-8"), end="")
    else:
        _show(found, written)
    return OK if found.holds else FAILED


def _goal(minimise: str, maximise: str, satisfy: list[str]) -> "Objective":
    from pydantic_core import PydanticCustomError

    from twin.experiments.comparison import select_measures
    from twin.experiments.search import Objective
    from twin.scenario import parse_expectation, unknown_measure

    if minimise and maximise:
        raise UsageError("--minimise and --maximise: one measure can be made best at a time; allowed: one of them")
    measure = minimise or maximise
    if not measure and not satisfy:
        raise UsageError("no objective; allowed: --minimise MEASURE, --maximise MEASURE, --satisfy 'NAME OP NUMBER'")
    if measure and measure not in select_measures([]):
        option = "--minimise" if minimise else "--maximise"
        raise UsageError(f"{option} {measure}: {'; '.join(unknown_measure(measure))}")
    try:
        limits = tuple(parse_expectation(text) for text in satisfy)
    except PydanticCustomError as error:
        raise UsageError(f"--satisfy: {error.message()}; {(error.context or {}).get('allowed', '')}") from None
    return Objective(measure, -1 if maximise else 1, limits)


def _told(found: "SearchResult") -> dict[str, Any]:
    objective, best = found.objective, found.best
    return {
        ("maximise" if objective.sign < 0 else "minimise"): objective.measure or None,
        "satisfy": [str(limit) for limit in objective.limits],
        "seeds": found.options.seeds,
        "best": None if best is None else {"settings": dict(best.settings), "means": dict(best.means)},
        "check": {
            "holds": found.holds,
            "means": dict(found.checked),
            "against_the_scenario_as_it_is": [asdict(comparison) for comparison in found.check],
        },
        "trials": [asdict(tried) | {"keeps": tried.keeps} for tried in found.tried],
    }


def _show(found: "SearchResult", written: Path) -> None:
    from rich.markup import escape
    from rich.table import Table

    from twin.report import terminal
    from twin.report.wording import format_number, sentence

    output, ranked = terminal.console(), found.ranked()
    troubles = [tried for tried in found.tried if tried.trouble]
    output.print(f"{len(found.tried)} points with {found.options.seeds} seeds each, {len(ranked)} satisfy the limits")
    if troubles:
        first = f"{_point(troubles[0].settings)}: {troubles[0].trouble}"
        output.print(f"  {len(troubles)} could not be judged, the first: {escape(first)}")
    if found.best is None:
        output.print(f"  [red]none found[/]; all points are in {escape(str(written))}")
        return
    table = Table(box=None, padding=(0, 2, 0, 2), header_style="dim")
    for column in (*found.best.settings, *found.objective.measures):
        table.add_column(escape(column), justify="right")
    for tried in ranked[:SHOWN]:
        table.add_row(
            *map(escape, tried.settings.values()),
            *(format_number(tried.means.get(name)) for name in found.objective.measures),
        )
    output.print(table)
    output.print(f"the best, on {found.check[0].pairs} seeds that no point had met, against the scenario as it is:")
    output.print(f"  {escape(sentence(found.check))}")
    for c in found.check:
        interval = f"{format_number(c.ci_low)} to {format_number(c.ci_high)}"
        mean, difference = format_number(c.variant_mean), format_number(c.difference)
        output.print(f"  {escape(c.measure)}: {mean}, difference {difference} ({interval})")
    for limit in found.objective.limits:
        kept = found.objective.limits and _kept(found, limit.name)
        output.print(f"  {'[green]keeps[/]' if kept else '[red]misses[/]'} {escape(str(limit))}")
    given = " ".join(f"--set '{path}={value}'" for path, value in found.best.settings.items())
    output.print(f"  [dim]try it[/]  {escape(given)}")
    output.print(f"  [dim]all[/]     {escape(str(written))}")


def _kept(found: "SearchResult", name: str) -> bool:
    from twin.experiments.search import constraint_violations

    objective = found.objective
    return all(
        not excess
        for limit, excess in zip(objective.limits, constraint_violations(objective, found.checked), strict=True)
        if limit.name == name
    )


def _point(settings: Any) -> str:
    return ", ".join(f"{path}={value}" for path, value in settings.items())


def register(app: typer.Typer) -> None:
    """Hangs the command on the application."""
    app.command()(search)
