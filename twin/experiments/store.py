"""Where rows are kept: a journal while runs come in, one Parquet file in the end.

The journal, beside the file and named `FILE.journal`, gets a line a run as soon as it is done, so an interruption loses
the runs in flight and no more; the next start of the same command reads it and goes on. The Parquet file is written in
the order of the design, so its bytes depend on neither the number of processes nor on who was faster. Memory holds one
place (an offset) a run, never the rows.

The schema is part of the contract (docs/sweep.md): `variant`, `seed`, `key`, one `setting.PATH` for each path that
varies, one column for each measure by its name in summary.json, `holds`, `violation`, `error`.
"""

import hashlib
import os
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import msgspec

import controller
import fake_vllm
import twin
from twin.experiments.trial import Row
from twin.scenario import MEASURES

ROWS_AT_ONCE = 2_000
"""Rows of one row group: what is in memory while the file is written."""
_NO_MATTER = ("report", "commands", "analysis", "cli.py")
"""Parts of `twin` that show results and change none."""
_ROW = msgspec.json.Decoder(Row)


class StoreError(Exception):
    """Results cannot be kept or read; the message says which and what to do."""


class _Head(msgspec.Struct, frozen=True):
    """First line of a journal."""

    lora_twin: str
    code: str


class Store:
    """Rows by key, on disk."""

    def __init__(self, path: Path) -> None:
        """
        Raises:
            StoreError: if the place cannot be used, or holds what another version wrote.
        """
        self.path = path
        self._places: dict[str, tuple[int, int]] = {}
        journal = journal_of(path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file: BinaryIO = journal.open("a+b")
        except OSError as error:
            raise StoreError(f"{journal}: cannot be written: {error.strerror or error}; choose another --out") from None
        try:
            self._read_back(journal)
        except StoreError:
            self._file.close()
            raise

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._file.close()

    def __contains__(self, key: str) -> bool:
        return key in self._places

    def add(self, row: Row) -> None:
        """Keeps a row; it is on disk when this returns.

        Raises:
            StoreError: if the disk refuses; what was there stays readable.
        """
        line = msgspec.json.encode(row) + b"\n"
        try:
            start = self._file.seek(0, os.SEEK_END)
            self._file.write(line)
            self._file.flush()
        except OSError as error:
            raise StoreError(
                f"{journal_of(self.path)}: cannot be written: {error.strerror or error}; "
                "what was finished is kept, the same command goes on from there"
            ) from None
        self._places[row.key] = (start, len(line))

    def row(self, key: str) -> Row:
        """The row of that key."""
        start, length = self._places[key]
        self._file.seek(start)
        return _ROW.decode(self._file.read(length))

    def rows(self, keys: Sequence[str]) -> Iterator[Row]:
        """Those of `keys` that are there, in that order."""
        return (self.row(key) for key in keys if key in self._places)

    def write(self, keys: Sequence[str], paths: Sequence[str]) -> None:
        """Writes the Parquet file: the rows of `keys`, with a column for each of the varied `paths`.

        Raises:
            StoreError: if the disk refuses; an older file of that name is then untouched.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        schema = schema_of(paths)
        fresh = self.path.with_name(f".{self.path.name}.new-{os.getpid()}")
        try:
            with pq.ParquetWriter(fresh, schema, compression="zstd") as writer:
                for start in range(0, len(keys), ROWS_AT_ONCE):
                    flat = [_flat(row, paths) for row in self.rows(keys[start : start + ROWS_AT_ONCE])]
                    writer.write_table(pa.Table.from_pylist(flat, schema=schema))
            fresh.replace(self.path)
        except OSError as error:
            raise StoreError(
                f"{self.path}: cannot be written: {error.strerror or error}; choose another --out"
            ) from None
        finally:
            fresh.unlink(missing_ok=True)

    def _read_back(self, journal: Path) -> None:
        """Finds what is there; a line that was cut off by a crash is cut away."""
        self._file.seek(0)
        first = self._file.readline()
        head = msgspec.json.encode(_Head(version("lora-twin"), code())) + b"\n"
        if not first:
            self._file.write(head)
            self._file.flush()
            return
        if first != head:
            raise StoreError(f"{journal}: {_other(first)}; move it away or choose another --out")
        place = len(first)
        for line in self._file:
            if not line.endswith(b"\n"):
                self._file.truncate(place)
                break
            self._places[_ROW.decode(line).key] = (place, len(line))
            place += len(line)


def journal_of(path: Path) -> Path:
    """The journal that belongs to a Parquet file."""
    return path.with_name(path.name + ".journal")


def schema_of(paths: Sequence[str]) -> Any:
    """The columns of a sweep's file."""
    import pyarrow as pa

    return pa.schema(
        [
            ("variant", pa.string()),
            ("seed", pa.int64()),
            ("key", pa.string()),
            *((f"setting.{path}", pa.string()) for path in paths),
            *((name, pa.float64()) for name in sorted(MEASURES)),
            ("holds", pa.bool_()),
            ("violation", pa.string()),
            ("error", pa.string()),
        ],
        metadata={"lora_twin": version("lora-twin"), "code": code()},
    )


@cache
def code() -> str:
    """A digest of all code that a result depends on: two versions never share rows."""
    return digest_of(*(Path(str(package.__file__)).parent for package in (controller, fake_vllm, twin)))


def digest_of(*folders: Path) -> str:
    """A digest of the Python files and manifests below folders."""
    digest = hashlib.sha256()
    for folder in folders:
        for file in sorted(file for suffix in ("*.py", "*.yaml") for file in folder.rglob(suffix)):
            if file.relative_to(folder).parts[0] in _NO_MATTER:
                continue
            digest.update(f"{file.relative_to(folder.parent)}\0".encode() + file.read_bytes())
    return digest.hexdigest()[:16]


def _flat(row: Row, paths: Sequence[str]) -> dict[str, Any]:
    return {
        "variant": row.variant,
        "seed": row.seed,
        "key": row.key,
        **{f"setting.{path}": row.settings.get(path) for path in paths},
        **row.measures,
        "holds": row.holds,
        "violation": row.violation,
        "error": row.error,
    }


def _other(first: bytes) -> str:
    try:
        head = msgspec.json.decode(first, type=_Head)
    except msgspec.DecodeError:
        return "is no journal of runs"
    return f"holds results of another version (lora-twin {head.lora_twin}, code {head.code}, now {code()})"
