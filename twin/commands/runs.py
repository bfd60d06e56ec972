"""`twin run`, `twin check`, `twin report` and `twin replay`."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from formats.durations import format_spoken
from twin.commands.common import (
    FAILED,
    OK,
    UNUSABLE,
    UsageError,
    exit_code,
    exit_code_of,
    parse_overrides,
    print_errors,
    run_folder_errors,
)
from twin.commands.progress import DRAWING, busy, progress_bar

Files = Annotated[list[Path], typer.Argument(metavar="FILE", help="Scenario files.", show_default=False)]
RunPath = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.", show_default=False)]


@exit_code
def run(
    files: Files,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Seed, instead of the one in the file.", show_default=False)
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="PATH=VALUE", help="Override a value of the scenario; repeatable."),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for run folders: OUT/NAME/SEED.")] = Path("reports"),
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON instead of a table.")] = False,
) -> int:
    """Run scenarios, print their results and write run folders."""
    from twin.report import terminal
    from twin.runs import run as running
    from twin.scenario import load_all

    scenarios, problems = load_all(files, parse_overrides(settings or []), seed)
    print_errors(*problems)
    summaries, worst = list[dict[str, Any]](), UNUSABLE if problems else OK
    for scenario in scenarios:
        with progress_bar(scenario, quiet=as_json) as reached, run_folder_errors():
            result, page = running.run_to_folder(scenario, out, reached)
        summaries.append(result.summary())
        if not as_json:
            terminal.show(result, page)
        worst = max(worst, exit_code_of(result))
        if result.partial:
            break
    if as_json:
        print(json.dumps(summaries[0] if len(files) == 1 and summaries else summaries, indent=2, ensure_ascii=False))
    return worst


@exit_code
def check(
    files: Files,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 if there is a note.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of lines.")] = False,
) -> int:
    """Validate scenarios and their manifests without running them."""
    from twin.scenario import load_all

    scenarios, problems = load_all(files, {}, None)
    if as_json:
        valid = [
            {
                "name": scenario.name,
                "duration_seconds": scenario.duration,
                "seed": scenario.seed,
                "notes": [{"text": note, "place": scenario.places.get(note)} for note in scenario.notes],
            }
            for scenario in scenarios
        ]
        print(json.dumps({"scenarios": valid, "errors": problems}, indent=2, ensure_ascii=False))
    else:
        print_errors(*problems)
        for scenario in scenarios:
            print(f"{scenario.name}: Valid; simulates {format_spoken(scenario.duration)}, seed {scenario.seed}")
            for note in scenario.notes:
                place = scenario.places.get(note)
                print(f"  note: {place}: {note}" if place else f"  note: {note}")
    if problems:
        return UNUSABLE
    return FAILED if strict and any(scenario.notes for scenario in scenarios) else OK


@exit_code
def report(path: RunPath) -> int:
    """Generate the report of a run again from its trace."""
    from twin.evaluate.judge import evaluate
    from twin.report import build_report, terminal
    from twin.runs import folder as runfolder
    from twin.scenario import parse_expectation

    with busy(f"{path}: {DRAWING}"), run_folder_errors():
        folder = runfolder.read(path)
        expected = [parse_expectation(text) for text in folder.expectations]
        result = evaluate(folder.lines(), expected, scenario=folder.scenario, partial=folder.partial)
        page = runfolder.rewrite_report(folder, build_report(result))
    terminal.show(result, page)
    if runfolder.summary_bytes(result) != (path / runfolder.SUMMARY).read_bytes():
        print_errors(f"{path}: the measures differ from summary.json, which another version wrote")
    return exit_code_of(result)


@exit_code
def replay(path: RunPath) -> int:
    """Repeat a run from its folder and check that the results are identical."""
    from twin.report.first_difference import first_difference, until
    from twin.runs import folder as runfolder
    from twin.runs import run as running
    from twin.scenario import load_all
    from twin.trace.recorder import encode

    with run_folder_errors():
        folder = runfolder.read(path)
    scenarios, problems = load_all([path / runfolder.SCENARIO], {}, None)
    if problems:
        raise UsageError(*problems)
    with progress_bar(scenarios[0], quiet=False) as reached:
        result = running.simulate_and_judge(scenarios[0], reached)
    if result.partial:
        raise KeyboardInterrupt(f"{path} is unchanged; run the same command again")
    recorded, now = folder.events, encode(result.lines)
    if folder.partial:
        end = folder.lines()[-1].t
        recorded, now = until(recorded, end), until(now, end)
    differences = [first_difference(runfolder.EVENTS, recorded, now)]
    if not folder.partial:
        before = (path / runfolder.SUMMARY).read_bytes()
        differences.append(first_difference(runfolder.SUMMARY, before, runfolder.summary_bytes(result)))
    differing = [difference for difference in differences if difference]
    for difference in differing:
        print(difference)
    if differing and folder.summary.get("version") != result.run.version:
        print(f"The run was recorded by lora-twin {folder.summary.get('version')}; this is {result.run.version}.")
    if not differing:
        print(f"{path}: identical, {len(recorded.splitlines()):,} trace lines")
    return FAILED if differing else OK


def register(app: typer.Typer) -> None:
    """Register the commands."""
    for command in (run, check, report, replay):
        app.command()(command)
