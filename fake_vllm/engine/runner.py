"""Model runner: one engine's scheduler with its metrics and its prefix cache.

`Engine` owns it; `openai/completions.py` and simulated traffic submit sequences. There are no texts here: the caller
says how many tokens will be generated, because that is decided before.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from fake_vllm.engine.config import EngineConfig
from fake_vllm.engine.flavor import EngineFlavor
from fake_vllm.engine.frontend import Frontend
from fake_vllm.engine.lora import LoraIdentity
from fake_vllm.engine.prometheus import MetricFamily
from fake_vllm.engine.scheduler import Scheduler, SchedulerLimits
from fake_vllm.engine.sequence import Ending, OnToken, Sequence, SequenceGroup
from fake_vllm.engine.stats import BLOCK, EngineMetrics, EngineStats
from fake_vllm.engine.timing import StepTimeModel

_PREFIXES = 4096  # prompts in the cache; a real one is bounded by memory


@dataclass(frozen=True, slots=True)
class Completion:
    """Result of one request; times in seconds since it arrived, lengths in tokens."""

    model: str
    prompt_tokens: int
    output_tokens: int
    queued: float
    first_token: float
    seconds: float
    ending: Ending
    weights: str = ""
    """Digest of the weights that made it."""
    prefix_weights: str = ""
    """Digest of the weights that made the blocks which the prefix cache had for these weights."""


class ModelRunner:
    """Computes sequences."""

    def __init__(
        self,
        config: EngineConfig,
        flavor: EngineFlavor,
        timing: StepTimeModel,
        *,
        normal: Callable[[], float],
        activate: Callable[[str], float],
        identify: Callable[[str], LoraIdentity],
    ) -> None:
        """Create the runner; see `Scheduler` for `normal` and `activate`.

        `identify` returns the weights of an adapter, and raises `EngineError` without that adapter.
        """
        kv_tokens = max(timing.kv_tokens_of(config), config.max_model_len)  # a real server refuses to start with less
        self.timing = timing
        self.sleep_level: int | None = None
        """Level at which the engine sleeps, None while it is awake."""
        self.metrics = EngineMetrics(config, kv_tokens, flavor.buckets)
        self._renderer = flavor.renderer(config, self.metrics)
        self.scheduler = Scheduler(
            timing,
            SchedulerLimits(config.max_num_seqs, config.max_loras, kv_tokens),
            observer=self.metrics,
            normal=normal,
            activate=activate,
            lora_costs=timing.lora.at_rank(config.max_lora_rank) if timing.lora else None,
        )
        self.frontend = Frontend(self.scheduler, timing.per_request, timing.request_latency)
        self._identify = identify
        self._prefix_caching = config.prefix_caching
        self._prefixes: OrderedDict[tuple[str, bytes], str] = OrderedDict()
        """Digest of the weights that filled the blocks of each prompt, by cache key and prompt."""

    def submit(
        self,
        adapter: str,
        prompt: int,
        output: int,
        *,
        limit: int,
        ending: Ending,
        prefix: bytes = b"",
        reads_cache: bool = True,
        group: SequenceGroup | None = None,
        on_token: OnToken | None = None,
    ) -> Sequence:
        """Start a sequence; lengths in tokens.

        Args:
            adapter: empty for the base model.
            prompt: length of the prompt.
            output: tokens that will be generated.
            limit: tokens that could be generated.
            ending: reason of its end.
            prefix: key of the prompt in the prefix cache. Empty for prompts of which only the length is known: they are
                taken to begin alike, so blocks of other weights are found, but they save no time.
            reads_cache: the prefix cache is asked for the prompt.
            group: choices of the same prompt, if there are several.
            on_token: called for sequence token; None if only the end matters.
        """
        identity = self._identify(adapter)
        prefix_weights = self._use_prefix(identity, prefix)
        sequence = Sequence(
            adapter=adapter,
            prompt=max(1, prompt),
            output=max(1, output),
            limit=limit,
            ending=ending,
            done=asyncio.get_running_loop().create_future(),
            on_token=on_token,
            cached=(prompt - 1) // BLOCK * BLOCK if prefix and prefix_weights and reads_cache else 0,
            reads_cache=reads_cache,
            group=group,
            weights=identity.digest,
            prefix_weights=prefix_weights,
        )
        self.frontend.submit(sequence)
        return sequence

    async def wait_finished(self, sequence: Sequence) -> None:
        """Wait for the end; cancelling the caller aborts the sequence."""
        try:
            await sequence.done
        except asyncio.CancelledError:
            self.frontend.abort(sequence)
            raise

    def metrics_page(self, now: float, created: float) -> str:
        """Return the text of `/metrics`; times in seconds since 1970."""
        return self._renderer.text(self._stats(now, created))

    def metric_families(self, now: float, created: float) -> list[MetricFamily]:
        """Return the metrics of `/metrics`; times in seconds since 1970."""
        return self._renderer.families(self._stats(now, created))

    def _stats(self, now: float, created: float) -> EngineStats:
        batch = self.scheduler
        return EngineStats(
            running=len(batch.running),
            waiting=len(batch.waiting),
            usage=batch.kv_usage,
            running_adapters=list(batch.adapters),
            waiting_adapters=batch.waiting.adapters,
            deferred=batch.deferred,
            sleep_level=self.sleep_level,
            now=now,
            created=created,
            epoch=now - asyncio.get_running_loop().time(),
        )

    def prefix_weights(self, adapter: str, prefix: bytes) -> tuple[str, str]:
        """Return the digests of an adapter's weights, and of those that filled a prompt's blocks (empty: no blocks)."""
        identity = self._identify(adapter)
        return identity.digest, self._prefixes.get((identity.cache_key, prefix), "")

    def reset_prefix_cache(self, *, preempt: bool) -> bool:
        """Empty the prefix cache; return whether that was possible.

        Blocks of running sequences cannot be dropped (vllm/v1/core/block_pool.py), unless those are preempted first.
        """
        if preempt:
            self.scheduler.preempt_all()
        elif self.scheduler.running:
            return False
        self._prefixes.clear()
        return True

    async def wait_drained(self, adapter: str) -> None:
        """Wait until an adapter has no sequences; the caller has to prevent new ones."""
        remaining = self.frontend.sequences(adapter)
        if remaining:
            await asyncio.wait([sequence.done for sequence in remaining])

    def _use_prefix(self, identity: LoraIdentity, prefix: bytes) -> str:
        """Return the digest of the weights that filled a prompt's blocks; empty if they are filled only now."""
        if not self._prefix_caching:
            return ""
        key = (identity.cache_key, prefix)
        weights = self._prefixes.get(key, "")
        if weights:
            self._prefixes.move_to_end(key)
            return weights
        self._prefixes[key] = identity.digest
        if len(self._prefixes) > _PREFIXES:
            self._prefixes.popitem(last=False)
        return ""


def completion_of(model: str, sequence: Sequence) -> Completion:
    """Return the result of a sequence that has ended."""
    return Completion(
        model=model,
        prompt_tokens=sequence.prompt,
        output_tokens=sequence.output,
        queued=sequence.admitted - sequence.enqueued,
        first_token=max(0.0, sequence.first - sequence.arrived),
        seconds=max(0.0, sequence.finished - sequence.arrived),
        ending=sequence.ending,
        weights=sequence.weights,
        prefix_weights=sequence.prefix_weights,
    )
