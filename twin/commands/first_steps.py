"""`twin examples` and `twin init`: a first scenario, copied or made from a team's own manifests."""

import json
import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from twin.commands.common import OK, UsageError, exit_code

if TYPE_CHECKING:
    from twin.examples import Example

Name = Annotated[str, typer.Argument(metavar="[NAME]", help="Example to copy; all are listed without it.")]
Into = Annotated[Path, typer.Option(help="Folder for the copied scenario and the files that it names.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print a list of JSON objects instead of a table.")]
Manifests = Annotated[
    list[Path], typer.Argument(metavar="MANIFEST...", help="Kubernetes manifests, or folders of them.")
]
Out = Annotated[Path, typer.Option(help="Scenario file to write.")]
Title = Annotated[str, typer.Option(help="Name of the scenario (default: the file's name).")]


@exit_code
def examples(name: Name = "", out: Into = Path(), as_json: AsJson = False) -> int:
    """List the scenarios that come with the package, or copy one of them."""
    from twin.examples import examples as all_examples

    found = all_examples()
    if name:
        _copy(_named(name, found), out)
    elif as_json:
        entries = [{"name": e.name, "question": e.question} for e in found]
        print(json.dumps(entries, indent=2, ensure_ascii=False))
    else:
        _list(found)
    return OK


@exit_code
def init(manifests: Manifests, out: Out = Path("scenario.yaml"), name: Title = "") -> int:
    """Write a scenario for manifests, with comments on what to change; `twin capture` does it for a cluster."""
    if out.suffix not in (".yaml", ".yml"):
        raise UsageError(f"--out {out}: is not the name of a YAML file; allowed: a name that ends in .yaml")
    if out.exists():
        raise UsageError(f"--out {out}: exists; choose another name, or move it away")
    try:
        notes = _write_draft(manifests, out, name or out.stem)
    except OSError as error:
        raise UsageError(f"--out {out}: cannot be written: {error.strerror or error}") from None
    for note in notes:
        print(f"  note: {note}")
    print(f"{out}: written; run it with: twin run {shlex.quote(str(out))}")
    return OK


def _write_draft(manifests: list[Path], out: Path, name: str) -> tuple[str, ...]:
    """Write a valid scenario or nothing; return its notes."""
    from twin.scenario import ScenarioErrors, load
    from twin.scenario.first_draft import DraftError, draft, example_adapters

    temporary = out.with_name(f".{out.name}.new-{os.getpid()}")
    try:
        text = draft(manifests, name, out.parent)
        out.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(text, encoding="utf-8")
        scenario = load(temporary)
        if adapters := example_adapters(scenario.objects):
            temporary.write_text(draft(manifests, name, out.parent, adapters), encoding="utf-8")
            scenario = load(temporary)
        temporary.replace(out)
    except DraftError as error:
        raise UsageError(str(error)) from None
    except ScenarioErrors as errors:
        raise UsageError(*map(str, errors.problems)) from None
    finally:
        temporary.unlink(missing_ok=True)
    return scenario.notes


def _named(name: str, found: list["Example"]) -> "Example":
    from twin.scenario.errors import closest

    wanted = name.removesuffix(".yaml").removeprefix("scenarios/")
    for example in found:
        if example.name == wanted:
            return example
    close = closest(wanted, [example.name for example in found])
    hint = f'did you mean "{close}"? ' if close else ""
    raise UsageError(f"twin examples: unknown example {name}; {hint}allowed: a name that `twin examples` lists")


def _copy(example: "Example", out: Path) -> None:
    from twin.examples import copy_example

    try:
        scenario, *others = copy_example(example, out)
    except FileExistsError as error:
        raise UsageError(f"--out {out}: {error} exists and differs; choose another folder") from None
    except OSError as error:
        raise UsageError(f"--out {out}: cannot be written: {error.strerror or error}") from None
    for file in others:
        print(f"  {file}")
    print(f"{scenario}: copied; run it with: twin run {shlex.quote(str(scenario))}")


def _list(found: list["Example"]) -> None:
    from rich.markup import escape
    from rich.table import Table

    from twin.report import terminal

    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for example in found:
        table.add_row(f"[bold]{escape(example.name)}[/]", escape(example.question))
    console = terminal.console()
    console.print(table)
    console.print("[dim]Copy one with: twin examples NAME[/]")


def register(app: typer.Typer) -> None:
    """Register the commands."""
    for command in (init, examples):
        app.command()(command)
