"""How fast the operator may ask an API server: a token bucket, as client-go has it.

A request takes a token; tokens come back at a steady rate up to the bucket's size, so that a burst passes and a storm
does not. The server protects itself too (priority and fairness answers 429); this protects it from us before it has to.
"""

import asyncio


class RateLimit:
    """At most `burst` requests at once and `per_second` in the long run; 0 a second means without limit."""

    def __init__(self, per_second: float, burst: int) -> None:
        self._per_second = per_second
        self._burst = float(max(burst, 1))
        self._tokens = self._burst
        self._counted_at: float | None = None

    async def wait(self) -> None:
        """Returns when the next request may be sent; first come, first served."""
        if self._per_second <= 0:
            return
        now = asyncio.get_running_loop().time()
        if self._counted_at is not None:
            self._tokens = min(self._burst, self._tokens + (now - self._counted_at) * self._per_second)
        self._counted_at = now
        self._tokens -= 1  # below zero: somebody has to wait for it, who comes later waits longer
        if self._tokens < 0:
            await asyncio.sleep(-self._tokens / self._per_second)
