"""The network link from clients to one host: open, unless a fault partitions it or adds latency.

A message on a partitioned link waits, like packets that are retransmitted: it arrives when the link is repaired, if its
sender still waits.
"""

import asyncio
from collections.abc import Callable, Sequence

import numpy as np

from fake_vllm.distributions import Latency

Undo = Callable[[], object]


class Link:
    """The link to one host; clients are distinguished by kind, as in faults of engines (`controller`, `traffic`)."""

    def __init__(self) -> None:
        self._partitions: dict[int, tuple[str, ...]] = {}
        self._delays: dict[int, tuple[tuple[str, ...], Latency, np.random.Generator]] = {}
        self._waiting: list[asyncio.Future[None]] = []
        self._number = 0

    def partition(self, callers: Sequence[str]) -> Undo:
        """Block all messages of these clients until the returned function is called."""
        number = self._next()
        self._partitions[number] = tuple(callers)

        def repair() -> None:
            self._partitions.pop(number, None)
            waiting, self._waiting = self._waiting, []
            for future in waiting:
                if not future.done():
                    future.set_result(None)

        return repair

    def delay(self, callers: Sequence[str], extra: Latency, rng: np.random.Generator) -> Undo:
        """Add latency to requests of these clients until the returned function is called."""
        number = self._next()
        self._delays[number] = (tuple(callers), extra, rng)
        return lambda: self._delays.pop(number, None)

    @property
    def is_clear(self) -> bool:
        """True if the link has no fault at all."""
        return not self._partitions and not self._delays

    def is_open(self, caller: str) -> bool:
        """Return True if a message of this client gets through now."""
        return not any(caller in callers for callers in self._partitions.values())

    def added_latency(self, caller: str) -> float:
        """Return the seconds that faults add to a request of this client and its response."""
        return sum(latency.draw(rng) for callers, latency, rng in self._delays.values() if caller in callers)

    async def wait_open(self, caller: str) -> None:
        """Wait until the link is open to this client."""
        while not self.is_open(caller):
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(future)
            await future

    def _next(self) -> int:
        self._number += 1
        return self._number
