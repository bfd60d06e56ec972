"""Policy that regards ranks: `rank-aware`.

vLLM reserves memory for `--max-lora-rank` in each slot, and its kernels compute with that rank whatever the adapter's
own is (vLLM 0.32, `lora/layers` and `lora/punica_wrapper/punica_gpu.py`: the stacked weights have that shape). An
engine with a large limit is therefore slower for every adapter, and is needed for those of a large rank.
"""

from collections.abc import Sequence
from typing import ClassVar

from controller.policies.by_count import first
from controller.policies.interface import Candidate, View


class RankAware:
    """The pods with the smallest --max-lora-rank that fits, then the fewest adapters; full ones last, ties by name."""

    name: ClassVar[str] = "rank-aware"
    needs_metrics: ClassVar[bool] = False
    balances: ClassVar[bool] = False

    def choose(self, view: View) -> Sequence[str]:
        def rank(pod: Candidate) -> tuple[float | str, ...]:
            surplus = max(pod.max_lora_rank - view.rank, 0) if view.rank else 0
            return pod.full, surplus, pod.adapters, pod.name

        return first(view.candidates, view.count, rank)
