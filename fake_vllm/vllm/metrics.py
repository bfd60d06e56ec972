"""`/metrics` as vLLM writes it: its names, types, labels and help texts, from vllm/v1/metrics/loggers.py.

Families of features that the fake does not have (multi-modal inputs, KV connectors, admission limits) are there with
zeros, as on a server that does not use them.
"""

from collections.abc import Iterator, Mapping
from typing import Literal

from fake_vllm.engine.config import EngineConfig
from fake_vllm.engine.prometheus import Histogram, Labels, MetricFamily, PageWriter, labels
from fake_vllm.engine.stats import EngineMetrics, EngineStats
from fake_vllm.vllm.cache_config import cache_config
from formats.engine_releases import parse_release

ENDINGS = ("stop", "length", "abort", "error")
_SLEEP_STATES = {"awake": None, "weights_offloaded": 1, "discard_all": 2}
_HIT_SOURCES = ("device", "host", "p2p", "disk", "external_unspecified")
_REJECTIONS = ("max_num_queued_reqs", "max_num_queued_tokens")
_MOST_LORA_SERIES = 256  # a limit of the fake: a real server keeps every combination of names
_STEP = 0.001
"""Seconds before the end of an adapter's last request at which its last step is said to have been."""
_BY_REASON = (
    "Number of waiting requests by reason. Reason labels: 'capacity' = waiting for scheduling capacity; 'deferred' ="
    " deferred by transient constraints (LoRA budget, KV transfer, blocked status). Sum of all reasons equals"
    " vllm:num_requests_waiting."
)
_SLEEP = (
    "Engine sleep state; awake = 0 means engine is sleeping; awake = 1 means engine is awake; weights_offloaded = 1"
    " means sleep level 1; discard_all = 1 means sleep level 2."
)
_CACHED_BY_SOURCE = (
    "Prefix-cache hit tokens by the cache tier that supplied them: device (local HBM), host (offloaded to DRAM), disk,"
    " p2p (transferred from another vLLM instance) or external_unspecified. Counted at admission; sums to"
    " vllm:prefix_cache_hits + vllm:external_prefix_cache_hits."
)
_ESTIMATES = {
    "flops": "floating point operations",
    "read_bytes": "bytes read from memory",
    "write_bytes": "bytes written to memory",
}
_PER_GPU = "per GPU (for Model Flops Utilization calculations)."
_CONNECTOR = "from KV connector cross-instance cache sharing, in terms of number of"

Kind = Literal["counter", "gauge", "histogram"]
Values = Mapping[Labels, float | Histogram]
Row = tuple[str, str, Values]
"""Name without prefix, help text, values."""


