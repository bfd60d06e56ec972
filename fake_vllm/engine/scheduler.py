"""Continuous batching: which sequences an engine computes, step by step, in asyncio time.

As in vLLM's scheduler, sequences join and leave between steps; prompts are prefilled in chunks within the budget of a
step; at most `max_loras` adapters run in one batch, and sequences of another adapter wait while others overtake them.
If the KV cache is full, the youngest sequence is preempted and computed again later.

Steps that change nothing are skipped: the scheduler computes when the next sequence ends, waits until then, and stops
earlier, at the end of the current step, if a sequence arrives that could join. So a long response that is not streamed
costs no more than a short one. Only streams get a callback for every token.

There is one timer and no task; only the timer's callback advances the state.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from heapq import heappop, heappush
from math import exp, inf, log
from typing import Protocol

from fake_vllm.engine.adapters.costs import StepCosts
from fake_vllm.engine.sequence import Sequence, WaitingQueue
from fake_vllm.engine.timing import StepTimeModel

_Z95 = 1.6448536269514722  # standard normal quantile of 0.95
_CATCH_UP = 0.05  # seconds that a host which is too slow may be behind; what is more is lost, as for a GPU


class Observer(Protocol):
    """Receives scheduler statistics."""

    def on_steps(self, steps: int, seconds: float, decoded: int, prefill_tokens: int, first_tokens: int) -> None:
        """Called after `steps` equal steps.

        Args:
            decoded: tokens that each step decoded.
            prefill_tokens: prompt tokens that each step prefilled.
            first_tokens: sequences whose prefill ended with a first token.
        """

    def on_first_token(self, sequence: Sequence) -> None:
        """Called at a sequence's first token."""

    def on_finished(self, sequence: Sequence) -> None:
        """Called when a sequence is complete or aborted."""

    def on_preempted(self) -> None:
        """Called when a sequence is preempted."""


@dataclass(frozen=True, slots=True)
class SchedulerLimits:
    """Limits of a batch.

    Attributes:
        max_num_seqs: maximum number of running sequences.
        max_loras: maximum number of running adapters.
        kv_tokens: size of the KV cache, in tokens.
    """

    max_num_seqs: int
    max_loras: int
    kv_tokens: int


