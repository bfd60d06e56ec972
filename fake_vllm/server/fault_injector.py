"""Faults carried out in asyncio time.

When one is in force is `schedule.py`'s business, whom it hits and with which chance that of `faults.py`, for the twin
as for here; what is done to the process itself (a restart, a crash) is handed to whoever runs it.
"""

import asyncio
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from fake_vllm.faults.rules import FaultRule, FaultRules
from fake_vllm.faults.spec import FLAP, RESTART, STRIKING, FaultSpec
from fake_vllm.faults.windows import flap_windows, occurrences, window

_UNREADY = FaultRule("http-error", callers=("probes",), status=503, message="readiness-flap")


class Process(Protocol):
    """What runs the engine, and can be told to stop doing so."""

    def restart(self) -> None:
        """Restart the engine in place."""

    def crash(self, code: int, signal: int | None) -> None:
        """End the process."""


@dataclass(slots=True)
class _UnderWay:
    """One fault that was asked for."""

    planned: FaultSpec
    steps: Iterator["Step"]
    asked: float
    """The loop's time when it was."""
    timer: asyncio.TimerHandle | None = None
    """For the next step."""
    rule: int | None = None
    """What is in force of it."""


Step = tuple[float, Callable[[_UnderWay], None]]
"""What is done, so many seconds after the fault was asked for."""


class FaultInjector:
    """Faults that were asked for, until they are over or taken back."""

    def __init__(self, faults: FaultRules, process: Process, seed: int) -> None:
        self._faults = faults
        self._process = process
        self._seed = seed
        self._next = 1
        self._under_way: dict[int, _UnderWay] = {}

    @property
    def planned(self) -> Mapping[int, tuple[FaultSpec, bool]]:
        """What was asked for and is not over, by number, and whether it is in force."""
        return {number: (each.planned, each.rule is not None) for number, each in self._under_way.items()}

    def add(self, planned: FaultSpec) -> int:
        """Let a fault happen when its time has come; returns its number."""
        number = self._next
        self._next += 1
        rng = np.random.default_rng((self._seed, 3, number))  # of its own, so that no other shifts its times
        self._under_way[number] = _UnderWay(planned, self._steps(planned, rng), asyncio.get_running_loop().time())
        self._wait(number)
        return number

    def remove(self, number: int) -> None:
        """Take a fault back, in force or not.

        Raises:
            KeyError: if there is none of that number any more.
        """
        gone = self._under_way.pop(number)
        if gone.timer is not None:
            gone.timer.cancel()
        self._end(gone)

    def clear(self) -> None:
        """Take all faults back."""
        for number in list(self._under_way):
            self.remove(number)

    def _steps(self, planned: FaultSpec, rng: np.random.Generator) -> Iterator[Step]:
        whole = window(planned.start, planned.until)
        if planned.kind in STRIKING:
            moments = iter((planned.start,)) if planned.every is None else occurrences(whole, planned.every, rng)
            yield from ((moment, self._strike) for moment in moments)
            return
        flaps = planned.kind == FLAP.name
        for turn in (
            flap_windows(whole, unready_for=planned.unready_for, ready_for=planned.ready_for) if flaps else (whole,)
        ):
            yield turn.start, self._begin
            yield turn.end, self._end

    def _wait(self, number: int) -> None:
        """For the fault's next step; it is over when there is none."""
        under_way = self._under_way[number]
        step = next(under_way.steps, None)
        if step is None:
            del self._under_way[number]
            return
        moment, do = step
        if moment < math.inf:
            loop = asyncio.get_running_loop()
            under_way.timer = loop.call_at(under_way.asked + moment, self._go_on, number, do)

    def _go_on(self, number: int, do: Callable[[_UnderWay], None]) -> None:
        do(self._under_way[number])
        self._wait(number)

    def _begin(self, under_way: _UnderWay) -> None:
        under_way.rule = self._faults.add(under_way.planned.rule or _UNREADY)

    def _end(self, under_way: _UnderWay) -> None:
        if under_way.rule is not None:
            self._faults.remove(under_way.rule)
            under_way.rule = None

    def _strike(self, under_way: _UnderWay) -> None:
        planned = under_way.planned
        if planned.kind == RESTART.name:
            self._process.restart()
        else:
            self._process.crash(planned.code, planned.signal)
