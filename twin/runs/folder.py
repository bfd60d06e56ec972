"""Run folders: `NAME/SEED/` with the trace, the summary and the report of a run.

A folder is written under a temporary name and then renamed, so an incomplete run is never visible. An existing folder
is replaced only if it is a run folder itself. The same scenario, seed and version give the same bytes in all files but
`timing.json`.
"""

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from twin.evaluate.run_result import RunResult
from twin.report import Report
from twin.trace.lines import Line, Run
from twin.trace.recorder import decode, encode
from twin.trace.table import write_events

EVENTS, SUMMARY, SCENARIO, TIMING = "events.jsonl", "summary.json", "scenario.yaml", "timing.json"
REPORT, FIGURES, PLACEMENT, EVENT_TABLE = "report.html", "figures", "placement.parquet", "events.parquet"


_DAMAGED = "it is damaged, or another version wrote it"


class FolderError(Exception):
    """A run folder cannot be read or written; the message names the folder and says what to do."""


@dataclass(frozen=True, slots=True)
class RunFolder:
    """Contents of a run folder."""

    path: Path
    summary: Mapping[str, Any]
    events: bytes
    scenario: str

    @property
    def partial(self) -> bool:
        """True if the run was interrupted."""
        return bool(self.summary.get("partial"))

    @property
    def expectations(self) -> list[str]:
        """Return the expectations as they were written in the scenario.

        Raises:
            FolderError: if the summary is damaged.
        """
        try:
            return [str(expectation["text"]) for expectation in self.summary.get("expectations", [])]
        except (TypeError, KeyError) as error:
            raise FolderError(f"{self.path / SUMMARY}: not the summary of a run; {_DAMAGED}") from error

    def lines(self) -> list[Line]:
        """Return the lines of the trace.

        Raises:
            FolderError: if the trace is damaged, or another version wrote it in another format.
        """
        try:
            lines = decode(self.events)
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            raise FolderError(f"{self.path / EVENTS}: cannot be read ({str(error)[:200]}); {_DAMAGED}") from error
        if not lines or not isinstance(lines[0], Run):
            raise FolderError(f"{self.path / EVENTS}: does not begin with the description of a run; {_DAMAGED}")
        count = self.summary.get("trace_lines", len(lines))
        if count != len(lines):
            raise FolderError(f"{self.path / EVENTS}: has {len(lines)} of {count} lines; {_DAMAGED}")
        return lines


def run_path(out: Path, name: str, seed: int) -> Path:
    """Return the path of a run's folder below `out`."""
    return out / name / str(seed)


def write_run(
    target: Path, result: RunResult, placement: Mapping[str, Sequence[Any]], report: Report, timing: Mapping[str, float]
) -> None:
    """Write the run folder `target`. `timing`: wall-clock seconds.

    Raises:
        FolderError: if `target` is something other than a run folder, or writing fails.
    """
    check_target(target)
    temporary = target.with_name(f".{target.name}.new-{os.getpid()}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary.mkdir()
        try:
            (temporary / EVENTS).write_bytes(encode(result.lines))
            (temporary / SUMMARY).write_bytes(summary_bytes(result))
            (temporary / SCENARIO).write_text(result.scenario, encoding="utf-8")
            (temporary / TIMING).write_text(json.dumps(dict(timing), indent=2) + "\n", encoding="utf-8")
            _write_placement(temporary / PLACEMENT, placement)
            write_events(temporary / EVENT_TABLE, result.lines)
            _write_report(temporary, report)
            _replace(target, temporary)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        raise FolderError(f"{target}: cannot be written: {error.strerror or error}; choose another --out") from error


def read(path: Path) -> RunFolder:
    """Read the run folder `path`.

    Raises:
        FolderError: if it is not a run folder.
    """
    if not path.is_dir():
        raise FolderError(f"{path}: not a folder; allowed: a folder that `twin run` wrote, such as reports/NAME/SEED")
    try:
        summary = json.loads((path / SUMMARY).read_text(encoding="utf-8"))
        events, scenario = (path / EVENTS).read_bytes(), (path / SCENARIO).read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise FolderError(f"{path}: not a run folder: {Path(str(error.filename)).name} is missing") from error
    except (OSError, ValueError, RecursionError) as error:
        raise FolderError(f"{path}: cannot be read: {str(error)[:200]}; {_DAMAGED}") from error
    if not isinstance(summary, dict):
        raise FolderError(f"{path / SUMMARY}: not the summary of a run")
    return RunFolder(path, summary, events, scenario)


def rewrite_report(folder: RunFolder, report: Report) -> Path:
    """Replace the page and the figures of a run, and return the page; trace and summary stay unchanged."""
    page = folder.path / REPORT
    try:
        shutil.rmtree(folder.path / FIGURES, ignore_errors=True)
        _write_report(folder.path, report)
    except OSError as error:
        raise FolderError(f"{page}: cannot be written: {error.strerror or error}") from error
    return page


def summary_bytes(result: RunResult) -> bytes:
    """Return the contents of `summary.json`."""
    return (json.dumps(result.summary(), indent=2, ensure_ascii=False) + "\n").encode()


def _write_report(folder: Path, report: Report) -> None:
    (folder / FIGURES).mkdir()
    for figure in report.figures:
        (folder / FIGURES / f"{figure.name}.svg").write_text(figure.standalone(), encoding="utf-8")
    (folder / REPORT).write_text(report.html, encoding="utf-8")


def _write_placement(path: Path, rows: Mapping[str, Sequence[Any]]) -> None:
    import pyarrow as pa  # slow to import
    import pyarrow.parquet as pq

    times = np.array(rows["time"], dtype=np.float64)
    columns = [pa.Array.from_buffers(pa.float64(), len(times), [None, pa.py_buffer(times)])]
    columns += [_text_column(rows[name]) for name in ("pod", "node", "adapter", "state")]
    pq.write_table(pa.table(columns, names=["time", "pod", "node", "adapter", "state"]), path, compression="zstd")


def _text_column(texts: Sequence[str]) -> Any:
    """Return a column of texts; `pyarrow.array` would import pandas, which takes longer than a small run."""
    import pyarrow as pa

    encoded = [text.encode() for text in texts]
    ends = np.cumsum([0, *map(len, encoded)], dtype=np.int32)
    return pa.Array.from_buffers(pa.string(), len(encoded), [None, pa.py_buffer(ends), pa.py_buffer(b"".join(encoded))])


def check_target(target: Path) -> None:
    """Check that `target` may be written: it does not exist, is empty, or is a run folder. Call it before a long run.

    Raises:
        FolderError: if it is anything else.
    """
    if not target.exists() and not target.is_symlink():
        return
    is_folder = target.is_dir() and not target.is_symlink()
    if is_folder and not any(target.iterdir()):
        return
    if not is_folder or not all((target / name).is_file() for name in (SUMMARY, EVENTS)):
        raise FolderError(f"{target}: exists and is not a run folder; move it away or choose another --out")


def _replace(target: Path, temporary: Path) -> None:
    """Rename `temporary` to `target`; after a crash in between, the old folder exists under another name."""
    if not target.exists():
        temporary.rename(target)
        return
    old = target.with_name(f".{target.name}.old-{os.getpid()}")
    target.rename(old)
    try:
        temporary.rename(target)
    except OSError:
        old.rename(target)
        raise
    shutil.rmtree(old, ignore_errors=True)
