"""Injects faults at their times, with asyncio's timers.

`faults/windows.py` says when a fault is in force, and `faults/effects.py` which requests it hits: the same code as in
the simulation. A restart or a crash is carried out by the process itself.
"""

import asyncio
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from fake_vllm.faults.effects import FaultRules
from fake_vllm.faults.rules import FaultRule
from fake_vllm.faults.spec import CORE_CRASH, FLAP, INSTANT, RESTART, FaultSpec
from fake_vllm.faults.windows import flap_windows, occurrences, window

_UNREADY = FaultRule("http-error", callers=("probes",), status=503, message="readiness-flap")


class Process(Protocol):
    """The process that runs the engine."""

    def restart(self) -> None:
        """Restart the engine in place."""

    def crash(self, code: int, signal: int | None) -> None:
        """End the process."""

    def crash_core(self) -> None:
        """End the engine core, and with it the process."""


@dataclass(slots=True)
class _InjectedFault:
    """One fault, until it is over or removed."""

    spec: FaultSpec
    steps: Iterator["Step"]
    requested_at: float
    """Time of the event loop."""
    timer: asyncio.TimerHandle | None = None
    """Time of the next step."""
    rule: int | None = None
    """Handle of its rule while that is in force."""


Step = tuple[float, Callable[[_InjectedFault], None]]
"""Seconds after the fault was requested, and what happens then."""


class FaultInjector:
    """Faults of one process, until they are over or removed."""

    def __init__(self, rules: FaultRules, process: Process, seed: int) -> None:
        self._rules = rules
        self._process = process
        self._seed = seed
        self._next = 1
        self._injected: dict[int, _InjectedFault] = {}

    @property
    def faults(self) -> Mapping[int, tuple[FaultSpec, bool]]:
        """Faults that are not over, by id, and whether each is in force."""
        return {number: (fault.spec, fault.rule is not None) for number, fault in self._injected.items()}

    def add(self, spec: FaultSpec) -> int:
        """Schedule a fault; return its id."""
        number = self._next
        self._next += 1
        rng = np.random.default_rng(
            (self._seed, 3, number)
        )  # one for each fault, so that others do not shift its times
        fault = _InjectedFault(spec, self._steps(spec, rng), asyncio.get_running_loop().time())
        self._injected[number] = fault
        self._schedule_next(number)
        return number

    def remove(self, number: int) -> None:
        """Remove a fault, in force or not.

        Raises:
            KeyError: if there is no such fault any more.
        """
        fault = self._injected.pop(number)
        if fault.timer is not None:
            fault.timer.cancel()
        self._stop(fault)

    def clear(self) -> None:
        """Remove all faults."""
        for number in list(self._injected):
            self.remove(number)

    def _steps(self, spec: FaultSpec, rng: np.random.Generator) -> Iterator[Step]:
        whole = window(spec.start, spec.until)
        if spec.kind in INSTANT:
            times = iter((spec.start,)) if spec.every is None else occurrences(whole, spec.every, rng)
            yield from ((time, self._strike) for time in times)
            return
        flaps = spec.kind == FLAP.name
        unready = flap_windows(whole, unready_for=spec.unready_for, ready_for=spec.ready_for)
        for part in unready if flaps else (whole,):
            yield part.start, self._start
            yield part.end, self._stop

    def _schedule_next(self, number: int) -> None:
        """Set the timer for the fault's next step; without one it is over."""
        fault = self._injected[number]
        step = next(fault.steps, None)
        if step is None:
            del self._injected[number]
            return
        time, action = step
        if time < math.inf:
            loop = asyncio.get_running_loop()
            fault.timer = loop.call_at(fault.requested_at + time, self._on_step, number, action)

    def _on_step(self, number: int, action: Callable[[_InjectedFault], None]) -> None:
        action(self._injected[number])
        self._schedule_next(number)

    def _start(self, fault: _InjectedFault) -> None:
        fault.rule = self._rules.add(fault.spec.rule or _UNREADY)

    def _stop(self, fault: _InjectedFault) -> None:
        if fault.rule is not None:
            self._rules.remove(fault.rule)
            fault.rule = None

    def _strike(self, fault: _InjectedFault) -> None:
        match fault.spec.kind:
            case RESTART.name:
                self._process.restart()
            case CORE_CRASH.name:
                self._process.crash_core()
            case _:
                self._process.crash(fault.spec.code, fault.spec.signal)