class VllmMetricsRenderer:
    """Renders the page of one engine."""

    def __init__(self, config: EngineConfig, metrics: EngineMetrics) -> None:
        self._config = config
        self._release = parse_release(config.version)
        self._metrics = metrics
        self._writer = PageWriter()
        self._lora: dict[Labels, float] = {}
        self._own = labels({"model_name": config.served_model_names[0], "engine": "0"})

    def text(self, stats: EngineStats) -> str:
        """Return the page."""
        return self._writer.page(self.families(stats), stats.created)

    def families(self, stats: EngineStats) -> list[MetricFamily]:
        """Return the metrics of the page."""
        return [
            *_families("gauge", self._gauges(stats)),
            *_families("counter", self._counters()),
            *_families("histogram", self._histograms()),
            *_families("gauge", self._infos(stats)),
        ]

    def _labelled(self, label: str, values: Mapping[str, float]) -> Values:
        return {labels({**dict(self._own), label: name}): value for name, value in values.items()}

    def _gauges(self, stats: EngineStats) -> Iterator[Row]:
        quirks, own, usage = self._config.quirks, self._own, "KV-cache usage. 1 means 100 percent usage."
        yield "num_requests_running", "Number of requests in model execution batches.", {own: stats.running}
        yield "num_requests_waiting", "Number of requests waiting to be processed.", {own: stats.waiting}
        if self._release >= (0, 20):
            reasons = {"capacity": stats.waiting - stats.deferred, "deferred": stats.deferred}
            yield "num_requests_waiting_by_reason", _BY_REASON, self._labelled("reason", reasons)
        if self._release >= (0, 16):
            states = {name: float(stats.sleep_level == level) for name, level in _SLEEP_STATES.items()}
            yield "engine_sleep_state", _SLEEP, self._labelled("sleep_state", states)
        if self._has_sleep_operations():
            in_flight = {labels({"operation": name}): 0.0 for name in self._metrics.sleep_operations}
            yield "sleep_mode_operations_in_flight", "Sleep-mode operations currently awaited.", in_flight
        if quirks.metric_kv_cache:
            yield "kv_cache_usage_perc", usage, {own: stats.usage}
        if quirks.metric_gpu_cache:
            yield "gpu_cache_usage_perc", f"GPU {usage}", {own: stats.usage}

    def _has_sleep_operations(self) -> bool:
        """Return whether the sleep mode has series: from 0.32 on (recorded; 0.30.0 has none)."""
        return self._release >= (0, 32) and bool(self._metrics.sleep_operations)

    def _counters(self) -> Iterator[Row]:
        own, metrics, release = self._own, self._metrics, self._release
        queries, hits = metrics.cache_queries, metrics.cache_hits
        yield "prefix_cache_queries", "Prefix cache queries, in terms of number of queried tokens.", {own: queries}
        yield "prefix_cache_hits", "Prefix cache hits, in terms of number of cached tokens.", {own: hits}
        yield "num_preemptions", "Cumulative number of preemption from the engine.", {own: metrics.preemptions}
        yield "prompt_tokens", "Number of prefill tokens processed.", {own: metrics.prompt_tokens}
        if release >= (0, 16):
            yield from self._token_sources(hits)
        yield "generation_tokens", "Number of generation tokens processed.", {own: metrics.generation_tokens}
        endings = {ending: float(metrics.endings[ending]) for ending in ENDINGS}
        if release >= (0, 20):
            endings["repetition"] = 0.0
        endings["abort"] = 0.0  # a request whose client has gone is not counted (vllm/v1/engine/output_processor.py)
        yield "request_success", "Count of successfully processed requests.", self._labelled("finished_reason", endings)
        if release >= (0, 32):
            model = self._config.served_model_names[0]
            rejections = {labels({"model_name": model, "reason": reason}): 0.0 for reason in _REJECTIONS}
            text = "Number of admission attempts rejected by a queue limit, by reason."
            yield "admission_rejections", text, rejections

    def _token_sources(self, hits: int) -> Iterator[Row]:
        """Yield the counters of where prompt tokens come from."""
        own, metrics, release = self._own, self._metrics, self._release
        sources = {"local_compute": metrics.prompt_tokens - hits, "local_cache_hit": hits, "external_kv_transfer": 0}
        yield "prompt_tokens_by_source", "Number of prompt tokens by source.", self._labelled("source", sources)
        yield "prompt_tokens_cached", "Number of cached prompt tokens (local + external).", {own: hits}
        if release < (0, 20):
            yield "prompt_tokens_recomputed", "Number of cached tokens recomputed for forward pass.", {own: 0.0}
        if release >= (0, 32):
            tiers = {source: float(hits) if source == "device" else 0.0 for source in _HIT_SOURCES}
            yield "prompt_tokens_cached_by_source", _CACHED_BY_SOURCE, self._labelled("source", tiers)
        yield "external_prefix_cache_queries", f"External prefix cache queries {_CONNECTOR} queried tokens.", {own: 0.0}
        yield "external_prefix_cache_hits", f"External prefix cache hits {_CONNECTOR} cached tokens.", {own: 0.0}
        yield "mm_cache_queries", "Multi-modal cache queries, in terms of number of queried items.", {own: 0.0}
        yield "mm_cache_hits", "Multi-modal cache hits, in terms of number of cached items.", {own: 0.0}
        if release >= (0, 20):
            for name, what in _ESTIMATES.items():
                yield f"estimated_{name}_per_gpu", f"Estimated number of {what} {_PER_GPU}", {own: 0.0}

    def _histograms(self) -> Iterator[Row]:
        own = self._own
        for name, text, histogram in (*self._lengths(), *self._durations()):
            yield name, text, {own: histogram}
        if self._has_sleep_operations():
            operations = {labels({"operation": name}): one for name, one in self._metrics.sleep_operations.items()}
            yield "sleep_mode_operation_duration_seconds", "Duration of one sleep-mode operation.", operations

    def _lengths(self) -> Iterator[tuple[str, str, Histogram]]:
        metrics = self._metrics
        yield "request_prompt_tokens", "Number of prefill tokens processed.", metrics.prompts
        yield "request_generation_tokens", "Number of generation tokens processed.", metrics.answers
        yield "iteration_tokens_total", "Histogram of number of tokens per engine_step.", metrics.iteration
        longest = "Histogram of maximum number of requested generation tokens."
        yield "request_max_num_generation_tokens", longest, metrics.longest
        yield "request_params_n", "Histogram of the n request parameter.", metrics.choices
        yield "request_params_max_tokens", "Histogram of the max_tokens request parameter.", metrics.limits
        if self._release >= (0, 30):
            text = "Histogram of the number of times a request was preempted."
            yield "request_num_preemptions", text, metrics.preempted
        if self._release >= (0, 16):
            computed = "Histogram of new KV tokens computed during prefill (excluding cached tokens)."
            yield "request_prefill_kv_computed_tokens", computed, metrics.computed

    def _durations(self) -> Iterator[tuple[str, str, Histogram]]:
        quirks, metrics = self._config.quirks, self._metrics
        yield "time_to_first_token_seconds", "Histogram of time to first token in seconds.", metrics.first_token
        if quirks.metric_per_output_token:
            text = "Histogram of time per output token in seconds."
            yield "time_per_output_token_seconds", text, metrics.between_tokens
        if quirks.metric_inter_token:
            yield "inter_token_latency_seconds", "Histogram of inter-token latency in seconds.", metrics.between_tokens
            text = "Histogram of time_per_output_token_seconds per request."
            yield "request_time_per_output_token_seconds", text, metrics.per_token
        yield "e2e_request_latency_seconds", "Histogram of e2e request latency in seconds.", metrics.whole
        for name, phase, histogram in (
            ("queue", "WAITING", metrics.queue),
            ("inference", "RUNNING", metrics.inference),
            ("prefill", "PREFILL", metrics.prefill),
            ("decode", "DECODE", metrics.decode),
        ):
            yield f"request_{name}_time_seconds", f"Histogram of time spent in {phase} phase for request.", histogram

    def _infos(self, stats: EngineStats) -> Iterator[Row]:
        config = self._config
        info = labels(cache_config(self._release, config, self._metrics.kv_tokens))
        yield "cache_config_info", "Information of the LLMEngine CacheConfig", {info: 1.0}
        if config.enable_lora:
            yield "lora_requests_info", "Running stats on lora requests.", self._lora_info(stats)

    def _lora_info(self, stats: EngineStats) -> Values:
        """Return the series of LoRA adapters: both labels name every adapter with a request, running or waiting.

        The value is the time of the last step with these adapters. Of the combinations between two pages, the fake has
        one series for each adapter.
        """
        if not self._metrics.iteration.count:  # vLLM has the series from the first step on
            return {}
        for adapter, ended in self._metrics.adapter_ends.items():
            self._set_lora_series(adapter, stats.epoch + ended - _STEP)
        self._metrics.adapter_ends.clear()
        names = ",".join(dict.fromkeys((*stats.running_adapters, *stats.waiting_adapters)))
        busy = stats.running or stats.waiting
        self._set_lora_series(names, stats.now if busy else stats.epoch + self._metrics.last_end)
        return dict(self._lora)

    def _set_lora_series(self, names: str, at: float) -> None:
        adapters = {"running_lora_adapters": names, "waiting_lora_adapters": names}
        info = labels({"max_lora": str(self._config.max_loras), **adapters})
        self._lora.pop(info, None)
        self._lora[info] = at
        if len(self._lora) > _MOST_LORA_SERIES:
            del self._lora[next(iter(self._lora))]


def _families(kind: Kind, rows: Iterator[Row]) -> Iterator[MetricFamily]:
    for name, text, values in rows:
        yield MetricFamily(f"vllm:{name}", kind, text, values)
