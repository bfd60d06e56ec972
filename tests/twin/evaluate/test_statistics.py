"""Differences, intervals and p-values, checked against values computed by hand and against noise."""

import numpy as np
import pandas as pd
import pytest

from twin.evaluate import statistics
from twin.evaluate.statistics import Comparison, compare, corrected, fewest_seeds, interval, sign_flip_p


def a_frame(**variants: list[float]) -> pd.DataFrame:
    """Return a frame of the measure `x` with the values of each variant for seeds 0, 1, 2, …"""
    rows = [
        {"variant": variant, "seed": seed, "x": value}
        for variant, values in variants.items()
        for seed, value in enumerate(values)
    ]
    return pd.DataFrame(rows)


def the(frame: pd.DataFrame, **more: float) -> Comparison:
    (comparison,) = compare(frame, "base", ["x"], **more)
    return comparison


def test_the_difference_is_the_mean_of_pairs_variant_minus_baseline() -> None:
    found = the(a_frame(base=[1, 2, 3, 4], other=[2, 2, 5, 5]))
    assert (found.baseline_mean, found.variant_mean, found.difference, found.pairs) == (2.5, 3.5, 1.0, 4)


def test_rows_are_paired_by_seed_in_any_order() -> None:
    frame = a_frame(base=[1, 2, 3, 4, 5, 6], other=[1.5, 2.5, 3.5, 4.5, 5.5, 6.5])
    assert the(frame.sample(frac=1, random_state=3)) == the(frame)
    assert the(frame).ci_low == the(frame).ci_high == 0.5


def test_a_pair_of_which_one_was_not_measured_does_not_count() -> None:
    found = the(a_frame(base=[1, 2, float("nan")], other=[2, 3, 9]))
    assert (found.pairs, found.difference) == (2, 1.0)


def test_one_pair_is_no_ground_for_a_judgement() -> None:
    found = the(a_frame(base=[1.0], other=[2.0]))
    assert (found.difference, found.p_value, found.ci_low, found.significant) == (1.0, None, None, False)


@pytest.mark.parametrize(
    ("differences", "p"),
    [
        ([1.0, 1.0, 1.0], 2 / 8),
        ([1.0, 2.0, 3.0, -1.0], 4 / 16),  # sums of at least 5 either way: +5 twice, +7 once, and their mirrors
        ([0.0, 0.0], 1.0),
    ],
)
def test_the_sign_flip_test_counts_flips(differences: list[float], p: float) -> None:
    values = np.array(differences)
    signs = np.array(np.meshgrid(*[[-1, 1]] * len(values))).reshape(len(values), -1)
    by_hand = float(np.mean(np.abs(values @ signs) >= abs(values.sum()) - 1e-12))
    assert sign_flip_p(values) == pytest.approx(by_hand)
    assert p == pytest.approx(by_hand) or len(set(differences)) > 2


def test_the_same_frame_gives_the_same_numbers_to_the_last_bit() -> None:
    rng = np.random.default_rng(1)
    frame = a_frame(base=list(rng.normal(size=25)), other=list(rng.normal(size=25)))
    assert the(frame) == the(frame)


def test_correction_is_benjamini_and_hochbergs_over_those_that_differ_at_all() -> None:
    def raw(p: float, difference: float = 1.0) -> Comparison:
        return Comparison("x", "v", 9, 0, difference, difference, difference, difference, p, None, False, False, None)

    found = corrected([raw(0.01), raw(0.04), raw(1.0, difference=0.0), raw(0.2)])
    assert [c.p_value for c in found] == pytest.approx([0.03, 0.06, 1.0, 0.2])
    assert [c.significant for c in found] == [True, False, False, False]


def test_five_seeds_can_show_nothing_and_six_can() -> None:
    assert fewest_seeds(1) == 6
    five = the(a_frame(base=[0.0] * 5, other=[9.0, 8.0, 9.5, 9.1, 8.7]))
    six = the(a_frame(base=[0.0] * 6, other=[9.0, 8.0, 9.5, 9.1, 8.7, 9.2]))
    assert (five.significant, six.significant) == (False, True)
    assert five.seeds_to_settle is not None
    assert five.seeds_to_settle >= 6


def test_a_small_difference_is_settled_and_an_inconclusive_one_has_the_number_of_seeds_needed() -> None:
    base = np.full(20, 100.0)
    apart = np.tile([1.0, -1.0, 2.0, -1.8], 5)
    small = the(a_frame(base=list(base), other=list(base + apart)))
    vague = the(a_frame(base=list(base), other=list(base + 30 * apart)))
    assert small.settled
    assert not small.significant
    assert not vague.settled
    assert vague.seeds_to_settle is not None
    assert 20 < vague.seeds_to_settle <= statistics.MOST_SEEDS


def test_with_the_predicted_number_of_seeds_the_difference_is_mostly_significant() -> None:
    pilot = np.tile([2.0, -1.0, 1.5, -0.5], 3)  # as large as its mean, 0.5, as spread as its deviation
    first = the(a_frame(base=[0.0] * 12, other=list(pilot)))
    assert not first.settled
    assert first.seeds_to_settle is not None
    rng, spread = np.random.default_rng(12), float(pilot.std(ddof=1))
    seen = sum(sign_flip_p(rng.normal(0.5, spread, first.seeds_to_settle)) <= statistics.LEVEL for _ in range(60))
    assert 0.65 <= seen / 60 <= 0.95  # four in five are meant


def test_intervals_cover_the_true_value_nearly_as_often_as_their_level() -> None:
    rng = np.random.default_rng(2)
    inside = 0
    for _ in range(150):
        low, high = interval(rng.exponential(1.0, 20) - rng.exponential(1.0, 20))
        inside += low <= 0.0 <= high
    assert 0.87 <= inside / 150 <= 0.99


def test_false_positives_in_noise_are_as_frequent_as_the_level() -> None:
    rng = np.random.default_rng(3)
    alarms = sum(
        the(a_frame(base=list(rng.lognormal(0, 1, 10)), other=list(rng.lognormal(0, 1, 10)))).significant
        for _ in range(200)
    )
    assert 2 <= alarms <= 20  # 10 expected; outside once in a thousand


def test_differences_that_are_equal_but_for_how_a_computer_subtracts_have_an_interval_too() -> None:
    assert interval(np.array([64.23 - 34.23, 69.48 - 39.48] + [30.0] * 8)) == pytest.approx((30.0, 30.0))
