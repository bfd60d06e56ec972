"""Rate limit of requests to the API server: a token bucket, as in client-go.

A request takes a token; tokens return at a steady rate up to the size of the bucket. The server limits clients as well
(API priority and fairness, status 429).
"""

import asyncio


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
