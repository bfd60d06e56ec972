"""Report of a run: figures, an HTML page and a summary for the terminal. Start reading at `build_report`.

`timeline.py` sorts the trace by object, `figures/` draws the timeline with `svg.py`, and `page.py` makes the HTML page.
Nothing here reads a clock or a file of the run.
"""

from dataclasses import dataclass

from twin.evaluate.run_result import RunResult, invariant_label
from twin.report.figures import draw
from twin.report.page import flatten, format_value, render
from twin.report.svg import Figure
from twin.report.timeline import build_timeline

__all__ = ["Figure", "Report", "RunResult", "build_report", "flatten", "format_value", "invariant_label"]


@dataclass(frozen=True, slots=True)
class Report:
    """The page, and its figures for separate files."""

    html: str
    figures: list[Figure]


def build_report(result: RunResult) -> Report:
    """Draw the report of a run."""
    timeline = build_timeline(result.lines, partial=result.partial)
    figures = draw(timeline)
    return Report(render(result, timeline, figures), figures)
