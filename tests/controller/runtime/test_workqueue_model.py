"""The workqueue behaves like client-go's for any sequence of calls.

The model below is that behaviour written down as plainly as it can be: lists and dictionaries, searched through. The
machine asks queue and model the same things and compares what they hand out.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import simpy
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from controller.runtime.workqueue import WorkQueue
from twin.kernel.loop import VirtualLoop

keys = st.sampled_from(["a", "b", "c", "d"])
seconds = st.sampled_from([-1.0, 0.0, 0.003, 0.5, 2.0, 2.5, 40.0])


class Model:
    """Behaviour by client-go's documentation and code, without optimisation."""

    def __init__(self) -> None:
        self.now = 0.0
        self.line: list[str] = []
        self.dirty: set[str] = set()
        self.processing: set[str] = set()
        self.delayed: list[tuple[float, int, str]] = []
        self.failures: dict[str, int] = {}
        self.shut = False
        self.added = 0
        self._number = 0

    def add(self, key: str) -> None:
        if self.shut or key in self.dirty:
            return
        self.dirty.add(key)
        self.added += 1
        if key not in self.processing:
            self.line.append(key)

    def add_after(self, key: str, seconds: float) -> None:
        if self.shut:
            return
        if seconds <= 0:
            self.add(key)
            return
        due = self.now + seconds
        waiting = [entry for entry in self.delayed if entry[2] == key]
        if waiting and waiting[0][0] <= due:
            return
        self._number += 1
        self.delayed = [entry for entry in self.delayed if entry[2] != key] + [(due, self._number, key)]

    def add_rate_limited(self, key: str, at_least: float) -> None:
        self.failures[key] = self.failures.get(key, 0) + 1
        self.add_after(key, max(at_least, min(0.005 * 2.0 ** (self.failures[key] - 1), 30.0)))

    def take(self) -> str:
        key = self.line.pop(0)
        self.dirty.discard(key)
        self.processing.add(key)
        return key

    def done(self, key: str) -> None:
        self.processing.discard(key)
        if key in self.dirty:
            self.line.append(key)

    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        for entry in sorted(self.delayed):
            if entry[0] <= self.now:
                self.delayed.remove(entry)
                self.add(entry[2])

    def shut_down(self) -> None:
        self.shut = True
        self.delayed.clear()


class Watcher:
    """Counts the calls for metrics."""

    def __init__(self) -> None:
        self.counts = {"added": 0, "taken": 0, "finished": 0, "retried": 0}

    def added(self) -> None:
        self.counts["added"] += 1

    def taken(self, waited: float) -> None:
        assert waited >= 0
        self.counts["taken"] += 1

    def finished(self, worked: float) -> None:
        assert worked >= 0
        self.counts["finished"] += 1

    def retried(self) -> None:
        self.counts["retried"] += 1


class Machine(RuleBasedStateMachine):
    """Makes the same calls on both."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = VirtualLoop(simpy.Environment())
        self.watcher = Watcher()
        self.queue, self.model = WorkQueue(self.watcher), Model()
        self.idle: list[asyncio.Task[str | None]] = []

    def teardown(self) -> None:
        for worker in self.idle:
            worker.cancel()
        self.loop.run_until_complete(asyncio.gather(*self.idle, return_exceptions=True)) if self.idle else None
        self.loop.close()

    def ask(self, act: Callable[[], Any]) -> Any:
        async def main() -> Any:
            answer = act()
            for _ in range(4):
                await asyncio.sleep(0)  # let the woken waiter run
            return answer

        answer = self.loop.run_until_complete(main())
        self.serve_the_idle()
        return answer

    def serve_the_idle(self) -> None:
        """Waiting workers get keys in the order in which they asked."""
        while self.idle and (self.model.line or self.model.shut):
            worker = self.idle.pop(0)
            assert worker.done(), "a key is in line and a worker that waits for one has not got it"
            assert worker.result() == (self.model.take() if self.model.line else None)
        assert not any(worker.done() for worker in self.idle)

    @rule(key=keys)
    def add(self, key: str) -> None:
        self.model.add(key)
        self.ask(lambda: self.queue.add(key))

    @rule(key=keys, seconds=seconds)
    def add_after(self, key: str, seconds: float) -> None:
        self.model.add_after(key, seconds)
        self.ask(lambda: self.queue.add_after(key, seconds))

    @rule(key=keys, at_least=st.sampled_from([0.0, 0.0, 7.0]))
    def add_rate_limited(self, key: str, at_least: float) -> None:
        self.model.add_rate_limited(key, at_least)
        self.ask(lambda: self.queue.add_rate_limited(key, at_least))

    @rule(key=keys)
    def forget(self, key: str) -> None:
        self.model.failures.pop(key, None)
        self.ask(lambda: self.queue.forget(key))

    @precondition(lambda self: len(self.idle) < 3)
    @rule()
    def a_worker_comes(self) -> None:
        self.idle.append(self.loop.create_task(self.queue.get()))
        self.ask(lambda: None)

    @precondition(lambda self: self.idle)
    @rule(which=st.integers(0, 2))
    def a_worker_that_waits_is_cancelled(self, which: int) -> None:
        worker = self.idle.pop(which % len(self.idle))
        self.ask(worker.cancel)
        assert worker.cancelled()

    @precondition(lambda self: self.idle)
    @rule(key=keys)
    def a_worker_is_cancelled_as_a_key_comes(self, key: str) -> None:
        worker = self.idle.pop(0)
        self.model.add(key)

        def both() -> None:
            self.queue.add(key)
            worker.cancel()

        self.ask(both)
        assert worker.cancelled()

    @precondition(lambda self: self.model.processing)
    @rule(which=st.integers(0, 3))
    def done(self, which: int) -> None:
        key = sorted(self.model.processing)[which % len(self.model.processing)]
        self.model.done(key)
        self.ask(lambda: self.queue.done(key))

    @rule(seconds=st.sampled_from([0.001, 0.5, 3.0, 30.0]))
    def time_passes(self, seconds: float) -> None:
        self.model.pass_time(seconds)
        self.loop.run_until_complete(asyncio.sleep(seconds))
        self.ask(lambda: None)

    @precondition(lambda self: not self.model.shut and len(self.model.failures) > 2)
    @rule()
    def shut_down(self) -> None:
        self.model.shut_down()
        self.ask(self.queue.shut_down)

    @invariant()
    def both_have_the_same_in_line(self) -> None:
        assert len(self.queue) == len(self.model.line)
        assert self.queue.active == len(self.model.processing)
        counts = self.watcher.counts
        assert counts["added"] == self.model.added == counts["taken"] + len(self.model.dirty)
        assert counts["taken"] - counts["finished"] == self.queue.active
        assert {key: n for key in "abcd" if (n := self.queue.failures(key))} == self.model.failures


Machine.TestCase.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)
TestTheQueueAndItsModel = Machine.TestCase
