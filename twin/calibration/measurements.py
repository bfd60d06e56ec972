"""What was measured: tables of single values, or the histograms of `/metrics` pages.

| column | other names | holds |
| --- | --- | --- |
| `startup_seconds` | | from the container's start until the engine listens |
| `load_seconds` | | loading an adapter, its files on the pod |
| `unload_seconds` | | unloading one |
| `ttft_seconds` | `time_to_first_token_seconds` | until the first token; needs `prompt_tokens` beside it |
| `inter_token_seconds` | `itl_seconds`, `tpot_seconds` | between two tokens of an answer |
| `prompt_tokens` | `ContextTokens` | length of the prompt |
| `output_tokens` | `GeneratedTokens` | length of the answer |
| `sequences` | `concurrency` | requests that the engine worked on at once |

A row is one observation and need not have every column: what a cell leaves empty was not measured. Columns of other
names are left alone.
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
"""How an engine's metrics begin, read directly or through the runtime sidecar."""
_SECONDS = 15.0
"""To wait for a page."""


class SourceError(Exception):
    """Something that was to be read cannot be used; the message says where and why, on one line."""


@dataclass(slots=True)
class Measurements:
    """All sources together."""

    columns: dict[str, Floats] = field(default_factory=dict)
    """By our own names; rows of all tables, one after the other, NaN where nothing was measured."""
    histograms: dict[str, Histogram] = field(default_factory=dict)
    """By name, without the engine's prefix; that of one verb as `name/verb`."""
    counters: dict[str, float] = field(default_factory=dict)
    sources: list[str] = field(default_factory=list)

    def values(self, *names: str) -> list[Floats]:
        """Columns, with the rows alone that have all of them; empty where a column is not there."""
        if not all(name in self.columns for name in names):
            return [np.array([]) for _ in names]
        there = ~np.any([np.isnan(self.columns[name]) for name in names], axis=0)
        return [self.columns[name][there] for name in names]


def read(sources: Sequence[str]) -> Measurements:
    """What files and URLs hold.

    Raises:
        SourceError: if one cannot be read, or holds nothing of use.
    """
    found, tables = Measurements(sources=list(sources)), list[Mapping[str, Floats]]()
    for source in sources:
        if source.startswith(("http://", "https://")):
            _take_page(found, _fetched(source), source)
        elif source.endswith((".csv", ".parquet")):
            tables.append(_table(Path(source)))
        else:
            _take_page(found, _text(Path(source)), source)
    found.columns = _joined(tables)
    return found


def _joined(tables: Sequence[Mapping[str, Floats]]) -> dict[str, Floats]:
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
        for name, given, cell in zip(names, heading, row, strict=True):
            if name in cells:
                cells[name].append(_number(cell, f"{path}: {unit} {number}: {given}", whole=name in COUNTS))
    if not next(iter(cells.values())):
        raise SourceError(f"{path}: holds no rows; allowed: one or more below the heading")
    return {name: np.array(values) for name, values in cells.items()}


def _check_heading(shown: str, unit: str, heading: Sequence[str], names: Sequence[str]) -> None:
    at = f"{shown}: {unit} 1: " if unit == "line" else f"{shown}: "
    for given, name in zip(heading, names, strict=True):
        close = closest(given, _KNOWN)
        if name not in _KNOWN and close and _NAMES.get(close, close) not in names:
            raise SourceError(f'{at}unknown column "{given}"; did you mean "{close}"?')
        if name in _KNOWN and names.count(name) > 1:
            raise SourceError(f'{at}column "{name}" is there twice (also by another name); allowed: once')
    if not set(names) & {*TIMES, "output_tokens"}:
        there = ", ".join(heading) or "none"
        raise SourceError(f"{at}no column to fit; there are: {there}; allowed: {', '.join((*TIMES, *COUNTS))}")
    if "ttft_seconds" in names and "prompt_tokens" not in names:
        raise SourceError(f'{at}ttft_seconds says something with "prompt_tokens" beside it alone; that is missing')


