"""The table that stands on the terminal when a run is over."""

from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from formats.durations import format_clock
from twin.evaluate.expectations import measure
from twin.evaluate.run_result import RunResult, invariant_label
from twin.report.page import format_value

MOST_VIOLATIONS = 3
PIPED_WIDTH = 240
"""Columns where nobody looks at a screen: whatever reads it then finds a line whole."""


def console() -> Console:
    """Standard output, with colours on a terminal and plain elsewhere."""
    output = Console(highlight=False)
    return output if output.is_terminal else Console(highlight=False, width=PIPED_WIDTH)


def show(findings: RunResult, page: Path | None) -> None:
    """Verdict, a few numbers, every expectation, notes, and where the report lies."""
    run = findings.run
    word, style = ("holds", "green") if findings.holds else ("does not hold", "red")
    if findings.partial:
        word, style = "interrupted", "yellow"
    output = console()
    output.print(f"[bold]{escape(run.name)}[/] · seed {run.seed} · [bold {style}]{word}[/]")
    output.print(escape(findings.verdict()))
    output.print(_table(findings, page))


def _table(findings: RunResult, page: Path | None) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 2), expand=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row("adapters running", f"{findings.count('running'):,} of {findings.left:,}")
    table.add_row("time to running", _times(findings))
    attempted, succeeded = (
        format_value(measure(findings.measures, f"loads.{name}")) for name in ("attempted", "succeeded")
    )
    table.add_row("loads", f"{succeeded} succeeded of {attempted}")
    table.add_row("invariants", _invariants(findings))
    for violation in findings.violations[:MOST_VIOLATIONS]:
        said = f"{format_clock(violation.t)}  {violation.object}: {violation.message} ({invariant_label(violation)})"
        table.add_row("", f"[red]{escape(said)}[/]")
    for i, outcome in enumerate(findings.outcomes):
        mark = "[green]✓[/]" if outcome.holds else "[red]✗[/]"
        actual = outcome.message or f"was {format_value(outcome.actual)}"
        table.add_row("" if i else "expected", f"{mark} {escape(outcome.text)}  [dim]{escape(actual)}[/]")
    for note in (*findings.run.notes, *findings.unjudged):
        table.add_row("note", escape(note))
    if page is not None:
        table.add_row("report", escape(str(page)))
    return table


def _times(findings: RunResult) -> str:
    def said(share: str) -> str:
        value = measure(findings.measures, f"time_to_running_seconds.{share}")
        return "not measured" if value is None else f"{value:.1f} s"

    return f"p50 {said('p50')} · p95 {said('p95')}"


def _invariants(findings: RunResult) -> str:
    count = len(findings.violations)
    if not count:
        return "none broken"
    return f"[red]{count} violation{'s' if count > 1 else ''}[/]" + (
        ", the first of them:" if count > MOST_VIOLATIONS else ""
    )
