"""Rate limit of requests to the API server: a token bucket, as in client-go.

A request takes a token; tokens return at a steady rate up to the size of the bucket. Leases and Events have buckets of
their own, so that a burst of other requests cannot delay the renewal of the lease. There is no limit by default (as in
controller-runtime since 2025): the server limits clients itself (API priority and fairness, status 429).
"""

import asyncio
from dataclasses import dataclass

from controller.api.types import EVENTS, LEASES


class RateLimit:
    """Limits requests to `per_second` on average, in bursts of up to `burst`; 0 per second disables the limit."""

    def __init__(self, per_second: float, burst: int) -> None:
        self._per_second = per_second
        self._burst = float(max(burst, 1))
        self._tokens = self._burst
        self._updated_at: float | None = None

    async def wait(self) -> None:
        """Wait until the next request may be sent, in the order of the calls."""
        if self._per_second <= 0:
            return
        now = asyncio.get_running_loop().time()
        if self._updated_at is not None:
            self._tokens = min(self._burst, self._tokens + (now - self._updated_at) * self._per_second)
        self._updated_at = now
        self._tokens -= 1  # may be negative: later callers wait longer
        if self._tokens < 0:
            await asyncio.sleep(-self._tokens / self._per_second)


@dataclass(frozen=True, slots=True)
class RateLimits:
    """Limits by API group."""

    leases: RateLimit
    events: RateLimit
    others: RateLimit

    def of(self, group: str) -> RateLimit:
        """Return the limit of requests to an API group (empty for the core group)."""
        if group == LEASES.group:
            return self.leases
        return self.events if group == EVENTS.group else self.others


def rate_limits(per_second: float = 0.0, burst: int = 1) -> RateLimits:
    """Return equal limits for each bucket; 0 per second disables them."""
    return RateLimits(RateLimit(per_second, burst), RateLimit(per_second, burst), RateLimit(per_second, burst))
