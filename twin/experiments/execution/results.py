"""Where rows are kept: a journal while runs come in, one Parquet file in the end.

The journal, beside the file and named `FILE.journal`, gets a line a run as soon as it is done, so an interruption loses
the runs in flight and no more; the next start of the same command reads it and goes on. The Parquet file is written in
the order of the design, so its bytes depend on neither the number of processes nor on who was faster. Memory holds one
place (an offset) a run, never the rows.

The schema is part of the contract (docs/sweep.md): `variant`, `seed`, `key`, one `setting.PATH` for each path that
varies, one column for each measure by its name in summary.json, `passed`, `violation`, `error`. Each column says in its
own metadata what it is, and the file's metadata say by which version it was made and whether runs are missing.
"""

import fcntl
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
import formats
from twin.experiments.execution.task import Row
from twin.report.wording import label
from twin.scenario import MEASURES

SCHEMA = "1"
"""Of the Parquet file; counted up when a column changes its meaning or goes."""
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


class ResultStore:
    """Rows by key, on disk."""

    def __init__(self, path: Path) -> None:
        """
        Raises:
            StoreError: if the place cannot be used, or holds what another version wrote.
        """
        self.path = path
        self._places: dict[str, tuple[int, int]] = {}
        journal = journal_path(path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # Unbuffered: what a full disk refused must not be tried again when the file is closed.
            self._out = journal.open("ab", buffering=0)
            self._file: BinaryIO = journal.open("rb")
        except OSError as error:
            raise StoreError(f"{journal}: cannot be written: {error.strerror or error}; choose another --out") from None
        try:
            self._alone(journal)
            self._read_back(journal)
        except StoreError:
            self._close()
            raise

    def __enter__(self) -> "ResultStore":
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._close()

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, key: str) -> bool:
        return key in self._places

    def add(self, row: Row) -> None:
        """Keeps a row; it is on disk when this returns.

        Raises:
            StoreError: if the disk refuses; what was there stays readable.
        """
        line = msgspec.json.encode(row) + b"\n"
        self._places[row.key] = (self._append(line), len(line))

    def row(self, key: str) -> Row:
        """The row of that key."""
        start, length = self._places[key]
        self._file.seek(start)
        return _ROW.decode(self._file.read(length))

    def rows(self, keys: Sequence[str]) -> Iterator[Row]:
        """Those of `keys` that are there, in that order."""
        return (self.row(key) for key in keys if key in self._places)

    def write(self, keys: Sequence[str], paths: Sequence[str], *, scenario: str) -> None:
        """Writes the Parquet file: the rows of `keys`, with a column for each of the varied `paths`.

        Raises:
            StoreError: if the disk refuses; an older file of that name is then untouched.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        whole = all(key in self._places for key in keys)
        schema = parquet_schema(paths, scenario=scenario, partial=not whole)
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

    def _append(self, line: bytes) -> int:
        """Where it begins."""
        try:
            start = self._out.seek(0, os.SEEK_END)
            left = memoryview(line)
            while left:
                left = left[self._out.write(left) or 0 :]
        except OSError as error:
            raise StoreError(
                f"{journal_path(self.path)}: cannot be written: {error.strerror or error}; "
                "what was finished is kept, the same command goes on from there"
            ) from None
        return start

    def _alone(self, journal: Path) -> None:
        try:
            fcntl.flock(self._out, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise StoreError(f"{journal}: another twin writes there now; wait for it or choose another --out") from None

    def _close(self) -> None:
        self._out.close()
        self._file.close()

    def _read_back(self, journal: Path) -> None:
        """Finds what is there; a line that was cut off by a crash is cut away."""
        first = self._file.readline()
        head = msgspec.json.encode(_Head(version("lora-twin"), code())) + b"\n"
        if not first:
            self._append(head)
            return
        if first != head:
            raise StoreError(f"{journal}: {_other(first)}; move it away or choose another --out")
        place = len(first)
        for line in self._file:
            if not line.endswith(b"\n"):
                self._out.truncate(place)
                break
            self._places[_ROW.decode(line).key] = (place, len(line))
            place += len(line)


def journal_path(path: Path) -> Path:
    """The journal that belongs to a Parquet file."""
    return path.with_name(path.name + ".journal")


def parquet_schema(paths: Sequence[str], *, scenario: str = "", partial: bool = False) -> Any:
    """The columns of a sweep's file."""
    import pyarrow as pa

    def column(name: str, kind: Any, meaning: str) -> Any:
        return pa.field(name, kind, metadata={"meaning": meaning})

    return pa.schema(
        [
            column("variant", pa.string(), "what sets it apart from the others"),
            column("seed", pa.int64(), "rows of one seed met the same arrivals, latencies and faults"),
            column("key", pa.string(), "names everything that the row depends on"),
            *(column(f"setting.{path}", pa.string(), f"as of --set {path}=") for path in paths),
            *(column(name, pa.float64(), label(name)) for name in sorted(MEASURES)),
            column("passed", pa.bool_(), "whether invariants and expectations held; null if the run crashed"),
            column("violation", pa.string(), "the first invariant that was broken, with its object"),
            column("error", pa.string(), "why the run crashed; empty if it did not"),
        ],
        metadata={
            "lora_twin": version("lora-twin"),
            "code": code(),
            "schema": SCHEMA,
            "scenario": scenario,
            "partial": str(partial).lower(),
        },
    )


@cache
def code() -> str:
    """A digest of all code that a result depends on: two versions never share rows."""
    packages = (Path(str(package.__file__)).parent for package in (controller, fake_vllm, formats))
    return folder_digest(*packages, Path(__file__).parents[2])


def folder_digest(*folders: Path) -> str:
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
        "passed": row.passed,
        "violation": row.violation,
        "error": row.error,
    }


def _other(first: bytes) -> str:
    try:
        head = msgspec.json.decode(first, type=_Head)
    except msgspec.DecodeError:
        return "is no journal of runs"
    return f"holds results of another version (lora-twin {head.lora_twin}, code {head.code}, now {code()})"
