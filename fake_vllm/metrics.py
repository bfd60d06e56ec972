"""`/metrics`: vLLM's names, types, labels and buckets, fed by the batch.

Names, help texts and edges are those of vllm/v1/metrics/loggers.py; which names a release has says
`versions.py`. Values are kept as plain numbers, so that who simulates may read them without any text.
"""

from collections import Counter
from collections.abc import Sequence as Numbers

from fake_vllm.config import EngineConfig
from fake_vllm.sequences import Sequence
from fake_vllm.series import Family, Histogram, Labels, exposition, labels

FIRST_TOKEN = (
    *(0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0),
    *(80.0, 160.0, 640.0, 2560.0),
)
BETWEEN_TOKENS = (
    *(0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0),
)
REQUEST = (
    *(0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 120.0, 240.0, 480.0, 960.0),
    *(1920.0, 7680.0),
)
ITERATION = (1, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384)
CHOICES = (1, 2, 5, 10, 20)
ENDINGS = ("stop", "length", "abort", "error")
BLOCK = 16  # tokens; vLLM's --block-size
_MOST_LORA_SERIES = 64  # a real server keeps every combination of names that it ever saw


def one_two_five(longest: int) -> list[float]:
    """Edges 1, 2, 5, 10, ... up to `longest`."""
    edges: list[float] = []
    power = 1
    while True:
        for mantissa in (1, 2, 5):
            if mantissa * power > longest:
                return edges
            edges.append(mantissa * power)
        power *= 10


