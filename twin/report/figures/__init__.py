"""The report's figures: start with `draw`. Each module draws one, from the story and nothing else."""

from twin.report.figures.adapter_timelines import lanes
from twin.report.figures.adapters_per_pod import held
from twin.report.figures.phases import phases
from twin.report.figures.request_rates import asked
from twin.report.figures.time_to_running import running
from twin.report.figures.traffic import traffic
from twin.report.figures.user_latency import waited
from twin.report.svg import Figure
from twin.report.timeline import Story

__all__ = ["draw"]


def draw(story: Story) -> list[Figure]:
    """All figures that this run has something to show in, in the order in which the page shows them."""
    drawn = (figure(story) for figure in (running, phases, traffic, waited, held, lanes, asked))
    return [figure for figure in drawn if figure is not None]
