"""The folder that a run leaves: `NAME/SEED/` with the record, the numbers, the report.

A folder is written beside its place under a temporary name and then renamed, so that nobody ever reads half a run; one
that is there already gives way only if it is a run folder itself. All files but `timing.json` are the same bytes
whenever the same scenario, seed and version are run.
"""

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from twin.evaluate.measures import placement_rows
from twin.report import Report, RunResult, build_report
from twin.trace.lines import Line
from twin.trace.recorder import decode, encode

EVENTS, SUMMARY, SCENARIO, TIMING = "events.jsonl", "summary.json", "scenario.yaml", "timing.json"
REPORT, FIGURES, PLACEMENT = "report.html", "figures", "placement.parquet"


class FolderError(Exception):
    """A folder cannot be written or read as a run; the message says which and what to do."""


@dataclass(frozen=True, slots=True)
class RunFolder:
    """A run as it lies on disk."""

    path: Path
    summary: Mapping[str, Any]
    events: bytes
    scenario: str

    @property
    def partial(self) -> bool:
        """Whether the run was interrupted."""
        return bool(self.summary.get("partial"))

    @property
    def expectations(self) -> list[str]:
        """What was expected, as written."""
        return [str(outcome["text"]) for outcome in self.summary.get("expectations", [])]

    def lines(self) -> list[Line]:
        """The record.

        Raises:
            FolderError: if it is damaged, or of a version that wrote other lines.
        """
        try:
            return decode(self.events)
        except (msgspec.DecodeError, ValueError) as error:
            raise FolderError(
                f"{self.path / EVENTS}: this version cannot read it ({error}); it is damaged or another version's"
            ) from error


def run_path(out: Path, name: str, seed: int) -> Path:
    """Where a run's folder lies below `out`."""
    return out / name / str(seed)


def write(out: Path, findings: RunResult, *, timing: Mapping[str, float]) -> Path:
    """Writes `out`/NAME/SEED and returns it. `timing` is in wall-clock seconds.

    Raises:
        FolderError: if something else stands in that place, or the disk refuses.
    """
    target = run_path(out, findings.run.name, findings.run.seed)
    write_at(target, findings, timing=timing)
    return target


def write_at(target: Path, findings: RunResult, *, timing: Mapping[str, float]) -> None:
    """Writes a run folder in that very place.

    Raises:
        FolderError: as `write`.
    """
    check_place(target)
    fresh = target.with_name(f".{target.name}.new-{os.getpid()}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        fresh.mkdir()
        try:
            _fill(fresh, findings, timing)
            _replace(target, fresh)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
    except OSError as error:
        raise FolderError(f"{target}: cannot be written: {error.strerror or error}; choose another --out") from error


def read(path: Path) -> RunFolder:
    """The run that lies in `path`.

    Raises:
        FolderError: if it is no run folder.
    """
    if not path.is_dir():
        raise FolderError(f"{path}: is no folder; a run folder is what `twin run` writes, such as reports/NAME/SEED")
    try:
        summary = json.loads((path / SUMMARY).read_text(encoding="utf-8"))
        events, scenario = (path / EVENTS).read_bytes(), (path / SCENARIO).read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise FolderError(f"{path}: is no run folder: {Path(str(error.filename)).name} is missing") from error
    except (OSError, ValueError) as error:
        raise FolderError(f"{path}: cannot be read: {error}") from error
    if not isinstance(summary, dict):
        raise FolderError(f"{path / SUMMARY}: is no summary of a run")
    return RunFolder(path, summary, events, scenario)


def redraw(folder: RunFolder, findings: RunResult) -> Path:
    """Draws page and figures of a run anew; what was recorded and measured stays as it is. Returns the page."""
    report = build_report(findings)
    page = folder.path / REPORT
    try:
        shutil.rmtree(folder.path / FIGURES, ignore_errors=True)
        _draw(folder.path, report)
    except OSError as error:
        raise FolderError(f"{page}: cannot be written: {error.strerror or error}") from error
    return page


def summary_bytes(findings: RunResult) -> bytes:
    """`summary.json`."""
    return (json.dumps(findings.summary(), indent=2, ensure_ascii=False) + "\n").encode()


def _fill(folder: Path, findings: RunResult, timing: Mapping[str, float]) -> None:
    (folder / EVENTS).write_bytes(encode(findings.lines))
    (folder / SUMMARY).write_bytes(summary_bytes(findings))
    (folder / SCENARIO).write_text(findings.scenario, encoding="utf-8")
    (folder / TIMING).write_text(json.dumps(dict(timing), indent=2) + "\n", encoding="utf-8")
    _write_placement(folder / PLACEMENT, placement_rows(findings.lines))
    _draw(folder, build_report(findings))


def _draw(folder: Path, report: Report) -> None:
    (folder / FIGURES).mkdir()
    for figure in report.figures:
        (folder / FIGURES / f"{figure.name}.svg").write_text(figure.standalone(), encoding="utf-8")
    (folder / REPORT).write_text(report.html, encoding="utf-8")


def _write_placement(path: Path, rows: Mapping[str, Sequence[Any]]) -> None:
    import pyarrow as pa  # takes longer to load than all the rest
    import pyarrow.parquet as pq

    schema = pa.schema([("time", pa.float64()), *((name, pa.string()) for name in ("pod", "node", "adapter", "state"))])
    pq.write_table(pa.table({name: rows[name] for name in schema.names}, schema=schema), path, compression="zstd")


def check_place(target: Path) -> None:
    """Refuses what is not ours to replace; worth asking before a long run.

    Raises:
        FolderError: if something stands there that is no run folder.
    """
    if not target.exists() and not target.is_symlink():
        return
    ours = target.is_dir() and not target.is_symlink()
    if not ours or (any(target.iterdir()) and not all((target / name).is_file() for name in (SUMMARY, EVENTS))):
        raise FolderError(f"{target}: is there already and no run folder; move it away or choose another --out")


def _replace(target: Path, fresh: Path) -> None:
    """Puts `fresh` in the place of `target`; a crash in between leaves the old one whole, under another name."""
    if not target.exists():
        fresh.rename(target)
        return
    old = target.with_name(f".{target.name}.old-{os.getpid()}")
    target.rename(old)
    try:
        fresh.rename(target)
    except OSError:
        old.rename(target)
        raise
    shutil.rmtree(old, ignore_errors=True)
