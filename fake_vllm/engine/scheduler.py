"""Continuous batching: which sequences an engine works on, step by step, in asyncio time.

As in vLLM's scheduler: sequences join and leave between steps; prompts are read in chunks, as far as the
budget of a step goes; at most `max_loras` adapters are in one batch, and who needs another one waits while
others overtake; if the KV cache is full, the youngest is put out and computed again later.

Steps that can change nothing are not walked through: the batch knows when the next sequence ends, sleeps until
then, and is woken at the next step's end if somebody arrives who could join. So a long answer that nobody
streams costs no more than a short one. Only streams are told of every token.

One timer and no tasks; a callback of the timer is the only thing that moves it.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from heapq import heappop, heappush
from math import exp, inf, log
from typing import Protocol

from fake_vllm.engine.sequence import Sequence, WaitingQueue
from fake_vllm.engine.timing import StepTimeModel

_Z95 = 1.6448536269514722  # standard normal quantile of 0.95
_CATCH_UP = 0.05  # seconds that a host which is too slow may be behind; what is more is lost, as for a GPU


class Observer(Protocol):
    """Who keeps count of what the batch does."""

    def on_steps(self, steps: int, seconds: float, decoded: int, prefill_tokens: int) -> None:
        """So many equal steps were done, each with so many tokens decoded and prompt tokens read."""

    def on_first_token(self, sequence: Sequence) -> None:
        """Its first token is there."""

    def on_finished(self, sequence: Sequence) -> None:
        """It is complete, or was given up."""

    def on_preempted(self) -> None:
        """One was put out for want of memory."""


class Scheduler:
    """What one engine computes."""

    def __init__(
        self,
        timing: StepTimeModel,
        *,
        max_num_seqs: int,
        max_loras: int,
        kv_tokens: int,
        observer: Observer,
        normal: Callable[[], float],
        activate: Callable[[str], float],
    ) -> None:
        """An empty batch.

        Args:
            timing: how long steps take.
            max_num_seqs: sequences in the batch at most.
            max_loras: adapters in the batch at most.
            kv_tokens: tokens for which there is room.
            observer: is told what happens.
            normal: draws from the standard normal distribution, for the spread of steps.
            activate: called as a sequence of an adapter joins; seconds that the step is held up because the
                adapter's weights have to be read again.
        """
        self.running: dict[Sequence, None] = {}
        self.waiting = WaitingQueue()
        self.adapters: Counter[str] = Counter()
        """How many sequences of the batch each adapter has; the base model is not among them."""
        self.kv_used = 0
        """Tokens in the KV cache."""
        self._timing = timing
        self._max_num_seqs = max_num_seqs
        self._max_loras = max_loras
        self._kv_tokens = kv_tokens
        self._observer = observer
        self._normal = normal
        self._sigma = log(timing.spread) / _Z95
        self._activate = activate
        self._loading = 0
        self._arrivals = 0
        self._prefilling: list[Sequence] = []
        self._streams: dict[Sequence, None] = {}
        self._ends: list[tuple[int, int, Sequence]] = []
        self._decoding = 0
        self._steps_done = 0  # steps that are done
        self._steps_planned = 0  # steps that are under way; 0: idle
        self._seconds = 0.0  # that each of them takes
        self._steps_started_at = 0.0
        self._prefill_tokens = 0
        self._timer: asyncio.TimerHandle | asyncio.Handle | None = None

    @property
    def kv_usage(self) -> float:
        """Share of the KV cache that is in use."""
        return min(1.0, self.kv_used / self._kv_tokens)

    def submit(self, sequence: Sequence) -> None:
        """Take on a new sequence; its `done` is set when it is complete."""
        loop = asyncio.get_running_loop()
        self._arrivals += 1
        sequence.number = self._arrivals
        sequence.arrived = loop.time()
        self.waiting.add(sequence)
        if not self._steps_planned:
            if self._timer is None:  # whoever arrives in the same moment joins the same step
                self._timer = loop.call_soon(self._start)
        elif self._has_room(sequence):
            self._preempt_steps()

    def abort(self, sequence: Sequence) -> None:
        """Give a sequence up: nobody waits for it any more."""
        if sequence.finished >= 0:
            return
        if sequence in self.running:
            self._remove(sequence)
            if self._steps_planned:
                self._preempt_steps()
        else:
            self.waiting.remove(sequence)
        sequence.ending = "abort"
        self._finish(sequence, asyncio.get_running_loop().time())

    def fail(self, error: Callable[[], Exception]) -> None:
        """Everybody who waits gets an error of his own, and nothing is left."""
        lost = [*self.running, *self.waiting]
        for sequence in self.running.copy():
            self._remove(sequence)
        self.waiting = WaitingQueue()
        for sequence in lost:
            sequence.finished = inf
            if not sequence.done.done():
                sequence.done.set_exception(error())
                sequence.done.exception()  # marks it as seen: nobody may be left to look
        self._stop()

    def add_loading(self, more: int) -> None:
        """So many more loads of adapters go on; steps take longer while any does."""
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
        """End the steps that are under way with the present one."""
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
        """The steps under way have ended. Reckons from when they should have, so that lateness does not add up."""
        self._timer = None
        behind = asyncio.get_running_loop().time() - _CATCH_UP
        steps, now = self._steps_planned, max(behind, self._steps_started_at + self._steps_planned * self._seconds)
        self._steps_done += steps
        self.kv_used += steps * self._decoding
        self._observer.on_steps(steps, self._seconds, self._decoding, self._prefill_tokens)
        self._advance_prefill(now)
        for sequence in list(self._streams):
            if sequence.ends_at >= 0 and sequence.on_token is not None:
                sequence.on_token(sequence.output - max(0, sequence.ends_at - self._steps_done), now)
        while self._ends and self._ends[0][0] <= self._steps_done:
            at, _, sequence = heappop(self._ends)
            if sequence.ends_at == at:
                self._remove(sequence)
                self._finish(sequence, now)
        self._schedule(now)

    def _advance_prefill(self, now: float) -> None:
        """Prompts that were read to their end now have a token more, which the same step made."""
        done = [sequence for sequence in self._prefilling if sequence.chunk >= sequence.remaining_prefill]
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

    # Who is in the batch

    def _schedule(self, now: float) -> None:
        """Settle what the next steps do, from `now` on."""
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
        self._seconds = self._timing.seconds(sequences, prefill_tokens) * self._factor() + stall
        self._prefill_tokens = prefill_tokens
        self._steps_started_at = now
        self._steps_planned = self._steps_until_change()
        self._set_timer()

    def _steps_until_change(self) -> int:
        """How many steps nothing can change before, as far as one can know now."""
        if self._prefilling or self._streams:
            return 1
        while self._ends[0][2].ends_at != self._ends[0][0]:
            heappop(self._ends)
        free = (self._kv_tokens - self.kv_used) // self._decoding
        return max(1, min(self._ends[0][0] - self._steps_done, free))

    def _factor(self) -> float:
        factor = self._timing.loading_slowdown if self._loading > 0 else 1.0
        return factor * exp(self._sigma * self._normal()) if self._sigma else factor

    def _has_room(self, sequence: Sequence) -> bool:
        return (
            len(self.running) < self._max_num_seqs
            and self._lora_slot_free(sequence.adapter)
            and self.kv_used + sequence.held <= self._kv_tokens
        )

    def _lora_slot_free(self, adapter: str) -> bool:
        return not adapter or adapter in self.adapters or len(self.adapters) < self._max_loras

    def _next(self) -> Sequence | None:
        """Who joins next. Who is first in line and finds no memory holds up those behind him, as in vLLM."""
        if len(self.running) >= self._max_num_seqs or not len(self.waiting):
            return None
        first = self.waiting.next(self._lora_slot_free)
        if first is None or (self.running and self.kv_used + first.held > self._kv_tokens):
            return None
        return first

    def _admit(self, sequence: Sequence, now: float) -> float:
        """Take it into the batch; returns the seconds that its adapter's weights hold the step up."""
        self.waiting.remove(sequence)
        self.running[sequence] = None
        self._prefilling.append(sequence)
        self.kv_used += sequence.held
        if sequence.on_token is not None:
            self._streams[sequence] = None
        if sequence.admitted < 0:
            sequence.admitted = max(now, sequence.arrived)
        if not sequence.adapter:
            return 0.0
        self.adapters[sequence.adapter] += 1
        return self._activate(sequence.adapter)

    def _preempt(self) -> bool:
        """Put the youngest out until every other one can get its next token; returns whether any had to go."""
        preempted = False
        while len(self.running) > 1 and self._kv_tokens - self.kv_used < self._decoding:
            youngest = max(self.running, key=lambda sequence: sequence.number)
            if youngest.ends_at >= 0:
                youngest.generated = youngest.output - (youngest.ends_at - self._steps_done)
            self._remove(youngest)
            youngest.remaining_prefill = youngest.held
            self.waiting.put_back(youngest)
            self._observer.on_preempted()
            preempted = True
        return preempted

    def _remove(self, sequence: Sequence) -> None:
        """Take it out of the batch, and its tokens out of the cache."""
        del self.running[sequence]
        self._streams.pop(sequence, None)
        if sequence.ends_at >= 0:
            self._decoding -= 1
            self.kv_used -= sequence.prompt + sequence.output - (sequence.ends_at - self._steps_done)
            sequence.ends_at = -1
        else:
            self._prefilling.remove(sequence)
            self.kv_used -= sequence.held
        if sequence.adapter:
            self.adapters[sequence.adapter] -= 1
            if not self.adapters[sequence.adapter]:
                del self.adapters[sequence.adapter]

    def _finish(self, sequence: Sequence, now: float) -> None:
        sequence.finished = now
        self._observer.on_finished(sequence)
        if not sequence.done.done():
            sequence.done.set_result(None)
