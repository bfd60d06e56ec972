"""`twin compare-worlds`: one scenario simulated, and served with real sockets, time and processes."""

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from twin.commands.common import INTERRUPTED, OK, UsageError, exit_code, parse_overrides, run_folder_errors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from twin.serve.comparison import Row


@exit_code
def compare_worlds(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A scenario.", show_default=False)],
    seed: Annotated[int | None, typer.Option(min=0, help="Instead of the file's own.", show_default=False)] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="PATH=VALUE", help="Override a value, repeatable.")
    ] = None,
    speed: Annotated[float, typer.Option(help="Of the served world; above 1 the machine's own time weighs more.")] = 1,
    everything: Annotated[bool, typer.Option("--all", help="Show also what differs by less than 5 %.")] = False,
    out: Annotated[Path, typer.Option(help="Where run folders go: OUT/NAME-simulated, OUT/NAME-served.")] = Path(
        "reports"
    ),
    as_json: Annotated[bool, typer.Option("--json", help="Print all rows as JSON instead of a table.")] = False,
) -> int:
    """Run a scenario simulated, then served for as long as it says; show where the two differ."""
    from tempfile import TemporaryDirectory

    from twin.runs import run as running
    from twin.serve.comparison import compare_runs
    from twin.serve.errors import ServeError
    from twin.serve.server import Options, serve

    scenarios, problems = running.load_all([file], parse_overrides(settings or []), seed)
    if problems:
        raise UsageError(*problems)
    scenario = scenarios[0]
    if not as_json:
        print(f"{scenario.name}: simulated at once, then served for {scenario.duration / speed:.0f} s", flush=True)
    with run_folder_errors():
        simulated, _ = running.run_to_folder(replace(scenario, name=f"{scenario.name}-simulated"), out)
        try:
            with TemporaryDirectory(prefix="lora-twin-") as folder:
                options = Options(
                    speed=speed, kubeconfig=Path(folder) / "kubeconfig", operator_process=True, until_end=True
                )
                there = replace(scenario, name=f"{scenario.name}-served")
                outcome = serve(there, options, lambda _: None)
        except (ServeError, ValueError) as error:
            raise UsageError(f"twin compare-worlds: {error}") from error
        served, _ = running.judge_to_folder(there, outcome.lines, out, partial=outcome.partial)
    rows = compare_runs(simulated, served)
    if as_json:
        print(json.dumps([_as_object(row) for row in rows], indent=2))
    else:
        _show(rows, everything=everything)
    return INTERRUPTED if outcome.partial else OK


def _as_object(row: "Row") -> dict[str, object]:
    return {"measure": row.name, "simulated": row.simulated, "served": row.served, "difference": row.difference}


def _show(rows: "Sequence[Row]", *, everything: bool) -> None:
    from rich.table import Table

    from twin.report import format_value
    from twin.report.terminal import console
    from twin.serve.comparison import THRESHOLD

    chosen = [row for row in rows if everything or row.exceeds_threshold]
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name, side in (("measure", "left"), ("simulated", "right"), ("served", "right"), ("difference", "right")):
        table.add_column(name, justify="left" if side == "left" else "right", no_wrap=True)
    for row in chosen:
        table.add_row(row.name, format_value(row.simulated), format_value(row.served), _share(row))
    console().print(table)
    alike = len(rows) - len(chosen)
    if alike:
        print(f"{alike} of {len(rows)} measures differ by no more than {THRESHOLD:.0%}; --all shows them")


def _share(row: "Row") -> str:
    return "" if row.difference is None else f"{row.difference:+.1%}"


def register(app: typer.Typer) -> None:
    """Hangs the command on the application."""
    app.command("compare-worlds")(compare_worlds)
