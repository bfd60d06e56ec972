"""Result store: a SQLite database while runs come in, one Parquet file at the end.

The database, `FILE.sqlite` beside the Parquet file, gets each row as soon as its run is done, in a transaction of its
own. An interruption loses the runs in flight and nothing else; running the same command again reads the database and
continues. The Parquet file is written in the order of the design, so its bytes depend neither on the number of
processes nor on which run finished first.

The schema is a contract (docs/sweep.md): `variant`, `seed`, `key`, one `setting.PATH` for each varied path, one column
for each measure by its name in summary.json, `passed`, `violation`, `error`. Each column describes itself in its
metadata; the file's metadata contain the version that wrote it and whether runs are missing.
"""

import hashlib
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec

import controller
import fake_vllm
import formats
from twin.experiments.execution.task import Row
from twin.report.wording import label
from twin.scenario import MEASURES

SCHEMA = "1"
"""Version of the Parquet schema; incremented when a column changes its meaning or is removed."""
ROWS_PER_GROUP = 2_000
"""Rows of one Parquet row group, which are in memory at the same time."""
_DIGEST_EXCLUDED = ("report", "commands", "analysis", "experiments/pages", "cli.py")
"""Parts of `twin` that display results and do not change them."""
_ROW = msgspec.json.Decoder(Row)
_TABLES = """
    PRAGMA locking_mode = EXCLUSIVE;
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = NORMAL;
    CREATE TABLE IF NOT EXISTS writer (lora_twin TEXT, code TEXT);
    CREATE TABLE IF NOT EXISTS rows (key TEXT PRIMARY KEY, body BLOB) WITHOUT ROWID;
"""


class StoreError(Exception):
    """Results cannot be stored or read; the message says which, and what to do."""


