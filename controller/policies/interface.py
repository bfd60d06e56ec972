"""Interface of placement policies.

The view contains everything, also the seed of random choices. So equal views give equal choices, a simulation can be
repeated, and a choice can be explained from its view.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import ClassVar, Protocol


@dataclass(frozen=True, slots=True)
class EngineLoad:
    """Last sample of an engine's metrics. None: not exposed, or not sampled yet."""

    latency: float | None = None
    """Average seconds in the queue and in execution, of requests that ended between the last two samples."""
    throughput: float | None = None
    """Tokens per second between the last two samples, prompt tokens counted twice."""
    requests: float | None = None
    """Running and waiting requests."""
    adapters: int = 0
    """Number of adapters on the pod at that time; later ones have no effect on these values."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A pod that can take the adapter, or (in `View.placed`) has it."""

    name: str
    adapters: int
    """Number of other adapters on the pod, including announced ones."""
    max_loras: int
    """Adapters that the engine runs in one batch (`--max-loras`)."""
    max_cpu_loras: int
    """Adapters that the engine keeps in memory (`--max-cpu-loras`)."""
    node: str = ""
    zone: str = ""
    load: EngineLoad | None = None
    """Set only for policies with `needs_metrics`."""
    expected_requests: float = 0.0
    """Expected requests in flight for its adapters, from metrics; set only for policies with `needs_metrics`."""
    max_lora_rank: int = 0
    """Largest rank that the engine takes (`--max-lora-rank`); 0 if unknown."""
    bytes: int = 0
    """Bytes of those adapters, as far as they are known; set only for policies with `needs_sizes`."""
    max_bytes: int = 0
    """Bytes that adapters may take together (label `adapter.model.aibrix.ai/memory`), 0 if there is no such limit; set
    only for policies with `needs_sizes`."""

    @property
    def full(self) -> bool:
        """True if one more adapter would evict another from the engine's memory."""
        return self.adapters >= self.max_cpu_loras

    def has_memory_for(self, size: int) -> bool:
        """Return whether an adapter of this size keeps the pod within its limit, as far as sizes are known."""
        return not self.max_bytes or self.bytes + size <= self.max_bytes


@dataclass(frozen=True, slots=True)
class View:
    """Input of one choice."""

    adapter: str
    """`namespace/name`."""
    count: int
    """Number of pods to choose, at least 1."""
    candidates: tuple[Candidate, ...]
    """In order of name, without those in `placed`."""
    placed: tuple[Candidate, ...] = ()
    """Pods that have the adapter and keep it."""
    seed: int = 0
    """Seed of random choices, different for each choice."""
    rank: int = 0
    """Rank of the adapter; 0 if unknown."""
    size: int = 0
    """Bytes of its weights; 0 if unknown."""

    def random(self) -> Random:
        """Return a generator for this choice."""
        return Random(self.seed)


class Policy(Protocol):
    """A placement policy. `twin policies` prints its docstring.

    A class with `needs_sizes = True` is shown the bytes of adapters and pods as well.
    """

    name: ClassVar[str]
    """Value of `schedulerName`."""
    needs_metrics: ClassVar[bool]
    """True if it needs engines' `/metrics`; optional."""
    balances: ClassVar[bool]
    """True if rebalancing may move what it has placed, since it only evens numbers or load out; optional."""

    def choose(self, view: View) -> Sequence[str]:
        """Return at most `view.count` names out of `view.candidates`, best first.

        It has to be a pure function: equal views give equal choices, and no state is kept.
        """
        ...
