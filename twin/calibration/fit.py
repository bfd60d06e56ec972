"""Fit a distribution to measurements and say how well it fits.

The families are those that a model profile can name: constant, uniform, exponential, lognormal. The one with the
smallest AIC is used. Its quality is the Kolmogorov-Smirnov distance: the largest difference between the measured and
the fitted share of values below any length. If it exceeds `ROUGH`, no family is used: the measured quantiles are
written instead, so that medians and tails are right for any shape.

Single values are fitted by maximum likelihood, histograms by the probability of each bucket; if nearly all values are
in one bucket, only their mean is known. The p-value says whether the distance is larger than chance alone would give:
for values by resampling and refitting (`scipy.stats.goodness_of_fit`), for histograms by a chi-square test.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from scipy import optimize, stats

from fake_vllm.distributions import Constant, Empirical, Exponential, Latency, LogNormal, Uniform

CLOSE, ROUGH = 0.05, 0.1
"""Largest distance of a good fit, and of an acceptable one."""
FEW = 20
"""With fewer values the shape is uncertain, and there is no p-value."""
MAX_TESTED = 5_000
"""Maximum number of values for the p-value, evenly spaced; with very many, every difference is significant."""
QUANTILES = 101
"""Number of quantiles that are written if no family fits."""
_RESAMPLES = 499
_SAME = 0.005
"""Values that differ by less than this share are taken as constant."""
_MIN_BUCKET_SHARE = 0.01
"""Smallest share of a bucket that counts as information about the shape."""
_ONE_BUCKET = 0.9
"""Share of values in one bucket above which their spread is unknown."""
_LOG_SIGMA = (math.log(0.01), math.log(3.0))
"""Range of log(sigma) that is searched."""
_Z95 = float(stats.norm.ppf(0.95))

Floats = np.ndarray[tuple[int, ...], np.dtype[np.float64]]


@dataclass(frozen=True, slots=True)
class Histogram:
    """A histogram: number of values below the first edge, between edges, and above the last."""

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
        """Return the sum of two histograms with the same edges."""
        counts = tuple(one + two for one, two in zip(self.counts, other.counts, strict=True))
        return Histogram(self.edges, counts, self.total + other.total)

    def shares(self) -> list[float]:
        """Return the share of values at or below each edge."""
        return [float(share) for share in np.cumsum(self.counts)[:-1] / self.count]


@dataclass(frozen=True, slots=True)
class Fit:
    """A distribution for one quantity, and its distance from the measurements."""

    latency: Latency
    count: int
    distance: float
    """Largest difference between the measured and the fitted share, 0 to 1."""
    p_value: float | None = None
    rejected: str = ""
    """The closest family and its distance, if none fits."""

    @property
    def family(self) -> str:
        return type(self.latency).__name__.lower()

    @property
    def median(self) -> float:
        return quantile(self.latency, 0.5)

    def sentence(self) -> str:
        """Describe the quality of the fit."""
        count = f"{self.count:,} value{'s' if self.count != 1 else ''}"
        if isinstance(self.latency, Constant):
            return f"{count}, all about equal"
        if isinstance(self.latency, Empirical):
            return f"{count}; no family fits ({self.rejected}), so the measured quantiles are used"
        quality = "fits well" if self.distance <= CLOSE else "fits roughly"
        deviation = f"the share below any length is off by at most {100 * self.distance:.1f} points"
        if self.p_value is None:
            few = ", too few for a test" if self.count < FEW else ""
            return f"{count}{few}; {quality}: {deviation}"
        chance = "within chance" if self.p_value >= 0.05 else "more than chance alone gives"
        return f"{count}; {quality}: {deviation}, {chance} (p = {self.p_value:.2g})"


def fit_values(values: Sequence[float] | Floats) -> Fit:
    """Fit single values: at least one, none negative."""
    data = np.sort(np.asarray(values, dtype=float))
    if data[-1] - data[0] <= _SAME * data[-1]:
        return Fit(Constant(float(np.median(data))), len(data), 0.0)
    fitted = _fit_families(data)
    best = min(fitted, key=lambda family: _aic(family, np.log(np.maximum(density(family, data), 1e-300)).sum()))
    distance = _distance(best, data)
    if distance > ROUGH and len(data) >= FEW:
        empirical = as_measured(data)
        return Fit(empirical, len(data), _distance(empirical, data), rejected=_rejected(best, distance))
    return Fit(best, len(data), distance, _p_value(best, data) if len(data) >= FEW else None)


def as_measured(values: Sequence[float] | Floats) -> Empirical:
    """Return the quantiles of the values themselves, at the middle of each of `QUANTILES` equal shares."""
    shares = (np.arange(QUANTILES) + 0.5) / QUANTILES
    return Empirical(tuple(float(value) for value in np.quantile(values, shares, method="inverted_cdf")))


def fit_histogram(bins: Histogram) -> Fit:
    """Fit a histogram with at least one value."""
    if max(bins.counts) >= _ONE_BUCKET * bins.count:
        return Fit(Constant(bins.mean), bins.count, 0.0)
    best = min(
        _fit_families_to_histogram(bins), key=lambda family: _aic(family, -_negative_log_likelihood(family, bins))
    )
    distance = _histogram_distance(best, bins)
    if distance > ROUGH and bins.count >= FEW:
        empirical = Empirical(_quantiles(bins))
        distance_of_quantiles = _histogram_distance(empirical, bins)
        return Fit(empirical, bins.count, distance_of_quantiles, rejected=_rejected(best, distance))
    return Fit(best, bins.count, distance, _histogram_p_value(best, bins))


def rounded(latency: Latency) -> Latency:
    """Return the distribution with four digits, since no measurement is more exact."""
    if isinstance(latency, Empirical):
        return Empirical(tuple(_round(value) for value in latency.values))
    return replace(latency, **{field.name: _round(getattr(latency, field.name)) for field in fields(latency)})  # type: ignore[type-var, arg-type]


def _round(value: float) -> float:
    return float(f"{value:.4g}")


def share_below(latency: Latency, x: Floats) -> Floats:
    """Return the share of durations at or below each of `x`."""
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
    raise TypeError(f"no distribution function of a {type(latency).__name__}")


def quantile(latency: Latency, share: float) -> float:
    """Return the duration below which this share lies."""
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
    """Return the density at each of `x`."""
    match latency:
        case Uniform():
            return np.asarray(stats.uniform.pdf(x, latency.low, latency.high - latency.low))
        case Exponential():
            return np.asarray(stats.expon.pdf(x, scale=latency.average))
        case LogNormal():
            return np.asarray(stats.lognorm.pdf(x, latency.sigma, scale=latency.median))
    raise TypeError(f"a {type(latency).__name__} has no density")


def _fit_families(data: Floats) -> list[Latency]:
    families: list[Latency] = [Uniform(float(data[0]), float(data[-1])), Exponential(float(data.mean()))]
    if data[0] > 0:
        logs = np.log(data)
        families.append(_lognormal(float(logs.mean()), float(logs.std())))
    return families


def _lognormal(mu: float, sigma: float) -> LogNormal:
    return LogNormal(math.exp(mu), math.exp(mu + _Z95 * sigma))


def _aic(latency: Latency, log_likelihood: float) -> float:
    return 2 * (1 if isinstance(latency, Exponential) else 2) - 2 * float(log_likelihood)


def _distance(latency: Latency, data: Floats) -> float:
    """Return the Kolmogorov-Smirnov distance from sorted values."""
    n = len(data)
    if isinstance(latency, Empirical):  # two step functions: compare at the steps of the data
        return float(np.abs(share_below(latency, data) - np.searchsorted(data, data, side="right") / n).max())
    shares = share_below(latency, data)
    return float(max((np.arange(1, n + 1) / n - shares).max(), (shares - np.arange(n) / n).max()))


def _p_value(latency: Latency, data: Floats) -> float:
    step = max(len(data) / MAX_TESTED, 1.0)
    sample = data[np.arange(0, len(data), step).astype(int)]
    family, known_parameters = {
        "LogNormal": (stats.norm, {}),
        "Exponential": (stats.expon, {"loc": 0}),
        "Uniform": (stats.uniform, {}),
    }[type(latency).__name__]
    tested = np.log(sample) if isinstance(latency, LogNormal) else sample
    rng = np.random.default_rng(0)  # the same measurements give the same file
    result = stats.goodness_of_fit(
        family, tested, known_params=known_parameters, statistic="ks", n_mc_samples=_RESAMPLES, rng=rng
    )
    return float(result.pvalue)


def _fit_families_to_histogram(bins: Histogram) -> list[Latency]:
    families: list[Latency] = [Exponential(bins.mean)] if bins.mean > 0 else []
    if sum(count >= _MIN_BUCKET_SHARE * bins.count for count in bins.counts) > 2:
        low, high = (max(quantile_of(bins, share), 1e-9) for share in (0.5, 0.95))
        start = (math.log(low), math.log(max(math.log(high / low) / _Z95, 0.05)))
        best = optimize.minimize(
            lambda x: _negative_log_likelihood(_lognormal(x[0], math.exp(x[1])), bins), start, method="Nelder-Mead"
        )
        return [*families, _lognormal(float(best.x[0]), math.exp(best.x[1]))]

    def with_mean(log_sigma: float) -> LogNormal:
        """Return the lognormal with the histogram's mean: two buckets do not determine both parameters."""
        sigma = math.exp(log_sigma)
        return _lognormal(math.log(bins.mean) - sigma**2 / 2, sigma)

    sigma = optimize.minimize_scalar(lambda x: _negative_log_likelihood(with_mean(x), bins), bounds=_LOG_SIGMA)
    return [*families, with_mean(float(sigma.x))]


