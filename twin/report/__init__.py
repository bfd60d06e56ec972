"""What a run looked like, for people: figures and a page.

`result.py` is what goes in: a record and what `judge.py` found in it. `timeline.py` sorts the record into what
`figures/` draws with `svg.py`; `page.py` puts everything into one HTML file, `terminal.py` the gist into a table.
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
    """A page, and the figures in it to be used elsewhere."""

    html: str
    figures: list[Figure]


def build_report(result: RunResult) -> Report:
    """Draws a run."""
    timeline = build_timeline(result.lines, partial=result.partial)
    figures = draw(timeline)
    return Report(render(result, timeline, figures), figures)
