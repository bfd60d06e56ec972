"""`twin calibrate`: turn measurements of real engines into a model profile, with a page that shows the fits."""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from twin.commands.common import OK, UsageError, exit_code

if TYPE_CHECKING:
    from fake_vllm.cli.profile import ModelProfile
    from twin.calibration import Calibration


Sources = Annotated[
    list[str],
    typer.Argument(metavar="SOURCE", help="CSV or Parquet file, or a metrics page (file or URL).", show_default=False),
]
Out = Annotated[Path, typer.Option(help="File to write; an HTML page is written beside it.")]
Base = Annotated[
    str, typer.Option(metavar="NAME|FILE", help="Preset or file that supplies values that were not measured.")
]
Model = Annotated[str, typer.Option(help="Model name to write into the file.")]
Gpu = Annotated[str, typer.Option(help="GPU name to write into the file.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON instead of a table.")]


@exit_code
def calibrate(
    sources: Sources,
    out: Out = Path("calibrated.yaml"),
    base: Base = "",
    model: Model = "",
    gpu: Gpu = "",
    as_json: AsJson = False,
) -> int:
    """Fit latencies to measurements and write the file that fake-vllm and scenarios read."""
    from twin.calibration import SourceError, from_measurements, profile_yaml, read
    from twin.calibration.page import render

    check_output(out)
    try:
        calibration = from_measurements(read(sources), _base(base))
    except SourceError as error:
        raise UsageError(str(error)) from None
    if not calibration.parameters:
        raise UsageError(f"{', '.join(sources)}: nothing to fit; allowed columns and metrics: docs/calibrate.md")
    page = out.with_suffix(".html")
    _write(out, profile_yaml(calibration, model, gpu))
    _write(page, render(calibration))
    if as_json:
        print(json.dumps(_as_json(calibration, out, page), indent=2, ensure_ascii=False))
    else:
        _print_result(calibration, out, page)
    return OK


def check_output(out: Path) -> None:
    """Refuse to replace a file that this command has not written."""
    from twin.calibration.profile_writer import HEADING

    if out.suffix not in (".yaml", ".yml"):
        raise UsageError(f"--out {out}: is not the name of a YAML file; allowed: a name that ends in .yaml")
    try:
        if out.exists() and not out.read_text("utf-8", errors="replace").startswith(HEADING):
            raise UsageError(f"--out {out}: exists and was not made by twin calibrate; choose another name")
    except OSError as error:
        raise UsageError(f"--out {out}: cannot be written: {error.strerror or error}") from None


def _base(name: str) -> "ModelProfile":
    from fake_vllm.cli.profile import DEFAULT_PROFILE, ProfileError, preset, presets, read

    if not name:
        return DEFAULT_PROFILE
    try:
        return preset(name) if name in presets() else read(name)
    except ProfileError as error:
        raise UsageError(f"--base: {error}; presets: {', '.join(presets())}") from None


def _write(path: Path, text: str) -> None:
    """Write the whole file or nothing."""
    temporary = path.with_name(f".{path.name}.new-{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            temporary.write_text(text, encoding="utf-8")
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise UsageError(f"--out {path}: cannot be written: {error.strerror or error}") from None


def _as_json(calibration: "Calibration", out: Path, page: Path) -> dict[str, object]:
    from twin.calibration.profile_writer import value_text

    entries = {
        parameter.entry: {
            "value": value_text(parameter),
            "description": parameter.description,
            "distance": None if parameter.fit is None else round(parameter.fit.distance, 6),
            "p_value": None if parameter.fit is None else parameter.fit.p_value,
        }
        for parameter in calibration.parameters
    }
    return {"file": str(out), "page": str(page), "sources": list(calibration.sources), "entries": entries}


def _print_result(calibration: "Calibration", out: Path, page: Path) -> None:
    from rich.markup import escape
    from rich.table import Table

    from twin.calibration.profile_writer import describe_value
    from twin.report import terminal

    table = Table(box=None, padding=(0, 2, 0, 2), header_style="dim")
    for column in ("entry", "value", "fit"):
        table.add_column(column)
    for parameter in calibration.parameters:
        table.add_row(parameter.entry, escape(describe_value(parameter)), escape(parameter.description))
    console = terminal.console()
    console.print(table)
    console.print(f"  {escape(str(out))} [dim](page: {escape(str(page))})[/]")


def register(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(calibrate)