class Metrics:
    """What one engine counts; an `Observer` of its batch."""

    def __init__(self, config: EngineConfig, kv_tokens: int) -> None:
        self._config = config
        self._kv_tokens = kv_tokens
        tokens = one_two_five(config.max_model_len)
        self.prompt_tokens = 0
        self.generation_tokens = 0
        self.preemptions = 0
        self.cache_queries = 0
        self.cache_hits = 0
        self.endings: Counter[str] = Counter()
        self.first_token = Histogram(FIRST_TOKEN)
        self.between_tokens = Histogram(BETWEEN_TOKENS)
        self.per_token = Histogram(BETWEEN_TOKENS)
        self.whole = Histogram(REQUEST)
        self.queue = Histogram(REQUEST)
        self.inference = Histogram(REQUEST)
        self.prefill = Histogram(REQUEST)
        self.decode = Histogram(REQUEST)
        self.iteration = Histogram(ITERATION)
        self.prompts = Histogram(tokens)
        self.answers = Histogram(tokens)
        self.limits = Histogram(tokens)
        self.longest = Histogram(tokens)
        self.choices = Histogram(CHOICES)
        self._lora: dict[Labels, float] = {}

    # The batch tells

    def stepped(self, steps: int, seconds: float, decoded: int, read: int) -> None:
        if decoded:
            self.generation_tokens += steps * decoded
            self.between_tokens.observe(seconds, steps * decoded)
        self.iteration.observe(decoded + read, steps)

    def began(self, sequence: Sequence) -> None:
        self.prompt_tokens += sequence.prompt
        self.generation_tokens += 1
        self.cache_queries += sequence.prompt
        self.cache_hits += sequence.cached
        self.first_token.observe(max(0.0, sequence.first - sequence.arrived))

    def ended(self, sequence: Sequence) -> None:
        self.endings[sequence.ending] += 1
        if sequence.ending == "abort":
            return
        decoding = sequence.finished - sequence.first
        self.whole.observe(max(0.0, sequence.finished - sequence.arrived))
        self.queue.observe(sequence.admitted - sequence.arrived)
        self.inference.observe(max(0.0, sequence.finished - sequence.admitted))
        self.prefill.observe(max(0.0, sequence.first - sequence.admitted))
        self.decode.observe(decoding)
        if sequence.output > 1:
            self.per_token.observe(decoding / (sequence.output - 1))
        self.prompts.observe(sequence.prompt)
        self.answers.observe(sequence.output)
        self.longest.observe(sequence.output)
        self.limits.observe(sequence.limit)

    def preempted(self) -> None:
        self.preemptions += 1

    # Prometheus asks

    def text(
        self, running: Numbers[str], waiting: Numbers[str], sizes: tuple[int, int, float], now: float, created: float
    ) -> str:
        """The page.

        Args:
            running: adapters in the batch.
            waiting: adapters that somebody waits for.
            sizes: sequences in the batch, sequences that wait, share of the KV cache in use.
            now: seconds since 1970.
            created: when the engine started.
        """
        families = [*self._gauges(sizes), *self._counters(), *self._histograms(), self._cache_config()]
        if self._config.enable_lora:
            families.append(self._lora_info(running, waiting, now))
        return exposition(families, created)

    def _own(self, **more: str) -> Labels:
        return labels({"model_name": self._config.served_model_names[0], "engine": "0", **more})

    def _gauges(self, sizes: tuple[int, int, float]) -> list[Family]:
        names = self._config.behaviour
        own = self._own()
        usage = "KV-cache usage. 1 means 100 percent usage."
        running = "Number of requests in model execution batches."
        waiting = "Number of requests waiting to be processed."
        families = [
            Family("vllm:num_requests_running", "gauge", running, {own: sizes[0]}),
            Family("vllm:num_requests_waiting", "gauge", waiting, {own: sizes[1]}),
        ]
        if names.metric_kv_cache:
            families.append(Family("vllm:kv_cache_usage_perc", "gauge", usage, {own: sizes[2]}))
        if names.metric_gpu_cache:
            families.append(Family("vllm:gpu_cache_usage_perc", "gauge", "GPU " + usage, {own: sizes[2]}))
        return families

    def _counters(self) -> list[Family]:
        own = self._own()
        counted = (
            ("prefix_cache_queries", "Prefix cache queries, in terms of number of queried tokens.", self.cache_queries),
            ("prefix_cache_hits", "Prefix cache hits, in terms of number of cached tokens.", self.cache_hits),
            ("num_preemptions", "Cumulative number of preemption from the engine.", self.preemptions),
            ("prompt_tokens", "Number of prefill tokens processed.", self.prompt_tokens),
            ("generation_tokens", "Number of generation tokens processed.", self.generation_tokens),
        )
        families = [Family(f"vllm:{name}", "counter", help, {own: value}) for name, help, value in counted]
        endings = {self._own(finished_reason=ending): float(self.endings[ending]) for ending in ENDINGS}
        families.append(Family("vllm:request_success", "counter", "Count of successfully processed requests.", endings))
        return families

    def _histograms(self) -> list[Family]:
        names = self._config.behaviour
        shown = [
            ("request_prompt_tokens", "number of prefill tokens processed", self.prompts),
            ("request_generation_tokens", "number of generation tokens processed", self.answers),
            ("iteration_tokens_total", "number of tokens per engine_step", self.iteration),
            ("request_max_num_generation_tokens", "maximum number of requested generation tokens", self.longest),
            ("request_params_n", "the n request parameter", self.choices),
            ("request_params_max_tokens", "the max_tokens request parameter", self.limits),
            ("time_to_first_token_seconds", "time to first token in seconds", self.first_token),
        ]
        if names.metric_per_output_token:
            shown.append(("time_per_output_token_seconds", "time per output token in seconds", self.between_tokens))
        if names.metric_inter_token:
            shown.append(("inter_token_latency_seconds", "inter-token latency in seconds", self.between_tokens))
            shown.append(
                ("request_time_per_output_token_seconds", "time_per_output_token_seconds per request", self.per_token)
            )
        shown += [
            ("e2e_request_latency_seconds", "e2e request latency in seconds", self.whole),
            ("request_queue_time_seconds", "time spent in WAITING phase for request", self.queue),
            ("request_inference_time_seconds", "time spent in RUNNING phase for request", self.inference),
            ("request_prefill_time_seconds", "time spent in PREFILL phase for request", self.prefill),
            ("request_decode_time_seconds", "time spent in DECODE phase for request", self.decode),
        ]
        own = self._own()
        return [
            Family(f"vllm:{name}", "histogram", f"Histogram of {what}.", {own: values}) for name, what, values in shown
        ]

    def _cache_config(self) -> Family:
        told = {
            "block_size": str(BLOCK),
            "cache_dtype": "auto",
            "enable_prefix_caching": "True",
            "gpu_memory_utilization": "0.9",
            "num_gpu_blocks": str(self._kv_tokens // BLOCK),
        }
        info = labels({**told, "engine": "0"})
        return Family("vllm:cache_config_info", "gauge", "Information of the LLMEngine CacheConfig", {info: 1.0})

    def _lora_info(self, running: Numbers[str], waiting: Numbers[str], now: float) -> Family:
        seen = labels(
            {
                "max_lora": str(self._config.max_loras),
                "running_lora_adapters": ",".join(running),
                "waiting_lora_adapters": ",".join(waiting),
            }
        )
        self._lora.pop(seen, None)
        self._lora[seen] = now
        if len(self._lora) > _MOST_LORA_SERIES:
            del self._lora[next(iter(self._lora))]
        return Family("vllm:lora_requests_info", "gauge", "Running stats on lora requests.", dict(self._lora))
