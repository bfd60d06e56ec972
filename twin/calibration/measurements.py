"""Read measurements: tables of single values, or the histograms of `/metrics` pages.

| column | other names | content |
| --- | --- | --- |
| `startup_seconds` | | time from the container's start until the engine listens |
| `load_seconds` | | time to load an adapter whose files are on the pod |
| `unload_seconds` | | time to unload one |
| `ttft_seconds` | `time_to_first_token_seconds` | time to the first token; needs `prompt_tokens` too |
| `inter_token_seconds` | `itl_seconds`, `tpot_seconds` | time between two tokens of an answer |
| `prompt_tokens` | `ContextTokens` | length of the prompt |
| `output_tokens` | `GeneratedTokens` | length of the answer |
| `sequences` | `concurrency` | number of requests that the engine processed at the same time |

A row is one observation; empty cells were not measured. Columns with other names are ignored.
"""

import csv
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from prometheus_client.parser import text_string_to_metric_families

from twin.calibration.fit import Floats, Histogram
from twin.scenario.errors import closest

TIMES = ("startup_seconds", "load_seconds", "unload_seconds", "ttft_seconds", "inter_token_seconds")
COUNTS = ("prompt_tokens", "output_tokens", "sequences")
_NAMES = {
    "time_to_first_token_seconds": "ttft_seconds",
    "itl_seconds": "inter_token_seconds",
    "tpot_seconds": "inter_token_seconds",
    "ContextTokens": "prompt_tokens",
    "GeneratedTokens": "output_tokens",
    "concurrency": "sequences",
}
_KNOWN = (*TIMES, *COUNTS, *_NAMES)
_ENGINE = ("vllm:", "aibrix:")
"""Prefixes of an engine's metrics, read directly or through the runtime sidecar."""
_TIMEOUT = 15.0
"""Seconds to wait for a page."""


class SourceError(Exception):
    """A source cannot be used; the message says where and why, on one line."""


@dataclass(slots=True)
class Measurements:
    """The content of all sources."""

    columns: dict[str, Floats] = field(default_factory=dict)
    """By canonical name: rows of all tables in order, NaN where nothing was measured."""
    histograms: dict[str, Histogram] = field(default_factory=dict)
    """By name without the engine's prefix; by `name/verb` if there is a label `verb`."""
    counters: dict[str, float] = field(default_factory=dict)
    sources: list[str] = field(default_factory=list)

    def values(self, *names: str) -> list[Floats]:
        """Return columns, restricted to the rows that have all of them; empty if a column is missing."""
        if not all(name in self.columns for name in names):
            return [np.array([]) for _ in names]
        complete = ~np.any([np.isnan(self.columns[name]) for name in names], axis=0)
        return [self.columns[name][complete] for name in names]


def read(sources: Sequence[str]) -> Measurements:
    """Read files and URLs.

    Raises:
        SourceError: if one cannot be read or contains nothing usable.
    """
    measurements, tables = Measurements(sources=list(sources)), list[Mapping[str, Floats]]()
    for source in sources:
        if source.startswith(("http://", "https://")):
            _add_page(measurements, _fetch(source), source)
        elif source.endswith((".csv", ".parquet")):
            tables.append(_table(Path(source)))
        else:
            _add_page(measurements, _text(Path(source)), source)
    measurements.columns = _join(tables)
    return measurements


def _join(tables: Sequence[Mapping[str, Floats]]) -> dict[str, Floats]:
    names = dict.fromkeys(name for table in tables for name in table)
    return {
        name: np.concatenate([table.get(name, np.full(len(next(iter(table.values()))), np.nan)) for table in tables])
        for name in names
    }


# -- tables


def _table(path: Path) -> dict[str, Floats]:
    unit = "row" if path.suffix == ".parquet" else "line"
    heading, rows = _parquet(path) if unit == "row" else _csv(path)
    names = [_NAMES.get(name, name) for name in heading]
    _check_heading(str(path), unit, heading, names)
    cells: dict[str, list[float]] = {name: [] for name in names if name in TIMES or name in COUNTS}
    for number, row in rows:
        for name, column, cell in zip(names, heading, row, strict=True):
            if name in cells:
                cells[name].append(_number(cell, f"{path}: {unit} {number}: {column}", whole=name in COUNTS))
    if not next(iter(cells.values())):
        raise SourceError(f"{path}: contains no rows")
    return {name: np.array(values) for name, values in cells.items()}


def _check_heading(source: str, unit: str, heading: Sequence[str], names: Sequence[str]) -> None:
    prefix = f"{source}: {unit} 1: " if unit == "line" else f"{source}: "
    for column, name in zip(heading, names, strict=True):
        close = closest(column, _KNOWN)
        if name not in _KNOWN and close and _NAMES.get(close, close) not in names:
            raise SourceError(f'{prefix}unknown column "{column}"; did you mean "{close}"?')
        if name in _KNOWN and names.count(name) > 1:
            raise SourceError(f'{prefix}column "{name}" occurs twice (perhaps by another name)')
    if not set(names) & {*TIMES, "output_tokens"}:
        columns = ", ".join(heading) or "none"
        raise SourceError(f"{prefix}no column to fit; found: {columns}; allowed: {', '.join((*TIMES, *COUNTS))}")
    if "ttft_seconds" in names and "prompt_tokens" not in names:
        raise SourceError(f'{prefix}ttft_seconds needs a column "prompt_tokens"')


