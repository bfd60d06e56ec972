"""Values that an engine gets from outside: random streams, and the container that it runs in."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fake_vllm.engine.lora import AdapterEvent, Artifact

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, slots=True)
class Randomness:
    """Random streams of one engine.

    Attributes:
        latencies: generator for loads and unloads.
        seed: seed of generated texts, which also depend on adapter and prompt.
        generation: generator for generating, separate so that traffic does not shift loads; None: made from the seed.
    """

    latencies: "np.random.Generator"
    seed: int = 0
    generation: "np.random.Generator | None" = None

    def for_generation(self) -> "np.random.Generator":
        """Return the generator for generating."""
        if self.generation is not None:
            return self.generation
        from numpy.random import default_rng  # slow to import

        return default_rng(self.seed)


@dataclass(frozen=True, slots=True)
class EngineContext:
    """The container of one engine.

    Attributes:
        find_artifact: returns the artifact at a path, None if it does not exist; by default every path has a valid one.
        fetch: returns additional seconds until the artifact of a path is on the pod.
        on_change: called for each adapter that was loaded or unloaded, until the engine is closed.
        on_death: called with the reason when the engine core has ended; the server ends soon after it.
        created: time of the start, in seconds since 1970.
        epoch: seconds since 1970 at the event loop's time 0.
        process_page: returns the metrics of the server's process; a process of its own has real ones.
    """

    find_artifact: Callable[[str], Artifact | None] | None = None
    fetch: Callable[[str], float] | None = None
    on_change: Callable[[AdapterEvent], None] | None = None
    on_death: Callable[[str], None] | None = None
    created: int = 0
    epoch: float = 0.0
    process_page: Callable[[], str] = str


DEFAULT_CONTEXT = EngineContext()
