"""Times of a fault: when it is active, and when an instantaneous one occurs.

Times are seconds of the caller's clock. The twin waits for them in virtual time (`twin/faults`), a fake engine with
asyncio's timers (`server/fault_injector.py`), so the same fields mean the same times in both.
"""

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from fake_vllm.distributions import Latency

if TYPE_CHECKING:
    import numpy as np


class Window(NamedTuple):
    """Period in which a fault is active."""

    start: float
    end: float = math.inf
    """Infinite for a fault that does not end."""


def window(start: float, until: float | None, horizon: float = math.inf) -> Window:
    """Return the period from `start` to `until`; it has no end if `until` is after the horizon."""
    return Window(start, until if until is not None and until <= horizon else math.inf)


def flap_windows(whole: Window, *, unready_for: float, ready_for: float) -> Iterator[Window]:
    """Yield the unready windows within `whole`; it starts with an unready window."""
    start = whole.start
    while start < whole.end:
        end = min(start + unready_for, whole.end)
        yield Window(start, end)
        start = end + ready_for


def occurrences(whole: Window, every: Latency, rng: "np.random.Generator") -> Iterator[float]:
    """Yield times within `whole`, each `every` after the one before, the first `every` after the start.

    `every` must not always be 0.
    """
    timestamp = whole.start + every.draw(rng)
    while timestamp <= whole.end:
        yield timestamp
        timestamp += every.draw(rng)
