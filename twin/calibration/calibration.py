"""Map measurements to entries of the model profile.

| entry | from a table | from `/metrics` |
| --- | --- | --- |
| `startup`, `load`, `unload` | the column of that name | the operator's requests to engines (`load`, `unload`) |
| `timing.step_base` | median of `inter_token_seconds` | time between tokens, minus the cost of further requests |
| `timing.per_sequence` | growth of that with `sequences` | |
| `timing.spread` | 95th percentile over median of the residuals | the same of the histogram |
| `timing.per_prefill_token` | growth of `ttft_seconds` with `prompt_tokens` | mean prefill minus a step by prompt |
| `timing.answer` | `output_tokens` | `request_generation_tokens` |

What was not measured is not written, so that the reader's defaults apply. Slopes are Theil-Sen estimates, which are
robust against outliers.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from fake_vllm.cli.profile import DEFAULT_PROFILE, ModelProfile
from fake_vllm.distributions import Constant, Latency, LogNormal
from twin.calibration.fit import Fit, Floats, Histogram, fit_histogram, fit_values, quantile
from twin.calibration.measurements import Measurements

_DIRECT = ("startup", "load", "unload")
_REQUESTS = "lora_controller_engine_request_seconds"
_BETWEEN = ("inter_token_latency_seconds", "time_per_output_token_seconds")
_MAX_PAIRED = 1_000
"""Maximum number of rows for a slope, since each is paired with every other."""
_SPREAD = "95th percentile over median of the time between tokens"


@dataclass(frozen=True, slots=True)
class CalibratedParameter:
    """One entry of the model profile."""

    entry: str
    """Such as `load` or `timing.step_base`."""
    value: Latency | float
    """In seconds or tokens, or a factor."""
    description: str
    """Source of the value and quality of the fit."""
    title: str = ""
    """Title of its figure; empty if it has none."""
    unit: str = "seconds"
    fit: Fit | None = None
    measured: Floats | Histogram | None = None
    uncertainty: float | None = None
    """Half of the 95 % confidence interval, as a share of the value; None if it is not known."""


@dataclass(frozen=True, slots=True)
class PredictionError:
    """Error of the predictions of one metric, as shares, beside the noise of the measurements.

    Attributes:
        metric: one of `step_fit.summary.METRICS`, or `all`.
        measured: median over the levels, in seconds or tokens a second; NaN for `all`.
        predicted: the same of the predictions.
        median: median of the errors.
        p95: 95th percentile of the errors.
        noise_median: median of the differences between repetitions.
        noise_p95: 95th percentile of the differences between repetitions.
    """

    metric: str
    measured: float
    predicted: float
    median: float
    p95: float
    noise_median: float
    noise_p95: float


@dataclass(frozen=True, slots=True)
class PredictionRow:
    """Errors for one load that the fit has not seen, in the order of the metrics."""

    max_lora_rank: int
    adapters: int
    concurrency: int
    errors: tuple[PredictionError, ...]


@dataclass(frozen=True, slots=True)
class Calibration:
    """The calibrated parameters and their sources."""

    parameters: tuple[CalibratedParameter, ...]
    sources: tuple[str, ...]
    predictions: tuple[PredictionRow, ...] = ()
    """Errors of a load test's predictions; empty without a load test."""
    prediction_total: tuple[PredictionError, ...] = ()

    def get(self, entry: str) -> CalibratedParameter | None:
        return next((parameter for parameter in self.parameters if parameter.entry == entry), None)


def from_measurements(measured: Measurements, base: ModelProfile = DEFAULT_PROFILE) -> Calibration:
    """Fit what was measured. `base` supplies entries that were not measured but are needed to derive another."""
    parameters = [*_direct(measured), *_timing(measured, base), *_answers(measured)]
    return Calibration(tuple(parameters), tuple(measured.sources))


