"""Calls that run once for all their callers, and what closing waits for."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from controller.sidecar.artifacts.singleflight import Cancelled, SingleFlight


class Work:
    """Work without an end that, when it is cancelled, closes what it has opened; both in steps."""

    def __init__(self) -> None:
        self.started = asyncio.Event()
        self.closed = False

    async def __call__(self) -> None:
        try:
            self.started.set()
            await asyncio.Event().wait()
        finally:
            for _ in range(5):
                await asyncio.sleep(0)
            self.closed = True


async def abandoned(calls: SingleFlight[None], work: Work) -> None:
    """Give up the only call."""
    caller = asyncio.create_task(calls.do("key", work))
    await work.started.wait()
    caller.cancel()
    await asyncio.gather(caller, return_exceptions=True)


async def superseded(calls: SingleFlight[None], work: Work) -> None:
    """Cancel the call while another caller waits for it."""
    caller = asyncio.create_task(calls.do("key", work))
    await work.started.wait()
    calls.cancel(lambda key: key == "key")
    with pytest.raises(Cancelled):
        await caller


@pytest.mark.parametrize(("keep", "before"), [(False, abandoned), (True, abandoned), (True, superseded)])
def test_closing_waits_until_each_call_has_closed_what_it_opened(
    keep: bool, before: Callable[[SingleFlight[None], Work], Awaitable[None]]
) -> None:
    async def story() -> None:
        calls: SingleFlight[None] = SingleFlight(keep=keep)
        work = Work()
        await before(calls, work)
        await calls.close()
        assert work.closed

    asyncio.run(story())