def _number(cell: Any, where: str, *, whole: bool) -> float:
    if cell is None or (isinstance(cell, str) and not cell.strip()):
        return math.nan
    try:
        value = float(cell)
    except (TypeError, ValueError):
        value = -1.0
        said = f'"{cell}" is no number'
    else:
        said = "is negative" if value < 0 else f"is {cell}"
    if whole and value >= 0 and (not value.is_integer() or value < 1):
        raise SourceError(f"{where} is {cell}; allowed: a whole number, 1 or more, or an empty cell")
    if not 0 <= value < math.inf:
        raise SourceError(f"{where} {said}; allowed: seconds from 0 on, or an empty cell")
    return value


def _csv(path: Path) -> tuple[list[str], Iterable[tuple[int, list[Any]]]]:
    lines = list(csv.reader(_text(path).splitlines()))
    while lines and not any(cell.strip() for cell in lines[-1]):
        lines.pop()
    if not lines:
        raise SourceError(f"{path}: is empty; allowed: a heading and rows")
    heading = [cell.strip() for cell in lines[0]]
    return heading, _checked(path, heading, lines)


def _checked(path: Path, heading: Sequence[str], lines: Sequence[list[str]]) -> Iterator[tuple[int, list[Any]]]:
    for number, cells in enumerate(lines[1:], 2):
        if len(cells) != len(heading):
            said = f"has {len(cells)} cells, the heading has {len(heading)}" if cells else "is empty"
            raise SourceError(f"{path}: line {number}: {said}; allowed: a cell for each column")
        yield number, list(cells)


def _parquet(path: Path) -> tuple[list[str], Iterable[tuple[int, list[Any]]]]:
    import pyarrow.parquet as parquet
    from pyarrow import ArrowException

    try:
        table = parquet.read_table(path)
    except (OSError, ArrowException) as error:
        reason = getattr(error, "strerror", None) or "it is no Parquet file"
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


def _fetched(url: str) -> str:
    import httpx

    try:
        answer = httpx.get(url, timeout=_SECONDS, follow_redirects=True)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise SourceError(f"{url}: does not answer: {str(error) or type(error).__name__}") from None
    if not answer.is_success:
        raise SourceError(f"{url}: answers {answer.status_code}; allowed: a page of metrics")
    return answer.text


def _take_page(found: Measurements, text: str, shown: str) -> None:
    """Adds the histograms and counters of a page; several engines' add up."""
    before = len(found.histograms)
    try:
        families = list(text_string_to_metric_families(text))
    except ValueError as error:
        raise SourceError(f"{shown}: is no page of metrics: {' '.join(str(error).split())[:200]}") from None
    for family in families:
        name = _plain(family.name)
        if family.type == "histogram":
            for key, bins in _histograms(name, family.samples):
                known = found.histograms.get(key)
                if known is not None and known.edges != bins.edges:
                    raise SourceError(f"{shown}: {family.name} has other buckets than in the page before")
                found.histograms[key] = bins if known is None else known + bins
        elif family.type == "counter":
            total = sum(sample.value for sample in family.samples if sample.name.endswith("_total"))
            found.counters[name] = found.counters.get(name, 0.0) + total
    if not found.histograms and not before:
        raise SourceError(f"{shown}: holds no histogram; allowed: an engine's or the operator's /metrics")


def _plain(name: str) -> str:
    return next((name.removeprefix(prefix) for prefix in _ENGINE if name.startswith(prefix)), name)


def _histograms(name: str, samples: Iterable[Any]) -> Iterator[tuple[str, Histogram]]:
    """Each that is not empty: one in all, or one a verb where the samples have such a label."""
    below: dict[str, dict[float, float]] = {}
    total: dict[str, float] = {}
    for sample in samples:
        key = f"{name}/{sample.labels['verb']}" if "verb" in sample.labels else name
        if sample.name.endswith("_bucket"):
            edges = below.setdefault(key, {})
            edge = float(sample.labels["le"])
            edges[edge] = edges.get(edge, 0.0) + sample.value
        elif sample.name.endswith("_sum"):
            total[key] = total.get(key, 0.0) + sample.value
    for key, edges in below.items():
        ordered = sorted(edges)
        counts = np.diff([0.0, *(edges[edge] for edge in ordered)]).astype(int)
        if counts.sum() > 0 and ordered[-1] == math.inf:
            yield key, Histogram(tuple(ordered[:-1]), tuple(int(c) for c in counts), total.get(key, 0.0))
