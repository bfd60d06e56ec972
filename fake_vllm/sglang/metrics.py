"""`/metrics` as SGLang 0.5.9 writes it (with `--enable-metrics`): sglang/srt/metrics/collector.py."""

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

_Gauge = tuple[str, str, float]  # name, help and value


class SglangMetricsRenderer:
    """Renders the page of one engine."""

    def __init__(self, config: EngineConfig, metrics: EngineMetrics) -> None:
        self._metrics = metrics
        self._slots = config.max_loras if config.enable_lora else 0
        self._writer = PageWriter()
        request = {"model_name": config.served_model_names[0], "engine_type": "unified"}
        self._request = labels(request)
        self._scheduler = labels({**request, "tp_rank": "0", "pp_rank": "0", "moe_ep_rank": "0"})

    def text(self, stats: EngineStats) -> str:
        """Return the page."""
        return self._writer.page(self.families(stats), stats.created)

    def families(self, stats: EngineStats) -> list[MetricFamily]:
        """Return the metrics of the page."""
        return [*self._gauges(stats), *self._counters(), *self._histograms()]

    def _gauges(self, stats: EngineStats) -> list[MetricFamily]:
        rows = (*self._scheduler_rows(stats), *self._lora_rows(stats))
        return [MetricFamily(f"sglang:{name}", "gauge", help, {self._scheduler: value}) for name, help, value in rows]

    def _scheduler_rows(self, stats: EngineStats) -> tuple[_Gauge, ...]:
        metrics = self._metrics
        hits = metrics.cache_hits / metrics.cache_queries if metrics.cache_queries else 0.0
        return (
            ("num_running_reqs", "The number of running requests.", stats.running),
            ("num_queue_reqs", "The number of requests in the waiting queue.", stats.waiting),
            ("num_used_tokens", "The number of used tokens.", round(stats.usage * metrics.kv_tokens)),
            ("token_usage", "The token usage.", stats.usage),
            ("max_total_num_tokens", "Maximum total number of tokens in the KV cache pool.", metrics.kv_tokens),
            ("cache_hit_rate", "The prefix cache hit rate.", hits),
            ("gen_throughput", "The generation throughput (token/s).", metrics.throughput if stats.running else 0.0),
        )

    def _lora_rows(self, stats: EngineStats) -> tuple[_Gauge, ...]:
        """Return the slots that running requests use (managers/scheduler_metrics_mixin.py: update_lora_metrics).

        SGLang has them since 0.5.7 with `--enable-lora`. It counts the adapters of the running batch, not what its help
        text says: an idle adapter in GPU memory is not counted, and neither is the base model.
        """
        if not self._slots:
            return ()
        used, total = len(stats.running_adapters), self._slots
        return (
            ("lora_pool_slots_used", "Number of LoRA adapter slots currently occupied in GPU memory.", used),
            ("lora_pool_slots_total", "Total number of LoRA adapter slots available (max_loras_per_batch).", total),
            (
                "lora_pool_utilization",
                "LoRA pool utilization ratio (used/total). 1.0 means pool is full.",
                used / total,
            ),
        )

    def _counters(self) -> list[MetricFamily]:
        metrics = self._metrics
        aborted = metrics.endings["abort"]
        rows = (
            ("prompt_tokens", "Number of prefill tokens processed.", metrics.prompt_tokens),
            ("generation_tokens", "Number of generation tokens processed.", metrics.generation_tokens),
            ("num_requests", "Number of requests processed.", metrics.endings.total() - aborted),
            ("num_aborted_requests", "Number of requests aborted.", aborted),
        )
        families = [
            MetricFamily(f"sglang:{name}", "counter", help, {self._request: value}) for name, help, value in rows
        ]
        cached = {labels({**dict(self._request), "cache_source": "total"}): float(metrics.cache_hits)}
        families.append(
            MetricFamily("sglang:cached_tokens", "counter", "Number of cached prompt tokens by source.", cached)
        )
        return families

    def _histograms(self) -> list[MetricFamily]:
        metrics = self._metrics
        rows = (
            ("prompt_tokens_histogram", "Histogram of prompt token length.", metrics.prompts),
            ("generation_tokens_histogram", "Histogram of generation token length.", metrics.answers),
            ("time_to_first_token_seconds", "Histogram of time to first token in seconds.", metrics.first_token),
            ("inter_token_latency_seconds", "Histogram of inter-token latency in seconds.", metrics.between_tokens),
            ("e2e_request_latency_seconds", "Histogram of End-to-end request latency in seconds", metrics.whole),
        )
        return [MetricFamily(f"sglang:{name}", "histogram", help, {self._request: value}) for name, help, value in rows]
