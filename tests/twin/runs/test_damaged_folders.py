"""A run folder that is damaged in any way is refused with one line by every command that reads one."""

from pathlib import Path

import pytest

from tests.twin.worlds import a_scenario
from twin.runs.folder import FolderError, read
from twin.runs.run import judge_to_folder
from twin.sim.simulation import simulate

DAMAGES: dict[str, tuple[str, bytes]] = {
    "no events": ("events.jsonl", b""),
    "events of another program": ("events.jsonl", b'{"kind": "metric", "t": 0}\n'),
    "events are an object": ("events.jsonl", b"{}\n"),
    "events are binary": ("events.jsonl", bytes(range(256)) * 10),
    "events are deep": ("events.jsonl", b"[" * 100_000),
    "events without their first line": ("events.jsonl", b'{"kind":"log","t":1.0,"by":"a","level":"x","text":"y"}\n'),
    "an empty summary": ("summary.json", b""),
    "a summary that is a list": ("summary.json", b"[]"),
    "a summary that is binary": ("summary.json", b"\xff\xfe\x00"),
    "a deep summary": ("summary.json", b'{"a":' * 100_000),
    "expectations of another version": ("summary.json", b'{"expectations": [{"name": "x"}]}'),
    "expectations that are a number": ("summary.json", b'{"expectations": 7}'),
    "a binary scenario": ("scenario.yaml", b"\xff\xfe\x00"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    here = tmp_path_factory.mktemp("run")
    scenario = a_scenario(here, duration="30s")
    return judge_to_folder(scenario, simulate(scenario).lines, here / "out", partial=False)[1].parent


def use(folder: Path) -> None:
    """Read a folder as the commands do."""
    run = read(folder)
    run.lines()
    assert isinstance(run.expectations, list)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_named_in_one_line(folder: Path, damage: str) -> None:
    name, content = DAMAGES[damage]
    file = folder / name
    before = file.read_bytes()
    file.write_bytes(content)
    try:
        with pytest.raises(FolderError) as caught:
            use(folder)
    finally:
        file.write_bytes(before)
    text = str(caught.value)
    assert str(folder) in text
    assert "\n" not in text
    assert len(text) < 600


def test_events_that_end_in_the_middle_of_a_line_are_refused(folder: Path) -> None:
    file = folder / "events.jsonl"
    before = file.read_bytes()
    for share in (0.01, 0.3, 0.999):
        file.write_bytes(before[: int(len(before) * share)].rstrip(b"\n")[:-1])
        with pytest.raises(FolderError):
            read(folder).lines()
    file.write_bytes(before)


def test_events_that_end_after_a_whole_line_are_refused(folder: Path) -> None:
    file = folder / "events.jsonl"
    before = file.read_bytes()
    lines = before.splitlines(keepends=True)
    file.write_bytes(b"".join(lines[:-1]))
    with pytest.raises(FolderError, match=f"has {len(lines) - 1} of {len(lines)} lines"):
        read(folder).lines()
    file.write_bytes(before)


@pytest.mark.parametrize("name", ["events.jsonl", "summary.json", "scenario.yaml"])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    file = folder / name
    before = file.read_bytes()
    file.unlink()
    with pytest.raises(FolderError, match=name):
        read(folder)
    file.write_bytes(before)
