"""`/metrics` as vLLM writes it: its names, types, labels and help texts, from vllm/v1/metrics/loggers.py.

`versions.py` says which of them a release has.
"""

from fake_vllm.engine.config import EngineConfig
from fake_vllm.engine.prometheus import Labels, MetricFamily, PageWriter, labels
from fake_vllm.engine.stats import BLOCK, EngineMetrics, EngineStats

ENDINGS = ("stop", "length", "abort", "error")
_MOST_LORA_SERIES = 64  # a limit of the fake: a real server keeps every combination of names


class VllmMetricsRenderer:
    """Renders the page of one engine."""

    def __init__(self, config: EngineConfig, metrics: EngineMetrics) -> None:
        self._config = config
        self._metrics = metrics
        self._writer = PageWriter()
        self._lora: dict[Labels, float] = {}

    def text(self, stats: EngineStats) -> str:
        """Return the page."""
        families = [*self._gauges(stats), *self._counters(), *self._histograms(), self._cache_config()]
        if self._config.enable_lora:
            families.append(self._lora_info(stats))
        return self._writer.page(families, stats.created)

    def _own(self, **more: str) -> Labels:
        return labels({"model_name": self._config.served_model_names[0], "engine": "0", **more})

    def _gauges(self, stats: EngineStats) -> list[MetricFamily]:
        quirks = self._config.quirks
        own = self._own()
        usage = "KV-cache usage. 1 means 100 percent usage."
        running = "Number of requests in model execution batches."
        waiting = "Number of requests waiting to be processed."
        families = [
            MetricFamily("vllm:num_requests_running", "gauge", running, {own: stats.running}),
            MetricFamily("vllm:num_requests_waiting", "gauge", waiting, {own: stats.waiting}),
        ]
        if quirks.metric_kv_cache:
            families.append(MetricFamily("vllm:kv_cache_usage_perc", "gauge", usage, {own: stats.usage}))
        if quirks.metric_gpu_cache:
            families.append(MetricFamily("vllm:gpu_cache_usage_perc", "gauge", "GPU " + usage, {own: stats.usage}))
        return families

    def _counters(self) -> list[MetricFamily]:
        own, metrics = self._own(), self._metrics
        rows = (
            (
                "prefix_cache_queries",
                "Prefix cache queries, in terms of number of queried tokens.",
                metrics.cache_queries,
            ),
            ("prefix_cache_hits", "Prefix cache hits, in terms of number of cached tokens.", metrics.cache_hits),
            ("num_preemptions", "Cumulative number of preemption from the engine.", metrics.preemptions),
            ("prompt_tokens", "Number of prefill tokens processed.", metrics.prompt_tokens),
            ("generation_tokens", "Number of generation tokens processed.", metrics.generation_tokens),
        )
        families = [MetricFamily(f"vllm:{name}", "counter", help, {own: value}) for name, help, value in rows]
        endings = {self._own(finished_reason=ending): float(metrics.endings[ending]) for ending in ENDINGS}
        families.append(
            MetricFamily("vllm:request_success", "counter", "Count of successfully processed requests.", endings)
        )
        return families

    def _histograms(self) -> list[MetricFamily]:
        quirks, metrics = self._config.quirks, self._metrics
        rows = [
            ("request_prompt_tokens", "number of prefill tokens processed", metrics.prompts),
            ("request_generation_tokens", "number of generation tokens processed", metrics.answers),
            ("iteration_tokens_total", "number of tokens per engine_step", metrics.iteration),
            ("request_max_num_generation_tokens", "maximum number of requested generation tokens", metrics.longest),
            ("request_params_n", "the n request parameter", metrics.choices),
            ("request_params_max_tokens", "the max_tokens request parameter", metrics.limits),
            ("time_to_first_token_seconds", "time to first token in seconds", metrics.first_token),
        ]
        if quirks.metric_per_output_token:
            rows.append(("time_per_output_token_seconds", "time per output token in seconds", metrics.between_tokens))
        if quirks.metric_inter_token:
            rows.append(("inter_token_latency_seconds", "inter-token latency in seconds", metrics.between_tokens))
            rows.append(
                (
                    "request_time_per_output_token_seconds",
                    "time_per_output_token_seconds per request",
                    metrics.per_token,
                )
            )
        rows += [
            ("e2e_request_latency_seconds", "e2e request latency in seconds", metrics.whole),
            ("request_queue_time_seconds", "time spent in WAITING phase for request", metrics.queue),
            ("request_inference_time_seconds", "time spent in RUNNING phase for request", metrics.inference),
            ("request_prefill_time_seconds", "time spent in PREFILL phase for request", metrics.prefill),
            ("request_decode_time_seconds", "time spent in DECODE phase for request", metrics.decode),
        ]
        own = self._own()
        return [
            MetricFamily(f"vllm:{name}", "histogram", f"Histogram of {what}.", {own: values})
            for name, what, values in rows
        ]

    def _cache_config(self) -> MetricFamily:
        values = {
            "block_size": str(BLOCK),
            "cache_dtype": "auto",
            "enable_prefix_caching": str(self._config.prefix_caching),
            "gpu_memory_utilization": "0.9",
            "num_gpu_blocks": str(self._metrics.kv_tokens // BLOCK),
        }
        info = labels({**values, "engine": "0"})
        return MetricFamily("vllm:cache_config_info", "gauge", "Information of the LLMEngine CacheConfig", {info: 1.0})

    def _lora_info(self, stats: EngineStats) -> MetricFamily:
        info = labels(
            {
                "max_lora": str(self._config.max_loras),
                "running_lora_adapters": ",".join(stats.running_adapters),
                "waiting_lora_adapters": ",".join(stats.waiting_adapters),
            }
        )
        self._lora.pop(info, None)
        self._lora[info] = stats.now
        if len(self._lora) > _MOST_LORA_SERIES:
            del self._lora[next(iter(self._lora))]
        return MetricFamily("vllm:lora_requests_info", "gauge", "Running stats on lora requests.", dict(self._lora))
