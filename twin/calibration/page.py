"""HTML page of a calibration: each measured quantity with the distribution that was fitted to it.

One file that works offline.
"""

from collections.abc import Iterator
from importlib.metadata import version

import jinja2
import numpy as np

from twin.calibration.calibration import CalibratedParameter, Calibration
from twin.calibration.fit import CLOSE, ROUGH, Floats, Histogram, quantile, share_below
from twin.calibration.prediction_text import HEADINGS, prediction_lines, total_lines, verdict_lines
from twin.calibration.profile_writer import describe_value
from twin.report.figures.ecdf import axes
from twin.report.page import source
from twin.report.svg import Figure, Scale, legend, path, step_path, stylesheet

WIDTH, HEIGHT = 880.0, 260.0
POINTS = 240
"""Points of a curve."""


def render(calibration: Calibration) -> str:
    """Return the page. The same calibration gives the same bytes."""
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(source), autoescape=True, trim_blocks=True, lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )  # fmt: skip
    return environment.get_template("calibration.html.jinja").render(
        calibration=calibration,
        version=version("lora-twin"),
        style=source("page.css") + stylesheet(),
        rows=[(parameter, describe_value(parameter)) for parameter in calibration.parameters],
        headings=HEADINGS,
        predictions=list(prediction_lines(calibration)),
        verdicts=list(verdict_lines(calibration)) if calibration.predictions else [],
        totals=list(total_lines(calibration)) if calibration.predictions else [],
        figures=list(figures(calibration)),
        close=round(100 * CLOSE),
        rough=round(100 * ROUGH),
    )


def figures(calibration: Calibration) -> Iterator[Figure]:
    """Yield a figure for each quantity whose distribution was measured."""
    for parameter in calibration.parameters:
        if parameter.fit is not None and parameter.measured is not None:
            yield _figure(parameter)


def _figure(parameter: CalibratedParameter) -> Figure:
    fit, measured = parameter.fit, parameter.measured
    assert fit is not None
    assert measured is not None
    steps = _histogram_steps(measured) if isinstance(measured, Histogram) else _value_steps(measured)
    x_max = max(steps[-1][0], quantile(fit.latency, 0.99)) * 1.02 or 1.0
    x, y = Scale(0, x_max, 58, WIDTH - 28), Scale(0, 1, HEIGHT - 46, 34)
    measured_path = step_path([(x(value), y(share)) for value, share in [(0.0, 0.0), *steps]], x.end)
    xs = np.linspace(0, x_max, POINTS)
    curve = [(x(float(v)), y(float(s))) for v, s in zip(xs, share_below(fit.latency, xs), strict=True)]
    body = (
        axes(x, y, parameter.unit)
        + legend((("one", "share measured at or below"), ("two", f"fitted, {fit.family}")), 58, 12)
        + path(measured_path, "line one")
        + path(curve, "line two")
    )
    title, description = f"{parameter.entry}, {parameter.title}", parameter.description
    caption = f"{description[:1].upper()}{description[1:]}."
    return Figure(parameter.entry.replace(".", "-"), title, _alt(parameter), body, WIDTH, HEIGHT, caption)


def _value_steps(values: Floats) -> list[tuple[float, float]]:
    """Return the share of values at or below evenly spaced ones."""
    ordered = np.sort(values)
    indices = np.unique(np.linspace(0, len(ordered) - 1, min(len(ordered), 2 * POINTS)).astype(int))
    return [(float(ordered[i]), float(i + 1) / len(ordered)) for i in indices]


def _histogram_steps(bins: Histogram) -> list[tuple[float, float]]:
    """Return the share of values at each edge of a histogram, up to the first edge that is above all of them."""
    steps = list(zip(bins.edges, bins.shares(), strict=True))
    last = next((i for i, (_, share) in enumerate(steps) if share >= 0.999), len(steps) - 1)
    return steps[: last + 1]


def _alt(parameter: CalibratedParameter) -> str:
    assert parameter.fit is not None
    median, high = quantile(parameter.fit.latency, 0.5), quantile(parameter.fit.latency, 0.95)
    summary = f"half within {median:.3g} {parameter.unit}, 95 % within {high:.3g}"
    return f"{parameter.title}: {summary}; {parameter.description}."
