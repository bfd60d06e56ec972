"""`twin calibrate`: turn measurements of real engines into a model profile, with a page that shows the fits.

With `--measure` it drives the load test itself (`load_test.py`).
"""

import json
import os
from collections.abc import Sequence
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from formats.durations import parse_duration
from formats.errors import FormatError
from twin.commands.common import OK, UsageError, exit_code
from twin.commands.endings import NOTHING, kept
from twin.commands.load_test import KEY_VARIABLE, LoadTestOptions, run_load_test
from twin.commands.progress import busy

if TYPE_CHECKING:
    from fake_vllm.cli.profile import ModelProfile
    from twin.calibration import Calibration, PredictionError


Sources = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[SOURCE]...",
        help="CSV or Parquet file, a metrics page (file or URL), or a load test that --measure has written.",
        show_default=False,
    ),
]
Out = Annotated[Path, typer.Option(help="File to write; an HTML page is written beside it.")]
Base = Annotated[
    str, typer.Option(metavar="NAME|FILE", help="Preset or file that supplies values that were not measured.")
]
Model = Annotated[str, typer.Option(help="Model name to write into the file; with --measure, the served base model.")]
Gpu = Annotated[str, typer.Option(help="GPU name to write into the file.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON instead of a table.")]
Measure = Annotated[str, typer.Option(metavar="URL", help="Drive a load test against this running server.")]
Budget = Annotated[str, typer.Option(help="Maximum duration of the load test.")]
Concurrency = Annotated[str, typer.Option(metavar="N,...", help="Numbers of concurrent requests.")]
PromptTokens = Annotated[str, typer.Option(metavar="N,...", help="Lengths of prompts.")]
OutputTokens = Annotated[str, typer.Option(metavar="N,...", help="Lengths of answers.")]
Adapters = Annotated[
    str, typer.Option(metavar="NAME,...", help="Adapters to measure (default: those that the server lists).")
]
Repetitions = Annotated[int, typer.Option(min=2, max=100, help="Maximum number of runs of each level.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of prompts and of the order of levels.")]
EngineFlags = Annotated[
    str,
    typer.Option(
        "--engine-args",
        metavar="FLAGS",
        help="Flags of the measured server, such as '--max-loras 4 --max-lora-rank 64' (default: vLLM's defaults).",
    ),
]
ApiKeyFile = Annotated[
    Path | None, typer.Option(help=f"File with the server's API key (default: the variable {KEY_VARIABLE}).")
]


@exit_code
def calibrate(
    sources: Sources = None,
    measure: Measure = "",
    out: Out = Path("calibrated.yaml"),
    base: Base = "",
    model: Model = "",
    gpu: Gpu = "",
    as_json: AsJson = False,
    budget: Budget = "10m",
    concurrency: Concurrency = "1,2,4,8",
    prompt_tokens: PromptTokens = "64,384",
    output_tokens: OutputTokens = "32",
    adapters: Adapters = "",
    repetitions: Repetitions = 4,
    seed: Seed = 0,
    engine_args: EngineFlags = "",
    api_key_file: ApiKeyFile = None,
) -> int:
    """Fit latencies to measurements and write the file that fake-vllm and scenarios read."""
    from twin.calibration import profile_yaml
    from twin.calibration.page import render

    check_output(out)
    profile, files = _base(base), list(sources or [])
    if measure:
        options = LoadTestOptions(
            url=measure,
            base=model,
            adapters=adapters,
            levels=(concurrency, prompt_tokens, output_tokens),
            engine_args=engine_args,
            api_key_file=api_key_file,
            budget=_budget(budget),
            repetitions=repetitions,
            seed=seed,
        )
        files.append(_write_load_test(options, out))
    if not files:
        raise UsageError("nothing to fit: give a SOURCE, or --measure URL")
    page = out.with_suffix(".html")
    unfinished = f"the load test is in {files[-1]}: fit it with twin calibrate" if measure else NOTHING
    with busy(f"fitting latencies to {len(files)} files"), kept(unfinished):
        calibration = _calibration(files, profile)
        _write(out, profile_yaml(calibration, model, gpu))
        _write(page, render(calibration))
    if as_json:
        print(json.dumps(_as_json(calibration, out, page), indent=2, ensure_ascii=False))
    else:
        _print_result(calibration, out, page)
    return OK


