"""Statistical comparison of variants: effect sizes, confidence intervals and significance. Pure functions over frames.

A frame has one row for each run, with `variant`, `seed` and a column for each measure. Runs of one seed have the same
arrivals, latencies and faults, so the statistics are those of the paired differences, seed by seed.

- The confidence interval is a bootstrap (BCa) of the mean. Every draw has a fixed seed: the same frame gives the same
  numbers.
- The p-value comes from a sign-flip test: without an effect, each difference has either sign with equal probability.
  The test assumes no distribution. With n seeds the p-value is at least 2 / 2^n, so five seeds cannot be significant at
  5 %.
- P-values are corrected for the number of comparisons (Benjamini and Hochberg): of all results that are significant at
  5 %, one in twenty is expected to be a false positive. Comparisons in which no pair differs are not counted, because
  they cannot be significant.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy import stats

LEVEL = 0.05
"""Expected share of false positives among the significant results."""
POWER = 0.8
"""Power of the test for which the number of seeds is estimated."""
PRECISION = 0.05
"""Differences below this share of the value are ignored."""
RESAMPLES = 9_999
FLIPS = 20_000
"""Random sign flips of the test with more than 14 pairs; below that all flips are tried."""
MOST_SEEDS = 10_000
"""Upper limit of an estimated number of seeds."""
_LAST_DIGITS = 1e-9
"""Relative difference below which values are equal except for rounding errors."""

Floats = np.ndarray[tuple[int, ...], np.dtype[np.float64]]


@dataclass(frozen=True, slots=True)
class Comparison:
    """One measure of one variant against the baseline. Numbers are None if too few pairs were measured."""

    measure: str
    variant: str
    pairs: int
    """Seeds for which both variants have the measure."""
    baseline_mean: float | None
    variant_mean: float | None
    difference: float | None
    """Mean of the paired differences, variant minus baseline."""
    ci_low: float | None
    ci_high: float | None
    p_raw: float | None
    """P-value of this comparison alone."""
    p_value: float | None
    """P-value corrected for the number of comparisons."""
    significant: bool
    settled: bool
    """True if the difference is significant, or is certain to be negligible."""
    seeds_to_settle: int | None
    """Estimated number of seeds for a conclusive result; None if it is conclusive, or if there is no estimate."""

    @property
    def identical(self) -> bool:
        """True if no pair differs."""
        return self.pairs > 0 and self.difference == self.ci_low == self.ci_high == 0.0


def compare(
    runs: pd.DataFrame, baseline: str, measures: Sequence[str], *, level: float = LEVEL, precision: float = PRECISION
) -> list[Comparison]:
    """Compare every variant in the frame with `baseline` in each measure, with one correction for all comparisons."""
    variants = [name for name in runs["variant"].unique() if name != baseline]
    comparisons = [
        _single(measure, variant, *paired(runs, baseline, variant, measure), level)
        for variant in variants
        for measure in measures
    ]
    return _settle(corrected(comparisons, level), runs, baseline, level, precision)


def paired(runs: pd.DataFrame, baseline: str, variant: str, measure: str) -> tuple[Floats, Floats]:
    """Return the values of both variants for the seeds in which both were measured, in order of seed."""
    table = runs[runs["variant"].isin([baseline, variant])].pivot(index="seed", columns="variant", values=measure)
    both = table[[baseline, variant]].astype("float64").dropna().sort_index()
    return both[baseline].to_numpy(), both[variant].to_numpy()


def interval(differences: Floats, level: float = LEVEL) -> tuple[float, float]:
    """Return the bootstrap confidence interval of the mean of at least two differences."""
    if np.ptp(differences) <= _LAST_DIGITS * np.abs(differences).max():  # BCa divides by their spread
        return float(differences.min()), float(differences.max())
    method = "BCa" if len(differences) > 2 else "percentile"
    result = stats.bootstrap(
        (differences,), np.mean, n_resamples=RESAMPLES, confidence_level=1 - level, method=method,
        rng=np.random.default_rng(len(differences)),
    ).confidence_interval  # fmt: skip
    return float(result.low), float(result.high)


def sign_flip_p(differences: Floats) -> float:
    """Return the probability of a mean at least this far from 0 if each difference has either sign by chance."""
    if not np.any(differences):
        return 1.0
    test = stats.permutation_test(
        (differences,), _mean, permutation_type="samples", n_resamples=FLIPS, vectorized=True,
        rng=np.random.default_rng(len(differences)),
    )  # fmt: skip
    return float(test.pvalue)


def corrected(comparisons: Sequence[Comparison], level: float = LEVEL) -> list[Comparison]:
    """Return the comparisons with corrected p-values and their significance."""
    counted = [c for c in comparisons if c.p_raw is not None and not c.identical]
    values = iter(stats.false_discovery_control([c.p_raw for c in counted]) if counted else ())
    result = []
    for comparison in comparisons:
        p = float(next(values)) if comparison in counted else comparison.p_raw
        result.append(replace(comparison, p_value=p, significant=p is not None and p <= level))
    return result


def fewest_seeds(comparisons: int, level: float = LEVEL) -> int:
    """Return the minimum number of seeds with which one of `comparisons` can be significant."""
    return math.ceil(math.log2(2 * max(comparisons, 1) / level))


def half_width(differences: Floats, level: float = LEVEL) -> float:
    """Return half the width of the confidence interval by the normal approximation; only for planning."""
    return float(stats.norm.ppf(1 - level / 2) * differences.std(ddof=1) / math.sqrt(len(differences)))


def seeds_for_width(differences: Floats, width: float, level: float = LEVEL) -> int:
    """Return the number of seeds after which half the interval is about `width` wide."""
    return math.ceil((float(stats.norm.ppf(1 - level / 2)) * float(differences.std(ddof=1)) / width) ** 2)


def _mean(sample: Floats, axis: int = -1) -> Floats:
    mean: Floats = np.mean(sample, axis=axis)
    return mean


def _single(measure: str, variant: str, base: Floats, other: Floats, level: float) -> Comparison:
    differences = other - base
    enough = len(differences) > 1
    low, high = interval(differences, level) if enough else (None, None)
    return Comparison(
        measure=measure,
        variant=variant,
        pairs=len(differences),
        baseline_mean=float(base.mean()) if base.size else None,
        variant_mean=float(other.mean()) if other.size else None,
        difference=float(differences.mean()) if base.size else None,
        ci_low=low,
        ci_high=high,
        p_raw=sign_flip_p(differences) if enough else None,
        p_value=None,
        significant=False,
        settled=False,
        seeds_to_settle=None,
    )


def _settle(
    comparisons: Sequence[Comparison], runs: pd.DataFrame, baseline: str, level: float, precision: float
) -> list[Comparison]:
    counted = sum(c.p_raw is not None and not c.identical for c in comparisons)
    result = []
    for comparison in comparisons:
        if comparison.difference is None or comparison.ci_low is None or comparison.ci_high is None:
            result.append(comparison)
            continue
        threshold = precision * scale(comparison)
        small = max(abs(comparison.ci_low), abs(comparison.ci_high)) <= threshold
        if comparison.significant or comparison.identical or small:
            result.append(replace(comparison, settled=True))
            continue
        base, other = paired(runs, baseline, comparison.variant, comparison.measure)
        result.append(replace(comparison, seeds_to_settle=_seeds_to_settle(other - base, threshold, counted, level)))
    return result


def scale(comparison: Comparison) -> float:
    """Return the value that a difference is relative to: the larger of the two means."""
    return max(abs(comparison.baseline_mean or 0.0), abs(comparison.variant_mean or 0.0))


def _seeds_to_settle(differences: Floats, threshold: float, counted: int, level: float) -> int | None:
    """Estimate the seeds until the difference is significant, if its size is right, or certain to be negligible."""
    spread, mean = float(differences.std(ddof=1)), abs(float(differences.mean()))
    if not spread:
        return max(fewest_seeds(counted, level), len(differences) + 1)
    quantiles = stats.norm.ppf(1 - level / (2 * counted)) + stats.norm.ppf(POWER)
    significant = math.ceil((quantiles * spread / mean) ** 2) if mean else MOST_SEEDS
    small = seeds_for_width(differences, threshold - mean, level) if threshold > mean else MOST_SEEDS
    return max(min(significant, small, MOST_SEEDS), fewest_seeds(counted, level), len(differences) + 1)
