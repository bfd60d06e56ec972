"""The engine's metrics under common names, and the sidecar's own."""

import io
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path

import httpx
import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from controller.engine.flavors import VLLM
from controller.sidecar.engine import LocalEngine
from controller.sidecar.metrics import MetricsEndpoint
from controller.sidecar.metrics_translation import MetricsTranslation, rename_metrics
from controller.sidecar.settings import MetricsMode, metrics_mode
from tests.conformance import recording
from tests.controller.sidecar.worlds import a_sidecar, run

VLLM_PAGE = b"""\
# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="base"} 3.0
# HELP vllm:num_requests_waiting Number of requests waiting.
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{engine="0",model_name="base"} 2.0
# HELP vllm:kv_cache_usage_perc KV-cache usage. 1 means 100 percent usage.
# TYPE vllm:kv_cache_usage_perc gauge
vllm:kv_cache_usage_perc{engine="0",model_name="base"} 0.25
# HELP vllm:prompt_tokens_total Number of prefill tokens processed.
# TYPE vllm:prompt_tokens_total counter
vllm:prompt_tokens_total{engine="0",model_name="base"} 120.0
# HELP vllm:prompt_tokens_created Number of prefill tokens processed.
# TYPE vllm:prompt_tokens_created gauge
vllm:prompt_tokens_created{engine="0",model_name="base"} 1.7e+09
# HELP vllm:request_success_total Count of successfully processed requests.
# TYPE vllm:request_success_total counter
vllm:request_success_total{engine="0",finished_reason="stop",model_name="base"} 7.0
# HELP vllm:time_to_first_token_seconds Histogram of time to first token in seconds.
# TYPE vllm:time_to_first_token_seconds histogram
vllm:time_to_first_token_seconds_bucket{engine="0",le="0.001",model_name="base"} 0.0
vllm:time_to_first_token_seconds_bucket{engine="0",le="+Inf",model_name="base"} 7.0
vllm:time_to_first_token_seconds_count{engine="0",model_name="base"} 7.0
vllm:time_to_first_token_seconds_sum{engine="0",model_name="base"} 1.5
# HELP vllm:iteration_tokens_total Histogram of number of tokens per engine_step.
# TYPE vllm:iteration_tokens_total histogram
vllm:iteration_tokens_total_bucket{engine="0",le="+Inf",model_name="base"} 9.0
# HELP vllm:lora_requests_info Running stats on lora requests.
# TYPE vllm:lora_requests_info gauge
vllm:lora_requests_info{max_lora="4",running_lora_adapters="a,vllm:num_requests_waiting 1",waiting_lora_adapters=""} 1.0
python_gc_objects_collected_total{generation="0"} 100.0
"""

NAMES = [
    ("vllm:num_requests_waiting", "aibrix:queue_size"),
    ("vllm:kv_cache_usage_perc", "aibrix:kv_cache_usage_perc"),
    ("vllm:gpu_cache_usage_perc", "aibrix:gpu_cache_usage_perc"),
    ("vllm:prompt_tokens_total", "aibrix:prompt_tokens_total"),
    ("vllm:generation_tokens_total", "aibrix:generation_tokens_total"),
    ("vllm:request_success_total", "aibrix:request_success_total"),
    ("vllm:time_to_first_token_seconds_bucket", "aibrix:time_to_first_token_seconds_bucket"),
    ("vllm:time_per_output_token_seconds_sum", "aibrix:time_per_output_token_seconds_sum"),
    ("vllm:inter_token_latency_seconds_bucket", "aibrix:time_per_output_token_seconds_bucket"),
    ("sglang:inter_token_latency_seconds_sum", "aibrix:time_per_output_token_seconds_sum"),
    ("vllm:request_time_per_output_token_seconds_sum", "vllm:request_time_per_output_token_seconds_sum"),
    ("vllm:e2e_request_latency_seconds_count", "aibrix:e2e_request_latency_seconds_count"),
    ("sglang:num_queue_reqs", "aibrix:queue_size"),
    ("sglang:gen_throughput", "aibrix:generation_throughput"),
    ("sglang:cache_hit_rate", "aibrix:cache_hit_rate"),
    ("sglang:token_usage", "aibrix:token_usage"),
    ("sglang:prompt_tokens_total", "aibrix:prompt_tokens_total"),
    ("sglang:generation_tokens_total", "aibrix:generation_tokens_total"),
    ("sglang:time_to_first_token_seconds_bucket", "aibrix:time_to_first_token_seconds_bucket"),
    ("sglang:e2e_request_latency_seconds_sum", "aibrix:e2e_request_latency_seconds_sum"),
    ("vllm:num_requests_running", "vllm:num_requests_running"),
    ("vllm:prompt_tokens", "vllm:prompt_tokens"),
    ("vllm:prompt_tokens_recomputed_total", "vllm:prompt_tokens_recomputed_total"),
    ("sglang:num_running_reqs", "sglang:num_running_reqs"),
    ("my_vllm:num_requests_waiting", "my_vllm:num_requests_waiting"),
]