def _direct(measured: Measurements) -> Iterator[CalibratedParameter]:
    for entry in _DIRECT:
        (values,) = measured.values(f"{entry}_seconds")
        bins = measured.histograms.get(f"{_REQUESTS}/{entry}")
        if len(values):
            fit = fit_values(values)
            yield CalibratedParameter(entry, fit.latency, fit.sentence(), "as measured", fit=fit, measured=values)
        elif bins is not None:
            fit = fit_histogram(bins)
            description = f"as the operator waited for it; {_sentence(fit, bins)}"
            yield CalibratedParameter(
                entry, fit.latency, description, "as the operator waited for it", fit=fit, measured=bins
            )


def _timing(measured: Measurements, base: ModelProfile) -> Iterator[CalibratedParameter]:
    steps = list(_steps(measured, base))
    yield from steps
    step_base = next((parameter.value for parameter in steps if parameter.entry == "timing.step_base"), None)
    step = step_base if isinstance(step_base, float) else base.timing.step_base
    yield from _prompts(measured, step, base)


def _steps(measured: Measurements, base: ModelProfile) -> Iterator[CalibratedParameter]:
    values, sequences = measured.values("inter_token_seconds", "sequences")
    if len(values) and np.ptp(sequences) > 0:
        yield from _steps_by_sequences(values, sequences)
        return
    (values,) = measured.values("inter_token_seconds")
    if len(values):
        fit = fit_values(values)
        yield from _step(fit, values, fit.sentence(), quantile(fit.latency, 0.5))
        return
    bins = next((measured.histograms[name] for name in _BETWEEN if name in measured.histograms), None)
    if bins is not None:
        fit, batch = fit_histogram(bins), _mean_batch(measured)
        batch_cost = base.timing.per_sequence * (batch - 1)
        correction = (
            f", minus {1e3 * batch_cost:.3g} ms for {batch - 1:.3g} further requests on average" if batch > 1 else ""
        )
        median = quantile(fit.latency, 0.5)
        yield from _step(fit, bins, _sentence(fit, bins) + correction, max(median - batch_cost, median / 10))


def _step(fit: Fit, measured: Floats | Histogram, description: str, step: float) -> Iterator[CalibratedParameter]:
    yield CalibratedParameter("timing.step_base", step, description, "time between tokens", fit=fit, measured=measured)
    if not isinstance(fit.latency, Constant):
        spread = quantile(fit.latency, 0.95) / quantile(fit.latency, 0.5)
        yield CalibratedParameter(
            "timing.spread", max(spread, 1.0), "95th percentile over median of the time between tokens"
        )


def _steps_by_sequences(values: Floats, sequences: Floats) -> Iterator[CalibratedParameter]:
    slope, intercept = _line(sequences - 1, values)
    slope = max(slope, 0.0)
    intercept = intercept if intercept > 0 else float(np.median(values))
    ratio = values / (intercept + slope * (sequences - 1))
    fit = fit_values(ratio)
    rows = f"{len(values):,} values with 1 to {sequences.max():.0f} concurrent requests"
    yield CalibratedParameter(
        "timing.step_base",
        intercept * quantile(fit.latency, 0.5),
        f"{rows}; residuals: {fit.sentence().partition('; ')[2] or 'none'}",
        "time between tokens divided by the expected time",
        "times the expected time",
        fit,
        ratio,
    )
    yield CalibratedParameter("timing.per_sequence", slope, f"slope over {rows}")
    if not isinstance(fit.latency, Constant):
        spread = quantile(fit.latency, 0.95) / quantile(fit.latency, 0.5)
        yield CalibratedParameter(
            "timing.spread", max(spread, 1.0), "95th percentile over median of the time between tokens"
        )


