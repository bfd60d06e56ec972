"""The report's figures: start with `draw`. Each module draws one, from the story and nothing else."""

from twin.report.figures.asked import asked
from twin.report.figures.held import held
from twin.report.figures.lanes import lanes
from twin.report.figures.phases import phases
from twin.report.figures.running import running
from twin.report.figures.traffic import traffic
from twin.report.figures.waited import waited
from twin.report.story import Story
from twin.report.svg import Figure

__all__ = ["draw"]


def draw(story: Story) -> list[Figure]:
    """All figures that this run has something to show in, in the order in which the page shows them."""
    drawn = (figure(story) for figure in (running, phases, traffic, waited, held, lanes, asked))
    return [figure for figure in drawn if figure is not None]
