"""When a fault is in force and when it strikes: one account of it, for a scenario and for a fake engine by itself.

Pure: times are seconds of whatever clock the caller has. The twin waits for them in virtual time (`twin/faults`), a
fake engine by asyncio's timers (`timetable.py`), so that the same words mean the same times in both.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from fake_vllm.distributions import Latency


class Window(NamedTuple):
    """One time in force."""

    start: float
    end: float = math.inf
    """Infinite if it stays."""


def window(start: float, until: float | None, horizon: float = math.inf) -> Window:
    """From a time until another; what would end after the horizon stays."""
    return Window(start, until if until is not None and until <= horizon else math.inf)


def flap_windows(whole: Window, *, unready_for: float, ready_for: float) -> Iterator[Window]:
    """Yield the unready windows within `whole`; it starts with an unready window."""
    start = whole.start
    while start < whole.end:
        end = min(start + unready_for, whole.end)
        yield Window(start, end)
        start = end + ready_for


def occurrences(whole: Window, every: Latency, rng: np.random.Generator) -> Iterator[float]:
    """Moments with so much in between, the first as long after the start; `every` must not always be nothing."""
    moment = whole.start + every.draw(rng)
    while moment <= whole.end:
        yield moment
        moment += every.draw(rng)
