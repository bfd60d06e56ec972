"""Old names of fields and measures are refused everywhere, and the message has the new name."""

from typing import Any

import pytest
from pydantic_core import PydanticCustomError

from tests.twin.scenario.conftest import FOUR_LINES
from twin.scenario import MEASURES, parse_expectation
from twin.scenario.renamed import MEASURES as FORMER_MEASURES


@pytest.mark.parametrize(
    ("block", "place", "former", "present"),
    [
        ("answer: yes", "5:1: answer", "answer", "findings"),
        ("controller: {retry: {attempts: 5}}", "5:22: controller.retry.attempts", "attempts", "retries"),
        ("controller: {workers: 5}", "5:14: controller.workers", "workers", "max_concurrent_reconciles"),
        ("controller: {loads_per_pod: 5}", "5:14: controller.loads_per_pod", "loads_per_pod", "max_requests_per_pod"),
        ("controller: {aside_for: 5m}", "5:14: controller.aside_for", "aside_for", "pod_cooldown"),
        ("traffic: {rate: 1/s, lag: 5s}", "5:22: traffic.lag", "lag", "endpoints_lag"),
        ("faults: [{kind: slow, hits: [probes]}]", "5:23: faults.0.hits", "hits", "callers"),
        ("faults: [{kind: readiness-flap, pods: all, up: 5s}]", "5:44: faults.0.up", "up", "ready_for"),
        ("faults: [{kind: readiness-flap, pods: all, down: 5s}]", "5:44: faults.0.down", "down", "unready_for"),
        (
            "faults: [{kind: pod-stuck-terminating, pods: all, at: 1m, lasts: 5s}]",
            "5:59: faults.0.lasts",
            "lasts",
            "duration",
        ),
    ],
)
def test_a_former_field_is_refused_with_its_present_name(
    folder: Any, block: str, place: str, former: str, present: str
) -> None:
    assert folder.errors(f"{FOUR_LINES}{block}\n") == [
        f's.yaml:{place}: unknown field "{former}"; it is called "{present}" now'
    ]


def test_set_refuses_a_former_field(folder: Any) -> None:
    assert folder.errors(overrides={"controller.retry.attempts": "2"}) == [
        '--set: controller.retry.attempts: unknown field "attempts"; it is called "retries" now'
    ]


def test_vary_refuses_a_former_field(folder: Any) -> None:
    (line,) = folder.errors(f"{FOUR_LINES}vary: {{controller.workers: [4]}}\n")
    assert 'unknown field "workers"; it is called "max_concurrent_reconciles" now' in line


def test_a_name_that_another_kind_of_fault_had_is_only_unknown(folder: Any) -> None:
    (line,) = folder.errors(f"{FOUR_LINES}faults: [{{kind: slow, lasts: 5s}}]\n")
    assert "it is called" not in line


@pytest.mark.parametrize("former", FORMER_MEASURES)
def test_a_former_measure_is_refused_with_its_present_name(former: str) -> None:
    assert FORMER_MEASURES[former] in MEASURES
    with pytest.raises(PydanticCustomError) as refused:
        parse_expectation(f"{former} == 0")
    assert (refused.value.context or {})["allowed"] == f'it is called "{FORMER_MEASURES[former]}" now'
