"""Which distribution fits what was measured, and how well.

The families are those that a file of times can name: a constant, uniform, exponential, lognormal. The one with the
smallest AIC is taken. How well it fits is said by the Kolmogorov-Smirnov distance: by how much the share of durations
below any length is off, at most. Where that is more than `ROUGH`, no family is pressed on the data: their own quantiles
are written instead, so that medians and tails are right whatever the shape.

Single values are fitted by maximum likelihood, histograms likewise, by the chance of each bucket; where
nearly all values lie in one bucket, their mean is all that is known. The p-value says
whether the distance is more than chance alone would give: for values by redrawing and refitting (`scipy`'s
goodness_of_fit), for histograms by chi-square over the buckets.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from scipy import optimize, stats

from fake_vllm.distributions import Constant, Empirical, Exponential, Latency, LogNormal, Uniform

CLOSE, ROUGH = 0.05, 0.1
"""Distances up to which a fit is called good, and up to which it is taken at all."""
FEW = 20
"""Fewer values than that say little about the shape, and no p-value is given."""
MOST_REDRAWN = 5_000
"""Of more values so many, taken evenly, make the p-value: with very many everything differs beyond chance."""
QUANTILES = 101
"""Written where no family fits."""
_REDRAWS = 499
_SAME = 0.005
"""Values that differ by less than this share are all the same."""
_TELLING = 0.01
"""Share of the values from which on a bucket says something about the shape."""
_HIDDEN = 0.9
"""With so many values in one bucket, nobody sees how they differ."""
_LOG_SIGMA = (math.log(0.01), math.log(3.0))
"""From hardly any spread to more than anybody has measured of a load."""
_Z95 = float(stats.norm.ppf(0.95))

Floats = np.ndarray[tuple[int, ...], np.dtype[np.float64]]


@dataclass(frozen=True, slots=True)
class Histogram:
    """A histogram: how many values lie below the first edge, between each two, and above the last."""

    edges: tuple[float, ...]
    counts: tuple[int, ...]
    total: float
    """Sum of the values."""

    @property
    def count(self) -> int:
        return sum(self.counts)

    @property
    def mean(self) -> float:
        return self.total / self.count

    def __add__(self, other: "Histogram") -> "Histogram":
        """Both together; the edges have to be the same."""
        counts = tuple(one + two for one, two in zip(self.counts, other.counts, strict=True))
        return Histogram(self.edges, counts, self.total + other.total)

    def shares(self) -> list[float]:
        """Share of values at or below each edge."""
        return [float(share) for share in np.cumsum(self.counts)[:-1] / self.count]


@dataclass(frozen=True, slots=True)
class Fit:
    """A distribution for one quantity, and how far it is from what was measured."""

    latency: Latency
    count: int
    distance: float
    """The largest difference between two shares, 0 to 1."""
    p_value: float | None = None
    rejected: str = ""
    """The family that came closest, where none fits; with its distance."""

    @property
    def family(self) -> str:
        return type(self.latency).__name__.lower()

    @property
    def median(self) -> float:
        return quantile(self.latency, 0.5)

    def sentence(self) -> str:
        """How well it fits, for people."""
        of = f"{self.count:,} value{'s' if self.count != 1 else ''}"
        if isinstance(self.latency, Constant):
            return f"{of}, all of them about the same"
        if isinstance(self.latency, Empirical):
            return f"{of}; no family fits ({self.rejected}), so the measured quantiles are taken as they are"
        how = "fits well" if self.distance <= CLOSE else "fits roughly"
        off = f"the share below any length is off by at most {100 * self.distance:.1f} points"
        if self.p_value is None:
            few = ", too few to say more" if self.count < FEW else ""
            return f"{of}{few}; {how}: {off}"
        chance = "no more than chance gives" if self.p_value >= 0.05 else "more than chance alone gives"
        return f"{of}; {how}: {off}, {chance} (p = {self.p_value:.2g})"


def fit_values(values: Sequence[float] | Floats) -> Fit:
    """The fit of single values, at least one, none negative."""
    data = np.sort(np.asarray(values, dtype=float))
    if data[-1] - data[0] <= _SAME * data[-1]:
        return Fit(Constant(float(np.median(data))), len(data), 0.0)
    fitted = _families_of_values(data)
    best = min(fitted, key=lambda each: _aic(each, np.log(np.maximum(density(each, data), 1e-300)).sum()))
    off = _distance(best, data)
    if off > ROUGH and len(data) >= FEW:
        own = as_measured(data)
        return Fit(own, len(data), _distance(own, data), rejected=_rejected(best, off))
    return Fit(best, len(data), off, _p_of_values(best, data) if len(data) >= FEW else None)


def as_measured(values: Sequence[float] | Floats) -> Empirical:
    """Their own quantiles, from the middle of each hundredth: no family in between."""
    shares = (np.arange(QUANTILES) + 0.5) / QUANTILES
    return Empirical(tuple(float(value) for value in np.quantile(values, shares, method="inverted_cdf")))


def fit_histogram(bins: Histogram) -> Fit:
    """The fit of a histogram with at least one value."""
    if max(bins.counts) >= _HIDDEN * bins.count:
        return Fit(Constant(bins.mean), bins.count, 0.0)
    best = min(_families_of_bins(bins), key=lambda each: _aic(each, -_surprise(each, bins)))
    off = _distance_in_bins(best, bins)
    if off > ROUGH and bins.count >= FEW:
        own = Empirical(_quantiles(bins))
        return Fit(own, bins.count, _distance_in_bins(own, bins), rejected=_rejected(best, off))
    return Fit(best, bins.count, off, _p_of_bins(best, bins))


def rounded(latency: Latency) -> Latency:
    """The same with four digits: more would claim what no measurement knows."""
    if isinstance(latency, Empirical):
        return Empirical(tuple(_four(value) for value in latency.values))
    return replace(latency, **{each.name: _four(getattr(latency, each.name)) for each in fields(latency)})  # type: ignore[type-var, arg-type]


def _four(value: float) -> float:
    return float(f"{value:.4g}")


def share_below(latency: Latency, x: Floats) -> Floats:
    """The share of durations at or below each of `x`."""
    match latency:
        case Constant():
            return np.where(x >= latency.value, 1.0, 0.0)
        case Uniform():
            return np.asarray(stats.uniform.cdf(x, latency.low, latency.high - latency.low))
        case Exponential():
            return np.asarray(stats.expon.cdf(x, scale=latency.average))
        case LogNormal():
            return np.asarray(stats.lognorm.cdf(x, latency.sigma, scale=latency.median))
        case Empirical():
            return np.searchsorted(np.sort(latency.values), x, side="right") / len(latency.values)
    raise TypeError(f"no shares of a {type(latency).__name__}")


def quantile(latency: Latency, share: float) -> float:
    """The duration below which that share lies."""
    match latency:
        case Constant():
            return latency.value
        case Uniform():
            return latency.low + share * (latency.high - latency.low)
        case Exponential():
            return -latency.average * math.log1p(-share)
        case LogNormal():
            return latency.median * math.exp(latency.sigma * float(stats.norm.ppf(share)))
        case Empirical():
            return float(np.quantile(latency.values, share))
    raise TypeError(f"no quantiles of a {type(latency).__name__}")


def density(latency: Latency, x: Floats) -> Floats:
    """The density at each of `x`."""
    match latency:
        case Uniform():
            return np.asarray(stats.uniform.pdf(x, latency.low, latency.high - latency.low))
        case Exponential():
            return np.asarray(stats.expon.pdf(x, scale=latency.average))
        case LogNormal():
            return np.asarray(stats.lognorm.pdf(x, latency.sigma, scale=latency.median))
    raise TypeError(f"a {type(latency).__name__} has no density")


def _families_of_values(data: Floats) -> list[Latency]:
    found: list[Latency] = [Uniform(float(data[0]), float(data[-1])), Exponential(float(data.mean()))]
    if data[0] > 0:
        logs = np.log(data)
        found.append(_lognormal(float(logs.mean()), float(logs.std())))
    return found


def _lognormal(mu: float, sigma: float) -> LogNormal:
    return LogNormal(math.exp(mu), math.exp(mu + _Z95 * sigma))


def _aic(latency: Latency, log_likelihood: float) -> float:
    return 2 * (1 if isinstance(latency, Exponential) else 2) - 2 * float(log_likelihood)


def _distance(latency: Latency, data: Floats) -> float:
    """Kolmogorov-Smirnov, against sorted values."""
    n = len(data)
    if isinstance(latency, Empirical):  # two staircases: compare where the data step
        return float(np.abs(share_below(latency, data) - np.searchsorted(data, data, side="right") / n).max())
    at = share_below(latency, data)
    return float(max((np.arange(1, n + 1) / n - at).max(), (at - np.arange(n) / n).max()))


def _p_of_values(latency: Latency, data: Floats) -> float:
    step = max(len(data) / MOST_REDRAWN, 1.0)
    kept = data[np.arange(0, len(data), step).astype(int)]
    family, known = {
        "LogNormal": (stats.norm, {}),
        "Exponential": (stats.expon, {"loc": 0}),
        "Uniform": (stats.uniform, {}),
    }[type(latency).__name__]
    tested = np.log(kept) if isinstance(latency, LogNormal) else kept
    rng = np.random.default_rng(0)  # the same measurements give the same file
    result = stats.goodness_of_fit(family, tested, known_params=known, statistic="ks", n_mc_samples=_REDRAWS, rng=rng)
    return float(result.pvalue)


def _families_of_bins(bins: Histogram) -> list[Latency]:
    found: list[Latency] = [Exponential(bins.mean)] if bins.mean > 0 else []
    if sum(count >= _TELLING * bins.count for count in bins.counts) > 2:
        low, high = (max(quantile_of(bins, share), 1e-9) for share in (0.5, 0.95))
        start = (math.log(low), math.log(max(math.log(high / low) / _Z95, 0.05)))
        best = optimize.minimize(
            lambda given: _surprise(_lognormal(given[0], math.exp(given[1])), bins), start, method="Nelder-Mead"
        )
        return [*found, _lognormal(float(best.x[0]), math.exp(best.x[1]))]

    def with_the_mean(log_sigma: float) -> LogNormal:
        """What two buckets leave open, the mean decides: the sum of a histogram is exact."""
        sigma = math.exp(log_sigma)
        return _lognormal(math.log(bins.mean) - sigma**2 / 2, sigma)

    sigma = optimize.minimize_scalar(lambda given: _surprise(with_the_mean(given), bins), bounds=_LOG_SIGMA)
    return [*found, with_the_mean(float(sigma.x))]


def _surprise(latency: Latency, bins: Histogram) -> float:
    """Minus the log-likelihood of the buckets' counts."""
    chances = np.maximum(_chances(latency, bins), 1e-300)
    return -float((np.array(bins.counts) * np.log(chances)).sum())


