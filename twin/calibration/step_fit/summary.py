"""The three numbers that a run of a load test is judged by: first token, time between tokens, throughput."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from twin.calibration.fit import Floats
from twin.calibration.load_test.records import Level, LevelRun, LoadTest

METRICS = ("time to first token", "time between tokens", "throughput")


@dataclass(frozen=True, slots=True)
class MeasuredLevel:
    """All runs of one level on one server."""

    test: LoadTest
    level: Level
    runs: tuple[LevelRun, ...]
    is_held_back: bool
    """True if the fit must not see it: every other level, as on a chessboard, so that both halves have all values."""


def summary(runs: Sequence[LevelRun]) -> Floats:
    """Return the medians over runs: first token and time between tokens in seconds, output tokens a second."""
    requests = [request for run in runs for request in run.requests]
    between = [latency for request in requests if (latency := request.inter_token_latency) is not None]
    first = float(np.median([request.time_to_first_token for request in requests]))
    throughput = float(np.median([run.throughput for run in runs]))
    return np.array([first, float(np.median(between)) if between else np.nan, throughput])


def measured_levels(tests: Sequence[LoadTest]) -> list[MeasuredLevel]:
    """Return the levels of load tests, each with all of its repetitions."""
    result = []
    for test in tests:
        levels = sorted(dict.fromkeys(run.level for run in test.runs), key=_order)
        columns = zip(*map(_order, levels), strict=True)
        ranks = [{value: rank for rank, value in enumerate(sorted(set(column)))} for column in columns]
        for level in levels:
            parity = sum(rank[value] for rank, value in zip(ranks, _order(level), strict=True))
            runs = tuple(run for run in test.runs if run.level == level)
            result.append(MeasuredLevel(test, level, runs, is_held_back=parity % 2 == 1))
    return result


def _order(level: Level) -> tuple[int, int, int, int]:
    return (level.adapters, level.concurrency, level.prompt_tokens, level.output_tokens)