class Scheduler:
    """Scheduler of one engine."""

    def __init__(
        self,
        timing: StepTimeModel,
        limits: SchedulerLimits,
        *,
        observer: Observer,
        normal: Callable[[], float],
        activate: Callable[[str], float],
        lora_costs: StepCosts | None = None,
    ) -> None:
        """Create an empty scheduler.

        Args:
            timing: duration of steps.
            limits: limits of the batch.
            observer: receives statistics.
            normal: draws from the standard normal distribution, for the spread of steps.
            activate: called when a sequence of an adapter joins; returns the seconds by which the step is delayed
                because the adapter's weights have to be read again.
            lora_costs: additional time of steps with adapters; None without costs.
        """
        self.running: dict[Sequence, None] = {}
        self.waiting = WaitingQueue()
        self.adapters: Counter[str] = Counter()
        """Number of running sequences by adapter, without the base model."""
        self.kv_used = 0
        """Used tokens of the KV cache."""
        self._timing = timing
        self._max_num_seqs = limits.max_num_seqs
        self._max_loras = limits.max_loras
        self._kv_tokens = limits.kv_tokens
        self._observer = observer
        self._normal = normal
        self._sigma = log(timing.spread) / _Z95
        self._activate = activate
        self._lora_costs = lora_costs
        self._loading = 0
        self._held = False
        self._arrivals = 0
        self._prefilling: list[Sequence] = []
        self._streams: dict[Sequence, None] = {}
        self._ends: list[tuple[int, int, Sequence]] = []
        self._decoding = 0
        self._steps_done = 0  # steps that are done
        self._steps_planned = 0  # steps until the timer; 0: idle
        self._seconds = 0.0  # duration of each of them
        self._steps_started_at = 0.0
        self._prefill_tokens = 0
        self._timer: asyncio.TimerHandle | asyncio.Handle | None = None

    @property
    def deferred(self) -> int:
        """Number of waiting sequences whose adapter finds no place in the batch."""
        return self.waiting.count_ineligible(self._lora_slot_free)

    @property
    def kv_usage(self) -> float:
        """Used share of the KV cache."""
        return min(1.0, self.kv_used / self._kv_tokens)

    def submit(self, sequence: Sequence) -> None:
        """Add a sequence; its `done` is set when it is complete."""
        loop = asyncio.get_running_loop()
        self._arrivals += 1
        sequence.number = self._arrivals
        sequence.arrived = sequence.enqueued = loop.time()
        self.waiting.add(sequence)
        if not self._steps_planned:
            if self._timer is None:  # sequences that arrive at the same time join the same step
                self._timer = loop.call_soon(self._start)
        elif self._has_room(sequence):
            self._preempt_steps()

    def abort(self, sequence: Sequence) -> None:
        """Abort a sequence whose client has gone."""
        if sequence.finished >= 0:
            return
        if sequence in self.running:
            generated = sequence.generated
            if sequence.ends_at >= 0:
                generated = sequence.output - (sequence.ends_at - self._steps_done)
            self._remove(sequence)
            sequence.output = generated
            if self._steps_planned:
                self._preempt_steps()
        else:
            self.waiting.remove(sequence)
            sequence.output = sequence.generated
        sequence.ending = "abort"
        self._finish(sequence, asyncio.get_running_loop().time())

    def fail(self, error: Callable[[], Exception]) -> None:
        """Fail all sequences, each with a new `error`."""
        lost = [*self.running, *self.waiting]
        for sequence in self.running.copy():
            self._remove(sequence)
        self.waiting = WaitingQueue()
        for sequence in lost:
            sequence.finished = inf
            if not sequence.done.done():
                sequence.done.set_exception(error())
                sequence.done.exception()  # marks it as retrieved: there may be no caller left
        self._stop()

    def hold(self) -> None:
        """Stop after the current step; sequences keep their places until `release`."""
        self._held = True
        self._preempt_steps()

    def release(self) -> None:
        """Continue after `hold`."""
        self._held = False
        if self._timer is None and (self.running or len(self.waiting)):
            self._schedule(asyncio.get_running_loop().time())

    def preempt_all(self) -> None:
        """Preempt all running sequences; they keep their order."""
        for sequence in sorted(self.running, key=lambda sequence: -sequence.number):
            self._put_back(sequence)
        if self._steps_planned:
            self._preempt_steps()

    def add_loading(self, more: int) -> None:
        """Add `more` to the number of adapter loads in progress; steps are slower while any is running."""
        self._loading += more
        if self._steps_planned and self._loading <= 1:
            self._preempt_steps()

    # Time

    def _start(self) -> None:
        self._timer = None
        self._schedule(asyncio.get_running_loop().time())

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._steps_planned = 0

    def _preempt_steps(self) -> None:
        """Stop after the current step instead of the planned number."""
        if self._steps_planned <= 1:
            return
        loop = asyncio.get_running_loop()
        done = int((loop.time() - self._steps_started_at) / self._seconds) + 1
        if done < self._steps_planned:
            self._steps_planned = done
            self._set_timer()

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_at(
            self._steps_started_at + self._steps_planned * self._seconds, self._on_step_end
        )

    def _on_step_end(self) -> None:
        """Finish the planned steps. Times are those at which they were due, so that delays do not accumulate."""
        self._timer = None
        behind = asyncio.get_running_loop().time() - _CATCH_UP
        steps, now = self._steps_planned, max(behind, self._steps_started_at + self._steps_planned * self._seconds)
        self._steps_done += steps
        self.kv_used += steps * self._decoding
        done = [sequence for sequence in self._prefilling if sequence.chunk >= sequence.remaining_prefill]
        self._observer.on_steps(steps, self._seconds, self._decoding, self._prefill_tokens, len(done))
        self._advance_prefill(done, now)
        for sequence in list(self._streams):
            if sequence.ends_at >= 0 and sequence.on_token is not None:
                sequence.on_token(sequence.output - max(0, sequence.ends_at - self._steps_done), now)
        while self._ends and self._ends[0][0] <= self._steps_done:
            at, _, sequence = heappop(self._ends)
            if sequence.ends_at == at:
                self._remove(sequence)
                self._finish(sequence, now)
        self._schedule(now)

    def _advance_prefill(self, done: list[Sequence], now: float) -> None:
        """Start decoding the sequences whose prefill is complete: the same step generated their first token."""
        for sequence in self._prefilling:
            sequence.remaining_prefill -= sequence.chunk
        for sequence in done:
            self._prefilling.remove(sequence)
            self._decoding += 1
            self.kv_used += 1
            sequence.ends_at = self._steps_done + sequence.output - sequence.generated - 1
            heappush(self._ends, (sequence.ends_at, sequence.number, sequence))
            if sequence.first < 0:
                sequence.first = now
                self._observer.on_first_token(sequence)

    # Members of the batch

    def _schedule(self, now: float) -> None:
        """Plan the next steps, from `now` on."""
        if self._held:
            self._stop()
            return
        preempted = self._preempt()
        budget = self._timing.batched_tokens - self._decoding
        prefill_tokens = 0
        for sequence in self._prefilling:
            sequence.chunk = max(0, min(sequence.remaining_prefill, budget - prefill_tokens))
            prefill_tokens += sequence.chunk
        stall = 0.0
        while not preempted and prefill_tokens < budget and (joining := self._next()) is not None:
            stall += self._admit(joining, now)
            joining.chunk = min(joining.remaining_prefill, budget - prefill_tokens)
            prefill_tokens += joining.chunk
        if not self.running:
            self._stop()
            return
        sequences = self._decoding + sum(1 for sequence in self._prefilling if sequence.chunk)
        seconds = self._timing.seconds(sequences, prefill_tokens)
        if self.adapters and self._lora_costs is not None:
            seconds += self._lora_seconds(self._lora_costs)
        self._seconds = seconds * self._factor() + stall
        self._prefill_tokens = prefill_tokens
        self._steps_started_at = now
        self._steps_planned = self._steps_until_change()
        self._set_timer()

    def _steps_until_change(self) -> int:
        """Return the number of steps before the next change that is known now."""
        if self._prefilling or self._streams:
            return 1
        while self._ends[0][2].ends_at != self._ends[0][0]:
            heappop(self._ends)
        free = (self._kv_tokens - self.kv_used) // self._decoding
        return max(1, min(self._ends[0][0] - self._steps_done, free))

    def _lora_seconds(self, costs: StepCosts) -> float:
        """Return what the adapters in the batch add to the step."""
        chunks = [sequence.chunk for sequence in self._prefilling if sequence.adapter]
        decoding = sum(self.adapters.values()) - len(chunks)
        sequences = decoding + sum(1 for chunk in chunks if chunk)
        return costs.seconds(len(self.adapters), sequences, sum(chunks)) if sequences else 0.0

    def _factor(self) -> float:
        factor = self._timing.loading_slowdown if self._loading > 0 else 1.0
        return factor * exp(self._sigma * self._normal()) if self._sigma else factor

    def _has_room(self, sequence: Sequence) -> bool:
        return (
            len(self.running) < self._max_num_seqs
            and self._lora_slot_free(sequence.adapter)
            and self.kv_used + sequence.cache_tokens <= self._kv_tokens
        )

    def _lora_slot_free(self, adapter: str) -> bool:
        return not adapter or adapter in self.adapters or len(self.adapters) < self._max_loras

    def _next(self) -> Sequence | None:
        """Return the sequence that joins next. One that finds no memory blocks those behind it, as in vLLM."""
        if len(self.running) >= self._max_num_seqs or not len(self.waiting):
            return None
        first = self.waiting.next(self._lora_slot_free)
        if first is None or (self.running and self.kv_used + first.cache_tokens > self._kv_tokens):
            return None
        return first

    def _admit(self, sequence: Sequence, now: float) -> float:
        """Admit a sequence; return the seconds by which its adapter's weights delay the step."""
        self.waiting.remove(sequence)
        self.running[sequence] = None
        self._prefilling.append(sequence)
        self.kv_used += sequence.cache_tokens
        if sequence.on_token is not None:
            self._streams[sequence] = None
        if sequence.admitted < 0:
            sequence.admitted = max(now, sequence.enqueued)
        if not sequence.adapter:
            return 0.0
        self.adapters[sequence.adapter] += 1
        return self._activate(sequence.adapter)

    def _preempt(self) -> bool:
        """Preempt the youngest sequences until every other one fits its next token; return whether any was."""
        preempted = False
        while len(self.running) > 1 and self._kv_tokens - self.kv_used < self._decoding:
            self._put_back(max(self.running, key=lambda sequence: sequence.number))
            preempted = True
        return preempted

    def _put_back(self, sequence: Sequence) -> None:
        """Preempt a running sequence: its tokens will be prefilled again."""
        if sequence.ends_at >= 0:
            sequence.generated = sequence.output - (sequence.ends_at - self._steps_done)
        self._remove(sequence)
        sequence.remaining_prefill = sequence.cache_tokens
        sequence.preemptions += 1
        self.waiting.put_back(sequence)
        self._observer.on_preempted()

    def _remove(self, sequence: Sequence) -> None:
        """Remove a running sequence and its tokens in the cache."""
        del self.running[sequence]
        self._streams.pop(sequence, None)
        if sequence.ends_at >= 0:
            self._decoding -= 1
            self.kv_used -= sequence.prompt + sequence.output - (sequence.ends_at - self._steps_done)
            sequence.ends_at = -1
        else:
            self._prefilling.remove(sequence)
            self.kv_used -= sequence.cache_tokens
        if sequence.adapter:
            self.adapters[sequence.adapter] -= 1
            if not self.adapters[sequence.adapter]:
                del self.adapters[sequence.adapter]

    def _finish(self, sequence: Sequence, now: float) -> None:
        sequence.finished = now
        self._observer.on_finished(sequence)
        if not sequence.done.done():
            sequence.done.set_result(None)
