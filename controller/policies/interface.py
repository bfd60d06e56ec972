"""What a policy is given, and what it has to be.

Everything is in the view, chance too (`seed`): so equal views give equal choices, a simulation can be repeated, and
a choice can be explained afterwards from what was seen.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import ClassVar, Protocol


@dataclass(frozen=True, slots=True)
class EngineLoad:
    """What an engine's metrics said when they were read last. None: they did not say, or not yet."""

    latency: float | None = None
    """Seconds that requests which ended between the last two readings had been queued and worked on, on average."""
    throughput: float | None = None
    """Tokens a second between the last two readings, those of prompts counted twice."""
    requests: float | None = None
    """Running and waiting."""
    adapters: int = 0
    """How many adapters the pod held at that time; those that came later have had no effect on these figures."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A pod that could take the adapter, or (in `View.placed`) has it."""

    name: str
    adapters: int
    """Held or on their way, other adapters' only."""
    max_loras: int
    """How many the engine runs in one batch (`--max-loras`)."""
    max_cpu_loras: int
    """How many it keeps in memory (`--max-cpu-loras`)."""
    node: str = ""
    zone: str = ""
    load: EngineLoad | None = None
    """Only for policies that say `needs_metrics`."""
    expected_requests: float = 0.0
    """In flight at a time for the adapters that it holds, as metrics have shown; likewise."""

    @property
    def full(self) -> bool:
        """Whether one more adapter would push another out of the engine's memory."""
        return self.adapters >= self.max_cpu_loras


@dataclass(frozen=True, slots=True)
class View:
    """One choice to be made."""

    adapter: str
    """`namespace/name`."""
    count: int
    """How many pods are wanted, at least 1."""
    candidates: tuple[Candidate, ...]
    """In order of name, none of them in `placed`."""
    placed: tuple[Candidate, ...] = ()
    """Pods that have the adapter and keep it."""
    seed: int = 0
    """For chance: drawn anew for each choice."""

    def chance(self) -> Random:
        """A generator of this choice's own."""
        return Random(self.seed)


class Policy(Protocol):
    """Chooses pods. What the docstring says is what `twin policies` prints."""

    name: ClassVar[str]
    """As in `schedulerName`."""
    needs_metrics: ClassVar[bool]
    """Whether engines' `/metrics` are read for it; may be left out."""

    def choose(self, view: View) -> Sequence[str]:
        """At most `view.count` names out of `view.candidates`, best first; fewer if fewer will do.

        Has to be a pure function: the same view, the same answer, and nothing remembered.
        """
        ...
