"""Where to place an adapter: one small class a policy, and one registry of them.

A policy sees candidates only: pods that match, are ready and stable, and are not left aside for this adapter. How
many adapters a pod holds counts what other reconciles have chosen a moment ago, so a burst does not land on the one
pod that looked empty.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from random import Random
from typing import ClassVar, Protocol


@dataclass(frozen=True, slots=True)
class Candidate:
    """A pod that could take the adapter."""

    name: str
    adapters: int
    """Held or on their way, other adapters' only."""
    max_loras: int
    max_cpu_loras: int
    node: str = ""
    zone: str = ""


class Policy(Protocol):
    """Chooses pods. The docstring's first line is what `twin policies` prints."""

    name: ClassVar[str]

    def choose(self, candidates: Sequence[Candidate], count: int, rng: Random) -> list[str]:
        """At most `count` names out of `candidates` (in order of name), best first; fewer if fewer will do."""
        ...


class LeastAdapters:
    """The pods with the fewest adapters, ties by name."""

    name: ClassVar[str] = "least-adapters"

    def choose(self, candidates: Sequence[Candidate], count: int, rng: Random) -> list[str]:  # noqa: ARG002
        return _first(candidates, count, lambda pod: (pod.adapters, pod.name))


class RandomChoice:
    """Pods drawn at random, each as likely as the next."""

    name: ClassVar[str] = "random"

    def choose(self, candidates: Sequence[Candidate], count: int, rng: Random) -> list[str]:
        return [pod.name for pod in rng.sample(candidates, min(count, len(candidates)))]


class BinPack:
    """The fullest pods with room left: for one more in a batch (--max-loras), else in memory (--max-cpu-loras)."""

    name: ClassVar[str] = "bin-pack"

    def choose(self, candidates: Sequence[Candidate], count: int, rng: Random) -> list[str]:  # noqa: ARG002
        roomy = [pod for pod in candidates if pod.adapters < pod.max_cpu_loras]
        return _first(roomy, count, lambda pod: (pod.adapters >= pod.max_loras, -pod.adapters, pod.name))


def _first(
    candidates: Iterable[Candidate], count: int, rank: Callable[[Candidate], tuple[float | str, ...]]
) -> list[str]:
    return [pod.name for pod in sorted(candidates, key=rank)[:count]]


POLICIES: dict[str, type[Policy]] = {policy.name: policy for policy in (LeastAdapters, RandomChoice, BinPack)}
"""By name. `default` is not among them: it stands for the operator's `policy` setting."""

DEFAULT = "default"


class UnknownPolicy(ValueError):
    """No policy of that name is registered."""


def policy_named(name: str) -> Policy:
    """The policy; `default` is `least-adapters`.

    Raises:
        UnknownPolicy: with the list of known ones.
    """
    try:
        return POLICIES[LeastAdapters.name if name == DEFAULT else name]()
    except KeyError:
        known = ", ".join([DEFAULT, *sorted(POLICIES)])
        raise UnknownPolicy(f"unknown policy {name!r}; known are {known}") from None
