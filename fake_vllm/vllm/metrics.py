"""`/metrics` as vLLM writes it: its names, types, labels and help texts, from vllm/v1/metrics/loggers.py.

Which of them a release has says `versions.py`.
"""

from fake_vllm.engine.config import EngineConfig
from fake_vllm.engine.prometheus import Labels, MetricFamily, PageWriter, labels
from fake_vllm.engine.stats import BLOCK, EngineMetrics, EngineStats

ENDINGS = ("stop", "length", "abort", "error")
_MOST_LORA_SERIES = 64  # a real server keeps every combination of names that it ever saw


class VllmMetricsRenderer:
    """One engine's page."""

    def __init__(self, config: EngineConfig, metrics: EngineMetrics) -> None:
        self._config = config
        self._metrics = metrics
        self._writer = PageWriter()
        self._lora: dict[Labels, float] = {}

    def text(self, seen: EngineStats) -> str:
        """The page."""
        families = [*self._gauges(seen), *self._counters(), *self._histograms(), self._cache_config()]
        if self._config.enable_lora:
            families.append(self._lora_info(seen))
        return self._writer.page(families, seen.created)

    def _own(self, **more: str) -> Labels:
        return labels({"model_name": self._config.served_model_names[0], "engine": "0", **more})

    def _gauges(self, seen: EngineStats) -> list[MetricFamily]:
        names = self._config.quirks
        own = self._own()
        usage = "KV-cache usage. 1 means 100 percent usage."
        running = "Number of requests in model execution batches."
        waiting = "Number of requests waiting to be processed."
        families = [
            MetricFamily("vllm:num_requests_running", "gauge", running, {own: seen.running}),
            MetricFamily("vllm:num_requests_waiting", "gauge", waiting, {own: seen.waiting}),
        ]
        if names.metric_kv_cache:
            families.append(MetricFamily("vllm:kv_cache_usage_perc", "gauge", usage, {own: seen.usage}))
        if names.metric_gpu_cache:
            families.append(MetricFamily("vllm:gpu_cache_usage_perc", "gauge", "GPU " + usage, {own: seen.usage}))
        return families

    def _counters(self) -> list[MetricFamily]:
        own, has = self._own(), self._metrics
        told = (
            (
                "prefix_cache_queries",
                "Prefix cache queries, in terms of number of queried tokens.",
                has.cache_queries,
            ),
            ("prefix_cache_hits", "Prefix cache hits, in terms of number of cached tokens.", has.cache_hits),
            ("num_preemptions", "Cumulative number of preemption from the engine.", has.preemptions),
            ("prompt_tokens", "Number of prefill tokens processed.", has.prompt_tokens),
            ("generation_tokens", "Number of generation tokens processed.", has.generation_tokens),
        )
        families = [MetricFamily(f"vllm:{name}", "counter", help, {own: value}) for name, help, value in told]
        endings = {self._own(finished_reason=ending): float(has.endings[ending]) for ending in ENDINGS}
        families.append(
            MetricFamily("vllm:request_success", "counter", "Count of successfully processed requests.", endings)
        )
        return families

    def _histograms(self) -> list[MetricFamily]:
        names, has = self._config.quirks, self._metrics
        shown = [
            ("request_prompt_tokens", "number of prefill tokens processed", has.prompts),
            ("request_generation_tokens", "number of generation tokens processed", has.answers),
            ("iteration_tokens_total", "number of tokens per engine_step", has.iteration),
            ("request_max_num_generation_tokens", "maximum number of requested generation tokens", has.longest),
            ("request_params_n", "the n request parameter", has.choices),
            ("request_params_max_tokens", "the max_tokens request parameter", has.limits),
            ("time_to_first_token_seconds", "time to first token in seconds", has.first_token),
        ]
        if names.metric_per_output_token:
            shown.append(("time_per_output_token_seconds", "time per output token in seconds", has.between_tokens))
        if names.metric_inter_token:
            shown.append(("inter_token_latency_seconds", "inter-token latency in seconds", has.between_tokens))
            shown.append(
                (
                    "request_time_per_output_token_seconds",
                    "time_per_output_token_seconds per request",
                    has.per_token,
                )
            )
        shown += [
            ("e2e_request_latency_seconds", "e2e request latency in seconds", has.whole),
            ("request_queue_time_seconds", "time spent in WAITING phase for request", has.queue),
            ("request_inference_time_seconds", "time spent in RUNNING phase for request", has.inference),
            ("request_prefill_time_seconds", "time spent in PREFILL phase for request", has.prefill),
            ("request_decode_time_seconds", "time spent in DECODE phase for request", has.decode),
        ]
        own = self._own()
        return [
            MetricFamily(f"vllm:{name}", "histogram", f"Histogram of {what}.", {own: values})
            for name, what, values in shown
        ]

    def _cache_config(self) -> MetricFamily:
        told = {
            "block_size": str(BLOCK),
            "cache_dtype": "auto",
            "enable_prefix_caching": "True",
            "gpu_memory_utilization": "0.9",
            "num_gpu_blocks": str(self._metrics.kv_tokens // BLOCK),
        }
        info = labels({**told, "engine": "0"})
        return MetricFamily("vllm:cache_config_info", "gauge", "Information of the LLMEngine CacheConfig", {info: 1.0})

    def _lora_info(self, seen: EngineStats) -> MetricFamily:
        info = labels(
            {
                "max_lora": str(self._config.max_loras),
                "running_lora_adapters": ",".join(seen.running_adapters),
                "waiting_lora_adapters": ",".join(seen.waiting_adapters),
            }
        )
        self._lora.pop(info, None)
        self._lora[info] = seen.now
        if len(self._lora) > _MOST_LORA_SERIES:
            del self._lora[next(iter(self._lora))]
        return MetricFamily("vllm:lora_requests_info", "gauge", "Running stats on lora requests.", dict(self._lora))
