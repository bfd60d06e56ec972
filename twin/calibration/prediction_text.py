"""Texts of the table of prediction errors, the same on the terminal and on the page."""

from collections.abc import Iterator
from math import isnan

from twin.calibration.calibration import Calibration, PredictionError

HEADINGS = ("load that the fit has not seen", "time to first token", "time between tokens", "throughput")
TOTALS = ("median error", "95th percentile", "noise floor: median", "noise floor: 95th percentile")


def prediction_lines(calibration: Calibration) -> Iterator[tuple[str, ...]]:
    """Yield the cells of each load: measured, predicted and error by metric."""
    ranks = {row.max_lora_rank for row in calibration.predictions}
    for row in calibration.predictions:
        load = f"{row.concurrency} at once, {_adapters(row.adapters)}"
        yield (f"{load}, rank {row.max_lora_rank}" if len(ranks) > 1 else load, *map(_cell, row.errors))


def total_lines(calibration: Calibration) -> Iterator[tuple[str, ...]]:
    """Yield the cells of the totals: of each metric, then of all together."""
    shares = zip(*(_shares(error) for error in calibration.prediction_total), strict=True)
    for heading, cells in zip(TOTALS, shares, strict=True):
        *metrics, together = map(percent, cells)
        yield (f"{heading}: {together}", *metrics)


def percent(share: float) -> str:
    """Return a share as a percentage."""
    return "unknown" if isnan(share) else f"{100 * share:.0f} %"


def _adapters(count: int) -> str:
    if not count:
        return "base model"
    return f"{count} adapter{'s' if count != 1 else ''}"


def _cell(error: PredictionError) -> str:
    values = (error.measured, error.predicted)
    one, two = (
        (f"{value:.0f}" for value in values)
        if error.metric == "throughput"
        else (_milliseconds(value) for value in values)
    )
    unit = "tokens/s" if error.metric == "throughput" else "ms"
    return f"{one} → {two} {unit} ({percent(error.median)}; noise {percent(error.noise_median)})"


def _milliseconds(seconds: float) -> str:
    return f"{1e3 * seconds:.0f}" if seconds >= 1 else f"{1e3 * seconds:.3g}"


def _shares(error: PredictionError) -> tuple[float, ...]:
    return (error.median, error.p95, error.noise_median, error.noise_p95)
