"""Figures of the report, one module each, drawn from the timeline. Start reading at `draw`."""

from twin.report.figures.adapter_timelines import adapter_timelines
from twin.report.figures.adapters_per_pod import adapters_per_pod
from twin.report.figures.phases import phases
from twin.report.figures.request_rates import request_rates
from twin.report.figures.time_to_running import time_to_running
from twin.report.figures.traffic import traffic
from twin.report.figures.user_latency import user_latency
from twin.report.svg import Figure
from twin.report.timeline import Timeline

__all__ = ["draw"]


def draw(timeline: Timeline) -> list[Figure]:
    """Return the figures that have data in this run, in the order of the page."""
    drawn = (
        figure(timeline)
        for figure in (
            time_to_running,
            phases,
            traffic,
            user_latency,
            adapters_per_pod,
            adapter_timelines,
            request_rates,
        )
    )
    return [figure for figure in drawn if figure is not None]
