"""The `twin` command: arguments in, exit code out; the work is done elsewhere.

Exit codes are a contract: 0 done and everything holds; 1 an expectation or an invariant failed, or a replay differs;
2 the input cannot be used, one line a fault on stderr; 130 interrupted. 70 is a fault of the twin itself. What takes
long to import is imported by the command that needs it, so that `twin --help` answers at once.
"""

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ParamSpec

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from twin.report.svg import clock

if TYPE_CHECKING:
    from twin.report import Findings
    from twin.scenario import Scenario

OK, FAILED, UNUSABLE, FAULT, INTERRUPTED = 0, 1, 2, 70, 130
LATER = {"allow_extra_args": True, "ignore_unknown_options": True}

P = ParamSpec("P")

app = typer.Typer(
    name="twin",
    help="A digital twin for LoRA serving on Kubernetes: your operator, run against a simulated cluster.",
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Files = Annotated[list[Path], typer.Argument(metavar="FILE", help="Scenario files.", show_default=False)]
RunPath = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.", show_default=False)]


class Refused(Exception):
    """The input cannot be used; each of the arguments is a line that says why."""


def main() -> None:
    """Entry point: never a traceback for a person who made a mistake, nor silence for one that we made."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    try:
        app()
    except Exception as error:
        if os.environ.get("TWIN_TRACEBACK"):
            raise
        said = " ".join(str(error).split())[:1000]
        _complain(f"twin: a fault of the twin itself: {type(error).__name__}: {said}")
        _complain("twin: please report it with the scenario; TWIN_TRACEBACK=1 shows where it happened")
        sys.exit(FAULT)


def _complain(*lines: str) -> None:
    for line in lines:
        print(line, file=sys.stderr)


def _answering(command: Callable[P, int]) -> Callable[P, None]:
    """A command whose result is the exit code, with what people do wrong turned into lines."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            code = command(*args, **kwargs)
        except Refused as refused:
            _complain(*refused.args)
            code = UNUSABLE
        except KeyboardInterrupt:
            _complain("twin: interrupted")
            code = INTERRUPTED
        raise typer.Exit(code)

    return run


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"lora-twin {version('lora-twin')}")
        raise typer.Exit


@app.callback()
def twin(
    _: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """A digital twin for LoRA serving on Kubernetes: your operator, run against a simulated cluster."""


@app.command()
@_answering
def run(
    files: Files,
    seed: Annotated[int | None, typer.Option(min=0, help="Instead of the file's own.", show_default=False)] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="PATH=VALUE", help="Override a value, repeatable.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Where run folders go: OUT/NAME/SEED.")] = Path("reports"),
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON instead of a table.")] = False,
) -> int:
    """Run scenarios; print what came of each, write run folders."""
    from twin import running
    from twin.report import terminal

    scenarios, problems = running.load_all(files, _overrides(settings or []), seed)
    _complain(*problems)
    summaries, worst = list[dict[str, Any]](), UNUSABLE if problems else OK
    for scenario in scenarios:
        with _progress(scenario, quiet=as_json) as reached, _folder_faults():
            findings, page = running.recorded(scenario, out, reached)
        summaries.append(findings.summary())
        if not as_json:
            terminal.show(findings, page)
        worst = max(worst, _code(findings))
        if findings.partial:
            break
    if as_json:
        print(json.dumps(summaries[0] if len(files) == 1 and summaries else summaries, indent=2, ensure_ascii=False))
    return worst


@app.command()
@_answering
def check(files: Files) -> int:
    """Validate scenarios and their manifests without running them."""
    from twin import running

    scenarios, problems = running.load_all(files, {}, None)
    _complain(*problems)
    for scenario in scenarios:
        print(f"{scenario.name}: can be run: {clock(scenario.duration)} simulated, seed {scenario.seed}")
        for note in scenario.notes:
            print(f"  note: {note}")
    return UNUSABLE if problems else OK


@app.command()
@_answering
def schema() -> int:
    """Print the JSON Schema of scenario files, for editors."""
    from twin.scenario import schema as scenario_schema

    print(json.dumps(scenario_schema(), indent=2))
    return OK


@app.command()
@_answering
def faults() -> int:
    """List the kinds of faults, and what each takes."""
    from twin.report import terminal
    from twin.scenario import catalogue

    console = terminal.console()
    for entry in catalogue():
        console.print(f"[bold]{escape(entry.kind)}[/] [dim]({escape(entry.on)})[/]\n  {escape(entry.summary)}")
        table = Table(box=None, show_header=False, padding=(0, 2, 0, 4))
        for parameter in entry.parameters:
            table.add_row(escape(parameter.name), f"[dim]{escape(parameter.default)}[/]", escape(parameter.meaning))
        console.print(table)
    return OK


