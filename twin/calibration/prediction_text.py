"""Texts of the table of prediction errors, the same on the terminal and on the page."""

from collections.abc import Iterator
from math import isnan

from twin.calibration.calibration import Calibration, PredictionError, PredictionRow

HEADINGS = ("load that the fit has not seen", "time to first token", "time between tokens", "throughput")
TOTALS = ("median error", "95th percentile", "noise floor: median", "noise floor: 95th percentile")
GOOD_MEDIAN, GOOD_P95 = 0.10, 0.25
"""Shares of error up to which a prediction is called good."""
_MOST_NAMED = 3


def prediction_lines(calibration: Calibration) -> Iterator[tuple[str, ...]]:
    """Yield the cells of each load: measured, predicted and error by metric."""
    for row in calibration.predictions:
        yield (_load(row, calibration), *map(_cell, row.errors))


def total_lines(calibration: Calibration) -> Iterator[tuple[str, ...]]:
    """Yield the cells of the totals: of each metric, then of all together."""
    shares = zip(*(_shares(error) for error in calibration.prediction_total), strict=True)
    for heading, cells in zip(TOTALS, shares, strict=True):
        *metrics, together = map(percent, cells)
        yield (f"{heading}: {together}", *metrics)


def verdict_lines(calibration: Calibration) -> Iterator[str]:
    """Yield a sentence on each metric: good enough, as good as the noise allows, or where it is worse than that."""
    *metrics, _ = calibration.prediction_total
    for number, total in enumerate(metrics):
        error = f"{total.metric}: {percent(total.median)} in the median, {percent(total.p95)} at the 95th percentile"
        if total.median <= GOOD_MEDIAN and total.p95 <= GOOD_P95:
            yield f"{error}; good"
        elif total.median <= total.noise_median and total.p95 <= total.noise_p95:
            yield f"{error}; no model does better, since repetitions differ by as much"
        else:
            yield f"{error}; above the noise at {_worst(calibration, number) or 'no single load'}"


def _worst(calibration: Calibration, metric: int) -> str:
    """Return the loads whose error is farthest above their noise, at most three."""
    errors = [(row, row.errors[metric]) for row in calibration.predictions]
    above = [(row, error) for row, error in errors if error.median > error.noise_median]
    above.sort(key=lambda pair: pair[1].noise_median - pair[1].median)
    return ", ".join(
        f"{_load(row, calibration)} ({percent(error.median)}; noise {percent(error.noise_median)})"
        for row, error in above[:_MOST_NAMED]
    )


def percent(share: float) -> str:
    """Return a share as a percentage."""
    return "unknown" if isnan(share) else f"{100 * share:.0f} %"


def _load(row: PredictionRow, calibration: Calibration) -> str:
    """Return a load in words, with the rank if there are several."""
    load = f"{row.concurrency} at once, {_adapters(row.adapters)}"
    several = len({other.max_lora_rank for other in calibration.predictions}) > 1
    return f"{load}, rank {row.max_lora_rank}" if several else load


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
