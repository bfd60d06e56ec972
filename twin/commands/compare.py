"""`twin compare`: variants of a scenario, paired over seeds."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from twin.commands.common import FAILED, OK, UsageError, exit_code, parse_overrides
from twin.commands.experiments import (
    Address,
    ExecutorName,
    File,
    Jobs,
    Settings,
    open_executor,
    parse_share,
    usage_errors,
)  # fmt: skip

if TYPE_CHECKING:
    from rich.table import Table

    from twin.experiments.comparison import ComparisonResult


@exit_code
def compare(
    file: File,
    vary: Annotated[
        list[str] | None,
        typer.Option(metavar="PATH=A,B,C", help="What varies, the baseline first; instead of the file's `vary:`."),
    ] = None,
    seeds: Annotated[str, typer.Option(metavar="N|auto", help="Seeds a variant; auto: until it is settled.")] = "20",
    precision: Annotated[str, typer.Option(help="A difference below this share of the value is none.")] = "5%",
    level: Annotated[str, typer.Option(help="Share of false alarms among what is called beyond chance.")] = "5%",
    most_seeds: Annotated[int, typer.Option(min=2, help="Where --seeds auto ends at the latest.")] = 200,
    measure: Annotated[
        list[str] | None, typer.Option(help="Compare this measure only, repeatable; the first part names a group.")
    ] = None,
    settings: Settings = None,
    jobs: Jobs = 0,
    engine: ExecutorName = "joblib",
    address: Address = "",
    keep_runs: Annotated[
        bool, typer.Option("--runs/--no-runs", help="Whether to keep a run folder for every run.")
    ] = True,
    out: Annotated[Path, typer.Option(help="Where results go: OUT/NAME/compare-….")] = Path("reports"),
    as_json: Annotated[bool, typer.Option("--json", help="Print the comparison as JSON instead of a table.")] = False,
) -> int:
    """Compare variants of a scenario over the same seeds; say what differs beyond chance."""
    from twin.experiments import comparison as comparing
    from twin.experiments import page as page
    from twin.experiments.design import build_design, grid, parse_axes
    from twin.experiments.execution.results import ResultStore
    from twin.experiments.execution.runner import watching

    auto, count = _seeds(seeds)
    with usage_errors():
        overrides = parse_overrides(settings or [])
        axes = parse_axes(file, vary or [], overrides)
        design = build_design(file, grid(axes), overrides, count)
        if len(design.variants) < 2:
            raise UsageError(f"{file}: only one variant; allowed: at least two values, the first is the baseline")
        folder = out / design.baseline.scenario.name / ("compare-" + "+".join(axes))[:80]
        plan = comparing.CompareOptions(
            measures=_measures(measure or []),
            level=parse_share("--level", level),
            precision=parse_share("--precision", precision),
            most_seeds=most_seeds if auto else None,
            runs=folder / "runs" if keep_runs and not address else None,
        )
        with open_executor(engine, jobs, address) as execute, ResultStore(folder / "runs.parquet") as store:
            study = comparing.run_comparison(
                design, plan, execute, store, lambda total: watching("comparing", total, quiet=as_json)
            )
            store.write(study.design.keys(), study.design.paths, scenario=design.baseline.scenario.name)
        (folder / "comparison.json").write_bytes(comparing.written(study))
        drawn = folder / "comparison.html"
        drawn.write_text(page.render(study, str(file), Path("runs") if plan.runs else None), encoding="utf-8")
    if as_json:
        print(json.dumps(study.as_json(), indent=2, ensure_ascii=False))
    else:
        _show(study, drawn)
    return FAILED if study.broken else OK


def _seeds(asked: str) -> tuple[bool, int]:
    from twin.experiments.comparison import FIRST_SEEDS

    if asked == "auto":
        return True, FIRST_SEEDS
    if not asked.isdecimal() or not 1 <= int(asked) <= 100_000:
        raise UsageError(f"--seeds {asked}: is no number of seeds; allowed: 1 to 100000, or auto")
    return False, int(asked)


def _measures(asked: list[str]) -> tuple[str, ...]:
    from twin.experiments.comparison import select_measures

    try:
        return select_measures(asked)
    except ValueError as error:
        raise UsageError(str(error)) from None


def _show(study: "ComparisonResult", page: Path) -> None:
    """Each variant in a sentence, a table of what differs, remarks, and where the page lies."""
    from rich.markup import escape

    from twin.report import terminal

    output = terminal.console()
    scenario, design = study.design.baseline.scenario, study.design
    output.print(
        f"[bold]{escape(scenario.name)}[/] · {len(design.variants)} variants, {len(design.seeds)} seeds each, paired"
    )
    output.print(f"against {escape(design.baseline.name)}:")
    for name, said in study.sentences().items():
        output.print(f"  [bold]{escape(name)}[/]: {escape(said)}")
    table = _table(study)
    if table.row_count:
        output.print(table)
    for remark in study.remarks:
        output.print(f"  [dim]note[/]    {escape(remark)}")
    output.print(f"  [dim]report[/]  {escape(str(page))}")


def _table(study: "ComparisonResult") -> "Table":
    """The main measures that differ; the page has them all."""
    from rich.markup import escape
    from rich.table import Table

    from twin.experiments.page import verdict
    from twin.report.wording import HEADLINES, format_number, headlines_first

    table = Table(box=None, padding=(0, 2, 0, 2), header_style="dim")
    for column in ("measure", "variant", "baseline", "variant", "difference", "interval", "p", "how sure"):
        table.add_column(column, justify="left" if column in ("measure", "variant", "how sure") else "right")
    few = len({c.measure for c in study.comparisons}) <= len(HEADLINES)
    for c in headlines_first(study.comparisons):
        if c.identical or not c.pairs or not (few or c.measure in HEADLINES):
            continue
        short = c.variant.rpartition("=")[2] if len(study.design.paths) == 1 else c.variant
        sure = f"[green]{verdict(c)}[/]" if c.significant else escape(verdict(c))
        p = "—" if c.p_value is None else f"{c.p_value:.2g}"
        interval = f"{format_number(c.ci_low)} to {format_number(c.ci_high)}"
        table.add_row(
            escape(c.measure), escape(short),
            *map(format_number, (c.baseline_mean, c.variant_mean, c.difference)), interval, p, sure,
        )  # fmt: skip
    return table


def register(app: typer.Typer) -> None:
    """Hangs the command on the application."""
    app.command()(compare)
