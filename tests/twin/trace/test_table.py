"""`events.parquet`: the whole trace, the same columns in every run, defaults written out."""

import json
import typing
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from tests.twin.synthetic import Writer, a_run
from twin.trace.lines import AdapterLine, EngineLine, Line, PodLine, RequestLine
from twin.trace.table import JSON, schema, write_events


def read(tmp_path: Path, lines: list[Line]) -> pa.Table:
    write_events(tmp_path / "events.parquet", lines)
    return pq.read_table(tmp_path / "events.parquet")


def test_every_line_is_a_row_with_the_values_of_its_fields(tmp_path: Path) -> None:
    lines = a_run(pods=3, adapters=6)
    rows = read(tmp_path, lines).to_pylist()
    assert len(rows) == len(lines)
    for row, line in zip(rows, lines, strict=True):
        assert row["kind"] == line.__struct_config__.tag
        for name, value in msgspec.structs.asdict(line).items():
            found = row[name]
            assert (json.loads(found) if schema()[name] == JSON else found) == msgspec.to_builtins(value), name


def test_defaults_are_written_out_and_fields_of_other_kinds_are_null(tmp_path: Path) -> None:
    w = Writer()
    w.pod("model-0", 0.0, ready=20.0)
    w.request("sql", "model-0", 30.0, 1.0, status=0)
    table = read(tmp_path, w.lines).to_pylist()
    pod = next(row for row in table if row["kind"] == "pod")
    assert (pod["ready"], pod["restarts"], pod["labels"], pod["verb"]) == (False, 0, "{}", None)
    request = next(row for row in table if row["kind"] == "request")
    assert (request["status"], request["error"], request["ready"]) == (0, "", None)


def test_a_short_run_has_the_columns_of_a_long_one(tmp_path: Path) -> None:
    short, long = read(tmp_path, Writer().lines), read(tmp_path, a_run())
    assert short.schema == long.schema
    assert short.column_names == list(schema()), "also columns that no line of this run has"
    kinds = typing.get_args(Line)
    assert {name for kind in kinds for name in kind.__struct_fields__} | {"kind"} == set(short.column_names)


def test_texts_that_json_escapes_come_back(tmp_path: Path) -> None:
    adapter = AdapterLine(
        t=1.0, object="default/ä\n\"", event="created", uid="u", generation=1, artifact="", instances=["a", "b"],
        conditions={"Ready": ("False", "Wäit")}, expressions=[("zone", "In", ["a", "b"])],
    )  # fmt: skip
    engine = EngineLine(t=1.5, object="default/p", engine="e", event="loaded", adapter="x" * 100_000)
    rows = read(tmp_path, [*Writer().lines, adapter, engine]).to_pylist()
    assert rows[1]["object"] == 'default/ä\n"'
    assert rows[1]["instances"] == ["a", "b"]
    assert json.loads(rows[1]["conditions"]) == {"Ready": ["False", "Wäit"]}
    assert json.loads(rows[1]["expressions"]) == [["zone", "In", ["a", "b"]]]
    assert len(rows[2]["adapter"]) == 100_000


def test_the_same_trace_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_events(tmp_path / name, a_run(pods=2, adapters=4))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert {PodLine, RequestLine} <= set(typing.get_args(Line))
