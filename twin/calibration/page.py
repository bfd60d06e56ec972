"""The picture of a calibration: for each quantity what was measured, and the distribution that was fitted to it.

One HTML file that opens offline.
"""

from collections.abc import Iterator
from importlib.metadata import version

import jinja2
import numpy as np

from twin.calibration.calibration import CalibratedParameter, Calibration
from twin.calibration.fit import CLOSE, ROUGH, Floats, Histogram, quantile, share_below
from twin.calibration.profile_writer import describe_value
from twin.report.figures.ecdf import axes
from twin.report.page import source
from twin.report.svg import Figure, Scale, legend, path, step_path, stylesheet

WIDTH, HEIGHT = 880.0, 260.0
POINTS = 240
"""Of a curve."""


def render(calibration: Calibration) -> str:
    """The page. The same calibration gives the same bytes."""
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(source), autoescape=True, trim_blocks=True, lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )  # fmt: skip
    return environment.get_template("calibration.html.jinja").render(
        calibration=calibration,
        version=version("lora-twin"),
        style=source("page.css") + stylesheet(),
        rows=[(finding, describe_value(finding)) for finding in calibration.findings],
        figures=list(figures(calibration)),
        close=round(100 * CLOSE),
        rough=round(100 * ROUGH),
    )


def figures(calibration: Calibration) -> Iterator[Figure]:
    """One for each quantity of which the distribution was measured."""
    for finding in calibration.findings:
        if finding.fit is not None and finding.measured is not None:
            yield _figure(finding)


def _figure(finding: CalibratedParameter) -> Figure:
    fit, measured = finding.fit, finding.measured
    assert fit is not None
    assert measured is not None
    steps = _of_bins(measured) if isinstance(measured, Histogram) else _of_values(measured)
    reach = max(steps[-1][0], quantile(fit.latency, 0.99)) * 1.02 or 1.0
    x, y = Scale(0, reach, 58, WIDTH - 28), Scale(0, 1, HEIGHT - 46, 34)
    drawn = step_path([(x(value), y(share)) for value, share in [(0.0, 0.0), *steps]], x.end)
    at = np.linspace(0, reach, POINTS)
    curve = [(x(float(v)), y(float(s))) for v, s in zip(at, share_below(fit.latency, at), strict=True)]
    body = (
        axes(x, y, finding.unit)
        + legend((("one", "share measured at or below"), ("two", f"fitted, {fit.family}")), 58, 12)
        + path(drawn, "line one")
        + path(curve, "line two")
    )
    return Figure(
        finding.entry.replace(".", "-"), f"{finding.entry}, {finding.title}", _alt(finding), body, WIDTH, HEIGHT,
        f"{finding.said[:1].upper()}{finding.said[1:]}.",
    )  # fmt: skip


def _of_values(values: Floats) -> list[tuple[float, float]]:
    """The share at or below each of so many values, evenly taken."""
    ordered = np.sort(values)
    places = np.unique(np.linspace(0, len(ordered) - 1, min(len(ordered), 2 * POINTS)).astype(int))
    return [(float(ordered[i]), float(i + 1) / len(ordered)) for i in places]


def _of_bins(bins: Histogram) -> list[tuple[float, float]]:
    """What a histogram shows: the share at each edge up to the first that has them all."""
    steps = list(zip(bins.edges, bins.shares(), strict=True))
    last = next((i for i, (_, share) in enumerate(steps) if share >= 0.999), len(steps) - 1)
    return steps[: last + 1]


def _alt(finding: CalibratedParameter) -> str:
    assert finding.fit is not None
    middle, high = quantile(finding.fit.latency, 0.5), quantile(finding.fit.latency, 0.95)
    return f"{finding.title}: half within {middle:.3g} {finding.unit}, 95 % within {high:.3g}; {finding.said}."
