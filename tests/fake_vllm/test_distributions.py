"""Distributions: bounds, quantiles and the use of the generator."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fake_vllm.distributions import Constant, Empirical, Exponential, Latency, LogNormal, Uniform

EVERY_KIND: list[Latency] = [
    Constant(1.5),
    Uniform(1.0, 3.0),
    Exponential(2.0),
    LogNormal(1.8, 6.0),
    Empirical((1.0, 4.0, 4.5)),
]


@pytest.mark.parametrize("latency", EVERY_KIND)
def test_the_mean_of_many_draws_is_the_stated_mean(latency: Latency) -> None:
    rng = np.random.default_rng(1)
    drawn = [latency.draw(rng) for _ in range(20_000)]
    assert min(drawn) >= 0
    assert np.mean(drawn) == pytest.approx(latency.mean(), rel=0.05)


@pytest.mark.parametrize("latency", EVERY_KIND)
def test_hardly_a_draw_exceeds_the_upper_bound(latency: Latency) -> None:
    rng = np.random.default_rng(2)
    above = sum(latency.draw(rng) > latency.upper() for _ in range(20_000))
    assert above <= 40  # 0.1 % of them are 20


@pytest.mark.parametrize("latency", EVERY_KIND)
def test_the_same_generator_gives_the_same_durations(latency: Latency) -> None:
    first, second = np.random.default_rng(3), np.random.default_rng(3)
    assert [latency.draw(first) for _ in range(10)] == [latency.draw(second) for _ in range(10)]


@settings(deadline=None)
@given(median=st.floats(0.001, 1000), factor=st.floats(1, 100))
def test_a_lognormal_has_its_median_and_its_95th_percentile(median: float, factor: float) -> None:
    latency = LogNormal(median, median * factor)
    assert latency.median * math.exp(latency.sigma * 1.6448536269514722) == pytest.approx(latency.p95)
    assert latency.p95 <= latency.upper() * (1 + 1e-9)


@pytest.mark.parametrize(
    ("build", "says"),
    [
        (lambda: Constant(-1), "not negative"),
        (lambda: Constant(math.nan), "finite"),
        (lambda: Uniform(2, 1), "low <= high"),
        (lambda: Exponential(math.inf), "finite"),
        (lambda: LogNormal(2, 1), "median <= p95"),
        (lambda: LogNormal(0, 1), "0 < median"),
        (lambda: Empirical(()), "at least one"),
        (lambda: Empirical((1, -1)), ">= 0"),
    ],
)
def test_impossible_figures_are_refused(build: object, says: str) -> None:
    assert callable(build)
    with pytest.raises(ValueError, match=says):
        build()


@given(low=st.floats(0, 1e6), width=st.floats(0, 1e6), seed=st.integers(0, 2**32))
def test_a_draw_is_the_one_that_numpy_would_make(low: float, width: float, seed: int) -> None:
    drawn, expected = np.random.default_rng(seed), np.random.default_rng(seed)
    assert Uniform(low, low + width).draw(drawn) == expected.uniform(low, low + width)
    assert Exponential(width).draw(drawn) == expected.exponential(width)
