"""How far something can be driven before a promise breaks, judged over seeds and with what chance leaves open.

The density frontier is the one this was made for: how many adapters a fleet can hold before the time to the first token
or availability breaks. A value holds only if its whole 95 % interval is on the right side, so few seeds give a cautious
frontier, never a bold one.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from twin.evaluate.statistics import interval


def means(runs: pd.DataFrame, measure: str, by: Sequence[str]) -> pd.DataFrame:
    """`mean` of a measure over seeds with a 95 % bootstrap interval (`low`, `high`), for each combination of `by`.

    Runs in which nothing was measured don't count; one run alone has no interval.
    """
    rows = []
    for key, group in runs.groupby([*by], sort=True, dropna=False):
        values = group[measure].dropna().to_numpy(dtype=float)
        low, high = interval(values) if len(values) > 1 else (np.nan, np.nan)
        rows.append((*key, len(values), float(values.mean()) if len(values) else np.nan, low, high))
    return pd.DataFrame(rows, columns=[*by, "seeds", "mean", "low", "high"])


def frontier(
    runs: pd.DataFrame,
    along: str,
    measure: str,
    *,
    at_most: float | None = None,
    at_least: float | None = None,
    group: str | None = None,
) -> pd.DataFrame:
    """`means` for each value of `along` (in each `group`), and whether it `holds` there and for everything below.

    Raises:
        ValueError: unless exactly one of `at_most` and `at_least` is given.
    """
    if (at_most is None) == (at_least is None):
        raise ValueError("the promise is missing or said twice: give one of at_most and at_least")
    table = means(runs, measure, [group, along] if group else [along])
    kept = table["high"] <= at_most if at_most is not None else table["low"] >= at_least
    table["holds"] = kept.groupby(table[group]).cummin() if group else kept.cummin()
    return table


def reach(table: pd.DataFrame, along: str, group: str | None = None) -> pd.DataFrame:
    """The largest value of `along` that holds, for each group; NaN where none does."""
    best = table[along].where(table["holds"])
    if group is None:
        return pd.DataFrame({along: [best.max()]})
    return best.groupby(table[group]).max().rename(along).reset_index()
