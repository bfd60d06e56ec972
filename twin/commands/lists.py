"""`twin schema`, `twin faults` and `twin policies`: what a scenario can contain."""

import json

import typer
from rich.markup import escape
from rich.table import Table

from twin.commands.common import OK, exit_code


@exit_code
def schema() -> int:
    """Print the JSON Schema of scenario files, for editors."""
    from twin.scenario import schema as scenario_schema

    print(json.dumps(scenario_schema(), indent=2))
    return OK


@exit_code
def faults() -> int:
    """List the kinds of faults and their fields."""
    from twin.report import terminal
    from twin.scenario.faults.catalogue import fault_catalogue

    console = terminal.console()
    for entry in fault_catalogue():
        console.print(f"[bold]{escape(entry.kind)}[/] [dim]({escape(entry.on)})[/]\n  {escape(entry.summary)}")
        table = Table(box=None, show_header=False, padding=(0, 2, 0, 4))
        for parameter in entry.parameters:
            table.add_row(escape(parameter.name), f"[dim]{escape(parameter.default)}[/]", escape(parameter.meaning))
        console.print(table)
    return OK


@exit_code
def policies() -> int:
    """List the placement policies."""
    from controller.policies import BUILT_IN, DEFAULT, UnknownPolicy, find, installed
    from twin.report import terminal

    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_row(
        f"[bold]{DEFAULT}[/]", "The policy in the operator's setting controller.policy; least-adapters if unset."
    )
    for name, policy in BUILT_IN.items():
        table.add_row(f"[bold]{escape(name)}[/]", escape(" ".join((policy.__doc__ or "").split())))
    for name, place in installed().items():
        try:
            text = " ".join((find(name).__doc__ or "").split())
        except UnknownPolicy as error:
            text = str(error)
        table.add_row(f"[bold]{escape(name)}[/]", f"{escape(text)} [dim]({escape(place)})[/]")
    table.add_row("[bold]module:Class[/]", "A policy of your own; see docs/policies.md.")
    terminal.console().print(table)
    return OK


def register(app: typer.Typer) -> None:
    """Register the commands."""
    for command in (schema, faults, policies):
        app.command()(command)