def _number(cell: Any, where: str, *, whole: bool) -> float:
    if cell is None or (isinstance(cell, str) and not cell.strip()):
        return math.nan
    try:
        value = float(cell)
    except (TypeError, ValueError):
        value = -1.0
        problem = f'"{cell}" is not a number'
    else:
        problem = "is negative" if value < 0 else f"is {cell}"
    if whole and value >= 0 and (not value.is_integer() or value < 1):
        raise SourceError(f"{where} is {cell}; allowed: an integer, at least 1, or an empty cell")
    if not 0 <= value < math.inf:
        raise SourceError(f"{where} {problem}; allowed: seconds, at least 0, or an empty cell")
    return value


def _csv(path: Path) -> tuple[list[str], Iterable[tuple[int, list[Any]]]]:
    lines = list(csv.reader(_text(path).splitlines()))
    while lines and not any(cell.strip() for cell in lines[-1]):
        lines.pop()
    if not lines:
        raise SourceError(f"{path}: is empty; allowed: a heading and rows")
    heading = [cell.strip() for cell in lines[0]]
    return heading, _check_cells(path, heading, lines)


def _check_cells(path: Path, heading: Sequence[str], lines: Sequence[list[str]]) -> Iterator[tuple[int, list[Any]]]:
    for number, cells in enumerate(lines[1:], 2):
        if len(cells) != len(heading):
            problem = f"has {len(cells)} cells, the heading has {len(heading)}" if cells else "is empty"
            raise SourceError(f"{path}: line {number}: {problem}; allowed: one cell for each column")
        yield number, list(cells)


def _parquet(path: Path) -> tuple[list[str], Iterable[tuple[int, list[Any]]]]:
    import pyarrow.parquet as parquet
    from pyarrow import ArrowException

    try:
        table = parquet.read_table(path)
    except (OSError, ArrowException) as error:
        reason = getattr(error, "strerror", None) or "it is not a Parquet file"
        raise SourceError(f"{path}: cannot be read: {reason}") from None
    columns = [column.to_pylist() for column in table.columns]
    return list(table.column_names), ((number, list(row)) for number, row in enumerate(zip(*columns, strict=True), 1))


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise SourceError(f"{path}: cannot be read: {reason}") from None


# -- pages


def _fetch(url: str) -> str:
    import httpx

    try:
        answer = httpx.get(url, timeout=_TIMEOUT, follow_redirects=True)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise SourceError(f"{url}: no answer: {str(error) or type(error).__name__}") from None
    if not answer.is_success:
        raise SourceError(f"{url}: responds with status {answer.status_code}; allowed: a page of metrics")
    return answer.text


def _add_page(measurements: Measurements, text: str, source: str) -> None:
    """Add the histograms and counters of a page; those of several engines are summed."""
    before = len(measurements.histograms)
    try:
        families = list(text_string_to_metric_families(text))
    except ValueError as error:
        raise SourceError(f"{source}: is not a page of metrics: {' '.join(str(error).split())[:200]}") from None
    for family in families:
        name = _strip_prefix(family.name)
        if family.type == "histogram":
            for key, bins in _histograms(name, family.samples):
                current = measurements.histograms.get(key)
                if current is not None and current.edges != bins.edges:
                    raise SourceError(f"{source}: {family.name} has other buckets than on the previous page")
                measurements.histograms[key] = bins if current is None else current + bins
        elif family.type == "counter":
            total = sum(sample.value for sample in family.samples if sample.name.endswith("_total"))
            measurements.counters[name] = measurements.counters.get(name, 0.0) + total
    if not measurements.histograms and not before:
        raise SourceError(f"{source}: contains no histogram; allowed: /metrics of an engine or the operator")


def _strip_prefix(name: str) -> str:
    return next((name.removeprefix(prefix) for prefix in _ENGINE if name.startswith(prefix)), name)


def _histograms(name: str, samples: Iterable[Any]) -> Iterator[tuple[str, Histogram]]:
    """Yield the non-empty histograms: one, or one for each value of the label `verb`."""
    cumulative: dict[str, dict[float, float]] = {}
    total: dict[str, float] = {}
    for sample in samples:
        key = f"{name}/{sample.labels['verb']}" if "verb" in sample.labels else name
        if sample.name.endswith("_bucket"):
            edges = cumulative.setdefault(key, {})
            edge = float(sample.labels["le"])
            edges[edge] = edges.get(edge, 0.0) + sample.value
        elif sample.name.endswith("_sum"):
            total[key] = total.get(key, 0.0) + sample.value
    for key, edges in cumulative.items():
        ordered = sorted(edges)
        counts = np.diff([0.0, *(edges[edge] for edge in ordered)]).astype(int)
        if counts.sum() > 0 and ordered[-1] == math.inf:
            yield key, Histogram(tuple(ordered[:-1]), tuple(int(c) for c in counts), total.get(key, 0.0))