def _chances(latency: Latency, bins: Histogram) -> Floats:
    shares = np.concatenate([[0.0], share_below(latency, np.array(bins.edges)), [1.0]])
    return np.diff(shares)


def _distance_in_bins(latency: Latency, bins: Histogram) -> float:
    """As far as can be seen: at the edges."""
    return float(np.abs(share_below(latency, np.array(bins.edges)) - np.array(bins.shares())).max())


def _p_of_bins(latency: Latency, bins: Histogram) -> float | None:
    """Chi-square over buckets that expect five values or more; None where too few are left."""
    seen, expected, pairs = 0.0, 0.0, list[tuple[float, float]]()
    for count, chance in zip(bins.counts, _chances(latency, bins), strict=True):
        seen, expected = seen + count, expected + chance * bins.count
        if expected >= 5:
            pairs.append((seen, expected))
            seen, expected = 0.0, 0.0
    if pairs:
        pairs[-1] = (pairs[-1][0] + seen, pairs[-1][1] + expected)
    free = len(pairs) - 1 - (1 if isinstance(latency, Exponential) else 2)
    if free < 1:
        return None
    return float(stats.chi2.sf(sum((s - e) ** 2 / e for s, e in pairs), free))


def quantile_of(bins: Histogram, share: float) -> float:
    """A quantile of a histogram, values taken to lie evenly within each bucket; the last edge where it is beyond."""
    shares = [0.0, *bins.shares()]
    return float(np.interp(share, shares, [0.0, *bins.edges]))


def _quantiles(bins: Histogram) -> tuple[float, ...]:
    """From the middle of each hundredth, so that neither end of a bucket is overdone."""
    return tuple(quantile_of(bins, (i + 0.5) / QUANTILES) for i in range(QUANTILES))


def _rejected(latency: Latency, distance: float) -> str:
    return f"the closest, {type(latency).__name__.lower()}, is off by {100 * distance:.0f} points"
