"""The way from callers to one host: open, unless a fault has cut it or made it long.

What meets a cut waits, as packets that are sent again: it gets through when the way is mended, if whoever sent it is
still there.
"""

import asyncio
from collections.abc import Callable, Sequence

import numpy as np

from fake_vllm.distributions import Latency

Undo = Callable[[], object]


class Link:
    """Of one host; callers are told apart as by faults of engines (`controller`, `traffic`)."""

    def __init__(self) -> None:
        self._cuts: dict[int, tuple[str, ...]] = {}
        self._delays: dict[int, tuple[tuple[str, ...], Latency, np.random.Generator]] = {}
        self._waiting: list[asyncio.Future[None]] = []
        self._number = 0

    def partition(self, hits: Sequence[str]) -> Undo:
        """Nothing of these callers gets through until what is returned is called."""
        number = self._next()
        self._cuts[number] = tuple(hits)

        def mend() -> None:
            self._cuts.pop(number, None)
            waiting, self._waiting = self._waiting, []
            for future in waiting:
                if not future.done():
                    future.set_result(None)

        return mend

    def delay(self, hits: Sequence[str], extra: Latency, rng: np.random.Generator) -> Undo:
        """Requests of these callers take longer until what is returned is called."""
        number = self._next()
        self._delays[number] = (tuple(hits), extra, rng)
        return lambda: self._delays.pop(number, None)

    @property
    def is_clear(self) -> bool:
        """Whether it is open and no longer than usual, to everybody."""
        return not self._cuts and not self._delays

    def is_open(self, caller: str) -> bool:
        """Whether something of this caller gets through now."""
        return not any(caller in hits for hits in self._cuts.values())

    def added_latency(self, caller: str) -> float:
        """Seconds that a request of this caller and its answer take on top."""
        return sum(latency.draw(rng) for hits, latency, rng in self._delays.values() if caller in hits)

    async def wait_open(self, caller: str) -> None:
        """Waits until the way is open to this caller."""
        while not self.is_open(caller):
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(future)
            await future

    def _next(self) -> int:
        self._number += 1
        return self._number
