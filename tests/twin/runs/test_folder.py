"""Run folders: their files, and that no file is lost or incomplete."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from tests.twin.synthetic import MEASURES, a_run
from twin.evaluate.expectations import ExpectationResult
from twin.evaluate.measures import placement_rows
from twin.report import RunResult, build_report
from twin.report.first_difference import first_difference, until
from twin.runs.folder import FolderError, read, rewrite_report, run_path, summary_bytes
from twin.runs.run import write_result

RESULT = RunResult(
    a_run(),
    MEASURES,
    [ExpectationResult("adapters.running == 38", "adapters.running", True, 38)],
    scenario="name: made-up\n",
)


def files(folder: Path) -> dict[str, bytes]:
    return {str(f.relative_to(folder)): f.read_bytes() for f in sorted(folder.rglob("*")) if f.is_file()}


def written(out: Path, result: RunResult, timing: Mapping[str, float]) -> Path:
    """Write the run folder of a result below `out` and return it."""
    folder = run_path(out, result.run.name, result.run.seed)
    write_result(folder, result, timing)
    return folder


def test_a_run_folder_has_the_documented_files(tmp_path: Path) -> None:
    folder = written(tmp_path, RESULT, timing={"run": 1.5})
    assert folder == tmp_path / "made-up" / "7"
    assert set(files(folder)) == {
        "report.html",
        "summary.json",
        "events.jsonl",
        "events.parquet",
        "placement.parquet",
        "scenario.yaml",
        "timing.json",
        *(
            f"figures/{name}.svg"
            for name in ("time-to-running", "phases", "adapters-per-pod", "adapter-timelines", "request-rates")
        ),
    }
    assert [p.name for p in folder.parent.iterdir()] == ["7"]


def test_only_timing_differs_between_two_writes(tmp_path: Path) -> None:
    one = files(written(tmp_path / "a", RESULT, timing={"run": 1.5}))
    other = files(written(tmp_path / "b", RESULT, timing={"run": 2.5}))
    assert [name for name in one if one[name] != other[name]] == ["timing.json"]


def test_an_older_run_gives_way(tmp_path: Path) -> None:
    folder = written(tmp_path, RESULT, timing={})
    (folder / "left-over").touch()
    written(tmp_path, replace(RESULT, partial=True), timing={})
    assert not (folder / "left-over").exists()
    assert json.loads((folder / "summary.json").read_text())["partial"] is True
    assert [p.name for p in folder.parent.iterdir()] == ["7"]


def test_a_folder_that_is_no_run_is_left_alone(tmp_path: Path) -> None:
    theirs = tmp_path / "made-up" / "7" / "thesis.txt"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("years of work")
    with pytest.raises(FolderError, match="exists and is not a run folder; move it away or choose another --out"):
        written(tmp_path, RESULT, timing={})
    assert theirs.read_text() == "years of work"


def test_a_link_to_a_run_is_left_alone(tmp_path: Path) -> None:
    elsewhere = written(tmp_path / "elsewhere", RESULT, timing={})
    (tmp_path / "out" / "made-up").mkdir(parents=True)
    (tmp_path / "out" / "made-up" / "7").symlink_to(elsewhere)
    with pytest.raises(FolderError, match="not a run folder"):
        written(tmp_path / "out", RESULT, timing={})


def test_an_unwritable_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FolderError, match=r"cannot be written: .*; choose another --out"):
        written(tmp_path / "file", RESULT, timing={})


def test_a_write_that_fails_leaves_the_old_run_and_no_rubbish(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = written(tmp_path, RESULT, timing={})
    before = files(folder)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("twin.runs.folder._write_placement", full)
    with pytest.raises(FolderError, match="No space left on device"):
        written(tmp_path, RESULT, timing={})
    assert files(folder) == before
    assert [p.name for p in folder.parent.iterdir()] == ["7"]


def test_a_run_is_read_as_it_was_written(tmp_path: Path) -> None:
    folder = read(written(tmp_path, RESULT, timing={}))
    assert folder.lines() == RESULT.lines
    assert folder.expectations == ["adapters.running == 38"]
    assert folder.scenario == "name: made-up\n"
    assert not folder.partial


def test_the_placement_table_can_be_read(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    table = pq.read_table(written(tmp_path, RESULT, timing={}) / "placement.parquet")
    assert table.column_names == ["time", "pod", "node", "adapter", "state"]
    assert table.to_pydict() == dict(placement_rows(RESULT.lines))


@pytest.mark.parametrize("name", ["summary.json", "events.jsonl", "scenario.yaml"])
def test_a_folder_with_a_file_missing_is_no_run(tmp_path: Path, name: str) -> None:
    folder = written(tmp_path, RESULT, timing={})
    (folder / name).unlink()
    with pytest.raises(FolderError, match=f"not a run folder: {name} is missing"):
        read(folder)


def test_a_damaged_trace_is_reported(tmp_path: Path) -> None:
    folder = written(tmp_path, RESULT, timing={})
    (folder / "events.jsonl").write_bytes(b'{"kind":"run","t":0.0')
    with pytest.raises(FolderError, match="cannot be read"):
        read(folder).lines()


def test_a_report_is_drawn_again_from_the_record(tmp_path: Path) -> None:
    folder = written(tmp_path, RESULT, timing={})
    before = files(folder)
    (folder / "report.html").unlink()
    (folder / "figures" / "phases.svg").write_text("spoilt")
    rewrite_report(read(folder), build_report(RESULT))
    assert files(folder) == before


def test_the_summary_begins_with_scenario_and_seed() -> None:
    summary = json.loads(summary_bytes(RESULT))
    assert list(summary)[:4] == ["name", "seed", "version", "policy"]
    assert summary["adapters"]["running"] == 38
    assert summary["expectations"] == [{"text": "adapters.running == 38", "passed": True, "actual": 38}]


def test_the_first_difference_is_shown_from_both_sides() -> None:
    before = b'{"kind":"run","t":0.0}\n{"kind":"pod","t":1.5,"object":"default/a","event":"created"}\n'
    now = b'{"kind":"run","t":0.0}\n{"kind":"pod","t":2.5,"object":"default/b","event":"created"}\n'
    message = first_difference("events.jsonl", before, now)
    assert message.startswith("events.jsonl: line 2 differs\n")
    assert "recorded: t=1.5 pod created default/a: {" in message
    assert "now:      t=2.5 pod created default/b: {" in message


def test_equal_traces_have_no_difference() -> None:
    assert first_difference("events.jsonl", b"a\n", b"a\n") == ""


def test_a_longer_trace_differs_where_the_other_ends() -> None:
    assert "line 2 differs\n  recorded: end of file\n  now:      b" in first_difference("x", b"a\n", b"a\nb\n")


def test_an_interrupted_run_is_compared_up_to_its_end() -> None:
    assert until(b'{"t":0.0}\n{"t":1.0}\n{"t":2.0}\n', 2.0) == b'{"t":0.0}\n{"t":1.0}\n'
