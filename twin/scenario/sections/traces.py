"""Traces: what somebody measured. When adapters arrived, or which requests came; from CSV or Parquet.

| column | other name | holds | in |
| --- | --- | --- | --- |
| `time` | | seconds since the start, or durations such as 250ms | both |
| `TIMESTAMP` | | instead of `time`: date and time of day; the first row is second 0 | both |
| `prompt_tokens` | `ContextTokens` | length of the prompt | requests |
| `output_tokens` | `GeneratedTokens` | length of the answer | requests |
| `adapter` | | name of the ModelAdapter that is asked; by popularity where the column is absent | requests |

The other names are those of the public Azure LLM inference traces, which so can be used as they are. Times may not
go back. Further columns are left alone. A CSV file of arrivals may do without a heading: its first column is the time.
"""

import base64
import binascii
import csv
import io
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path as File
from typing import Annotated, Any

from pydantic import PlainSerializer, PlainValidator, ValidationInfo, WithJsonSchema
from pydantic_core import PydanticCustomError

from formats.durations import format_duration, parse_duration
from formats.errors import FormatError
from twin.scenario.errors import Path, closest
from twin.scenario.units import format_error, value_error

_NAMES = {"ContextTokens": "prompt_tokens", "GeneratedTokens": "output_tokens"}
_TIMES = ("time", "TIMESTAMP")
_KNOWN = (*_TIMES, "prompt_tokens", "output_tokens", "adapter")
_SEE = "see the columns of traces in docs/traces.md"


@dataclass(frozen=True, slots=True)
class RequestTrace:
    """Requests, in order: seconds since the trace's start, lengths in tokens, whom they ask."""

    times: tuple[float, ...]
    prompts: tuple[int, ...]
    outputs: tuple[int, ...]
    adapters: tuple[str, ...] = ()
    """Empty if the trace does not say."""


@dataclass(frozen=True, slots=True)
class _Row:
    number: int
    """As an editor counts lines; in Parquet the first row is 1."""
    cells: dict[str, Any]


class _Table:
    """The rows of a file, and where in it what is wrong."""

    def __init__(self, shown: str, unit: str, columns: Sequence[str], rows: list[_Row]) -> None:
        self.shown = shown
        self.rows = rows
        self.columns = [_NAMES.get(name, name) for name in columns]
        self._unit = unit
        self._given = list(columns)

    def wrong(self, number: int, message: str, allowed: str) -> PydanticCustomError:
        return value_error(f'"{self.shown}" {self._unit} {number}: {message}', allowed)

    def require(self, *names: str) -> None:
        """Raises if a column is not there, or looks misspelled."""
        for name in self.columns:
            close = closest(name, _KNOWN)
            if name not in _KNOWN and close and close not in self.columns:
                raise self.wrong(1, f'unknown column "{name}"', f'did you mean "{close}"? {_SEE}')
        for name in names:
            if name not in self.columns:
                there = ", ".join(self._given)
                raise self.wrong(1, f'there is no column "{name}"', f"there are: {there}; {_SEE}")

    def times(self) -> list[float]:
        """Seconds since the start, in order."""
        name = next((name for name in _TIMES if name in self.columns), "")
        if not name:
            self.require("time")
        read = _seconds if name == "time" else _moment
        found: list[float] = []
        for row in self.rows:
            found.append(self._time(row, name, read(row.cells.get(name)), found))
        first = found[0] if name == "TIMESTAMP" else 0.0
        return [round(moment - first, 6) for moment in found]

    def _time(self, row: _Row, name: str, moment: float | None, before: list[float]) -> float:
        if moment is None:
            given = row.cells.get(name)
            said = f"{name} is missing" if given in (None, "") else f'"{given}" is not a time'
            form = "seconds such as 1.5, or durations such as 250ms" if name == "time" else "2023-11-16 18:17:03.97"
            raise self.wrong(row.number, said, f"allowed: {form}")
        if moment < 0:
            raise self.wrong(row.number, "the time is negative", "allowed: 0 or later")
        if before and moment < before[-1]:
            late = "the time is earlier than in the previous row"
            raise self.wrong(row.number, late, "allowed: rows in ascending order of time")
        return moment

    def whole(self, name: str) -> tuple[int, ...]:
        """A column of whole numbers, none below 0."""
        return tuple(self._whole(row, name) for row in self.rows)

    def _whole(self, row: _Row, name: str) -> int:
        given = row.cells.get(name)
        try:
            value = int(given) if not isinstance(given, float) or given.is_integer() else -1  # type: ignore[arg-type]
        except (TypeError, ValueError):
            value = -1
        if value < 0:
            said = f"{name} is missing" if given in (None, "") else f'{name} is "{given}"'
            raise self.wrong(row.number, said, "allowed: a whole number, 0 or more")
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        """A column of names."""
        for row in self.rows:
            if not row.cells.get(name):
                raise self.wrong(row.number, f"{name} is missing", "allowed: a name in every row, or no such column")
        return tuple(str(row.cells[name]) for row in self.rows)


def arrivals(value: object, info: ValidationInfo) -> tuple[float, ...]:
    """Seconds at which adapters arrive: from a file, or from a list of durations."""
    if isinstance(value, str):
        table = _read(_folder(info) / value, value, heading=False)
        return tuple(table.times())
    if not isinstance(value, list | tuple):
        raise value_error("is not a file name", "allowed: the name of a CSV or Parquet file, or a list of durations")
    moments: list[float] = []
    for index, item in enumerate(value):
        at: Path = (index,)
        try:
            moment = parse_duration(item)
        except FormatError as error:
            raise format_error(error, at) from None
        if moments and moment < moments[-1]:
            raise value_error("is earlier than the previous one", "allowed: times in ascending order", at)
        moments.append(moment)
    if not moments:
        raise value_error("contains no times", "allowed: one or more")
    return tuple(moments)


