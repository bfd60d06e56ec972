"""Which measurement is which entry of the file of times.

| entry | from a table | from `/metrics` |
| --- | --- | --- |
| `startup`, `load`, `unload` | the column of that name | the operator's requests to engines (`load`, `unload`) |
| `timing.step_base` | median of `inter_token_seconds` | time between tokens, less what further requests cost |
| `timing.per_sequence` | how that grows with `sequences` | |
| `timing.spread` | 95th percentile over median of what is left | likewise, of the histogram |
| `timing.per_prefill_token` | how `ttft_seconds` grows with `prompt_tokens` | mean prefill minus a step by prompt |
| `timing.answer` | `output_tokens` | `request_generation_tokens` |

What was not measured is not written, so that the reader's defaults hold. Slopes are those of Theil and Sen, which a few
stragglers do not move.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from fake_vllm.cli.profile import DEFAULT_PARAMETERS, Parameters
from fake_vllm.distributions import Constant, Latency, LogNormal
from twin.calibration.fit import Fit, Floats, Histogram, fit_histogram, fit_values, quantile
from twin.calibration.measurements import Measurements

_DIRECT = ("startup", "load", "unload")
_REQUESTS = "lora_controller_engine_request_seconds"
_BETWEEN = ("inter_token_latency_seconds", "time_per_output_token_seconds")
_MOST_PAIRED = 1_000
"""Rows that a slope is taken from; each is paired with each other."""
_SPREAD = "95th percentile over median of the time between tokens"


@dataclass(frozen=True, slots=True)
class CalibratedParameter:
    """One entry of the file."""

    entry: str
    """Such as `load` or `timing.step_base`."""
    value: Latency | float
    """In seconds or tokens, or a plain factor."""
    said: str
    """Where it is from and how well it fits, for people."""
    title: str = ""
    """What the picture shows; empty if there is none of its own."""
    unit: str = "seconds"
    fit: Fit | None = None
    measured: Floats | Histogram | None = None


@dataclass(frozen=True, slots=True)
class Calibration:
    """All that could be fitted."""

    findings: tuple[CalibratedParameter, ...]
    sources: tuple[str, ...]

    def found(self, entry: str) -> CalibratedParameter | None:
        return next((finding for finding in self.findings if finding.entry == entry), None)


def from_measurements(measured: Measurements, base: Parameters = DEFAULT_PARAMETERS) -> Calibration:
    """Fits whatever was measured. `base` says what was not, where one entry is needed to see another."""
    findings = [*_direct(measured), *_pace(measured, base), *_answers(measured)]
    return Calibration(tuple(findings), tuple(measured.sources))


def _direct(measured: Measurements) -> Iterator[CalibratedParameter]:
    for entry in _DIRECT:
        (values,) = measured.values(f"{entry}_seconds")
        bins = measured.histograms.get(f"{_REQUESTS}/{entry}")
        if len(values):
            fit = fit_values(values)
            yield CalibratedParameter(entry, fit.latency, fit.sentence(), "as measured", fit=fit, measured=values)
        elif bins is not None:
            fit = fit_histogram(bins)
            said = f"as the operator waited for it; {_sentence(fit, bins)}"
            yield CalibratedParameter(entry, fit.latency, said, "as the operator waited for it", fit=fit, measured=bins)


def _pace(measured: Measurements, base: Parameters) -> Iterator[CalibratedParameter]:
    steps = list(_steps(measured, base))
    yield from steps
    step = next((float(each.value) for each in steps if each.entry == "timing.step_base"), base.timing.step_base)  # type: ignore[arg-type]
    yield from _prompts(measured, step, base)


def _steps(measured: Measurements, base: Parameters) -> Iterator[CalibratedParameter]:
    values, together = measured.values("inter_token_seconds", "sequences")
    if len(values) and np.ptp(together) > 0:
        yield from _steps_by_sequences(values, together)
        return
    (values,) = measured.values("inter_token_seconds")
    if len(values):
        fit = fit_values(values)
        yield from _step(fit, values, fit.sentence(), quantile(fit.latency, 0.5))
        return
    bins = next((measured.histograms[name] for name in _BETWEEN if name in measured.histograms), None)
    if bins is not None:
        fit, batch = fit_histogram(bins), _mean_batch(measured)
        more = base.timing.per_sequence * (batch - 1)
        less = f", less {1e3 * more:.3g} ms for {batch - 1:.3g} further requests on average" if batch > 1 else ""
        middle = quantile(fit.latency, 0.5)
        yield from _step(fit, bins, _sentence(fit, bins) + less, max(middle - more, middle / 10))


def _step(fit: Fit, measured: Floats | Histogram, said: str, step: float) -> Iterator[CalibratedParameter]:
    yield CalibratedParameter("timing.step_base", step, said, "time between tokens", fit=fit, measured=measured)
    if not isinstance(fit.latency, Constant):
        spread = quantile(fit.latency, 0.95) / quantile(fit.latency, 0.5)
        yield CalibratedParameter(
            "timing.spread", max(spread, 1.0), "95th percentile over median of the time between tokens"
        )


def _steps_by_sequences(values: Floats, together: Floats) -> Iterator[CalibratedParameter]:
    slope, intercept = _line(together - 1, values)
    slope = max(slope, 0.0)
    intercept = intercept if intercept > 0 else float(np.median(values))
    ratio = values / (intercept + slope * (together - 1))
    fit = fit_values(ratio)
    rows = f"{len(values):,} values with 1 to {together.max():.0f} requests at once"
    yield CalibratedParameter(
        "timing.step_base",
        intercept * quantile(fit.latency, 0.5),
        f"{rows}; the rest {fit.sentence().partition('; ')[2] or 'is the same everywhere'}",
        "time between tokens as a multiple of what step and sequence say",
        "times the expected",
        fit,
        ratio,
    )
    yield CalibratedParameter("timing.per_sequence", slope, f"slope over {rows}")
    if not isinstance(fit.latency, Constant):
        spread = quantile(fit.latency, 0.95) / quantile(fit.latency, 0.5)
        yield CalibratedParameter(
            "timing.spread", max(spread, 1.0), "95th percentile over median of the time between tokens"
        )


def _prompts(measured: Measurements, step: float, base: Parameters) -> Iterator[CalibratedParameter]:
    first, lengths = measured.values("ttft_seconds", "prompt_tokens")
    if len(first) and np.ptp(lengths) > 0:
        slope, intercept = _line(lengths, first)
        rest = first - intercept - slope * lengths
        off = float(np.median(np.abs(rest)))
        said = f"slope over {len(first):,} first tokens; half of them lie within {1e3 * off:.3g} ms of the line"
        yield CalibratedParameter("timing.per_prefill_token", max(slope, 0.0), said)
        return
    prefill = measured.histograms.get("request_prefill_time_seconds")
    prompts = measured.histograms.get("request_prompt_tokens")
    if prefill is not None and prompts is not None and prompts.mean > 0:
        stepped = step + base.timing.per_sequence * (_mean_batch(measured) - 1)
        said = (
            f"mean prefill of {prefill.count:,} requests, {1e3 * prefill.mean:.3g} ms, less a step, over the mean "
            f"prompt of {prompts.mean:.4g} tokens; waits for cold adapters are in it"
        )
        yield CalibratedParameter("timing.per_prefill_token", max(prefill.mean - stepped, 0.0) / prompts.mean, said)


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
        found = fit_histogram(bins)
        middle, high = quantile(found.latency, 0.5), quantile(found.latency, 0.95)
        fit = _as_lognormal(found, float(np.log(middle)), float(np.log(high / middle) / stats.norm.ppf(0.95)))
        yield CalibratedParameter(
            "timing.answer", fit.latency, _length(fit), "length of an answer", "tokens", fit, bins
        )


def _as_lognormal(fit: Fit, mu: float, sigma: float) -> Fit:
    """The file knows lengths of answers as lognormal alone."""
    if isinstance(fit.latency, LogNormal):
        return fit
    median = float(np.exp(mu))
    return Fit(LogNormal(median, median * float(np.exp(stats.norm.ppf(0.95) * sigma))), fit.count, fit.distance)


def _length(fit: Fit) -> str:
    return f"{fit.sentence()}; used where a request does not say its length"


def _sentence(fit: Fit, bins: Histogram) -> str:
    """A histogram in which everything lies in one bucket says how long, and not how different."""
    if not isinstance(fit.latency, Constant):
        return fit.sentence()
    place = bins.counts.index(max(bins.counts))
    low = bins.edges[place - 1] if place else 0.0
    high = f"{bins.edges[place]:g}" if place < len(bins.edges) else "more"
    share = f"{100 * bins.counts[place] / bins.count:.3g} %"
    return f"{bins.count:,} values, {share} between {low:g} and {high}; their mean, for no bucket shows how they differ"


def _mean_batch(measured: Measurements) -> float:
    """Sequences in the batch on average: tokens made over steps taken."""
    steps = measured.histograms.get("iteration_tokens_total")
    made = measured.counters.get("generation_tokens", 0.0)
    return max(made / steps.count, 1.0) if steps is not None and made else 1.0


def _line(x: Floats, y: Floats) -> tuple[float, float]:
    """Slope and intercept by Theil and Sen, over so many rows at most, evenly taken."""
    kept = _thinned(len(x), _MOST_PAIRED)
    slope, intercept, *_ = stats.theilslopes(y[kept], x[kept])
    return float(slope), float(intercept)


def _thinned(count: int, most: int) -> Sequence[int]:
    return [int(i) for i in np.linspace(0, count - 1, min(count, most))]
