"""The levels of a load test, and the order in which they run."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from twin.calibration.load_test.records import Level

_FEWEST_REQUESTS = 4
_ROUNDS = 2
"""Requests of each client in one run of a level with several clients."""


@dataclass(frozen=True, slots=True)
class Grid:
    """Values whose combinations are the levels. Lengths in tokens."""

    concurrency: tuple[int, ...] = (1, 2, 4, 8)
    prompt_tokens: tuple[int, ...] = (64, 384)
    output_tokens: tuple[int, ...] = (32,)
    adapters: tuple[int, ...] = (0,)
    """Numbers of adapters, with 0 for the base model."""

    def levels(self) -> list[Level]:
        """Return all combinations, except for those with more adapters than clients."""
        combinations = product(self.concurrency, self.prompt_tokens, self.output_tokens, self.adapters)
        return [
            Level(clients, prompt, output, adapters, max(_ROUNDS * clients, _FEWEST_REQUESTS // clients * clients))
            for clients, prompt, output, adapters in combinations
            if adapters <= clients
        ]


def shuffled(levels: Sequence[Level], seed: int, repetition: int) -> Iterator[Level]:
    """Yield the levels in the order of one repetition, so that slow drifts of the machine fall on all of them."""
    order = np.random.default_rng((seed, repetition)).permutation(len(levels))
    return (levels[index] for index in order)


def prompt_ids(rng: np.random.Generator, length: int) -> list[int]:
    """Return a random prompt, as ids of ordinary tokens; no two prompts share a block of a prefix cache."""
    return [int(token) for token in rng.integers(256, 512, length)]