class ResultStore:
    """Rows by key, on disk. One process at a time has it open."""

    def __init__(self, path: Path) -> None:
        """Open the store that belongs to the Parquet file `path`, or create it.

        Raises:
            StoreError: if it cannot be written, another process has it open, or another version wrote it.
        """
        self.path = path
        self._file = database_path(path)
        with self._errors("choose another --out"):
            path.parent.mkdir(parents=True, exist_ok=True)
            # A notebook opens the store in one thread and runs its sweep in another, one after the other.
            self._database = sqlite3.connect(self._file, timeout=0, isolation_level=None, check_same_thread=False)
        try:
            with self._errors("choose another --out"):
                self._database.executescript(_TABLES)
                self._check_writer()
        except StoreError:
            self._database.close()
            raise

    def __enter__(self) -> "ResultStore":
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._database.close()

    def __len__(self) -> int:
        (count,) = self._database.execute("SELECT count(*) FROM rows").fetchone()
        return int(count)

    def __contains__(self, key: str) -> bool:
        return self._database.execute("SELECT 1 FROM rows WHERE key = ?", (key,)).fetchone() is not None

    def add(self, row: Row) -> None:
        """Store a row.

        Raises:
            StoreError: if the disk refuses; stored rows stay readable.
        """
        with self._errors("finished runs are stored; run the same command again to continue"):
            self._database.execute("INSERT OR REPLACE INTO rows VALUES (?, ?)", (row.key, msgspec.json.encode(row)))

    def rows(self, keys: Sequence[str]) -> Iterator[Row]:
        """Return the stored rows of `keys`, in that order."""
        for key in keys:
            match = self._database.execute("SELECT body FROM rows WHERE key = ?", (key,)).fetchone()
            if match is not None:
                yield _ROW.decode(match[0])

    def write(self, keys: Sequence[str], paths: Sequence[str], *, scenario: str) -> None:
        """Write the Parquet file: the rows of `keys`, with a column for each of the varied `paths`.

        Raises:
            StoreError: if the disk refuses; an older file of that name is then unchanged.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        complete = all(key in self for key in keys)
        schema = parquet_schema(paths, scenario=scenario, partial=not complete)
        temporary = self.path.with_name(f".{self.path.name}.new-{os.getpid()}")
        try:
            with pq.ParquetWriter(temporary, schema, compression="zstd") as writer:
                for start in range(0, len(keys), ROWS_PER_GROUP):
                    records = [_flatten(row, paths) for row in self.rows(keys[start : start + ROWS_PER_GROUP])]
                    writer.write_table(pa.Table.from_pylist(records, schema=schema))
            temporary.replace(self.path)
        except OSError as error:
            raise StoreError(
                f"{self.path}: cannot be written: {error.strerror or error}; choose another --out"
            ) from None
        finally:
            temporary.unlink(missing_ok=True)

    def _check_writer(self) -> None:
        current = (version("lora-twin"), code_digest())
        stored = self._database.execute("SELECT lora_twin, code FROM writer").fetchone()
        if stored is None:
            self._database.execute("INSERT INTO writer VALUES (?, ?)", current)
        elif stored != current:
            raise StoreError(
                f"{self._file}: contains results of another version (lora-twin {stored[0]}, code {stored[1]}, "
                f"now {current[1]}); move it away or choose another --out"
            )

    @contextmanager
    def _errors(self, advice: str) -> Iterator[None]:
        """Map errors of the operating system and of SQLite to `StoreError`."""
        try:
            yield
        except OSError as error:
            raise StoreError(f"{self._file}: cannot be written: {error.strerror or error}; {advice}") from None
        except sqlite3.DatabaseError as error:
            match error.sqlite_errorcode & 0xFF:
                case sqlite3.SQLITE_BUSY:
                    message = "another twin process has it open; wait for it or choose another --out"
                case sqlite3.SQLITE_NOTADB:
                    message = "is not a result database; move it away or choose another --out"
                case _:
                    message = f"cannot be written: {error}; {advice}"
            raise StoreError(f"{self._file}: {message}") from None


def database_path(path: Path) -> Path:
    """Return the database that belongs to a Parquet file."""
    return path.with_name(path.name + ".sqlite")


def parquet_schema(paths: Sequence[str], *, scenario: str = "", partial: bool = False) -> Any:
    """Return the columns of the Parquet file."""
    import pyarrow as pa

    def column(name: str, kind: Any, meaning: str) -> Any:
        return pa.field(name, kind, metadata={"meaning": meaning})

    return pa.schema(
        [
            column("variant", pa.string(), "settings that distinguish the variant"),
            column("seed", pa.int64(), "rows of one seed have the same arrivals, latencies and faults"),
            column("key", pa.string(), "digest of everything that the row depends on"),
            *(column(f"setting.{path}", pa.string(), f"value of --set {path}=") for path in paths),
            *(column(name, pa.float64(), label(name)) for name in sorted(MEASURES)),
            column("passed", pa.bool_(), "true if all invariants and expectations passed; null if the run crashed"),
            column("violation", pa.string(), "the first violated invariant, with its object"),
            column("error", pa.string(), "why the run crashed; empty if it did not"),
        ],
        metadata={
            "lora_twin": version("lora-twin"),
            "code": code_digest(),
            "schema": SCHEMA,
            "scenario": scenario,
            "partial": str(partial).lower(),
        },
    )


@cache
def code_digest() -> str:
    """Return a digest of all code that a result depends on: two versions never share rows."""
    packages = (Path(str(package.__file__)).parent for package in (controller, fake_vllm, formats))
    return folder_digest(*packages, Path(__file__).parents[2])


def folder_digest(*folders: Path) -> str:
    """Return a digest of the Python and YAML files below the folders."""
    digest = hashlib.sha256()
    for folder in folders:
        for file in sorted(file for suffix in ("*.py", "*.yaml") for file in folder.rglob(suffix)):
            if any(file.relative_to(folder).is_relative_to(part) for part in _DIGEST_EXCLUDED):
                continue
            digest.update(f"{file.relative_to(folder.parent)}\0".encode() + file.read_bytes())
    return digest.hexdigest()[:16]


def _flatten(row: Row, paths: Sequence[str]) -> dict[str, Any]:
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
