"""Which policies there are: built in, installed with a package, or named as `module:Class`.

A package offers policies under the entry point group `lora_controller.policies`. A `module:Class` is imported only if
the operator's own settings name it: whoever may create a ModelAdapter must not be able to make the operator import
what he likes, so `schedulerName` chooses among what is registered and imports nothing.
"""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from importlib import import_module
from importlib.metadata import entry_points
from types import MappingProxyType

from controller.policies.by_count import BinPack, LeastAdapters
from controller.policies.by_metrics import LeastLatency, LeastThroughput, LoadAware
from controller.policies.interface import Policy
from controller.policies.random import PowerOfTwo, RandomChoice
from controller.policies.topology import Rendezvous, Spread

ENTRY_POINTS = "lora_controller.policies"

DEFAULT = "default"
"""Stands for the operator's `policy` setting, which is `least-adapters` unless it is set."""

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
        )
    }
)
"""By name; `default` is not among them."""


class UnknownPolicy(ValueError):
    """There is no such policy, or it cannot be used."""


@lru_cache(maxsize=1)
def installed() -> Mapping[str, str]:
    """What installed packages offer: name to `module:Class`. Built-in names cannot be taken."""
    offered = entry_points(group=ENTRY_POINTS)
    return MappingProxyType({point.name: point.value for point in offered if point.name not in (*BUILT_IN, DEFAULT)})


def find(name: str) -> Policy:
    """The policy of a name, or at `module:Class`; `default` is `least-adapters`.

    Raises:
        UnknownPolicy: says what is wrong, and which there are if it is the name.
    """
    if name == DEFAULT:
        return LeastAdapters()
    if name in BUILT_IN:
        return BUILT_IN[name]()
    place = installed().get(name, name)
    if ":" in place:
        return _imported(place)
    known = ", ".join([DEFAULT, *sorted(BUILT_IN), *sorted(installed())])
    raise UnknownPolicy(f"unknown policy {name!r}; known are {known}, or write module:Class")


def _imported(place: str) -> Policy:
    module, _, path = place.partition(":")
    try:
        found: object = import_module(module)
        for part in path.split("."):
            found = getattr(found, part)
        if not isinstance(found, type) or not callable(getattr(found, "choose", None)):
            raise UnknownPolicy(f"policy {place} is no class with a method choose(view)")
        policy: Policy = found()
    except UnknownPolicy:
        raise
    except Exception as error:  # a user's module may raise anything
        text = " ".join(str(error).split())
        raise UnknownPolicy(f"policy {place} cannot be used: {type(error).__name__}: {text}") from error
    if not isinstance(getattr(policy, "name", None), str):
        raise UnknownPolicy(f"policy {place} has no name")
    if policy.name in (DEFAULT, *BUILT_IN) and type(policy) is not BUILT_IN.get(policy.name):
        raise UnknownPolicy(f"policy {place} is called {policy.name!r}, which is the name of one that is built in")
    return policy


class Policies:
    """Those that one operator knows, by each name that `schedulerName` may call them by."""

    def __init__(self, default: str = DEFAULT, others: Iterable[str] = ()) -> None:
        """`default` is what adapters get that ask for none; `others` are further ones, as `module:Class`.

        Raises:
            UnknownPolicy: one of them cannot be used.
        """
        self._known: dict[str, Policy] = {name: policy() for name, policy in BUILT_IN.items()}
        for name in (*sorted(installed()), *others, default):
            policy = find(name)
            self._known |= {name: policy, policy.name: policy}
        self._known[DEFAULT] = self._known[default]
        self.names = frozenset(self._known)

    def of(self, name: str) -> Policy:
        """The policy of that name; of one that nobody knows, `default`."""
        return self._known.get(name) or self._known[DEFAULT]

    def needs_metrics(self, name: str) -> bool:
        """Whether engines' metrics have to be read for it."""
        return bool(getattr(self.of(name), "needs_metrics", False))