def requests(value: object, info: ValidationInfo) -> RequestTrace:
    """The requests of a file, or of a resolved scenario's packed one."""
    if isinstance(value, RequestTrace):
        return value
    if isinstance(value, str):
        table = _read(_folder(info) / value, value)
    elif isinstance(value, dict) and list(value) == ["packed"] and isinstance(value["packed"], str):
        table = _table(io.StringIO(_unpacked(value["packed"])), "packed", heading=True)
    else:
        raise value_error("is not a file name", "allowed: the name of a CSV or Parquet file")
    table.require("prompt_tokens", "output_tokens")
    times = tuple(table.times())
    adapters = table.texts("adapter") if "adapter" in table.columns else ()
    return RequestTrace(times, table.whole("prompt_tokens"), table.whole("output_tokens"), adapters)


def packed(trace: RequestTrace) -> dict[str, str]:
    """A trace as a resolved scenario holds it: the same CSV, compressed, so that the scenario needs no other file."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    names = ["time", "prompt_tokens", "output_tokens", *(["adapter"] if trace.adapters else [])]
    columns = [trace.times, trace.prompts, trace.outputs, *([trace.adapters] if trace.adapters else [])]
    writer.writerow(names)
    writer.writerows(zip(*columns, strict=True))
    return {"packed": base64.b64encode(zlib.compress(out.getvalue().encode(), 9)).decode()}


def _unpacked(text: str) -> str:
    try:
        return zlib.decompress(base64.b64decode(text, validate=True)).decode()
    except (binascii.Error, zlib.error, UnicodeDecodeError):
        raise value_error(
            "cannot be unpacked", "allowed: what a resolved scenario holds, unchanged", ("packed",)
        ) from None


def _folder(info: ValidationInfo) -> File:
    return File((info.context or {}).get("folder", "."))


def _read(path: File, shown: str, *, heading: bool = True) -> _Table:
    """The table in a file; without `heading` a CSV may do without one."""
    try:
        if path.suffix == ".parquet":
            return _parquet(path, shown)
        with path.open(encoding="utf-8-sig", newline="") as file:
            return _table(file, shown, heading=heading)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise value_error(
            f'cannot read "{shown}": {reason}', "allowed: a CSV or Parquet file, relative to the scenario"
        ) from None


def _parquet(path: File, shown: str) -> _Table:
    import pyarrow.parquet as parquet  # takes long to import, and most scenarios have no trace
    from pyarrow import ArrowInvalid

    try:
        table = parquet.read_table(path)
    except ArrowInvalid:
        raise value_error(
            f'cannot read "{shown}": it is not a Parquet file', "allowed: a CSV or Parquet file"
        ) from None
    rows = [_Row(number, _renamed(row)) for number, row in enumerate(table.to_pylist(), 1)]
    return _with_rows(_Table(shown, "row", table.column_names, rows))


def _table(file: Iterable[str], shown: str, *, heading: bool) -> _Table:
    lines = [(number, line) for number, line in enumerate(csv.reader(file), 1)]
    while lines and not any(cell.strip() for cell in lines[-1][1]):
        lines.pop()  # what ends a file is no gap in it
    if not lines:
        raise value_error(f'"{shown}" contains no rows', "allowed: one or more")
    first = [cell.strip() for cell in lines[0][1]]
    if not heading and (_seconds(first[0]) is not None or not set(first) & set(_KNOWN)):
        bare = lines if _seconds(first[0]) is not None else lines[1:]
        rows = [_Row(number, {"time": cells[0].strip() if cells else ""}) for number, cells in bare]
        return _with_rows(_Table(shown, "line", ["time"], rows))
    table = _Table(shown, "line", first, [])
    for number, cells in lines[1:]:
        if len(cells) != len(first):
            said = f"has {len(cells)} cells, the heading has {len(first)}" if cells else "is empty"
            raise table.wrong(number, said, "allowed: one cell for each column")
        table.rows.append(_Row(number, _renamed(dict(zip(first, (c.strip() for c in cells), strict=True)))))
    return _with_rows(table)


def _with_rows(table: _Table) -> _Table:
    if not table.rows:
        raise value_error(f'"{table.shown}" contains no rows', "allowed: one or more")
    return table


def _renamed(cells: dict[str, Any]) -> dict[str, Any]:
    return {_NAMES.get(name, name): cell for name, cell in cells.items()}


def _seconds(cell: Any) -> float | None:
    """Seconds of a cell: a number, or a duration; None if it is neither."""
    if isinstance(cell, int | float) and not isinstance(cell, bool):
        return float(cell) if cell == cell and abs(cell) < 1e12 else None
    text = str(cell or "").strip()
    try:
        return parse_duration(text) if text[-1:].isalpha() else float(text)
    except ValueError:
        return None


def _moment(cell: Any) -> float | None:
    """Seconds since 1970 of a date and time of day; UTC where it does not say."""
    if isinstance(cell, datetime):
        return _utc(cell)
    try:
        return _utc(datetime.fromisoformat(str(cell or "").strip()))
    except ValueError:
        return None


def _utc(moment: datetime) -> float:
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


Arrivals = Annotated[
    tuple[float, ...],
    PlainValidator(arrivals),
    PlainSerializer(lambda moments: [format_duration(moment) for moment in moments]),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
]
"""When adapters arrive."""

Requests = Annotated[
    RequestTrace,
    PlainValidator(requests),
    PlainSerializer(packed),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "examples": ["requests.csv"]},
                {"type": "object", "properties": {"packed": {"type": "string"}}, "required": ["packed"]},
            ]
        }
    ),
]
"""Which requests come."""
