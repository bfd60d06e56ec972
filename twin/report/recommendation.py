"""Recommendation of a comparison: a sentence that names the variant to use, and when that is right.

Only statistically significant differences in measures with a direction count, what users notice before costs. The
sentence holds for the scenario and not beyond: the page says so under "Method".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from twin.evaluate.statistics import Comparison
from twin.report.directions import USERS, verdict
from twin.report.wording import HEADLINES, describe, headlines_first

MOST_EFFECTS = 2
"""Effects that are named for each side of a trade-off."""


@dataclass(frozen=True, slots=True)
class _Effects:
    """Significant differences of one variant in the main measures."""

    name: str
    better: tuple[Comparison, ...]
    worse: tuple[Comparison, ...]

    @property
    def rank(self) -> tuple[int, int, int]:
        """Order of preference: no loss for users, then gains for users, then the balance of all."""
        losses, gains = (sum(c.measure in USERS for c in side) for side in (self.worse, self.better))
        return -losses, gains, len(self.better) - len(self.worse)


def recommend(
    baseline: str, comparisons: Mapping[str, Sequence[Comparison]], broken: Sequence[str] = (), *, choice: bool = True
) -> str:
    """Return the recommendation.

    Args:
        baseline: name of the baseline.
        comparisons: comparisons by variant.
        broken: variants of which a run crashed or violated an invariant; they are not recommended.
        choice: False if the variants differ in the world, not in a setting that can be chosen.
    """
    variants = [_effects(name, found) for name, found in comparisons.items() if name not in broken]
    if not variants:
        return f"Keep {baseline}: in every other variant a run crashed or violated an invariant."
    if not choice:
        return _observed(baseline, variants)
    best = max(variants, key=lambda variant: variant.rank)
    if not best.better:
        lost = any(variant.worse for variant in variants)
        reason = "no variant is better in a main measure" if lost else "no variant differs significantly"
        return f"Keep {baseline}: {reason}."
    if not best.worse:
        return f"Use {best.name} instead of {baseline}: {_listed(best.better)}, and no main measure is worse."
    outweigh = "outweigh" if len(best.better) > 1 else "outweighs"
    return (
        f"Use {best.name} only if {_listed(best.better)} {outweigh} {_listed(best.worse)}; otherwise keep {baseline}."
    )


def _effects(name: str, comparisons: Sequence[Comparison]) -> _Effects:
    main = headlines_first([c for c in comparisons if c.significant and c.measure in HEADLINES])
    sides = {word: tuple(c for c in main if verdict(c) == word) for word in ("better", "worse")}
    return _Effects(name, sides["better"], sides["worse"])


def _observed(baseline: str, variants: Sequence[_Effects]) -> str:
    """Return which variants users notice, for variants of the world that are no choice."""
    worse = [variant for variant in variants if any(c.measure in USERS for c in variant.worse)]
    fine = ", ".join(variant.name for variant in variants if variant not in worse)
    parts = [f"compared with {baseline}, users notice no harm at {fine}"] if fine else []
    parts += [f"at {variant.name} users notice: {_listed(variant.worse)}" for variant in worse]
    text = "; ".join(parts)
    return f"{text[0].upper()}{text[1:]}."


def _listed(comparisons: Sequence[Comparison]) -> str:
    first = sorted(comparisons, key=lambda c: c.measure not in USERS)[:MOST_EFFECTS]
    return " and ".join(describe(c) for c in first)
