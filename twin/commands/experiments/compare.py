"""`twin compare`: variants of a scenario, paired over seeds."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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
    parse_share,
    usage_errors,
)  # fmt: skip
from twin.commands.progress import DRAWING, busy

if TYPE_CHECKING:
    from rich.table import Table

    from twin.commands.experiments.options import Workers
    from twin.evaluate.statistics import Comparison
    from twin.experiments.comparison import CompareOptions, ComparisonResult
    from twin.experiments.design import Design

Vary = Annotated[
    list[str] | None,
    typer.Option(metavar="PATH=A,B,C", help="Values to compare, the baseline first; replaces the file's `vary:`."),
]
Seeds = Annotated[str, typer.Option(metavar="N|auto", help="Seeds of each variant (auto: until conclusive).")]
Precision = Annotated[str, typer.Option(help="Differences below this share of the value are ignored.")]
Level = Annotated[str, typer.Option(help="Significance level, after correction for the number of comparisons.")]
MaxSeeds = Annotated[int, typer.Option(min=2, help="Upper limit of --seeds auto.")]
Measures = Annotated[
    list[str] | None, typer.Option(help="Measure to compare, or the first part of its name; repeatable.")
]
KeepRuns = Annotated[bool, typer.Option("--runs/--no-runs", help="Keep a run folder for every run.")]
Out = Annotated[Path, typer.Option(help="Output folder; results are in OUT/NAME/compare-….")]


@exit_code
def compare(
    file: File,
    vary: Vary = None,
    seeds: Seeds = "20",
    precision: Precision = "5%",
    level: Level = "5%",
    max_seeds: MaxSeeds = 200,
    measure: Measures = None,
    settings: Settings = None,
    jobs: Jobs = 0,
    executor: ExecutorName = "joblib",
    address: Address = "",
    keep_runs: KeepRuns = True,
    out: Out = Path("reports"),
    as_json: AsJson = False,
) -> int:
    """Compare variants of a scenario over the same seeds; report significant differences."""
    from twin.experiments.comparison import CompareOptions

    auto, count = _parse_seeds(seeds)
    with usage_errors():
        design = _build_design(file, vary or [], parse_overrides(settings or []), count)
        folder = experiment_path(out, design.baseline.scenario.name, "compare", design.paths)
        options = CompareOptions(
            measures=_select_measures(measure or []),
            level=parse_share("--level", level),
            precision=parse_share("--precision", precision),
            max_seeds=max_seeds if auto else None,
            runs=folder / "runs" if keep_runs and not address else None,
        )
        result = _run(design, options, open_executor(executor, jobs, address), folder, quiet=as_json)
        with busy(DRAWING, quiet=as_json), kept(all_runs_in(folder / "runs.parquet")):
            _write_files(result, folder, str(file), Path("runs") if options.runs else None)
    if as_json:
        print((folder / "comparison.json").read_text(encoding="utf-8"), end="")
    else:
        _print_result(result, folder / "comparison.html")
    return FAILED if result.broken else OK


def _build_design(file: Path, vary: list[str], overrides: dict[str, str], seeds: int) -> "Design":
    from twin.experiments.design import build_design, grid, parse_axes

    design = build_design(file, grid(parse_axes(file, vary, overrides)), overrides, seeds)
    if len(design.variants) < 2:
        raise UsageError(f"{file}: only one variant; allowed: at least two values, the first is the baseline")
    return design


def _run(
    design: "Design", options: "CompareOptions", workers: "Workers", folder: Path, *, quiet: bool
) -> "ComparisonResult":
    from twin.experiments.comparison import run_comparison
    from twin.experiments.execution.results import ResultStore
    from twin.experiments.execution.runner import progress_bar

    with workers as execute, ResultStore(folder / "runs.parquet") as store, kept_runs(store):
        result = run_comparison(
            design, options, execute, store, lambda total: progress_bar("comparing", total, quiet=quiet)
        )
        store.write(result.design.keys(), design.paths, scenario=design.baseline.scenario.name)
    return result


def _parse_seeds(text: str) -> tuple[bool, int]:
    from twin.experiments.comparison import FIRST_SEEDS

    if text == "auto":
        return True, FIRST_SEEDS
    if not text.isdecimal() or not 1 <= int(text) <= 100_000:
        raise UsageError(f"--seeds {text}: is not a number of seeds; allowed: 1 to 100000, or auto")
    return False, int(text)


def _select_measures(names: list[str]) -> tuple[str, ...]:
    from twin.experiments.comparison import select_measures

    try:
        return select_measures(names)
    except ValueError as error:
        raise UsageError(str(error)) from None


def _write_files(result: "ComparisonResult", folder: Path, file: str, runs: Path | None) -> None:
    from twin.experiments.comparison import comparison_json
    from twin.experiments.pages.comparison import render

    (folder / "comparison.json").write_bytes(comparison_json(result))
    (folder / "comparison.html").write_text(render(result, file, runs), encoding="utf-8")


def _print_result(result: "ComparisonResult", page: Path) -> None:
    """Print a sentence for each variant, a table of the main differences, remarks, and the path of the page."""
    from rich.markup import escape

    from twin.report import terminal

    output = terminal.console()
    scenario, design = result.design.baseline.scenario, result.design
    output.print(
        f"[bold]{escape(scenario.name)}[/] · {len(design.variants)} variants, {len(design.seeds)} seeds each, paired"
    )
    output.print(f"against {escape(design.baseline.name)}:")
    for name, sentence in result.sentences().items():
        output.print(f"  [bold]{escape(name)}[/]: {escape(sentence)}")
    output.print(f"[bold]recommendation[/]: {escape(result.recommendation())}")
    table = _table(result)
    if table.row_count:
        output.print(table)
    for remark in result.remarks:
        output.print(f"  [dim]note[/]    {escape(remark)}")
    output.print(f"  [dim]report[/]  {escape(str(page))}")


def _table(result: "ComparisonResult") -> "Table":
    """Return the main measures that differ; the page has all of them."""
    from rich.table import Table

    from twin.report.wording import HEADLINES, headlines_first

    table = Table(box=None, padding=(0, 2, 0, 2), header_style="dim")
    for column in ("measure", "variant", "baseline", "variant", "difference", "interval", "p", "conclusion"):
        table.add_column(column, justify="left" if column in ("measure", "variant", "conclusion") else "right")
    few = len({c.measure for c in result.comparisons}) <= len(HEADLINES)
    for c in headlines_first(result.comparisons):
        if not c.identical and c.pairs and (few or c.measure in HEADLINES):
            table.add_row(*_cells(c, one_path=len(result.design.paths) == 1))
    return table


def _cells(c: "Comparison", *, one_path: bool) -> list[str]:
    from rich.markup import escape

    from twin.experiments.pages.comparison import conclusion
    from twin.report.directions import verdict
    from twin.report.wording import format_measure

    colour = {"better": "green", "worse": "red"}.get(verdict(c), "bold")
    text = f"[{colour}]{conclusion(c)}[/]" if c.significant else escape(conclusion(c))
    return [
        escape(c.measure),
        escape(c.variant.rpartition("=")[2] if one_path else c.variant),
        format_measure(c.measure, c.baseline_mean),
        format_measure(c.measure, c.variant_mean),
        format_measure(c.measure, c.difference, sign=True),
        f"{format_measure(c.measure, c.ci_low, sign=True)} to {format_measure(c.measure, c.ci_high, sign=True)}",
        "—" if c.p_value is None else f"{c.p_value:.2g}",
        text,
    ]


def register(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(compare)
