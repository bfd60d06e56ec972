"""Faults of the metrics page."""

import pytest

from fake_vllm.faults.effects import FaultEffect, FaultRules
from fake_vllm.faults.rules import FaultRule
from fake_vllm.router import Response

PAGE = b"""# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="base"} 3.0
vllm:prompt_tokens_total{engine="0",model_name="a} b"} 12.0
process_cpu_seconds_total 9.5
"""


def effect(faults: FaultRules, path: str = "/metrics") -> FaultEffect | None:
    return faults.effect("controller", path, "", lambda: 0.0)


def body(faults: FaultRules, page: bytes) -> bytes:
    applied = effect(faults)
    response = Response(200, {}, page)
    altered = response if applied is None else applied.altered(response)
    assert isinstance(altered, Response)
    return altered.body


@pytest.mark.parametrize("value", ["NaN", "1e9", "0", "-1", "+Inf"])
def test_wrong_metrics_have_one_value_in_each_series_of_the_engine(value: str) -> None:
    faults = FaultRules()
    faults.add(FaultRule("metrics-wrong", value=value))
    lines = body(faults, PAGE).decode().splitlines()
    assert lines[1] == f'vllm:num_requests_running{{engine="0",model_name="base"}} {value}'
    assert lines[2] == f'vllm:prompt_tokens_total{{engine="0",model_name="a}} b"}} {value}'
    assert (lines[0], lines[3]) == ("# TYPE vllm:num_requests_running gauge", "process_cpu_seconds_total 9.5")


def test_stale_metrics_repeat_the_first_page_until_the_fault_ends() -> None:
    faults = FaultRules()
    handle = faults.add(FaultRule("metrics-stale"))
    assert [body(faults, page) for page in (b"first", b"second")] == [b"first", b"first"]
    faults.remove(handle)
    assert body(faults, b"third") == b"third"
    faults.add(FaultRule("metrics-stale"))
    assert body(faults, b"fourth") == b"fourth"


def test_other_requests_are_not_affected() -> None:
    faults = FaultRules()
    faults.add(FaultRule("metrics-wrong"))
    assert effect(faults, "/v1/models") is None


def test_a_value_that_is_not_a_number_is_refused() -> None:
    with pytest.raises(ValueError, match="it must be a number, NaN"):
        FaultRule("metrics-wrong", value="many")
