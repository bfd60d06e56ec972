"""Whether a difference between two variants is more than chance, and how large it is: pure functions over frames.

A frame has a row for each run with `variant`, `seed` and a column for each measure. Runs of one seed met the same
arrivals, latencies and faults, so variants are compared seed by seed; what is judged are the paired differences.

- The interval is a bootstrap (BCa) of their mean. Every draw has a fixed seed: the same frame gives the same numbers.
- The p-value is that of a sign-flip test: if the variant changed nothing, each difference could as well have had the
  other sign. It assumes no distribution. With n seeds it cannot go below 2 / 2^n: five seeds can show nothing at 5 %.
- Corrected for the number of comparisons by Benjamini and Hochberg: of what is called significant at 5 %, one
  in twenty is expected to be chance. Comparisons in which no pair differs at all are not counted: whatever signs they
  are given, they could never be significant.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy import stats

LEVEL = 0.05
"""Share of false alarms among what is called significant."""
POWER = 0.8
"""Wanted chance to see a difference that is there, where seeds are counted that would settle it."""
PRECISION = 0.05
"""A difference below this share of the value is taken for none."""
RESAMPLES = 9_999
FLIPS = 20_000
"""Up to 14 pairs all flips of signs are tried, above that so many at random."""
MOST_SEEDS = 10_000
"""More than that is said as "more than"."""
_LAST_DIGITS = 1e-9
"""Values that differ by a smaller share are the same but for how a computer subtracts."""

Floats = np.ndarray[tuple[int, ...], np.dtype[np.float64]]


@dataclass(frozen=True, slots=True)
class Comparison:
    """One measure of one variant against the baseline. Numbers are None where too few pairs were measured."""

    measure: str
    variant: str
    pairs: int
    """Seeds for which both have the measure."""
    baseline_mean: float | None
    variant_mean: float | None
    difference: float | None
    """Mean of the paired differences, variant minus baseline."""
    ci_low: float | None
    ci_high: float | None
    p_raw: float | None
    """Of this comparison alone."""
    p_value: float | None
    """Corrected for all comparisons that were made."""
    significant: bool
    settled: bool
    """Beyond chance, or known to be smaller than what matters."""
    seeds_to_settle: int | None
    """How many would probably settle it; None if it is settled, or if nothing can be said."""

    @property
    def identical(self) -> bool:
        """Whether no pair differs at all."""
        return self.pairs > 0 and self.difference == self.ci_low == self.ci_high == 0.0


def compare(
    runs: pd.DataFrame, baseline: str, measures: Sequence[str], *, level: float = LEVEL, precision: float = PRECISION
) -> list[Comparison]:
    """Every variant in the frame against `baseline`, measure by measure; corrected for all of them together."""
    variants = [name for name in runs["variant"].unique() if name != baseline]
    found = [
        _single(measure, variant, *paired(runs, baseline, variant, measure), level)
        for variant in variants
        for measure in measures
    ]
    return _settle(corrected(found, level), runs, baseline, level, precision)


def paired(runs: pd.DataFrame, baseline: str, variant: str, measure: str) -> tuple[Floats, Floats]:
    """The values of both, for the seeds in which both were measured, in order of seed."""
    table = runs[runs["variant"].isin([baseline, variant])].pivot(index="seed", columns="variant", values=measure)
    both = table[[baseline, variant]].astype("float64").dropna().sort_index()
    return both[baseline].to_numpy(), both[variant].to_numpy()


def interval(differences: Floats, level: float = LEVEL) -> tuple[float, float]:
    """Bootstrap confidence interval of the mean of at least two differences."""
    if np.ptp(differences) <= _LAST_DIGITS * np.abs(differences).max():  # BCa would divide by their spread
        return float(differences.min()), float(differences.max())
    method = "BCa" if len(differences) > 2 else "percentile"
    found = stats.bootstrap(
        (differences,), np.mean, n_resamples=RESAMPLES, confidence_level=1 - level, method=method,
        rng=np.random.default_rng(len(differences)),
    ).confidence_interval  # fmt: skip
    return float(found.low), float(found.high)


def sign_flip_p(differences: Floats) -> float:
    """Probability of a mean at least so far from zero if every difference could as well have had the other sign."""
    if not np.any(differences):
        return 1.0
    test = stats.permutation_test(
        (differences,), _mean, permutation_type="samples", n_resamples=FLIPS, vectorized=True,
        rng=np.random.default_rng(len(differences)),
    )  # fmt: skip
    return float(test.pvalue)


def corrected(comparisons: Sequence[Comparison], level: float = LEVEL) -> list[Comparison]:
    """The same with their p-values corrected for how many there are, and whether they are significant."""
    counted = [c for c in comparisons if c.p_raw is not None and not c.identical]
    values = iter(stats.false_discovery_control([c.p_raw for c in counted]) if counted else ())
    result = []
    for comparison in comparisons:
        p = float(next(values)) if comparison in counted else comparison.p_raw
        result.append(replace(comparison, p_value=p, significant=p is not None and p <= level))
    return result


def fewest_seeds(comparisons: int, level: float = LEVEL) -> int:
    """How many seeds it takes before one of so many comparisons can be significant on its own."""
    return math.ceil(math.log2(2 * max(comparisons, 1) / level))


def half_width(differences: Floats, level: float = LEVEL) -> float:
    """Of the confidence interval, by the normal law: for planning, not for judging."""
    return float(stats.norm.ppf(1 - level / 2) * differences.std(ddof=1) / math.sqrt(len(differences)))


def seeds_for_width(differences: Floats, wanted: float, level: float = LEVEL) -> int:
    """Seeds after which the interval would reach no further than `wanted` to either side."""
    return math.ceil((float(stats.norm.ppf(1 - level / 2)) * float(differences.std(ddof=1)) / wanted) ** 2)


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
        matters = precision * scale(comparison)
        small = max(abs(comparison.ci_low), abs(comparison.ci_high)) <= matters
        if comparison.significant or comparison.identical or small:
            result.append(replace(comparison, settled=True))
            continue
        base, other = paired(runs, baseline, comparison.variant, comparison.measure)
        result.append(replace(comparison, seeds_to_settle=_seeds_to_settle(other - base, matters, counted, level)))
    return result


def scale(comparison: Comparison) -> float:
    """What a difference is large or small against."""
    return max(abs(comparison.baseline_mean or 0.0), abs(comparison.variant_mean or 0.0))


def _seeds_to_settle(differences: Floats, matters: float, counted: int, level: float) -> int | None:
    """Seeds until either the difference is seen, if it is as large as it looks, or it is known to be small."""
    spread, mean = float(differences.std(ddof=1)), abs(float(differences.mean()))
    if not spread:
        return max(fewest_seeds(counted, level), len(differences) + 1)
    sure = stats.norm.ppf(1 - level / (2 * counted)) + stats.norm.ppf(POWER)
    seen = math.ceil((sure * spread / mean) ** 2) if mean else MOST_SEEDS
    small = seeds_for_width(differences, matters - mean, level) if matters > mean else MOST_SEEDS
    return max(min(seen, small, MOST_SEEDS), fewest_seeds(counted, level), len(differences) + 1)
