"""`/metrics` as Prometheus' own parser reads it."""

import asyncio
from collections.abc import Iterable

import numpy as np
import pytest
from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from fake_vllm.distributions import Constant
from fake_vllm.engine.context import Randomness
from fake_vllm.engine.engine import Engine, EngineConfig
from fake_vllm.engine.prometheus import Histogram, MetricFamily, PageWriter, labels, metric
from fake_vllm.engine.stats import FIRST_TOKEN
from fake_vllm.engine.timing import EngineTimes
from fake_vllm.flavors import flavor_of
from twin.kernel import loop


def scraped(version: str = "0.27.0", requests: int = 3) -> dict[str, object]:
    config = EngineConfig(
        served_model_names=("base",), enable_lora=True, lora_modules=(("sql", "/sql"),), version=version
    )
    engine = Engine(
        config, flavor_of(config), EngineTimes(Constant(0.0), Constant(0.0)), Randomness(np.random.default_rng(0))
    )

    async def story() -> str:
        await asyncio.gather(*(engine.complete("sql", 100, 20) for _ in range(requests)))
        return engine.metrics_page()

    return {family.name: family for family in text_string_to_metric_families(loop.run(story()))}


def test_counters_and_histograms_move_with_what_was_asked() -> None:
    families: dict[str, object] = scraped()
    values = {s.name: s.value for f in families.values() for s in f.samples if "le" not in s.labels}  # type: ignore[attr-defined]
    assert values["vllm:prompt_tokens_total"] == 300
    assert values["vllm:generation_tokens_total"] == 60
    assert values["vllm:e2e_request_latency_seconds_count"] == 3
    assert values["vllm:inter_token_latency_seconds_count"] == 57
    assert values["vllm:num_requests_running"] == values["vllm:num_requests_waiting"] == 0


def test_names_types_labels_and_buckets_are_those_of_vllm() -> None:
    families = scraped()
    first = families["vllm:time_to_first_token_seconds"]
    assert first.type == "histogram"  # type: ignore[attr-defined]
    edges = [float(s.labels["le"]) for s in first.samples if "le" in s.labels]  # type: ignore[attr-defined]
    assert edges == [*FIRST_TOKEN, float("inf")]
    assert families["vllm:num_requests_running"].type == "gauge"  # type: ignore[attr-defined]
    assert families["vllm:request_success"].type == "counter"  # type: ignore[attr-defined]
    assert {s.labels["engine"] for s in first.samples} == {"0"}  # type: ignore[attr-defined]
    for lora in families["vllm:lora_requests_info"].samples:  # type: ignore[attr-defined]
        assert set(lora.labels) == {"max_lora", "running_lora_adapters", "waiting_lora_adapters"}


@pytest.mark.parametrize(
    ("version", "there", "gone"),
    [
        ("0.8.5", "vllm:gpu_cache_usage_perc", "vllm:kv_cache_usage_perc"),
        ("0.27.0", "vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc"),
        ("0.8.5", "vllm:time_per_output_token_seconds", "vllm:inter_token_latency_seconds"),
        ("0.27.0", "vllm:inter_token_latency_seconds", "vllm:time_per_output_token_seconds"),
    ],
)
def test_a_release_has_the_names_of_its_time(version: str, there: str, gone: str) -> None:
    families = scraped(version)
    assert there in families
    assert gone not in families


def test_every_page_of_a_writer_is_the_text_of_prometheus_client() -> None:
    times = Histogram((0.1, 2.5, 1e7))
    writer = PageWriter()
    key, other = labels({"model": 'a "quoted"\n\\name', "engine": "0"}), labels({"model": "b", "engine": "0"})
    for number in range(3):
        times.observe(number)
        families = [
            MetricFamily("requests", "counter", "Requests\\\nso far.", {key: number, other: 1e16}),
            MetricFamily("usage", "gauge", "Usage.", {(key, other)[number % 2]: number / 7}),
            MetricFamily("seconds", "histogram", "Time.", {key: times}),
        ]
        registry = CollectorRegistry()
        registry.register(Families(families))
        assert writer.page(families, 1767225600.5) == generate_latest(registry).decode()


class Families(Collector):
    """A collector of these families."""

    def __init__(self, families: list[MetricFamily]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return [metric(family, 1767225600.5) for family in self._families]
