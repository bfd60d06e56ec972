"""Packing by bytes and slots against packing by slots alone: pods needed, and pods over their memory. No times.

200 adapters of an 8B model arrive in random order: rank 8 to 128, 42 MB for every 8 of rank (PEFT's usual seven target
modules in 16 bits). Each pod has 32 slots and 4 GiB for adapters. Means over 100 orders.
"""

from collections.abc import Sequence
from dataclasses import replace
from random import Random

from controller.policies import Candidate, View, choose, find

ORDERS, PODS, ADAPTERS = 100, 40, 200
SLOTS, MEMORY = 32, 4 << 30
RANKS = {8: 0.3, 16: 0.4, 32: 0.15, 64: 0.1, 128: 0.05}
"""Shares; large ranks are rare."""
PER_RANK = 42_000_000 // 8


def measure() -> dict[str, float]:
    """Return the mean number of pods that are used, and of those over their memory, by policy."""
    figures: dict[str, float] = {}
    for name, limit in {"bin-pack": MEMORY, "bin-pack by slots alone": 0, "least-adapters": 0}.items():
        fleets = [_filled(name.partition(" ")[0], limit, order) for order in range(ORDERS)]
        figures[f"{name}: pods used"] = sum(sum(pod.adapters > 0 for pod in fleet) for fleet in fleets) / ORDERS
        figures[f"{name}: pods over their memory"] = sum(_over(fleet) for fleet in fleets) / ORDERS
    return figures


def _over(fleet: Sequence[Candidate]) -> int:
    return sum(pod.bytes > MEMORY for pod in fleet)


def _filled(policy: str, limit: int, order: int) -> Sequence[Candidate]:
    """Return the pods once all adapters of one order of arrival are placed."""
    rng = Random(order)
    pods = {
        name: Candidate(name, 0, max_loras=SLOTS, max_cpu_loras=SLOTS, max_bytes=limit)
        for name in (f"pod-{number:02}" for number in range(PODS))
    }
    for rank in rng.choices(list(RANKS), weights=list(RANKS.values()), k=ADAPTERS):
        size = rank * PER_RANK
        (chosen,) = choose(find(policy), View("default/a", 1, tuple(pods.values()), size=size)).pods
        pod = pods[chosen]
        pods[chosen] = replace(pod, adapters=pod.adapters + 1, bytes=pod.bytes + size)
    return list(pods.values())
