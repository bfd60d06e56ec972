"""Parsing of an engine's `/metrics`, and the load between two samples."""

import contextlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.engine.metrics import MetricsSample, read
from controller.policies import EngineLoad
from controller.requests.load_monitor import LoadSample, _load
from fake_vllm.distributions import Constant
from fake_vllm.engine.config import EngineConfig
from fake_vllm.engine.context import Randomness
from fake_vllm.engine.engine import Engine
from fake_vllm.engine.timing import EngineTimes
from fake_vllm.flavors import flavor_of
from twin.kernel.loop import run

VLLM = b"""# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="qwen"} 3.0
vllm:num_requests_waiting{engine="0",model_name="qwen"} 1.0
vllm:lora_requests_info{max_lora="4",running_lora_adapters="sql,chat",waiting_lora_adapters="code"} 100.5
vllm:lora_requests_info{max_lora="4",running_lora_adapters="old",waiting_lora_adapters=""} 99.0
vllm:prompt_tokens_total{engine="0",model_name="qwen"} 1000.0
vllm:generation_tokens_total{engine="0",model_name="qwen"} 500.0
vllm:request_queue_time_seconds_bucket{engine="0",le="0.3",model_name="qwen"} 7.0
vllm:request_queue_time_seconds_count{engine="0",model_name="qwen"} 8.0
vllm:request_queue_time_seconds_sum{engine="0",model_name="qwen"} 2.0
vllm:request_inference_time_seconds_count{engine="0",model_name="qwen"} 8.0
vllm:request_inference_time_seconds_sum{engine="0",model_name="qwen"} 14.0
vllm:e2e_request_latency_seconds_sum{engine="0",model_name="qwen"} 99.0
vllm:e2e_request_latency_seconds_count{engine="0",model_name="qwen"} 8.0
"""
TIMES = {"sql": 100.5, "chat": 100.5, "code": 100.5, "old": 99.0}
SGLANG = b"""sglang:num_running_reqs{model_name="q"} 2.0
sglang:num_queue_reqs{model_name="q"} 5.0
sglang:prompt_tokens_total{model_name="q"} 10.0
sglang:e2e_request_latency_seconds_sum{model_name="q"} 6.0
sglang:e2e_request_latency_seconds_count{model_name="q"} 4.0
"""
PROCESS = b"""# TYPE process_start_time_seconds gauge
process_start_time_seconds 1.78233e+09
process_cpu_seconds_total 12.75
http_requests_total{handler="/v1/completions",method="POST",status="2xx"} 90.0
http_requests_total{handler="/v1/completions",method="POST",status="4xx"} 3.0
http_requests_total{handler="none",method="GET",status="4xx"} 1.0
http_requests_total_of_others 7.0
"""
SIDECAR = b'aibrix:queue_size{model_name="q"} 4.0\naibrix:generation_tokens_total{model_name="q"} 7.0\n'


@pytest.mark.parametrize(
    ("page", "reading"),
    [
        (VLLM, MetricsSample(16.0, 8.0, 2500.0, 4.0, frozenset({"sql", "chat", "code"}), adapter_times=TIMES)),
        (SGLANG, MetricsSample(6.0, 4.0, 20.0, 7.0)),
        (PROCESS, MetricsSample(started_at=1.78233e9, refused=4.0, cpu_seconds=12.75)),
        (SIDECAR, MetricsSample(None, None, 7.0, 4.0)),
        (b"vllm:num_requests_running NaN\nvllm:num_requests_waiting 2\n", MetricsSample(requests=2.0)),
        (b"", MetricsSample()),
        (b"\xff\x00 no metrics at all\n<html></html>", MetricsSample()),
    ],
    ids=["vllm", "sglang", "process and requests", "renamed by the sidecar", "no number", "empty", "something else"],
)
def test_a_page_of_each_kind(page: bytes, reading: MetricsSample) -> None:
    assert read(page) == reading


@given(st.text(alphabet='{}"=,\\ 1.0ean#\n_:é', max_size=30))
def test_a_broken_page_is_a_value_error_and_nothing_else(rest: str) -> None:
    with contextlib.suppress(ValueError):
        read(f"vllm:num_requests_running{rest}".encode())


@given(
    st.lists(st.sampled_from(["vllm:", "sglang:", "aibrix:"]), max_size=4),
    st.sampled_from(["num_requests_swapped", "prompt_tokens_total_of_others", "lora_requests_info_created", "x"]),
    st.text(alphabet='{}"=,\\ 1.0ean_:é', max_size=20),
)
def test_series_that_are_not_needed_are_not_even_parsed(prefixes: list[str], name: str, rest: str) -> None:
    others = "".join(f"{prefix}{name}{{{rest}\n" for prefix in prefixes).encode()
    assert read(others + VLLM) == read(VLLM + others) == read(VLLM)


def a_sample(taken_at: float, metrics: MetricsSample) -> LoadSample:
    return LoadSample("containerd://1", taken_at, metrics, EngineLoad())


def test_two_readings_make_rates() -> None:
    load = _load(a_sample(100, MetricsSample(10, 5, 1000, 0)), 110, MetricsSample(16, 8, 1500, 2), 7)
    assert load == EngineLoad(latency=2.0, throughput=50.0, requests=2, adapters=7)


def test_the_first_reading_has_a_latency_since_the_start_and_no_throughput_yet() -> None:
    assert _load(None, 100, MetricsSample(10, 5, 1000, 1), 0) == EngineLoad(latency=2.0, requests=1)


def test_an_idle_engine_has_latency_zero_and_a_stuck_one_an_unknown_latency() -> None:
    before = a_sample(100, MetricsSample(10, 5, 1000, 0))
    assert _load(before, 110, MetricsSample(10, 5, 1000, 0), 0).latency == 0
    assert _load(before, 110, MetricsSample(10, 5, 1000, 3), 0).latency is None


def test_totals_that_fell_were_reset() -> None:
    load = _load(a_sample(100, MetricsSample(10, 5, 1000, 0)), 110, MetricsSample(3, 1, 200, 1), 0)
    assert (load.latency, load.throughput) == (3.0, 20.0)


def test_a_fresh_engines_own_page_says_that_it_is_idle() -> None:
    async def page() -> str:
        engine = Engine(
            EngineConfig(),
            flavor_of(EngineConfig()),
            EngineTimes(Constant(0.0), Constant(0.0)),
            Randomness(np.random.default_rng(0)),
        )
        return engine.metrics_page()

    assert read(run(page()).encode()) == MetricsSample(0.0, 0.0, 0.0, 0.0)