@app.command()
@_answering
def policies() -> int:
    """List the placement policies, and how each chooses."""
    from controller.policies import POLICIES
    from twin.report import terminal

    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for name, policy in POLICIES.items():
        table.add_row(f"[bold]{escape(name)}[/]", escape(" ".join((policy.__doc__ or "").split())))
    terminal.console().print(table)
    return OK


@app.command()
@_answering
def report(path: RunPath) -> int:
    """Draw the report of a run again, from its record alone."""
    from twin import runfolder
    from twin.report import terminal
    from twin.report.judge import judge
    from twin.scenario import parse_expectation

    with _folder_faults():
        folder = runfolder.read(path)
        expected = [parse_expectation(text) for text in folder.expectations]
        findings = judge(folder.lines(), expected, scenario=folder.scenario, partial=folder.partial)
        page = runfolder.redraw(folder, findings)
    terminal.show(findings, page)
    if runfolder.summary_bytes(findings) != (path / runfolder.SUMMARY).read_bytes():
        _complain(f"{path}: measured anew the numbers differ from its summary.json, which another version wrote")
    return _code(findings)


@app.command()
@_answering
def replay(path: RunPath) -> int:
    """Run again from a run folder; check that nothing differs."""
    from twin import runfolder, running
    from twin.recorder import encode
    from twin.report.difference import first_difference, until

    with _folder_faults():
        folder = runfolder.read(path)
    scenarios, problems = running.load_all([path / runfolder.SCENARIO], {}, None)
    if problems:
        raise Refused(*problems)
    with _progress(scenarios[0], quiet=False) as reached:
        findings = running.simulated(scenarios[0], reached)
    if findings.partial:
        return INTERRUPTED
    recorded, now = folder.events, encode(findings.lines)
    if folder.partial:
        end = folder.lines()[-1].t
        recorded, now = until(recorded, end), until(now, end)
    differences = [first_difference(runfolder.EVENTS, recorded, now)]
    if not folder.partial:
        before = (path / runfolder.SUMMARY).read_bytes()
        differences.append(first_difference(runfolder.SUMMARY, before, runfolder.summary_bytes(findings)))
    told = [difference for difference in differences if difference]
    for difference in told:
        print(difference)
    if told and folder.summary.get("version") != findings.run.version:
        print(f"recorded by lora-twin {folder.summary.get('version')}, now {findings.run.version}: this may be why")
    if not told:
        print(f"{path}: the same again, {len(recorded.splitlines()):,} lines of the record")
    return FAILED if told else OK


def _later(name: str, does: str) -> None:
    """A command that the help already names, so that nobody looks for it elsewhere."""

    @app.command(name, help=f"Later version: {does}.", context_settings=LATER)
    @_answering
    def command() -> int:
        raise Refused(f"twin {name} comes with a later version; this one has run, check, replay and report")


_later("compare", "variants of a scenario, paired over seeds")
_later("sweep", "a grid of variants into one Parquet file")
_later("serve", "the world in wall-clock time, behind HTTP")


def _overrides(settings: Sequence[str]) -> dict[str, str]:
    overrides = dict[str, str]()
    for setting in settings:
        path, equals, value = setting.partition("=")
        if not equals or not path:
            raise Refused(f"--set {setting}: is no setting; allowed: PATH=VALUE, such as controller.policy=random")
        overrides[path.strip()] = value
    return overrides


@contextmanager
def _progress(scenario: "Scenario", *, quiet: bool) -> Iterator[Callable[[float], None] | None]:
    """A bar on a terminal; nothing when nobody watches."""
    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        yield None
        return
    whole = clock(scenario.duration)
    words = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[now]}"), TimeElapsedColumn())
    with Progress(*words, console=console, transient=True) as progress:
        task = progress.add_task(escape(scenario.name), total=scenario.duration, now=f"0:00 of {whole}")
        yield lambda t: progress.update(task, completed=t, now=f"{clock(t)} of {whole}")


@contextmanager
def _folder_faults() -> Iterator[None]:
    from twin.runfolder import FolderError

    try:
        yield
    except FolderError as error:
        raise Refused(str(error)) from error


def _code(findings: "Findings") -> int:
    if findings.partial:
        return INTERRUPTED
    return OK if findings.holds else FAILED
