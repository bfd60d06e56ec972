"""`twin schema`, `twin faults` and `twin policies`: what a scenario can contain."""

import json
from dataclasses import asdict
from typing import Annotated

import typer

from twin.commands.common import OK, exit_code

AsJson = Annotated[bool, typer.Option("--json", help="Print a list of JSON objects instead of a table.")]


@exit_code
def schema() -> int:
    """Print the JSON Schema of scenario files, for editors."""
    from twin.scenario import schema as scenario_schema

    print(json.dumps(scenario_schema(), indent=2))
    return OK


@exit_code
def faults(as_json: AsJson = False) -> int:
    """List the kinds of faults and their fields."""
    from rich.markup import escape
    from rich.table import Table

    from twin.report import terminal
    from twin.scenario.faults.catalogue import fault_catalogue

    if as_json:
        _print_json([asdict(entry) for entry in fault_catalogue()])
        return OK
    console = terminal.console()
    for entry in fault_catalogue():
        console.print(f"[bold]{escape(entry.kind)}[/] [dim]({escape(entry.on)})[/]\n  {escape(entry.summary)}")
        table = Table(box=None, show_header=False, padding=(0, 2, 0, 4))
        for parameter in entry.parameters:
            table.add_row(escape(parameter.name), f"[dim]{escape(parameter.default)}[/]", escape(parameter.meaning))
        console.print(table)
    return OK


@exit_code
def policies(as_json: AsJson = False) -> int:
    """List the placement policies."""
    from rich.markup import escape
    from rich.table import Table

    from twin.report import terminal

    entries = _policies()
    if as_json:
        _print_json([{"name": name, "description": text, "package": place} for name, text, place in entries])
        return OK
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for name, text, place in entries:
        table.add_row(f"[bold]{escape(name)}[/]", escape(text) + (f" [dim]({escape(place)})[/]" if place else ""))
    terminal.console().print(table)
    return OK


def _policies() -> list[tuple[str, str, str]]:
    """Return name, description and, for a policy that another package installs, where it is."""
    from controller.policies import BUILT_IN, DEFAULT, UnknownPolicy, find, installed

    entries = [(DEFAULT, "The policy in the operator's setting controller.policy; least-adapters if unset.", "")]
    entries += [(name, " ".join((policy.__doc__ or "").split()), "") for name, policy in BUILT_IN.items()]
    for name, place in installed().items():
        try:
            text = " ".join((find(name).__doc__ or "").split())
        except UnknownPolicy as error:
            text = str(error)
        entries.append((name, text, place))
    entries.append(("module:Class", "A policy of your own; see docs/policies.md.", ""))
    return entries


def _print_json(value: object) -> None:
    print(json.dumps(value, indent=2, ensure_ascii=False))


def register(app: typer.Typer) -> None:
    """Register the commands."""
    for command in (schema, faults, policies):
        app.command()(command)
