"""Distribution of adapters over pods and nodes: number over time, evenness, load.

Computed from placement frames, which have a row for each load and unload. Time-weighted sums need no intervals: a load
adds (end - time), an unload subtracts (end - time). Ten million rows are a few sums by pod, in Arrow, and one sort for
the maximum.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from numpy.typing import ArrayLike

from twin.analysis.columns import Columns, column_list

Placements: TypeAlias = pd.DataFrame | pa.Table | str | Path | Sequence[str | Path]
"""A frame of `placements`, or `placement.parquet` files, of which only the needed columns are read."""


def adapters_held(placements: Placements, end_seconds: float, by: Columns = "pod") -> pd.DataFrame:
    """Return `mean_adapters` from the first load to `end_seconds`, `max_adapters`, and the number of `loads`.

    `by` are columns of the placements: `pod`, `node`, or further columns of a frame of many runs.

    Raises:
        ValueError: if there is no such column.
    """
    by = [by] if isinstance(by, str) else list(by)
    table = _table(placements, by)
    change = pc.if_else(pc.equal(table["state"], "loaded"), 1.0, -1.0)
    area = pc.multiply(change, pc.subtract(pa.scalar(float(end_seconds)), table["time_seconds"]))
    table = table.append_column("area", area).append_column("change", change)
    loaded = pc.if_else(pc.greater(change, pa.scalar(0.0)), 1, 0)
    table = table.append_column("loaded", loaded)
    sums = table.group_by([*by], use_threads=False).aggregate(
        [("area", "sum"), ("time_seconds", "min"), ("loaded", "sum")]
    )
    frame = sums.to_pandas().set_index([*by])
    span = end_seconds - frame["time_seconds_min"]
    result = pd.DataFrame({"mean_adapters": frame["area_sum"] / span.where(span > 0)})
    result["max_adapters"] = _max_held(table, by).reindex(result.index)
    result["loads"] = frame["loaded_sum"].astype("int64")
    return result.sort_index().reset_index()


def adapters_over_time(placements: pd.DataFrame, by: Columns = "pod") -> pd.DataFrame:
    """Return the number of adapters on each pod (or node) after each change: `time_seconds`, `by`, `adapters`.

    Raises:
        ValueError: if there is no such column.
    """
    by = column_list(by, placements.columns)
    frame = placements.sort_values("time_seconds", kind="stable")
    change = np.where(frame["state"] == "loaded", 1, -1)
    counted = pd.Series(change, index=frame.index).groupby([frame[name] for name in by]).cumsum()
    table = frame[["time_seconds", *by]].assign(adapters=counted)
    return table.groupby(["time_seconds", *by], sort=True).last().reset_index()


def evenness(placements: pd.DataFrame, pods: Sequence[str], at_seconds: Sequence[float]) -> pd.DataFrame:
    """Return Jain's index, the coefficient of variation and the Gini index over `pods` at given times.

    Pass all pods, including those without adapters.
    """
    steps = adapters_over_time(placements)
    wide = steps.pivot(index="time_seconds", columns="pod", values="adapters").reindex(columns=list(pods)).ffill()
    sampled = wide.reindex(wide.index.union(list(at_seconds))).ffill().fillna(0).loc[list(at_seconds)]
    rows = [(t, jain(row), cv(row), gini(row)) for t, row in zip(sampled.index, sampled.to_numpy(), strict=True)]
    return pd.DataFrame(rows, columns=["time_seconds", "jain", "cv", "gini"])


def jain(values: ArrayLike) -> float:
    """Return Jain's fairness index: 1 if all are equal, 1/n if one has everything; NaN if all are 0."""
    data = np.asarray(values, dtype=float)
    squares = float((data**2).sum())
    return float(data.sum()) ** 2 / (data.size * squares) if squares else float("nan")


def cv(values: ArrayLike) -> float:
    """Return the standard deviation divided by the mean: 0 if all are equal; NaN if all are 0."""
    data = np.asarray(values, dtype=float)
    mean = float(data.mean()) if data.size else 0.0
    return float(data.std()) / mean if mean else float("nan")


def gini(values: ArrayLike) -> float:
    """Return the Gini index: 0 if all are equal, (n-1)/n if one has everything; NaN if all are 0."""
    data = np.sort(np.asarray(values, dtype=float))
    total = float(data.sum())
    if not total:
        return float("nan")
    ranks = np.arange(1, data.size + 1)
    return float(((2 * ranks - data.size - 1) * data).sum() / (data.size * total))


def _table(placements: Placements, by: Sequence[str]) -> pa.Table:
    columns = list(dict.fromkeys(["time_seconds", *by, "state"]))
    if isinstance(placements, pa.Table):
        column_list(by, placements.column_names)
        return placements.select(columns)
    if isinstance(placements, pd.DataFrame):
        column_list(by, placements.columns)
        return pa.Table.from_pandas(placements[columns], preserve_index=False)
    files = [placements] if isinstance(placements, str | Path) else list(placements)
    stored = ["time" if name == "time_seconds" else name for name in columns]
    dataset = ds.dataset([str(file) for file in files])
    column_list(by, ["time_seconds" if name == "time" else name for name in dataset.schema.names])
    return dataset.to_table(columns=stored).rename_columns(columns)


def _max_held(table: pa.Table, by: Sequence[str]) -> "pd.Series[Any]":
    """Return the largest number of adapters held at the same time."""
    keys = [pc.dictionary_encode(table[name]).combine_chunks() for name in by]
    codes = [np.asarray(key.indices) for key in keys]
    order = np.lexsort((table["time_seconds"].to_numpy(), *reversed(codes)))
    change = table["change"].to_numpy()[order]
    ordered = [code[order] for code in codes]
    is_start = np.zeros(len(order), dtype=bool)
    is_start[:1] = True
    for code in ordered:
        is_start[1:] |= code[1:] != code[:-1]
    starts = np.flatnonzero(is_start)
    running = np.cumsum(change)
    before = np.concatenate(([0.0], running[starts[1:] - 1]))
    maxima = np.maximum.reduceat(running, starts) - before if len(starts) else np.array([])
    index = [key.dictionary.to_pandas().to_numpy()[code[starts]] for key, code in zip(keys, ordered, strict=True)]
    names = list(by)
    keys_index = pd.MultiIndex.from_arrays(index, names=names) if len(names) > 1 else pd.Index(index[0], name=names[0])
    return pd.Series(maxima.astype("int64"), index=keys_index)
