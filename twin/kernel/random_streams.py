"""Named random streams.

Every draw comes from a stream that is named after its purpose (`pod/default/qwen-0/load-latency`). A stream depends
only on the seed and its name, not on other streams or the order of creation. Two runs that differ in policy therefore
see the same arrivals, latencies and faults (common random numbers) and can be compared in pairs.
"""

from hashlib import sha256
from random import Random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


class Streams:
    """The random streams of one run."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._streams: dict[str, np.random.Generator] = {}

    def get(self, name: str) -> "np.random.Generator":
        """Return the stream of that name: the same object each time, whose draws continue where they stopped."""
        stream = self._streams.get(name)
        if stream is None:
            from numpy.random import PCG64, Generator  # slow to import: `twin check` draws nothing

            stream = self._streams[name] = Generator(PCG64(self._entropy(name)))
        return stream

    def python(self, name: str) -> Random:
        """Return a `random.Random` seeded by the name, for code that does not use numpy."""
        return Random(self._entropy(name))

    def _entropy(self, name: str) -> int:
        return int.from_bytes(sha256(f"{self._seed}/{name}".encode()).digest()[:16], "big")