def _negative_log_likelihood(latency: Latency, bins: Histogram) -> float:
    """Return the negative log-likelihood of the bucket counts."""
    probabilities = np.maximum(_bucket_probabilities(latency, bins), 1e-300)
    return -float((np.array(bins.counts) * np.log(probabilities)).sum())


def _bucket_probabilities(latency: Latency, bins: Histogram) -> Floats:
    shares = np.concatenate([[0.0], share_below(latency, np.array(bins.edges)), [1.0]])
    return np.diff(shares)


def _histogram_distance(latency: Latency, bins: Histogram) -> float:
    """Return the distance at the edges, where it is known."""
    return float(np.abs(share_below(latency, np.array(bins.edges)) - np.array(bins.shares())).max())


def _histogram_p_value(latency: Latency, bins: Histogram) -> float | None:
    """Return the p-value of a chi-square test over buckets that expect at least five values; None if too few remain."""
    observed, expected, pairs = 0.0, 0.0, list[tuple[float, float]]()
    for count, probability in zip(bins.counts, _bucket_probabilities(latency, bins), strict=True):
        observed, expected = observed + count, expected + probability * bins.count
        if expected >= 5:
            pairs.append((observed, expected))
            observed, expected = 0.0, 0.0
    if pairs:
        pairs[-1] = (pairs[-1][0] + observed, pairs[-1][1] + expected)
    degrees_of_freedom = len(pairs) - 1 - (1 if isinstance(latency, Exponential) else 2)
    if degrees_of_freedom < 1:
        return None
    return float(stats.chi2.sf(sum((o - e) ** 2 / e for o, e in pairs), degrees_of_freedom))


def quantile_of(bins: Histogram, share: float) -> float:
    """Return a quantile of a histogram, interpolated within buckets; at most the last edge."""
    shares = [0.0, *bins.shares()]
    return float(np.interp(share, shares, [0.0, *bins.edges]))


def _quantiles(bins: Histogram) -> tuple[float, ...]:
    """Return quantiles at the middle of equal shares, so that neither end of a bucket is overrepresented."""
    return tuple(quantile_of(bins, (i + 0.5) / QUANTILES) for i in range(QUANTILES))


def _rejected(latency: Latency, distance: float) -> str:
    return f"the closest, {type(latency).__name__.lower()}, deviates by {100 * distance:.0f} points"
