"""Values that a rebalancing is planned from: pods with slots, adapters with copies and weights. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from controller.api.annotations import MoveRecord

REST = 300.0
"""Seconds after a move, or its cancellation, in which the adapter is not moved again."""


class FleetAdapter(NamedTuple):
    """One adapter; a tuple, since ten thousand are made for each plan."""

    pods: frozenset[str]
    """Pods that hold a copy."""
    allowed: frozenset[str]
    """Pods that can take a copy. Adapters with equal sets should share one object, which makes planning fast."""
    weight: float = 1.0
    """Load that one copy causes on its pod."""
    movable: bool = True


@dataclass(frozen=True, slots=True)
class Fleet:
    """Pods that share adapters."""

    slots: Mapping[str, int]
    """Adapters that each pod keeps in memory, by pod."""
    adapters: Mapping[str, FleetAdapter]
    weighted: bool = False
    """True if loads are sums of weights and not numbers of adapters; each weight is 1 without."""


@dataclass(frozen=True, slots=True, order=True)
class Move:
    """One copy to another pod."""

    adapter: str
    source: str
    target: str


@dataclass(frozen=True, slots=True)
class DecidedMove:
    """A move of one adapter that may begin; pods without their namespace."""

    source: str
    target: str
    reason: str


def may_move(last: MoveRecord | None, now: float) -> bool:
    """Return whether an adapter whose last move is `last` may be moved. `now`: seconds since 1970."""
    return last is None or not (last.under_way or 0 <= now - last.finished < REST)
