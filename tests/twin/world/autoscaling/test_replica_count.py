"""Sizes that metrics ask for: cases beside the recorded stories, which are in `tests/conformance_kubernetes`."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twin.world.autoscaling.metric_sizes import quantity, selector_text
from twin.world.autoscaling.metrics import MetricsError
from twin.world.autoscaling.replica_count import Tolerances, by_average, by_pods, by_value
from twin.world.autoscaling.scaling_rules import Bounds, History, decide

TOLERANCES = Tolerances()


def pods(*phases: str) -> list[dict[str, Any]]:
    ready = {"type": "Ready", "status": "True"}
    return [
        {"metadata": {"name": f"pod-{number}"}, "status": {"phase": phase, "conditions": [ready]}}
        for number, phase in enumerate(phases)
    ]


def values(*numbers: int) -> dict[str, int]:
    return {f"pod-{index}": number for index, number in enumerate(numbers)}


@given(value=st.integers(1, 10**6), count=st.integers(1, 50), target=st.integers(1, 10**6))
def test_equal_values_of_running_pods_ask_for_their_sum_by_the_target(value: int, count: int, target: int) -> None:
    proposal = by_pods(values(*[value] * count), pods(*["Running"] * count), count, target, TOLERANCES)
    expected = count if TOLERANCES.contain(value / target) else math.ceil(value / target * count)
    assert (proposal.replicas, proposal.usage) == (expected, value)


@pytest.mark.parametrize(
    ("phases", "read", "replicas"),
    [
        (("Running", "Running", "Pending"), (20, 20), 4),  # the pending pod counts as 0: 40 by 3 is 1.33 of the target
        (("Running", "Running", "Pending"), (14, 14), 3),  # 28 by 3 is within the tolerance
        (("Running", "Running", "Failed"), (20, 20, 20), 4),
        (("Running", "Running", "Running"), (5, 5), 2),  # the missing value counts as the target on the way down
        (("Running", "Running", "Running"), (12, 12), 3),  # and as 0 on the way up, which would turn the direction
    ],
)
def test_pods_that_do_not_count_fully(phases: tuple[str, ...], read: tuple[int, ...], replicas: int) -> None:
    assert by_pods(values(*read), pods(*phases), 3, 10, TOLERANCES).replicas == replicas


def test_without_pods_or_values_there_is_no_size() -> None:
    with pytest.raises(MetricsError, match="no pods returned by selector"):
        by_pods(values(1), [], 1, 10, TOLERANCES)
    with pytest.raises(MetricsError, match="did not receive metrics"):
        by_pods(values(1), pods("Pending"), 1, 10, TOLERANCES)


def test_values_of_no_single_pod() -> None:
    two = pods("Running", "Running")
    assert by_value(30, two, 2, 10, TOLERANCES).replicas == 6
    assert by_value(30, two, 0, 10, TOLERANCES).replicas == 3
    assert by_average(35, 2, 10, TOLERANCES).replicas == 4
    assert by_average(21, 2, 10, TOLERANCES).replicas == 2
    assert by_average(25, 0, 10, TOLERANCES).replicas == 3


@given(
    wanted=st.lists(st.integers(0, 200), min_size=1, max_size=12),
    current=st.integers(1, 50),
    behavior=st.sampled_from(
        [
            None,
            {
                "scaleUp": {
                    "stabilizationWindowSeconds": 30,
                    "selectPolicy": "Max",
                    "policies": [{"type": "Pods", "value": 3, "periodSeconds": 20}],
                },
                "scaleDown": {
                    "selectPolicy": "Min",
                    "policies": [{"type": "Percent", "value": 50, "periodSeconds": 40}],
                },
            },
        ]
    ),
)
def test_a_size_stays_within_its_limits_and_its_rates(
    wanted: list[int], current: int, behavior: dict[str, Any] | None
) -> None:
    history, size = History(), current
    for step, number in enumerate(wanted):
        decision = decide(number, Bounds(size, 1, 50), behavior, history, step * 15.0)
        assert 1 <= decision.replicas <= 50
        assert decision.replicas <= max(size, (size + 3) if behavior else max(2 * size, 4))
        if decision.replicas != size:
            history.record_change(behavior, size, decision.replicas, step * 15.0)
        size = decision.replicas


@pytest.mark.parametrize(
    ("milli", "text"),
    [(0, "0"), (500, "500m"), (1000, "1"), (2500, "2500m"), (3_000_000, "3k"), (3_100_000, "3100"), (10**9, "1M")],
)
def test_quantities_have_the_largest_suffix_of_a_whole_number(milli: int, text: str) -> None:
    assert quantity(milli) == text


def test_selectors_are_written_as_go_prints_them() -> None:
    assert selector_text(None) == "nil"
    text = "&LabelSelector{MatchLabels:map[string]string{a: b,},MatchExpressions:[]LabelSelectorRequirement{},}"
    assert selector_text({"matchLabels": {"a": "b"}}) == text
