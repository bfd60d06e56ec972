"""`/metrics` as SGLang writes it (with `--enable-metrics`): python/sglang/srt/observability/metrics_collector.py."""

from fake_vllm.engine.config import EngineConfig
from fake_vllm.engine.prometheus import MetricFamily, PageWriter, labels
from fake_vllm.engine.stats import BucketBounds, EngineMetrics, EngineStats

_REQUEST = (
    *(0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 2.0, 4.0, 6.0, 8.0, 10.0, 20.0, 40.0, 60.0, 80.0, 100.0, 200.0, 400.0, 600.0),
    *(1200.0, 1800.0, 2400.0),
)
BUCKETS = BucketBounds(
    first_token=_REQUEST[:18],
    between_tokens=(
        *(0.002, 0.004, 0.006, 0.008, 0.01, 0.015, 0.02, 0.025, 0.03, 0.035, 0.04, 0.06, 0.08, 0.1, 0.2, 0.4, 0.6),
        *(0.8, 1.0, 2.0, 4.0, 6.0, 8.0),
    ),
    request=_REQUEST,
    tokens=(
        *(100, 300, 500, 700, 1000, 1500, 2000, 3000, 4000, 5000, 6000, 7000, 8000, 9000, 10000, 12500, 15000, 17500),
        *(20000, 22500, 25000, 27500, 30000, 35000, 40000, 60000, 80000, 100000, 200000, 300000, 400000, 600000),
        *(800000, 1000000, 1100000),
    ),
)


class SglangMetricsRenderer:
    """One engine's page."""

    def __init__(self, config: EngineConfig, metrics: EngineMetrics) -> None:
        self._metrics = metrics
        self._writer = PageWriter()
        request = {"model_name": config.served_model_names[0], "engine_type": "unified"}
        self._request = labels(request)
        self._scheduler = labels({**request, "tp_rank": "0", "pp_rank": "0"})

    def text(self, seen: EngineStats) -> str:
        """The page."""
        return self._writer.page([*self._gauges(seen), *self._counters(), *self._histograms()], seen.created)

    def _gauges(self, seen: EngineStats) -> list[MetricFamily]:
        counted = self._metrics
        hits = counted.cache_hits / counted.cache_queries if counted.cache_queries else 0.0
        told = (
            ("num_running_reqs", "The number of running requests.", seen.running),
            ("num_queue_reqs", "The number of requests in the waiting queue.", seen.waiting),
            ("num_used_tokens", "The number of used tokens.", round(seen.usage * counted.kv_tokens)),
            ("token_usage", "The token usage.", seen.usage),
            ("max_total_num_tokens", "Maximum total number of tokens in the KV cache pool.", counted.kv_tokens),
            ("cache_hit_rate", "The prefix cache hit rate.", hits),
            ("gen_throughput", "The generation throughput (token/s).", counted.throughput if seen.running else 0.0),
        )
        return [MetricFamily(f"sglang:{name}", "gauge", help, {self._scheduler: value}) for name, help, value in told]

    def _counters(self) -> list[MetricFamily]:
        counted = self._metrics
        aborted = counted.endings["abort"]
        told = (
            ("prompt_tokens", "Number of prefill tokens processed.", counted.prompt_tokens),
            ("generation_tokens", "Number of generation tokens processed.", counted.generation_tokens),
            ("num_requests", "Number of requests processed.", counted.endings.total() - aborted),
            ("num_aborted_requests", "Number of requests aborted.", aborted),
        )
        families = [
            MetricFamily(f"sglang:{name}", "counter", help, {self._request: value}) for name, help, value in told
        ]
        cached = {labels({**dict(self._request), "cache_source": "total"}): float(counted.cache_hits)}
        families.append(
            MetricFamily("sglang:cached_tokens", "counter", "Number of cached prompt tokens by source.", cached)
        )
        return families

    def _histograms(self) -> list[MetricFamily]:
        counted = self._metrics
        told = (
            ("prompt_tokens_histogram", "Histogram of prompt token length.", counted.prompts),
            ("generation_tokens_histogram", "Histogram of generation token length.", counted.answers),
            ("time_to_first_token_seconds", "Histogram of time to first token in seconds.", counted.first_token),
            ("inter_token_latency_seconds", "Histogram of inter-token latency in seconds.", counted.between_tokens),
            ("e2e_request_latency_seconds", "Histogram of End-to-end request latency in seconds", counted.whole),
        )
        return [MetricFamily(f"sglang:{name}", "histogram", help, {self._request: value}) for name, help, value in told]
