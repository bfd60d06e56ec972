"""Generating: one engine's batch, with what is counted and cached beside it.

`Engine` owns one and says which adapters there are; `answers.py` and simulated traffic ask it for sequences.
Nothing here knows of texts: who asks says how many tokens come out, because that is decided beforehand.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from fake_vllm.engine.config import EngineConfig
from fake_vllm.engine.scheduler import Scheduler
from fake_vllm.engine.sequence import Ending, OnToken, Sequence
from fake_vllm.engine.stats import BLOCK, EngineStats, Metrics
from fake_vllm.engine.timing import StepTimeModel
from fake_vllm.flavors import FLAVORS

_PREFIXES = 4096  # prompts that are remembered; a real cache is bounded by memory


@dataclass(frozen=True, slots=True)
class Completion:
    """How one request went; times in seconds since it arrived, lengths in tokens."""

    model: str
    prompt_tokens: int
    output_tokens: int
    queued: float
    first_token: float
    seconds: float
    ending: Ending


class ModelRunner:
    """The part of an engine that computes."""

    def __init__(
        self,
        config: EngineConfig,
        timing: StepTimeModel,
        *,
        normal: Callable[[], float],
        activate: Callable[[str], float],
    ) -> None:
        """See `Batch` for `normal` and `activate`."""
        kv_tokens = max(timing.kv_tokens, config.max_model_len)  # a real server refuses to start with less
        self.timing = timing
        flavor = FLAVORS[config.dialect]
        self.metrics = Metrics(config, kv_tokens, flavor.buckets)
        self._renderer = flavor.renderer(config, self.metrics)
        self.scheduler = Scheduler(
            timing,
            max_num_seqs=config.max_num_seqs,
            max_loras=config.max_loras,
            kv_tokens=kv_tokens,
            observer=self.metrics,
            normal=normal,
            activate=activate,
        )
        self._prefixes: OrderedDict[bytes, None] = OrderedDict()

    def submit(
        self,
        adapter: str,
        prompt: int,
        output: int,
        *,
        limit: int,
        ending: Ending,
        prefix: bytes = b"",
        on_token: OnToken | None = None,
    ) -> Sequence:
        """Begin a sequence; lengths in tokens.

        Args:
            adapter: empty for the base model.
            prompt: length of the prompt.
            output: tokens that will come out.
            limit: tokens that might have.
            ending: what it will end with.
            prefix: stands for adapter and prompt in the prefix cache; empty: it is in none.
            on_token: told of each token; without it only the end is seen.
        """
        sequence = Sequence(
            adapter=adapter,
            prompt=max(1, prompt),
            output=max(1, output),
            limit=limit,
            ending=ending,
            done=asyncio.get_running_loop().create_future(),
            on_token=on_token,
            cached=self._cached(prefix, prompt) if prefix else 0,
        )
        self.scheduler.submit(sequence)
        return sequence

    async def wait_finished(self, sequence: Sequence) -> None:
        """Wait for the end; a caller who gives up takes the sequence off the batch."""
        try:
            await sequence.done
        except asyncio.CancelledError:
            self.scheduler.abort(sequence)
            raise

    def metrics_page(self, now: float, created: float) -> str:
        """The text of `/metrics`; times in seconds since 1970."""
        batch = self.scheduler
        stats = EngineStats(
            running=len(batch.running),
            waiting=len(batch.waiting),
            usage=batch.kv_usage,
            running_adapters=list(batch.adapters),
            waiting_adapters=batch.waiting.adapters,
            now=now,
            created=created,
        )
        return self._renderer.text(stats)

    async def wait_drained(self, adapter: str) -> None:
        """Wait until no answer of an adapter is under way any more; whoever calls this lets no new ones begin."""
        under_way = [each for each in (*self.scheduler.running, *self.scheduler.waiting) if each.adapter == adapter]
        if under_way:
            await asyncio.wait([each.done for each in under_way])

    def _cached(self, prefix: bytes, prompt: int) -> int:
        """Prompt tokens in the cache: whole blocks of a prompt that was seen before, all but the last token."""
        known = prefix in self._prefixes
        self._prefixes[prefix] = None
        self._prefixes.move_to_end(prefix)
        if len(self._prefixes) > _PREFIXES:
            self._prefixes.popitem(last=False)
        return (prompt - 1) // BLOCK * BLOCK if known else 0


def completion_of(model: str, sequence: Sequence) -> Completion:
    """What became of a sequence that has ended."""
    return Completion(
        model=model,
        prompt_tokens=sequence.prompt,
        output_tokens=sequence.output,
        queued=sequence.admitted - sequence.arrived,
        first_token=max(0.0, sequence.first - sequence.arrived),
        seconds=max(0.0, sequence.finished - sequence.arrived),
        ending=sequence.ending,
    )
