"""Named random streams.

Every draw comes from a stream that is named after what draws (`pod/default/qwen-0/load-latency`). A stream depends
on the seed and its name alone, neither on who else draws nor on the order of creation. So two runs that differ in
policy meet the same arrivals, latencies and faults (common random numbers), and may be compared pair by pair.
"""

from hashlib import sha256
from random import Random

import numpy as np


class Streams:
    """The streams of one run."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._streams: dict[str, np.random.Generator] = {}

    def get(self, name: str) -> np.random.Generator:
        """The stream of that name: always the same object, which goes on where it stopped."""
        stream = self._streams.get(name)
        if stream is None:
            stream = np.random.Generator(np.random.PCG64(self._entropy(name)))
            self._streams[name] = stream
        return stream

    def python(self, name: str) -> Random:
        """A `random.Random` seeded from the stream's name, for code that knows no numpy."""
        return Random(self._entropy(name))

    def _entropy(self, name: str) -> int:
        return int.from_bytes(sha256(f"{self._seed}/{name}".encode()).digest()[:16], "big")
