"""Traces of real systems: arrivals of adapters, or user requests; from CSV or Parquet.

| column | other name | content | in |
| --- | --- | --- | --- |
| `time` | | seconds since the start, or durations such as 250ms | both |
| `TIMESTAMP` | | instead of `time`: date and time of day; the first row is second 0 | both |
| `prompt_tokens` | `ContextTokens` | length of the prompt | requests |
| `output_tokens` | `GeneratedTokens` | length of the response | requests |
| `adapter` | | name of the requested ModelAdapter; by popularity if the column is absent | requests |

The other names are those of the public Azure LLM inference traces, which can be used without changes. Rows are in
ascending order of time. Further columns are ignored. A CSV file of arrivals may have no headings: its first column is
the time.
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
from twin.scenario.sections.foreign_traces import MOST_KEYS, form_of, json_keys
from twin.scenario.units import format_error, value_error

_NAMES = {"ContextTokens": "prompt_tokens", "GeneratedTokens": "output_tokens"}
_TIMES = ("time", "TIMESTAMP")
_KNOWN = (*_TIMES, "prompt_tokens", "output_tokens", "adapter")
_SEE = "see the columns of traces in docs/traces.md"


@dataclass(frozen=True, slots=True)
class RequestTrace:
    """Requests in order: seconds since the trace's start, lengths in tokens, requested adapters."""

    times: tuple[float, ...]
    prompts: tuple[int, ...]
    outputs: tuple[int, ...]
    adapters: tuple[str, ...] = ()
    """Empty if the trace has no adapters."""


@dataclass(frozen=True, slots=True)
class _Row:
    number: int
    """Line number in a CSV file; row number from 1 in a Parquet file."""
    cells: dict[str, Any]


class _Table:
    """The rows of a file, with positions for errors."""

    def __init__(self, name: str, unit: str, columns: Sequence[str], rows: list[_Row]) -> None:
        self.name = name
        self.rows = rows
        self.columns = [_NAMES.get(name, name) for name in columns]
        self._unit = unit
        self._headings = list(columns)

    def error(self, number: int, message: str, allowed: str) -> PydanticCustomError:
        return value_error(f'"{self.name}" {self._unit} {number}: {message}', allowed)

    def require(self, *names: str) -> None:
        """Raise an error if a column is missing or looks misspelled, or if the file has another known form."""
        if any(name not in self.columns for name in names) and (form := form_of(self._headings)) is not None:
            columns = ", ".join(self._headings)
            raise self.error(1, f"the columns are those of {form.name}: {columns}", f"allowed: {form.remedy}; {_SEE}")
        for name in self.columns:
            close = closest(name, _KNOWN)
            if name not in _KNOWN and close and close not in self.columns:
                raise self.error(1, f'unknown column "{name}"', f'did you mean "{close}"? {_SEE}')
        for name in names:
            if name not in self.columns:
                columns = ", ".join(self._headings)
                raise self.error(1, f'missing column "{name}"', f"columns: {columns}; {_SEE}")

    def times(self) -> list[float]:
        """Return the seconds since the start, in order."""
        name = next((name for name in _TIMES if name in self.columns), "")
        if not name:
            self.require("time")
        read = _seconds if name == "time" else _timestamp
        times: list[float] = []
        for row in self.rows:
            times.append(self._time(row, name, read(row.cells.get(name)), times))
        first = times[0] if name == "TIMESTAMP" else 0.0
        return [round(time - first, 6) for time in times]

    def _time(self, row: _Row, name: str, time: float | None, before: list[float]) -> float:
        if time is None:
            cell = row.cells.get(name)
            message = f"{name} is missing" if cell in (None, "") else f'"{cell}" is not a time'
            form = "seconds such as 1.5, or durations such as 250ms" if name == "time" else "2023-11-16 18:17:03.97"
            raise self.error(row.number, message, f"allowed: {form}")
        if time < 0:
            raise self.error(row.number, "the time is negative", "allowed: 0 or later")
        if before and time < before[-1]:
            message = "the time is earlier than in the previous row"
            raise self.error(row.number, message, "allowed: rows in ascending order of time")
        return time

    def whole(self, name: str) -> tuple[int, ...]:
        """Return a column of whole numbers, 0 or more."""
        return tuple(self._whole(row, name) for row in self.rows)

    def _whole(self, row: _Row, name: str) -> int:
        cell = row.cells.get(name)
        try:
            value = int(cell) if not isinstance(cell, float) or cell.is_integer() else -1  # type: ignore[arg-type]
        except (TypeError, ValueError):
            value = -1
        if value < 0:
            message = f"{name} is missing" if cell in (None, "") else f'{name} is "{cell}"'
            raise self.error(row.number, message, "allowed: a whole number, 0 or more")
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        """Return a column of names."""
        for row in self.rows:
            if not row.cells.get(name):
                raise self.error(row.number, f"{name} is missing", "allowed: a name in every row, or no such column")
        return tuple(str(row.cells[name]) for row in self.rows)


