"""The API server in front of the scheduler: HTTP, tokenizing and the way to the engine core take some time.

One part of it passes for all requests side by side, the other for one request after another. So requests that arrive
together reach the scheduler one by one, and the first of them is often prefilled alone.
"""

import asyncio
from collections.abc import Callable

from fake_vllm.engine.scheduler import Scheduler
from fake_vllm.engine.sequence import Sequence


class Frontend:
    """Passes sequences on to the scheduler."""

    def __init__(self, scheduler: Scheduler, per_request: float, latency: float) -> None:
        """Create the front end; times in seconds, see `StepTimeModel`."""
        self._scheduler = scheduler
        self._per_request = per_request
        self._latency = latency
        self._free_at = 0.0
        self._pending: dict[Sequence, asyncio.TimerHandle] = {}

    def submit(self, sequence: Sequence) -> None:
        """Pass a sequence on, after the requests that came before it."""
        if not self._per_request + self._latency:
            self._scheduler.submit(sequence)
            return
        loop = asyncio.get_running_loop()
        now = loop.time()
        self._free_at = max(now, self._free_at) + self._per_request
        self._pending[sequence] = loop.call_at(self._free_at + self._latency, self._pass_on, sequence, now)

    def abort(self, sequence: Sequence) -> None:
        """Abort a sequence whose client has gone."""
        if sequence in self._pending:
            self._pass_on_early(sequence)
        self._scheduler.abort(sequence)

    def abort_all(self) -> None:
        """Abort all sequences; their clients get what was generated."""
        for sequence in (*self._pending, *self._scheduler.running, *self._scheduler.waiting):
            self.abort(sequence)

    @property
    def is_idle(self) -> bool:
        """True without sequences."""
        return not (self._pending or self._scheduler.running or len(self._scheduler.waiting))

    def fail(self, error: Callable[[], Exception]) -> None:
        """Fail all sequences, each with a new `error`."""
        for sequence in list(self._pending):
            self._pass_on_early(sequence)
        self._scheduler.fail(error)

    def sequences(self, adapter: str) -> list[Sequence]:
        """Return the unfinished sequences of an adapter."""
        all_sequences = (*self._pending, *self._scheduler.running, *self._scheduler.waiting)
        return [sequence for sequence in all_sequences if sequence.adapter == adapter]

    def _pass_on_early(self, sequence: Sequence) -> None:
        self._pending.pop(sequence).cancel()
        self._scheduler.submit(sequence)

    def _pass_on(self, sequence: Sequence, arrived: float) -> None:
        del self._pending[sequence]
        self._scheduler.submit(sequence)
        sequence.arrived = arrived
