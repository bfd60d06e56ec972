"""Fits of distributions: the chosen family, its quality, and the fallback if none fits."""

import numpy as np
import pytest
from ruamel.yaml import YAML

from fake_vllm.distributions import Constant, Empirical, Exponential, LogNormal, Uniform, parse_distribution
from twin.calibration import Histogram, fit_histogram, fit_values
from twin.calibration.fit import Floats, quantile
from twin.calibration.profile_writer import distribution_text, duration

EDGES = (0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0)


def drawn(latency: LogNormal | Exponential | Uniform, count: int = 2000) -> Floats:
    rng = np.random.default_rng(11)
    return np.array([latency.draw(rng) for _ in range(count)])


def binned(values: Floats) -> Histogram:
    counts, _ = np.histogram(values, [0.0, *EDGES, np.inf])
    return Histogram(EDGES, tuple(int(count) for count in counts), float(values.sum()))


@pytest.mark.parametrize("latency", [LogNormal(1.8, 6.0), Exponential(3.0), Uniform(2.0, 5.0)])
def test_the_family_that_was_drawn_from_is_the_one_that_is_taken(latency: LogNormal | Exponential | Uniform) -> None:
    fit = fit_values(drawn(latency))
    assert type(fit.latency) is type(latency)
    assert fit.distance < 0.03
    assert fit.p_value is not None
    assert fit.p_value > 0.05
    for share in (0.5, 0.95):
        assert quantile(fit.latency, share) == pytest.approx(quantile(latency, share), rel=0.06)
    assert "fits well" in fit.sentence()
    assert "within chance" in fit.sentence()


@pytest.mark.parametrize("latency", [LogNormal(1.8, 6.0), Exponential(3.0)])
def test_the_family_is_recognised_from_a_histogram_too(latency: LogNormal | Exponential) -> None:
    fit = fit_histogram(binned(drawn(latency)))
    assert type(fit.latency) is type(latency)
    assert quantile(fit.latency, 0.5) == pytest.approx(quantile(latency, 0.5), rel=0.06)
    assert "fits well" in fit.sentence()


def test_where_no_family_fits_the_measured_quantiles_are_taken() -> None:
    cached, fetched = drawn(Uniform(0.1, 0.3)), drawn(Uniform(8.0, 9.0))
    values = np.concatenate([cached, fetched])
    fit = fit_values(values)
    assert isinstance(fit.latency, Empirical)
    assert "no family fits" in fit.sentence()
    for share in (0.25, 0.75, 0.95):
        assert quantile(fit.latency, share) == pytest.approx(float(np.quantile(values, share)), rel=0.02)
    assert isinstance(fit_histogram(binned(values)).latency, Empirical)


def test_a_small_deviation_of_the_shape_is_significant() -> None:
    values = np.concatenate([drawn(LogNormal(1.0, 2.0)), drawn(LogNormal(1.9, 3.0), 600)])
    fit = fit_values(values)
    assert fit.p_value is not None
    assert fit.p_value < 0.05
    assert "more than chance alone gives" in fit.sentence()


def test_values_that_are_all_the_same_are_a_constant() -> None:
    assert fit_values([2.0, 2.0, 2.001]).latency == Constant(2.0)
    assert fit_values([7.0]).sentence() == "1 value, all about equal"


def test_a_histogram_with_one_bucket_filled_gives_its_mean() -> None:
    assert fit_histogram(Histogram((1.0, 2.0), (0, 10, 0), 16.0)).latency == Constant(1.6)


def test_a_histogram_with_nearly_all_in_one_bucket_gives_its_mean_too() -> None:
    """Token latencies of a small model in vLLM's buckets: 96 % below the first bound, and a few outliers."""
    assert fit_histogram(Histogram((0.01, 0.025, 0.05), (989, 30, 10, 1), 7.6)).latency == Constant(7.6 / 1030)


def test_two_buckets_leave_a_shape_that_their_mean_decides() -> None:
    values = drawn(LogNormal(0.2, 0.4))
    counts = (int((values <= 0.25).sum()), int((values > 0.25).sum()))
    fit = fit_histogram(Histogram((0.25,), counts, float(values.sum())))
    assert quantile(fit.latency, 0.5) == pytest.approx(0.2, rel=0.05)
    assert quantile(fit.latency, 0.95) == pytest.approx(0.4, rel=0.1)


def test_few_values_are_fitted_with_a_note() -> None:
    fit = fit_values([1.0, 2.0, 4.0])
    assert fit.p_value is None
    assert "3 values, too few for a test" in fit.sentence()


def test_a_zero_among_the_values_is_no_obstacle() -> None:
    assert quantile(fit_values([0.0, *drawn(Exponential(3.0))]).latency, 0.5) == pytest.approx(2.08, rel=0.06)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0s"),
        (12.345678, "12.35s"),
        (0.00512345, "5.123ms"),
        (0.0000612, "61.2us"),
        (3e-8, "0.03us"),
        (4321.7, "4322s"),
    ],
)
def test_durations_have_four_digits_in_the_unit_that_suits(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_written_file_is_read_as_equal_values() -> None:
    for latency in (Constant(2.0), Uniform(0.5, 2.0), Exponential(0.25), LogNormal(1.5, 4.0), Empirical((0.1, 0.2))):
        assert parse_distribution(YAML(typ="safe").load(distribution_text(latency))) == latency
