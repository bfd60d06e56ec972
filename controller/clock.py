"""Wall-clock time as an injected dependency.

The controller reads timestamps only from `Clock.now()`, so that the twin can supply simulated time or a skewed clock.
Waiting is done by asyncio and needs no clock.
"""

from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Source of wall-clock time."""

    def now(self) -> datetime:
        """Return the current time, aware and in UTC."""
        ...


class SystemClock:
    """Clock of the machine, for a live cluster."""

    def now(self) -> datetime:
        return datetime.now(UTC)  # noqa: TID251 - the one place that reads it
