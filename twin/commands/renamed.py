"""Old names of commands and flags: refused with a message that gives the new name.

One table for all `twin` commands. A name is removed from it when it is no longer in use.
"""

from typing import Any

import typer
from typer.core import TyperGroup

from twin.commands.common import UNUSABLE

COMMANDS = {"pace": "clock"}
"""Old command to new command."""

_EXECUTOR = {"--engine": "--executor"}

FLAGS: dict[str, dict[str, str]] = {
    "compare": {**_EXECUTOR, "--most-seeds": "--max-seeds"},
    "sweep": _EXECUTOR,
    "search": _EXECUTOR,
    "swarm": {**_EXECUTOR, "--source": "--checkout", "--first": "--first-seed"},
    "shrink": {"--source": "--checkout"},
    "serve": {
        "--apart": "--operator-process",
        "--no-apart": "--no-operator-process",
        "--plain": "--insecure-http",
        "--no-plain": "--no-insecure-http",
        "--once": "--until-end",
        "--no-once": "--no-until-end",
        "--kill-every": "--crash-interval",
    },
}
"""Command to its old flags and what they are called now."""


def renamed_error(args: list[str]) -> str:
    """Return the error for the first old name on a command line; or an empty text.

    `args` begins with the command. Everything after `--` is an argument, not a flag.
    """
    if not args:
        return ""
    command, *rest = args
    if command in COMMANDS:
        return f"unknown command {command}; it is called {COMMANDS[command]} now"
    flags = FLAGS.get(command, {})
    for arg in rest[: rest.index("--")] if "--" in rest else rest:
        flag = arg.partition("=")[0]
        if flag in flags:
            return f"unknown flag {flag}; it is called {flags[flag]} now"
    return ""


class RenamingGroup(TyperGroup):
    """The `twin` command group, which refuses old names before it parses anything else."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        error = renamed_error(args)
        if error:
            typer.echo(error, err=True)
            raise typer.Exit(UNUSABLE)
        return super().resolve_command(ctx, args)
