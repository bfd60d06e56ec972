"""What a run looked like, for people: figures and a page.

`findings.py` is what goes in: a record and what `judge.py` found in it. `story.py` sorts the record into what
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


def build_report(findings: RunResult) -> Report:
    """Draws a run."""
    story = build_timeline(findings.lines, partial=findings.partial)
    figures = draw(story)
    return Report(render(findings, story, figures), figures)