def _prompts(measured: Measurements, step: float, base: ModelProfile) -> Iterator[CalibratedParameter]:
    first, lengths = measured.values("ttft_seconds", "prompt_tokens")
    if len(first) and np.ptp(lengths) > 0:
        slope, intercept = _line(lengths, first)
        residuals = first - intercept - slope * lengths
        deviation = float(np.median(np.abs(residuals)))
        description = f"slope over {len(first):,} first tokens; half are within {1e3 * deviation:.3g} ms of the line"
        yield CalibratedParameter("timing.per_prefill_token", max(slope, 0.0), description)
        return
    prefill = measured.histograms.get("request_prefill_time_seconds")
    prompts = measured.histograms.get("request_prompt_tokens")
    if prefill is not None and prompts is not None and prompts.mean > 0:
        step_time = step + base.timing.per_sequence * (_mean_batch(measured) - 1)
        description = (
            f"mean prefill of {prefill.count:,} requests, {1e3 * prefill.mean:.3g} ms, minus a step, divided by the "
            f"mean prompt of {prompts.mean:.4g} tokens; includes loads of cold adapters"
        )
        yield CalibratedParameter(
            "timing.per_prefill_token", max(prefill.mean - step_time, 0.0) / prompts.mean, description
        )


def _answers(measured: Measurements) -> Iterator[CalibratedParameter]:
    (lengths,) = measured.values("output_tokens")
    bins = measured.histograms.get("request_generation_tokens")
    if len(lengths):
        logs = np.log(lengths)
        fit = _as_lognormal(fit_values(lengths), float(logs.mean()), float(logs.std()))
        yield CalibratedParameter(
            "timing.answer", fit.latency, _length(fit), "length of an answer", "tokens", fit, lengths
        )
    elif bins is not None:
        histogram_fit = fit_histogram(bins)
        median, high = quantile(histogram_fit.latency, 0.5), quantile(histogram_fit.latency, 0.95)
        fit = _as_lognormal(histogram_fit, float(np.log(median)), float(np.log(high / median) / stats.norm.ppf(0.95)))
        yield CalibratedParameter(
            "timing.answer", fit.latency, _length(fit), "length of an answer", "tokens", fit, bins
        )


def _as_lognormal(fit: Fit, mu: float, sigma: float) -> Fit:
    """Return the fit as a lognormal, the only family of answer lengths in the file."""
    if isinstance(fit.latency, LogNormal):
        return fit
    median = float(np.exp(mu))
    return Fit(LogNormal(median, median * float(np.exp(stats.norm.ppf(0.95) * sigma))), fit.count, fit.distance)


def _length(fit: Fit) -> str:
    return f"{fit.sentence()}; used for requests without a length"


def _sentence(fit: Fit, bins: Histogram) -> str:
    """Describe the fit; a histogram with all values in one bucket has a mean, but no known spread."""
    if not isinstance(fit.latency, Constant):
        return fit.sentence()
    index = bins.counts.index(max(bins.counts))
    low = bins.edges[index - 1] if index else 0.0
    high = f"{bins.edges[index]:g}" if index < len(bins.edges) else "more"
    share = f"{100 * bins.counts[index] / bins.count:.3g} %"
    return f"{bins.count:,} values, {share} between {low:g} and {high}; only their mean is known"


def _mean_batch(measured: Measurements) -> float:
    """Return the mean number of sequences in the batch: generated tokens divided by steps."""
    steps = measured.histograms.get("iteration_tokens_total")
    tokens = measured.counters.get("generation_tokens", 0.0)
    return max(tokens / steps.count, 1.0) if steps is not None and tokens else 1.0


def _line(x: Floats, y: Floats) -> tuple[float, float]:
    """Return slope and intercept (Theil-Sen) over evenly spaced rows, `_MAX_PAIRED` at most."""
    rows = _thinned(len(x), _MAX_PAIRED)
    slope, intercept, *_ = stats.theilslopes(y[rows], x[rows])
    return float(slope), float(intercept)


def _thinned(count: int, most: int) -> Sequence[int]:
    return [int(i) for i in np.linspace(0, count - 1, min(count, most))]
