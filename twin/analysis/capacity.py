"""Capacity: how far a setting can be increased before a limit is violated, with confidence intervals over seeds.

The main use is the density frontier: the number of adapters that a fleet can hold before the time to first token or the
availability violates a limit. A value passes only if its whole 95 % interval is on the right side of the limit, so few
seeds give a cautious frontier.
"""

import numpy as np
import pandas as pd

from twin.analysis.columns import Columns, column_list
from twin.evaluate.statistics import interval


def means(runs: pd.DataFrame, measure: str, by: Columns) -> pd.DataFrame:
    """Return the `mean` of a measure over seeds with its 95 % bootstrap interval (`low`, `high`), by the columns `by`.

    Runs without the measure are ignored; a single run has no interval.

    Raises:
        ValueError: if there is no such measure or column.
    """
    by = column_list(by, runs.columns)
    (measure,) = column_list(measure, runs.columns, "measure")
    rows = []
    for key, group in runs.groupby(by, sort=True, dropna=False):
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
    """Return `means` for each value of `along` (in each `group`), and whether all values up to there have `passed`.

    Raises:
        ValueError: unless exactly one of `at_most` and `at_least` is given; if there is no such measure or column.
    """
    if (at_most is None) == (at_least is None):
        raise ValueError("exactly one of at_most and at_least is required")
    table = means(runs, measure, [group, along] if group else [along])
    passed = table["high"] <= at_most if at_most is not None else table["low"] >= at_least
    table["passed"] = passed.groupby(table[group]).cummin() if group else passed.cummin()
    return table


def reach(table: pd.DataFrame, along: str, group: str | None = None) -> pd.DataFrame:
    """Return the largest value of `along` for which the limit holds, by group; NaN without such a value.

    Raises:
        ValueError: if there is no such column.
    """
    column_list([along, *([group] if group else [])], table.columns, "along, group")
    best = table[along].where(table["passed"])
    if group is None:
        return pd.DataFrame({along: [best.max()]})
    return best.groupby(table[group]).max().rename(along).reset_index()
