"""`twin compare-worlds`: runs a scenario simulated, then served with real sockets, time and processes."""

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from formats.durations import format_clock
from twin.commands.common import OK, UsageError, exit_code, parse_overrides, run_folder_errors
from twin.commands.progress import busy, progress_bar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from twin.scenario import Scenario
    from twin.serve.comparison import Row
    from twin.serve.server import ServeResult


@exit_code
def compare_worlds(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Scenario file.", show_default=False)],
    seed: Annotated[
        int | None, typer.Option(min=0, help="Seed, instead of the one in the file.", show_default=False)
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="PATH=VALUE", help="Override a value; repeatable.")
    ] = None,
    speed: Annotated[
        float, typer.Option(help="Speed of the served world; above 1, the machine's own delays have more effect.")
    ] = 1,
    everything: Annotated[
        bool, typer.Option("--all", help="Show all measures, not only differences above 5 %.")
    ] = False,
    out: Annotated[Path, typer.Option(help="Directory for the run folders NAME-simulated and NAME-served.")] = Path(
        "reports"
    ),
    as_json: Annotated[bool, typer.Option("--json", help="Print all rows as JSON instead of a table.")] = False,
) -> int:
    """Run a scenario simulated, then served in real time, and compare the results."""
    from twin.runs import run as running
    from twin.scenario import load_all
    from twin.serve.comparison import compare_runs

    scenarios, problems = load_all([file], parse_overrides(settings or []), seed)
    if problems:
        raise UsageError(*problems)
    scenario = scenarios[0]
    if not as_json:
        seconds = scenario.duration / speed
        print(f"{scenario.name}: running simulated, then served for {seconds:.0f} s", flush=True)
    with run_folder_errors():
        with progress_bar(scenario, quiet=as_json) as reached:
            simulated, page = running.run_to_folder(replace(scenario, name=f"{scenario.name}-simulated"), out, reached)
        if simulated.partial:
            raise KeyboardInterrupt(f"{page.parent} has the simulated run until then; nothing was served")
        served_scenario = replace(scenario, name=f"{scenario.name}-served")
        with busy(f"serving {scenario.name} for {format_clock(scenario.duration / speed)}", quiet=as_json):
            result = _serve(served_scenario, speed)
        served, page = running.judge_to_folder(served_scenario, result.lines, out, partial=result.partial)
    if result.partial:
        raise KeyboardInterrupt(f"{page.parent} has the served run until then; a part is not compared with a whole run")
    rows = compare_runs(simulated, served)
    if as_json:
        print(json.dumps([_as_object(row) for row in rows], indent=2))
    else:
        _show(rows, everything=everything)
    return OK


def _serve(scenario: "Scenario", speed: float) -> "ServeResult":
    from tempfile import TemporaryDirectory

    from twin.serve.errors import ServeError
    from twin.serve.server import Options, serve

    try:
        with TemporaryDirectory(prefix="lora-twin-") as folder:
            kubeconfig = Path(folder) / "kubeconfig"
            options = Options(speed=speed, kubeconfig=kubeconfig, operator_process=True, until_end=True)
            return serve(scenario, options, lambda _: None)
    except (ServeError, ValueError) as error:
        raise UsageError(f"twin compare-worlds: {error}") from error


def _as_object(row: "Row") -> dict[str, object]:
    return {"measure": row.name, "simulated": row.simulated, "served": row.served, "difference": row.difference}


def _show(rows: "Sequence[Row]", *, everything: bool) -> None:
    from rich.table import Table

    from twin.report import format_value
    from twin.report.terminal import console
    from twin.serve.comparison import THRESHOLD

    selected = [row for row in rows if everything or row.exceeds_threshold]
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name, side in (("measure", "left"), ("simulated", "right"), ("served", "right"), ("difference", "right")):
        table.add_column(name, justify="left" if side == "left" else "right", no_wrap=True)
    for row in selected:
        table.add_row(row.name, format_value(row.simulated), format_value(row.served), _percent(row))
    console().print(table)
    hidden = len(rows) - len(selected)
    if hidden:
        print(f"{hidden} of {len(rows)} measures differ by no more than {THRESHOLD:.0%}; --all shows them")


def _percent(row: "Row") -> str:
    return "" if row.difference is None else f"{row.difference:+.1%}"


def register(app: typer.Typer) -> None:
    """Register the command."""
    app.command("compare-worlds")(compare_worlds)
