"""Summary of a run for the terminal."""

import re
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from formats.durations import format_clock
from twin.evaluate.expectations import measure
from twin.evaluate.run_result import RunResult, invariant_label
from twin.report.page import format_value
from twin.trace.lines import AdapterLine

MOST_VIOLATIONS = 3
MOST_REASONS = 3
"""Reasons why adapters are not Running."""
_VARYING = re.compile(r"^[a-z0-9.-]+: |; tried again at \S+$")
"""Parts of a condition's message in which adapters with the same reason differ: the pod, and the next attempt."""
PIPED_WIDTH = 240
"""Columns if the output is not a terminal, so that lines are not wrapped."""


class _Console(Console):
    """A console that leaves a closed pipe to its caller; rich would exit with 1, which means a failed expectation."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def console() -> Console:
    """Return a console for standard output, with colours only on a terminal."""
    output = _Console(highlight=False)
    return output if output.is_terminal else _Console(highlight=False, width=PIPED_WIDTH)


def show(result: RunResult, page: Path | None) -> None:
    """Print the verdict, the main numbers, the expectations, the notes and the path of the report."""
    run = result.run
    word, style = ("Passed", "green") if result.passed else ("Failed", "red")
    if result.partial:
        word, style = "Interrupted", "yellow"
    output = console()
    output.print(f"[bold]{escape(run.name)}[/] · seed {run.seed} · [bold {style}]{word}[/]")
    output.print(escape(result.verdict()))
    for note in (*run.notes, *result.unjudged):
        output.print(f"[yellow]Note:[/] {escape(note)}")
    output.print(_table(result, page))


def _table(result: RunResult, page: Path | None) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 2), expand=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row("adapters running", f"{result.count('running'):,} of {result.left:,}")
    for i, (name, message) in enumerate(_not_running(result)):
        table.add_row("" if i else "not running", f"[red]{escape(name)}[/]: {escape(message)}")
    table.add_row("time to running", _times(result))
    attempted, succeeded = (
        format_value(measure(result.measures, f"loads.{name}")) for name in ("attempted", "succeeded")
    )
    table.add_row("loads", f"{succeeded} succeeded of {attempted}")
    table.add_row("invariants", _invariants(result))
    for violation in result.violations[:MOST_VIOLATIONS]:
        message = f"{format_clock(violation.t)}  {violation.object}: {violation.message} ({invariant_label(violation)})"
        table.add_row("", f"[red]{escape(message)}[/]")
    for i, expectation in enumerate(result.expectations):
        mark = "[green]✓[/]" if expectation.passed else "[red]✗[/]"
        actual = expectation.message or f"was {format_value(expectation.actual)}"
        table.add_row("" if i else "expectations", f"{mark} {escape(expectation.text)}  [dim]{escape(actual)}[/]")
    if page is not None:
        table.add_row("report", escape(str(page)))
    return table


def _not_running(result: RunResult) -> list[tuple[str, str]]:
    """Return each reason why adapters were not Running at the end, with the first of them and the number of others."""
    last = {line.object: line for line in result.lines if isinstance(line, AdapterLine)}
    waiting: dict[str, list[AdapterLine]] = {}
    for line in last.values():
        if line.event != "deleted" and line.phase != "Running" and line.message:
            waiting.setdefault(_VARYING.sub("", line.message), []).append(line)
    return [
        (f"{first.object}{f' and {len(others)} more' if others else ''}", first.message)
        for first, *others in list(waiting.values())[:MOST_REASONS]
    ]


def _times(result: RunResult) -> str:
    def text(share: str) -> str:
        value = measure(result.measures, f"time_to_running_seconds.{share}")
        return "not measured" if value is None else f"{value:.1f} s"

    return f"p50 {text('p50')} · p95 {text('p95')}"


def _invariants(result: RunResult) -> str:
    count = len(result.violations)
    if not count:
        return "no violations"
    return f"[red]{count} violation{'s' if count > 1 else ''}[/]" + (
        ", the first of them:" if count > MOST_VIOLATIONS else ""
    )
