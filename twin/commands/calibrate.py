"""`twin calibrate`: from measurements of real engines to a file of times, with a picture of how well it fits."""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from twin.commands.common import OK, UsageError, exit_code

if TYPE_CHECKING:
    from fake_vllm.cli.profile import Parameters
    from twin.calibration import Calibration


@exit_code
def calibrate(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE", help="A CSV or Parquet file, or a page of metrics: a file or a URL.", show_default=False
        ),
    ],
    out: Annotated[Path, typer.Option(help="The file to write; the picture goes beside it as HTML.")] = Path(
        "calibrated.yaml"
    ),
    base: Annotated[
        str, typer.Option(metavar="NAME|FILE", help="A preset or a file that says what was not measured.")
    ] = "",
    model: Annotated[str, typer.Option(help="To be named in the file.")] = "",
    gpu: Annotated[str, typer.Option(help="To be named in the file.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print what was fitted as JSON instead of a table.")] = False,
) -> int:
    """Fit latencies to measurements; say how well they fit; write the file that fake-vllm and scenarios read."""
    from twin import calibration as calibrating
    from twin.calibration.page import render

    check_output(out)
    try:
        found = calibrating.from_measurements(calibrating.read(sources), _base(base))
    except calibrating.SourceError as error:
        raise UsageError(str(error)) from None
    if not found.findings:
        raise UsageError(f"{', '.join(sources)}: nothing to fit; allowed columns and metrics: docs/calibrate.md")
    picture = out.with_suffix(".html")
    _write(out, calibrating.written(found, model, gpu))
    _write(picture, render(found))
    if as_json:
        print(json.dumps(_as_json(found, out, picture), indent=2, ensure_ascii=False))
    else:
        _show(found, out, picture)
    return OK


def check_output(out: Path) -> None:
    """Refuses to replace what this command has not made."""
    from twin.calibration.profile_writer import HEADING

    if out.suffix not in (".yaml", ".yml"):
        raise UsageError(f"--out {out}: is no name of a YAML file; allowed: one that ends in .yaml")
    try:
        if out.exists() and not out.read_text("utf-8", errors="replace").startswith(HEADING):
            raise UsageError(f"--out {out}: is there already and not made by twin calibrate; choose another name")
    except OSError as error:
        raise UsageError(f"--out {out}: cannot be written: {error.strerror or error}") from None


def _base(name: str) -> "Parameters":
    from fake_vllm.cli.profile import DEFAULT_PARAMETERS, ParametersError, preset, presets, read

    if not name:
        return DEFAULT_PARAMETERS
    try:
        return preset(name) if name in presets() else read(name)
    except ParametersError as error:
        raise UsageError(f"--base: {error}; presets: {', '.join(presets())}") from None


def _write(path: Path, text: str) -> None:
    """Whole or not at all."""
    fresh = path.with_name(f".{path.name}.new-{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            fresh.write_text(text, encoding="utf-8")
            fresh.replace(path)
        finally:
            fresh.unlink(missing_ok=True)
    except OSError as error:
        raise UsageError(f"--out {path}: cannot be written: {error.strerror or error}") from None


def _as_json(found: "Calibration", out: Path, picture: Path) -> dict[str, object]:
    from twin.calibration.profile_writer import value_text

    entries = {
        finding.entry: {
            "value": value_text(finding),
            "said": finding.said,
            "distance": None if finding.fit is None else round(finding.fit.distance, 6),
            "p_value": None if finding.fit is None else finding.fit.p_value,
        }
        for finding in found.findings
    }
    return {"file": str(out), "picture": str(picture), "sources": list(found.sources), "entries": entries}


def _show(found: "Calibration", out: Path, picture: Path) -> None:
    from rich.markup import escape
    from rich.table import Table

    from twin.calibration.profile_writer import describe_value
    from twin.report import terminal

    table = Table(box=None, padding=(0, 2, 0, 2), header_style="dim")
    for column in ("entry", "value", "how well it fits"):
        table.add_column(column)
    for finding in found.findings:
        table.add_row(finding.entry, escape(describe_value(finding)), escape(finding.said))
    console = terminal.console()
    console.print(table)
    console.print(f"  {escape(str(out))} [dim](picture: {escape(str(picture))})[/]")


def register(app: typer.Typer) -> None:
    """Hangs the command on the application."""
    app.command()(calibrate)