@pytest.mark.parametrize(("old", "new"), NAMES)
def test_samples_are_renamed_by_the_table(old: str, new: str) -> None:
    assert rename_metrics(f'{old}{{a="b"}} 1.0\n{old} 2\n'.encode()) == f'{new}{{a="b"}} 1.0\n{new} 2\n'.encode()


def test_a_page_keeps_its_families_types_and_values() -> None:
    before = {family.name: family for family in text_string_to_metric_families(VLLM_PAGE.decode())}
    after = {family.name: family for family in text_string_to_metric_families(rename_metrics(VLLM_PAGE).decode())}
    pairs = {
        "vllm:num_requests_waiting": "aibrix:queue_size",
        "vllm:prompt_tokens": "aibrix:prompt_tokens",
        "vllm:request_success": "aibrix:request_success",
        "vllm:time_to_first_token_seconds": "aibrix:time_to_first_token_seconds",
        "vllm:iteration_tokens_total": "vllm:iteration_tokens_total",
        "vllm:lora_requests_info": "vllm:lora_requests_info",
    }
    for old, new in pairs.items():
        assert after[new].type == before[old].type
        assert [s.value for s in after[new].samples] == [s.value for s in before[old].samples]
        assert [s.labels for s in after[new].samples] == [s.labels for s in before[old].samples]
    assert len(after) == len(before)


def recorded_families() -> dict[str, set[str]]:
    """Return the metric families of each recorded release of vLLM."""
    found: dict[str, set[str]] = {}
    for version in recording.versions():
        cases = recording.read(recording.path_of(version)).cases
        answers = [answer for answers in cases.values() for answer in answers]
        found[version] = {name for answer in answers for name in answer.get("families", ())}
    return found


@pytest.mark.parametrize(("version", "families"), recorded_families().items(), ids=recorded_families())
def test_every_recorded_release_has_the_common_latencies_once(version: str, families: set[str]) -> None:
    assert families, version
    page = "".join(f"# TYPE {name} histogram\n{name}_sum 1\n{name}_count 1\n" for name in sorted(families))
    renamed = rename_metrics(page.encode()).decode().splitlines()
    for name in ("time_to_first_token_seconds", "time_per_output_token_seconds", "e2e_request_latency_seconds"):
        assert renamed.count(f"# TYPE aibrix:{name} histogram") == 1
        assert renamed.count(f"aibrix:{name}_sum 1") == 1
    assert len(set(renamed)) == len(renamed)


@pytest.mark.parametrize("turned", [False, True])
def test_a_page_with_both_names_of_the_interval_between_tokens_has_no_series_twice(turned: bool) -> None:
    families = [b"vllm:time_per_output_token_seconds", b"vllm:inter_token_latency_seconds"]
    first, second = reversed(families) if turned else families
    translate = MetricsTranslation()
    assert translate(first + b"_sum 1\n") == b"aibrix:time_per_output_token_seconds_sum 1\n"
    assert translate(second + b"_sum 2\n") == second + b"_sum 2\n"
    assert translate(first + b"_count 3\n") == b"aibrix:time_per_output_token_seconds_count 3\n"


def test_openmetrics_families_without_total_are_renamed_with_their_counters() -> None:
    page = b"# TYPE vllm:prompt_tokens counter\nvllm:prompt_tokens_total 1\nvllm:prompt_tokens_created 2\n"
    assert rename_metrics(page) == page.replace(b"vllm:", b"aibrix:")


