"""`events.parquet`: the trace as one table, with the same columns in every run.

`events.jsonl` is sparse: a line has the fields of its kind that differ from their defaults. Readers that infer a schema
from the first lines (polars, DuckDB) lose fields that come later. The table has one column for each field of any kind,
in a fixed order and type; fields of other kinds are null, defaults are written out. Mappings and nested lists are JSON
texts, because their keys are not known in advance.
"""

import typing
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

import msgspec

from twin.trace.lines import Line

_ENCODER = msgspec.json.Encoder()
TYPES = {str: "string", int: "int64", float: "double", bool: "bool"}
JSON = "string (JSON)"
LINE_TYPES = typing.get_args(Line)


def schema() -> dict[str, str]:
    """Return the Arrow type of each column, `t` and `kind` first; `string (JSON)` is a JSON text.

    Raises:
        TypeError: if two kinds have a field of the same name with different types.
    """
    columns = {"t": "double", "kind": "string"}
    for kind in LINE_TYPES:
        for name, hint in typing.get_type_hints(kind).items():
            if columns.setdefault(name, _column_type(hint)) != _column_type(hint):
                raise TypeError(f"{kind.__name__}.{name}: {_column_type(hint)}; another kind has {columns[name]}")
    return columns


def kinds() -> dict[str, tuple[str, ...]]:
    """Return the kinds of lines that have each column."""
    found: dict[str, list[str]] = {}
    for kind in LINE_TYPES:
        for name in kind.__struct_fields__:
            found.setdefault(name, []).append(str(kind.__struct_config__.tag))
    return {name: tuple(each) for name, each in found.items()}


def write_events(path: Path, lines: Sequence[Line]) -> None:
    """Write a trace as a Parquet file."""
    import pyarrow.json as pj  # slow to import
    import pyarrow.parquet as pq

    data = _ENCODER.encode_lines([_row(line) for line in lines])
    table = pj.read_json(  # pyarrow's constructors from Python objects would import pandas
        BytesIO(data),
        read_options=pj.ReadOptions(use_threads=False, block_size=len(data) + 1),
        parse_options=pj.ParseOptions(explicit_schema=_arrow_schema(), unexpected_field_behavior="error"),
    )
    pq.write_table(table, path, compression="zstd")


def _row(line: Line) -> dict[str, Any]:
    """Return the fields of a line with its kind; mappings and nested lists as JSON texts."""
    row = {"kind": line.__struct_config__.tag, **msgspec.structs.asdict(line)}
    for name in _JSON_COLUMNS:
        if name in row:
            row[name] = _ENCODER.encode(row[name]).decode()
    return row


def _column_type(hint: Any) -> str:
    if typing.get_origin(hint) is Literal:
        return "string"
    parts = [part for part in typing.get_args(hint) if part is not type(None)]
    if typing.get_origin(hint) is list:
        return f"list<{TYPES[parts[0]]}>" if parts[0] in TYPES else JSON
    if typing.get_origin(hint) is dict:
        return JSON
    return TYPES[parts[0] if parts else hint]


def _arrow_schema() -> Any:
    import pyarrow as pa

    names = {"string": pa.string(), "int64": pa.int64(), "double": pa.float64(), "bool": pa.bool_(), JSON: pa.string()}
    types = names | {f"list<{name}>": pa.list_(type_) for name, type_ in names.items()}
    return pa.schema([(name, types[type_]) for name, type_ in schema().items()])


_JSON_COLUMNS = tuple(name for name, type_ in schema().items() if type_ == JSON)
