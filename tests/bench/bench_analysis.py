"""Aggregation of ten million placement rows, from a frame with text columns and from a file, as in a notebook."""

import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from twin import analysis

ROWS, PODS, ADAPTERS = 10_000_000, 2_000, 20_000


def measure() -> dict[str, float]:
    """Return wall-clock seconds, since several threads read a file."""
    rng = np.random.default_rng(1)
    pods = pa.array([f"default/qwen-coder-{n:05}" for n in range(PODS)])
    names = pa.array([f"sql-{n:05}" for n in range(ADAPTERS)])
    pod, adapter = rng.integers(PODS, size=ROWS // 2), rng.integers(ADAPTERS, size=ROWS // 2)
    start = np.sort(rng.uniform(0, 86_000, ROWS // 2))
    times = np.concatenate([start, start + rng.exponential(400, ROWS // 2)])
    order = np.argsort(times, kind="stable")
    state = pa.array(["loaded", "unloaded"]).take(pa.array(np.repeat([0, 1], ROWS // 2)[order]))
    table = pa.table(
        {
            "time": times[order],
            "pod": pods.take(pa.array(np.tile(pod, 2)[order])),
            "node": pods.take(pa.array(np.tile(pod // 8, 2)[order])),
            "adapter": names.take(pa.array(np.tile(adapter, 2)[order])),
            "state": state,
        }
    )
    figures = {}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "placement.parquet"
        pq.write_table(table, file, compression="zstd")
        started = time.perf_counter()
        placements = analysis.adapters_held(file, 90_000.0)
        figures["10 million placement rows from a file, by pod: seconds"] = time.perf_counter() - started
        assert len(placements) == PODS
        assert placements["loads"].sum() == ROWS // 2
    frame: pd.DataFrame = table.rename_columns({"time": "time_seconds"}).to_pandas()
    started = time.perf_counter()
    analysis.adapters_held(frame, 90_000.0, by=("node",))
    figures["10 million placement rows of a frame, by node: seconds"] = time.perf_counter() - started
    return figures
