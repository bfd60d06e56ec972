"""Sentences on prediction errors, by whether they are small, as large as the noise, or larger."""

import pytest

from twin.calibration import Calibration, PredictionError, PredictionRow
from twin.calibration.prediction_text import verdict_lines

ALL = PredictionError("all", 0, 0, 0, 0, 0, 0)


def error(median: float, p95: float, noise_median: float, noise_p95: float) -> PredictionError:
    return PredictionError("throughput", 100, 100, median, p95, noise_median, noise_p95)


def row(adapters: int, median: float, noise: float, rank: int = 16) -> PredictionRow:
    return PredictionRow(rank, adapters, 4, (error(median, median, noise, noise),))


@pytest.mark.parametrize(
    ("total", "sentence"),
    [
        (error(0.08, 0.24, 0.02, 0.05), "8 % in the median, 24 % at the 95th percentile; good"),
        (error(0.2, 0.4, 0.25, 0.5), "no model does better, since repetitions differ by as much"),
        (
            error(0.2, 0.4, 0.05, 0.5),
            "above the noise at 4 at once, 1 adapter (30 %; noise 10 %), 4 at once, base model (12 %; noise 11 %)",
        ),
        (error(0.05, 0.4, 0.25, 0.3), "above the noise at 4 at once, 1 adapter"),
    ],
)
def test_the_sentence_says_whether_a_prediction_is_good_and_where_it_is_not(
    total: PredictionError, sentence: str
) -> None:
    rows = (row(0, 0.12, 0.11), row(1, 0.3, 0.1), row(2, 0.1, 0.2))
    (line,) = verdict_lines(Calibration((), (), rows, (total, ALL)))
    assert line.startswith("throughput: ")
    assert sentence in line


def test_a_load_is_named_with_its_rank_if_there_are_several() -> None:
    rows = (row(1, 0.3, 0.1, rank=16), row(1, 0.4, 0.1, rank=64))
    (line,) = verdict_lines(Calibration((), (), rows, (error(0.35, 0.4, 0.1, 0.1), ALL)))
    worst, other = line.partition("noise at ")[2].split(", 4 at once")
    assert worst == "4 at once, 1 adapter, rank 64 (40 %; noise 10 %)"
    assert other == ", 1 adapter, rank 16 (30 %; noise 10 %)"
