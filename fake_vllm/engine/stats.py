"""Statistics of one engine: an `Observer` of its scheduler.

Values are plain numbers, which a simulation reads without any text. `vllm/metrics.py` and `sglang/metrics.py` render
them. Bucket bounds are those of vllm/v1/metrics/loggers.py.
"""

from collections import Counter
from collections.abc import Sequence as Numbers
from dataclasses import dataclass
from typing import Protocol

from fake_vllm.engine.config import EngineConfig
from fake_vllm.engine.prometheus import Histogram, MetricFamily
from fake_vllm.engine.sequence import Sequence

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
SLEEP = (0.01, 0.1, 1, 10, 30, 60, 120, 300, 600)  # vllm/entrypoints/serve/dev/sleep/metrics.py
PREEMPTIONS = (1, 2, 3, 4, 5, 10, 20)
BLOCK = 16  # tokens; vLLM's --block-size


@dataclass(frozen=True, slots=True)
class BucketBounds:
    """Upper bounds of an engine's histogram buckets. `tokens`: bounds of lengths; None: 1, 2, 5, 10, ..."""

    first_token: Numbers[float] = FIRST_TOKEN
    between_tokens: Numbers[float] = BETWEEN_TOKENS
    request: Numbers[float] = REQUEST
    tokens: Numbers[float] | None = None


@dataclass(frozen=True, slots=True)
class EngineStats:
    """State of the scheduler at the time of a scrape. Times in seconds since 1970."""

    running: int
    """Number of running sequences."""
    waiting: int
    usage: float
    """Used share of the KV cache."""
    running_adapters: Numbers[str]
    waiting_adapters: Numbers[str]
    now: float
    created: float
    epoch: float
    """Time at which the event loop's clock is 0."""
    deferred: int = 0
    """Number of waiting sequences whose adapter finds no place in the batch."""
    sleep_level: int | None = None
    """Level at which the engine sleeps, None while it is awake."""


class MetricsRenderer(Protocol):
    """Renders an engine's metrics."""

    def text(self, stats: EngineStats) -> str:
        """Return the page."""

    def families(self, stats: EngineStats) -> list[MetricFamily]:
        """Return the metrics of the page."""


def one_two_five(longest: int) -> list[float]:
    """Return the bounds 1, 2, 5, 10, ... up to `longest`."""
    bounds: list[float] = []
    power = 1
    while True:
        for mantissa in (1, 2, 5):
            if mantissa * power > longest:
                return bounds
            bounds.append(mantissa * power)
        power *= 10


class EngineMetrics:
    """Counters and histograms of one engine."""

    def __init__(self, config: EngineConfig, kv_tokens: int, bounds: BucketBounds) -> None:
        self.kv_tokens = kv_tokens
        tokens = one_two_five(config.max_model_len) if bounds.tokens is None else bounds.tokens
        self.throughput = 0.0
        """Tokens per second of the last steps."""
        self.prompt_tokens = 0
        self.generation_tokens = 0
        self.preemptions = 0
        self.cache_queries = 0
        self.cache_hits = 0
        self.endings: Counter[str] = Counter()
        self.last_end = 0.0
        """Time at which the last sequence ended, by the event loop's clock."""
        self.adapter_ends: dict[str, float] = {}
        """The same for the last sequence of each adapter."""
        self.first_token = Histogram(bounds.first_token)
        self.between_tokens = Histogram(bounds.between_tokens)
        self.per_token = Histogram(bounds.between_tokens)
        self.whole = Histogram(bounds.request)
        self.queue = Histogram(bounds.request)
        self.inference = Histogram(bounds.request)
        self.prefill = Histogram(bounds.request)
        self.decode = Histogram(bounds.request)
        self.iteration = Histogram(ITERATION)
        self.prompts = Histogram(tokens)
        self.answers = Histogram(tokens)
        self.limits = Histogram(tokens)
        self.longest = Histogram(tokens)
        self.choices = Histogram(CHOICES)
        self.computed = Histogram(tokens)
        self.preempted = Histogram(PREEMPTIONS)
        self.sleep_operations: dict[str, Histogram] = {}
        """Durations of putting the engine to sleep and waking it, by operation; vLLM has the series after the first."""

    def on_steps(self, steps: int, seconds: float, decoded: int, read: int, first: int) -> None:
        if decoded:
            self.generation_tokens += steps * decoded
            self.between_tokens.observe(seconds, steps * decoded)
        self.throughput = decoded / seconds if seconds else 0.0
        self.iteration.observe(decoded + read + first, steps)

    def on_first_token(self, sequence: Sequence) -> None:
        self.prompt_tokens += sequence.prompt
        self.generation_tokens += 1
        if sequence.reads_cache:
            self.cache_queries += sequence.prompt
        self.cache_hits += sequence.cached
        self.first_token.observe(max(0.0, sequence.first - sequence.arrived))

    def on_finished(self, sequence: Sequence) -> None:
        self.endings[sequence.ending] += 1
        self.last_end = sequence.finished
        if sequence.adapter:
            self.adapter_ends[sequence.adapter] = sequence.finished
        if sequence.ending == "abort":
            return
        decoding = sequence.finished - sequence.first
        self.whole.observe(max(0.0, sequence.finished - sequence.arrived))
        self.queue.observe(sequence.admitted - sequence.enqueued)
        self.inference.observe(max(0.0, sequence.finished - sequence.admitted))
        self.prefill.observe(max(0.0, sequence.first - sequence.admitted))
        self.decode.observe(decoding)
        self.per_token.observe(decoding / (sequence.output - 1) if sequence.output > 1 else 0.0)
        self.prompts.observe(sequence.prompt)
        self.answers.observe(sequence.output)
        self._observe_longest(sequence)
        self.limits.observe(sequence.limit)
        self.computed.observe(sequence.prompt - sequence.cached)
        self.preempted.observe(sequence.preemptions)

    def _observe_longest(self, sequence: Sequence) -> None:
        """Count the longest choice of a prompt when the last one has ended."""
        group = sequence.group
        if group is None:
            self.longest.observe(sequence.output)
            return
        group.longest = max(group.longest, sequence.output)
        group.unfinished -= 1
        if not group.unfinished:
            self.longest.observe(group.longest)

    def on_sleep_operation(self, operation: str, seconds: float) -> None:
        """Count an operation of the sleep mode."""
        self.sleep_operations.setdefault(operation, Histogram(SLEEP)).observe(seconds)

    def on_preempted(self) -> None:
        self.preemptions += 1