def arrivals(value: object, info: ValidationInfo) -> tuple[float, ...]:
    """Return the seconds at which adapters arrive: from a file, or from a list of durations."""
    if isinstance(value, str):
        table = _read(_folder(info) / value, value, heading=False)
        return tuple(table.times())
    if not isinstance(value, list | tuple):
        raise value_error("is not a file name", "allowed: the name of a CSV or Parquet file, or a list of durations")
    times: list[float] = []
    for index, item in enumerate(value):
        at: Path = (index,)
        try:
            time = parse_duration(item)
        except FormatError as error:
            raise format_error(error, at) from None
        if times and time < times[-1]:
            raise value_error("is earlier than the previous one", "allowed: times in ascending order", at)
        times.append(time)
    if not times:
        raise value_error("contains no times", "allowed: one or more")
    return tuple(times)


def requests(value: object, info: ValidationInfo) -> RequestTrace:
    """Return the requests in a file, or in the packed form of a resolved scenario."""
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
    """Return the packed form of a resolved scenario: the compressed CSV, so that it needs no other file."""
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
            "cannot be unpacked", "allowed: the unchanged text of a resolved scenario", ("packed",)
        ) from None


def _folder(info: ValidationInfo) -> File:
    return File((info.context or {}).get("folder", "."))


def _read(path: File, name: str, *, heading: bool = True) -> _Table:
    """Return the table in a file; with `heading` false, the first line of a CSV file may be data."""
    try:
        if path.suffix == ".parquet":
            return _parquet(path, name)
        with path.open(encoding="utf-8-sig", newline="") as file:
            text = file.read()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise value_error(
            f'cannot read "{name}": {reason}', "allowed: a CSV or Parquet file, relative to the scenario"
        ) from None
    if (keys := json_keys(text)) is not None:
        form = form_of(keys)
        what = form.name if form else f"with the keys {', '.join(keys[:MOST_KEYS])}" if keys else "without objects"
        remedy = f"CSV or Parquet with {form.remedy}" if form else "a CSV or Parquet file"
        raise value_error(f'"{name}" line 1: is JSON, {what}', f"allowed: {remedy}; {_SEE}")
    return _table(io.StringIO(text, newline=""), name, heading=heading)


def _parquet(path: File, name: str) -> _Table:
    import pyarrow.parquet as parquet  # slow to import, and most scenarios have no trace
    from pyarrow import ArrowInvalid

    try:
        table = parquet.read_table(path)
    except ArrowInvalid:
        raise value_error(f'cannot read "{name}": it is not a Parquet file', "allowed: a CSV or Parquet file") from None
    rows = [_Row(number, _renamed(row)) for number, row in enumerate(table.to_pylist(), 1)]
    return _with_rows(_Table(name, "row", table.column_names, rows))


def _table(file: Iterable[str], name: str, *, heading: bool) -> _Table:
    lines = [(number, line) for number, line in enumerate(csv.reader(file), 1)]
    while lines and not any(cell.strip() for cell in lines[-1][1]):
        lines.pop()  # empty lines at the end are allowed
    if not lines:
        raise value_error(f'"{name}" contains no rows', "allowed: one or more")
    first = [cell.strip() for cell in lines[0][1]]
    if not heading and (_seconds(first[0]) is not None or not set(first) & set(_KNOWN)):
        bare = lines if _seconds(first[0]) is not None else lines[1:]
        rows = [_Row(number, {"time": cells[0].strip() if cells else ""}) for number, cells in bare]
        return _with_rows(_Table(name, "line", ["time"], rows))
    table = _Table(name, "line", first, [])
    for number, cells in lines[1:]:
        if len(cells) != len(first):
            message = f"has {len(cells)} cells, the heading has {len(first)}" if cells else "is empty"
            raise table.error(number, message, "allowed: one cell for each column")
        table.rows.append(_Row(number, _renamed(dict(zip(first, (c.strip() for c in cells), strict=True)))))
    return _with_rows(table)


def _with_rows(table: _Table) -> _Table:
    if not table.rows:
        raise value_error(f'"{table.name}" contains no rows', "allowed: one or more")
    return table


def _renamed(cells: dict[str, Any]) -> dict[str, Any]:
    return {_NAMES.get(name, name): cell for name, cell in cells.items()}


def _seconds(cell: Any) -> float | None:
    """Return the seconds in a cell, a number or a duration; None if it is neither."""
    if isinstance(cell, int | float) and not isinstance(cell, bool):
        return float(cell) if cell == cell and abs(cell) < 1e12 else None
    text = str(cell or "").strip()
    try:
        return parse_duration(text) if text[-1:].isalpha() else float(text)
    except ValueError:
        return None


def _timestamp(cell: Any) -> float | None:
    """Return the Unix time of a date and time of day, in UTC by default; None if it is neither."""
    if isinstance(cell, datetime):
        return _utc(cell)
    try:
        return _utc(datetime.fromisoformat(str(cell or "").strip()))
    except ValueError:
        return None


def _utc(time: datetime) -> float:
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()


Arrivals = Annotated[
    tuple[float, ...],
    PlainValidator(arrivals),
    PlainSerializer(lambda times: [format_duration(time) for time in times]),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
]
"""Times at which adapters arrive."""

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
"""Requests of users."""
