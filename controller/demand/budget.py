"""Fair division of a budget of replicas. Pure.

Max-min fairness: no share is larger than its claim, and what one does not need is divided among the others. Higher
priorities come first; within one priority the budget is divided between namespaces, then between the adapters of each.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Claim:
    """Replicas that an adapter asks for above its minimum."""

    replicas: int
    priority: int = 0


def divide(claims: Mapping[str, Claim], budget: int) -> dict[str, int]:
    """Return the replicas granted to each adapter (`namespace/name`), in total at most `budget`."""
    granted: dict[str, int] = {}
    for priority in sorted({claim.priority for claim in claims.values()}, reverse=True):
        spaces: dict[str, dict[str, int]] = {}
        for key, claim in sorted(claims.items()):
            if claim.priority == priority:
                spaces.setdefault(key.partition("/")[0], {})[key] = claim.replicas
        shares = max_min({space: sum(asked.values()) for space, asked in spaces.items()}, budget)
        for space, asked in spaces.items():
            granted |= max_min(asked, shares[space])
        budget -= sum(shares.values())
    return granted


def max_min(asked: Mapping[str, int], total: int) -> dict[str, int]:
    """Return the shares of `total`; of what cannot be divided evenly, the first names get one more."""
    shares = dict.fromkeys(asked, 0)
    left, open_ = total, sorted(name for name, count in asked.items() if count > 0)
    while left > 0 and open_:
        each = max(left // len(open_), 1)
        for name in open_[:left]:
            share = min(each, asked[name] - shares[name])
            shares[name] += share
            left -= share
        open_ = [name for name in open_ if shares[name] < asked[name]]
    return shares
