"""Replicas for a demand: windows, cool-down, limits, and samples that lie."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.api.types import Autoscaling, AutoscalingTarget
from controller.demand.scaling import Demand, DemandSample, decide

NOW = 1_800_000_000.0
SPEC = Autoscaling(min=1, max=8, target=AutoscalingTarget(concurrency=10))
STEP = 15.0


def demand(*requests: float | None, granted: int | None = None, incomplete: Sequence[int] = ()) -> Demand:
    """Return a demand with a sample each 15 seconds, the last one now; None: no sample at that time."""
    first = NOW - STEP * (len(requests) - 1)
    samples = [
        DemandSample(first + STEP * number, value, number not in incomplete)
        for number, value in enumerate(requests)
        if value is not None
    ]
    return Demand(tuple(samples), STEP, granted)


def replicas(current: int | None, measured: Demand, *, room: int = 100, scaled_ago: float = 1e9) -> int:
    return decide(SPEC, current, measured, scaled_at=NOW - scaled_ago, room=room, now=NOW).replicas


QUIET = [1.0] * 30
"""More than the window of a decrease (300 s)."""


@pytest.mark.parametrize(
    ("current", "measured", "expected"),
    [
        (None, demand(), 1),
        (1, demand(35, 35, 35), 4),
        (1, demand(9, 9, 9), 1),
        (1, demand(10.9, 10.9, 10.9), 1),  # within the tolerance of 10 %
        (1, demand(90, 90, 90), 5),  # at most four more, or twice as many
        (5, demand(90, 90, 90), 8),  # max
        (1, demand(1, 90), 1),  # one sample
        (1, demand(90), 1),
        (1, demand(90, 1, 90), 1),
        (4, demand(*QUIET), 1),
        (4, demand(*QUIET, 35), 4),  # the highest of the window decides
        (4, demand(1, 1, 1), 4),  # not long enough
        (4, demand(*QUIET[:10], *[None] * 10, *QUIET[:10]), 4),  # a gap
        (4, demand(*QUIET, incomplete=[25]), 4),  # metrics of a replica were missing
        (3, demand(19.9, *QUIET[:15], *[19.9] * 10), 2),
        (9, demand(1, 1, 1), 8),  # `max` was lowered
        (0, demand(90, 90, 90), 0),  # paused
    ],
)
def test_replicas_follow_the_demand(current: int | None, measured: Demand, expected: int) -> None:
    assert replicas(current, measured) == expected


@pytest.mark.parametrize("late", [46, 600])
def test_without_recent_metrics_nothing_moves(late: float) -> None:
    old = Demand(tuple(DemandSample(NOW - late - STEP * n, 90.0) for n in range(30, -1, -1)), STEP)
    decision = decide(SPEC, 2, old, scaled_at=0, room=9, now=NOW)
    assert decision.replicas == 2
    assert decision.problem is not None
    assert decision.problem.reason == "FailedGetMetrics"


def test_within_the_cooldown_nothing_moves() -> None:
    assert replicas(1, demand(35, 35, 35), scaled_ago=29) == 1
    assert replicas(1, demand(35, 35, 35), scaled_ago=30) == 4


def test_a_change_in_the_future_of_a_skewed_clock_blocks_nothing() -> None:
    assert replicas(1, demand(35, 35, 35), scaled_ago=-3600) == 4


@pytest.mark.parametrize(
    ("measured", "room", "expected", "reason"),
    [
        (demand(35, 35), 9, 4, None),
        (demand(35, 35), 1, 2, "NoCapacity"),
        (demand(35, 35, granted=2), 9, 3, "BudgetUsed"),
        (demand(900, 900), 99, 8, "TooManyReplicas"),
    ],
)
def test_the_limit_that_applies_is_reported(measured: Demand, room: int, expected: int, reason: str | None) -> None:
    current = 8 if reason == "TooManyReplicas" else 1
    decision = decide(SPEC, current, measured, scaled_at=0, room=room, now=NOW)
    assert (decision.replicas, decision.limit and decision.limit.reason) == (expected, reason)


def test_a_smaller_share_of_the_budget_takes_replicas_back() -> None:
    assert replicas(4, demand(35, 35, granted=1)) == 2


REQUESTS = st.lists(st.floats(0, 1e6) | st.none(), max_size=40)


@settings(max_examples=30)
@given(st.integers(1, 8), REQUESTS, st.integers(0, 20))
def test_replicas_stay_within_all_limits(current: int, values: list[float | None], room: int) -> None:
    decided = replicas(current, demand(*values), room=room)
    assert SPEC.min <= decided <= min(SPEC.max, current + room)
    assert decided <= max(2 * current, current + 4)


@settings(max_examples=30)
@given(st.integers(1, 8), st.floats(0, 80), st.integers(0, 29), st.floats(0, 1e6))
def test_one_wrong_sample_never_adds_replicas(current: int, usual: float, where: int, wrong: float) -> None:
    values = [usual] * 30
    without = replicas(current, demand(*values))
    values[where] = wrong
    assert replicas(current, demand(*values)) <= max(without, current)


@settings(max_examples=30)
@given(st.integers(2, 8), st.floats(0, 80), st.integers(10, 29), st.floats(0, 1e6))
def test_one_wrong_sample_never_takes_replicas_that_are_needed(
    current: int, usual: float, where: int, wrong: float
) -> None:
    values = [usual] * 30
    without = replicas(current, demand(*values))
    values[where] = wrong
    assert replicas(current, demand(*values)) >= min(without, current)


@settings(max_examples=30)
@given(st.integers(1, 8), st.floats(0.1, 80))
def test_a_steady_demand_settles_and_does_not_flap(current: int, requests: float) -> None:
    steady = demand(*[requests] * 30)
    history = [current]
    for _ in range(6):
        history.append(replicas(history[-1], steady))
    assert history[-1] == history[-2] == history[-3]
