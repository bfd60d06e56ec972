"""Registry of policies: built in, installed with a package, or named as `module:Class`.

A package registers policies in the entry point group `lora_controller.policies`. A `module:Class` is imported only if
the operator's own settings name it: `schedulerName` selects a registered policy and never imports a module, since a
user who may create a ModelAdapter must not be able to run code in the operator.
"""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from importlib import import_module
from importlib.metadata import entry_points
from types import MappingProxyType

from controller.policies.by_count import BinPack, LeastAdapters
from controller.policies.by_metrics import LeastLatency, LeastThroughput, LoadAware
from controller.policies.by_rank import RankAware
from controller.policies.interface import Policy
from controller.policies.random import PowerOfTwo, RandomChoice
from controller.policies.topology import Rendezvous, Spread

ENTRY_POINTS = "lora_controller.policies"

DEFAULT = "default"
"""The policy in the operator's `policy` setting, by default `least-adapters`."""

BUILT_IN: Mapping[str, type[Policy]] = MappingProxyType(
    {
        policy.name: policy
        for policy in (
            LeastAdapters,
            RandomChoice,
            BinPack,
            LeastLatency,
            LeastThroughput,
            PowerOfTwo,
            Spread,
            Rendezvous,
            LoadAware,
            RankAware,
        )
    }
)
"""By name, without `default`."""


class UnknownPolicy(ValueError):
    """The policy does not exist, or cannot be used."""


@lru_cache(maxsize=1)
def installed() -> Mapping[str, str]:
    """Return the policies of installed packages, as `module:Class` by name; built-in names are ignored."""
    points = entry_points(group=ENTRY_POINTS)
    return MappingProxyType({point.name: point.value for point in points if point.name not in (*BUILT_IN, DEFAULT)})


def find(name: str) -> Policy:
    """Return the policy with a name, or at `module:Class`; `default` is `least-adapters`.

    Raises:
        UnknownPolicy: there is no such policy, or it cannot be used.
    """
    if name == DEFAULT:
        return LeastAdapters()
    if name in BUILT_IN:
        return BUILT_IN[name]()
    place = installed().get(name, name)
    if ":" in place:
        return _import(place)
    names = ", ".join([DEFAULT, *sorted(BUILT_IN), *sorted(installed())])
    raise UnknownPolicy(f"unknown policy {name!r}; allowed: {names}, or module:Class")


def _import(place: str) -> Policy:
    module, _, path = place.partition(":")
    try:
        value: object = import_module(module)
        for part in path.split("."):
            value = getattr(value, part)
        if not isinstance(value, type) or not callable(getattr(value, "choose", None)):
            raise UnknownPolicy(f"policy {place} is not a class with a method choose(view)")
        policy: Policy = value()
    except UnknownPolicy:
        raise
    except Exception as error:  # a user's module may raise anything
        text = " ".join(str(error).split())
        raise UnknownPolicy(f"policy {place} cannot be used: {type(error).__name__}: {text}") from error
    if not isinstance(getattr(policy, "name", None), str):
        raise UnknownPolicy(f"policy {place} has no name")
    if policy.name in (DEFAULT, *BUILT_IN) and type(policy) is not BUILT_IN.get(policy.name):
        raise UnknownPolicy(f"policy {place} has the name of a built-in policy, {policy.name!r}")
    return policy


class Policies:
    """The policies of one operator, by each allowed `schedulerName`."""

    def __init__(self, default: str = DEFAULT, others: Iterable[str] = ()) -> None:
        """`default`: policy for adapters that name none; `others`: further policies, as `module:Class`.

        Raises:
            UnknownPolicy: one of them cannot be used.
        """
        self._policies: dict[str, Policy] = {name: policy() for name, policy in BUILT_IN.items()}
        for name in (*sorted(installed()), *others, default):
            policy = find(name)
            self._policies |= {name: policy, policy.name: policy}
        self._policies[DEFAULT] = self._policies[default]
        self.names = frozenset(self._policies)

    def of(self, name: str) -> Policy:
        """Return the policy with that name, or `default` if the name is unknown."""
        return self._policies.get(name) or self._policies[DEFAULT]

    def needs_metrics(self, name: str) -> bool:
        """Return whether a policy needs engines' metrics."""
        return bool(getattr(self.of(name), "needs_metrics", False))

    def balances(self, name: str) -> bool:
        """Return whether what a policy has placed may be moved by rebalancing."""
        return bool(getattr(self.of(name), "balances", False))
