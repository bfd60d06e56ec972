"""Pages generated from the code and the scenarios are up to date."""

from pathlib import Path

from twin.docs_pages import FOLDERS, pages, scenario_files

ROOT = Path(__file__).parents[2]


def test_pages_are_up_to_date() -> None:
    stale = [
        str(path.relative_to(ROOT))
        for path, text in pages(ROOT).items()
        if not path.is_file() or path.read_text(encoding="utf-8") != text
    ]
    assert stale == [], "run `make docs`"


def test_every_scenario_is_in_the_index() -> None:
    listed = {path for files in scenario_files(ROOT).values() for path in files}
    there = {path for path in (ROOT / "scenarios").rglob("*.yaml") if path.parent.name != "manifests"}
    assert listed == there
    assert len(listed) >= 15
    assert all(scenario_files(ROOT)[folder] for folder in FOLDERS)