def test_the_three_modes_by_their_variables() -> None:
    assert metrics_mode({}) is MetricsMode.RENAMED
    assert metrics_mode({"METRICS_RAW_PASSTHROUGH_MODE": "1"}) is MetricsMode.RAW
    assert metrics_mode({"METRICS_ENABLE_TRANSFORMATION": "0"}) is MetricsMode.RAW
    assert metrics_mode({"METRICS_ENABLE_TRANSFORMATION": "0", "METRICS_RAW_PASSTHROUGH_MODE": "0"}) is MetricsMode.RAW
    assert (
        metrics_mode({"METRICS_ENABLE_TRANSFORMATION": "TRUE", "METRICS_RAW_PASSTHROUGH_MODE": "off"})
        is MetricsMode.RENAMED
    )


class Pieces(httpx.AsyncByteStream):
    """A page in the given chunks."""

    def __init__(self, pieces: list[bytes]) -> None:
        self.pieces = pieces

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self.pieces:
            yield piece


def an_engine(pieces: list[bytes], status: int = 200) -> httpx.MockTransport:
    return httpx.MockTransport(lambda request: httpx.Response(status, stream=Pieces(pieces)))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, len(VLLM_PAGE)), max_size=6))
def test_however_a_page_is_cut_it_comes_out_the_same(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(VLLM_PAGE)]
    pieces = [VLLM_PAGE[start:end] for start, end in pairwise(edges)]

    async def story() -> None:
        engine = LocalEngine("http://engine", VLLM, an_engine(pieces))
        scrape = MetricsEndpoint(engine, "/metrics", MetricsMode.RENAMED, CollectorRegistry(), log=None)  # type: ignore[arg-type]
        page = b"".join([piece async for piece in scrape.page()])
        assert page.startswith(rename_metrics(VLLM_PAGE))

    run(story())


@pytest.mark.parametrize("mode", [MetricsMode.RENAMED, MetricsMode.RAW])
def test_the_sidecars_own_metrics_stand_beside_the_engines(tmp_path: Path, mode: MetricsMode) -> None:
    async def story() -> None:
        async with a_sidecar(tmp_path, to_engine=an_engine([VLLM_PAGE]), metrics=mode) as sidecar:
            page = (await sidecar.client.get("/metrics")).content
            assert page.startswith(VLLM_PAGE if mode is MetricsMode.RAW else rename_metrics(VLLM_PAGE))
            assert b"lora_runtime_engine_up 1.0" in page
            assert b"lora_runtime_cache_bytes 0.0" in page

    run(story())


def test_an_engine_without_metrics_leaves_the_sidecars_own(tmp_path: Path) -> None:
    async def story() -> None:
        async with a_sidecar(tmp_path, to_engine=an_engine([b"starting"], 503)) as sidecar:
            answer = await sidecar.client.get("/metrics")
            assert answer.status_code == 200
            assert "starting" not in answer.text
            assert "lora_runtime_engine_up 0.0" in answer.text

    run(story())


def test_a_page_that_cannot_be_translated_goes_out_raw_and_nothing_twice() -> None:
    pieces = [VLLM_PAGE * 40] * 3  # each larger than what is translated at once
    log = io.StringIO()
    translated: list[bytes] = []

    def breaks_at_the_second_piece(lines: bytes) -> bytes:
        if translated:
            raise RuntimeError("a fault of ours")
        translated.append(lines)
        return rename_metrics(lines)

    async def story() -> None:
        engine = LocalEngine("http://engine", VLLM, an_engine(pieces))
        logger = structlog.wrap_logger(structlog.PrintLogger(log))
        scrape = MetricsEndpoint(
            engine, "/metrics", MetricsMode.RENAMED, CollectorRegistry(), logger, lambda: breaks_at_the_second_piece
        )
        page = b"".join([piece async for piece in scrape.page()])
        rest = (VLLM_PAGE * 120)[len(translated[0]) :]
        assert page.startswith(rename_metrics(translated[0]) + rest)
        assert log.getvalue().count("cannot translate metrics, passing them on unchanged") == 1

    run(story())
