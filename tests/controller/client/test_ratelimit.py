"""Rate limit of requests to the API server, in virtual time."""

import asyncio

import simpy

from controller.client.ratelimit import RateLimit, rate_limits
from twin.kernel.loop import run


def times(per_second: float, burst: int, requests: int) -> list[float]:
    """Return the times at which requests that are made at once may be sent."""
    sent: list[float] = []

    async def ask(limit: RateLimit) -> None:
        await limit.wait()
        sent.append(round(asyncio.get_running_loop().time(), 3))

    async def story() -> None:
        limit = RateLimit(per_second, burst)
        await asyncio.gather(*(ask(limit) for _ in range(requests)))

    run(story(), simpy.Environment())
    return sent


def test_a_burst_passes_and_then_the_rate_applies() -> None:
    assert times(10, 3, 6) == [0, 0, 0, 0.1, 0.2, 0.3]


def test_zero_per_second_means_no_limit() -> None:
    assert times(0, 1, 100) == [0] * 100


def test_tokens_come_back_up_to_a_burst() -> None:
    async def story() -> float:
        limit = RateLimit(10, 3)
        for _ in range(3):
            await limit.wait()
        await asyncio.sleep(60)
        start = asyncio.get_running_loop().time()
        for _ in range(4):
            await limit.wait()
        return asyncio.get_running_loop().time() - start

    assert round(run(story(), simpy.Environment()), 3) == 0.1


def test_a_burst_delays_neither_the_lease_nor_events() -> None:
    async def main() -> list[float]:
        limits, loop = rate_limits(1, 1), asyncio.get_running_loop()
        waits = []
        burst = [asyncio.ensure_future(limits.of("model.aibrix.ai").wait()) for _ in range(20)]
        for group in ("coordination.k8s.io", "events.k8s.io"):
            started = loop.time()
            await limits.of(group).wait()
            waits.append(loop.time() - started)
        await asyncio.gather(*burst)
        return [*waits, loop.time()]

    lease, event, all_done = run(main(), simpy.Environment())
    assert (lease, event) == (0.0, 0.0)
    assert all_done == 19
