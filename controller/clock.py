"""Wall time, as something that is handed in.

The controller never asks the machine for the time: timestamps on objects, stability of pods and
backoffs across restarts are all decided on `Clock.now()`, so that the twin can put simulated time (or
a skewed clock) behind it. Waiting is asyncio's business and needs no clock.
"""

from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Tells the time of day."""

    def now(self) -> datetime:
        """The current time, aware and in UTC."""
        ...


class SystemClock:
    """The machine's clock, for a live cluster."""

    def now(self) -> datetime:
        return datetime.now(UTC)  # noqa: TID251 - the one place that reads it