def _budget(text: str) -> float:
    try:
        budget = parse_duration(text)
    except FormatError as error:
        raise UsageError(f"--budget: {error}") from None
    if budget <= 0:
        raise UsageError(f"--budget {text}: allowed: a duration above 0, such as 10m")
    return budget


def _write_load_test(options: LoadTestOptions, out: Path) -> str:
    """Run the load test and write its measurements beside the profile; return the file's name."""
    with kept(f"{NOTHING} of the load test; run the same command again"):
        test = run_load_test(options)
    file = out.with_suffix(".measurements.json")
    _write(file, test.to_json())
    return str(file)


def _calibration(sources: Sequence[str], base: "ModelProfile") -> "Calibration":
    """Fit the sources: load tests by simulation, all others directly."""
    from twin.calibration import Calibration, SourceError, from_measurements, read
    from twin.calibration.load_test.records import RecordError, read_load_test
    from twin.calibration.step_fit.calibrated import calibration_of, merged
    from twin.calibration.step_fit.fit import FitError, fit_steps

    tests = [source for source in sources if source.endswith(".json")]
    others = [source for source in sources if source not in tests]
    try:
        calibration = from_measurements(read(others), base) if others else Calibration((), ())
        if tests:
            fit = fit_steps([read_load_test(Path(name)) for name in tests], base.timing)
            calibration = merged(calibration, calibration_of(fit, tests))
    except (SourceError, RecordError) as error:
        raise UsageError(str(error)) from None
    except FitError as error:
        raise UsageError(f"{', '.join(tests)}: {error}") from None
    if not calibration.parameters:
        raise UsageError(f"{', '.join(sources)}: nothing to fit; allowed columns and metrics: docs/calibrate.md")
    return calibration


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
    result: dict[str, object] = {
        "file": str(out),
        "page": str(page),
        "sources": list(calibration.sources),
        "entries": entries,
    }
    if calibration.predictions:
        total = {error.metric: _shares(error) for error in calibration.prediction_total}
        loads = [
            {
                "max_lora_rank": row.max_lora_rank,
                "adapters": row.adapters,
                "concurrency": row.concurrency,
                **{error.metric: _shares(error) for error in row.errors},
            }
            for row in calibration.predictions
        ]
        result["prediction"] = {"total": total, "loads": loads}
    return result


def _shares(error: "PredictionError") -> dict[str, float | None]:
    """Return an error as JSON; a number that is not known is null."""
    names = ("measured", "predicted", "median", "p95", "noise_median", "noise_p95")
    return {name: round(value, 6) if isfinite(value := getattr(error, name)) else None for name in names}


def _print_result(calibration: "Calibration", out: Path, page: Path) -> None:
    from rich.markup import escape
    from rich.table import Table

    from twin.calibration.prediction_text import verdict_lines
    from twin.calibration.profile_writer import describe_value
    from twin.commands.prediction_table import prediction_table
    from twin.report import terminal

    table = Table(box=None, padding=(0, 2, 0, 2), header_style="dim")
    for column in ("entry", "value", "fit"):
        table.add_column(column)
    for parameter in calibration.parameters:
        table.add_row(parameter.entry, escape(describe_value(parameter)), escape(parameter.description))
    console = terminal.console()
    console.print(table)
    if calibration.predictions:
        console.print()
        console.print(prediction_table(calibration))
        for verdict in verdict_lines(calibration):
            console.print(f"  {escape(verdict)}")
    console.print(f"  {escape(str(out))} [dim](page: {escape(str(page))})[/]")


def register(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(calibrate)
