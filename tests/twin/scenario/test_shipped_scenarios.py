"""Shipped scenarios load, their resolved form loads to an equal scenario, and real manifests run unchanged."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from twin.scenario import load, resolved, schema
from twin.scenario.faults import FAULTS
from twin.scenario.notes import UNREAD

ROOT = Path(__file__).parents[3]
SCENARIOS = sorted((ROOT / "scenarios").glob("*.yaml"))
ALL = sorted(path for path in (ROOT / "scenarios").rglob("*.yaml") if path.parent.name != "manifests")
MANIFESTS = sorted((ROOT / "tests/data/manifests").glob("*.yaml"))


@pytest.mark.parametrize("path", [*SCENARIOS, ROOT / "tests/data/mixed.yaml"], ids=lambda path: path.stem)
def test_a_resolved_scenario_is_the_same_scenario(path: Path, tmp_path: Path) -> None:
    scenario = load(path)
    text = resolved(scenario)
    copy = tmp_path / "scenario.yaml"
    copy.write_text(text)
    assert load(copy) == scenario
    assert resolved(load(copy)) == text


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.stem)
def test_a_shipped_scenario_asks_a_question_answers_it_and_expects_something(path: Path) -> None:
    scenario = load(path)
    assert "?" in scenario.description
    assert scenario.findings
    assert any(expectation.name == "invariants.violations" for expectation in scenario.expect)
    assert scenario.name in (path.stem, f"{path.parent.name}-{path.stem}")


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_the_introductory_scenarios_have_no_notes_but_on_fields_without_effect(path: Path) -> None:
    assert [note for note in load(path).notes if UNREAD not in note] == []


def test_the_mixed_scenario_has_every_kind_of_fault() -> None:
    assert {fault.kind for fault in load(ROOT / "tests/data/mixed.yaml").faults} == set(FAULTS)


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.stem)
def test_a_real_manifest_runs_under_four_lines(folder: Any, path: Path) -> None:
    folder.write("m.yaml", path.read_text())
    scenario = folder.load("name: real\nduration: 10m\nmanifests:\n  - m.yaml\n")
    assert scenario.objects


def test_all_real_manifests_together_are_refused_with_the_duplicates(folder: Any) -> None:
    for path in MANIFESTS:
        folder.write(f"m-{path.name}", path.read_text())
    lines = folder.errors("name: real\nmanifests: [m-*.yaml]\n")
    assert len(lines) == 3
    assert all("already exists" in line for line in lines)


def test_the_resolved_scenario_does_not_depend_on_the_hash_seed() -> None:
    program = "import sys; from twin.scenario import load, resolved; print(resolved(load(sys.argv[1])))"
    command = [sys.executable, "-c", program, str(ROOT / "scenarios/quickstart.yaml")]
    outputs = {
        subprocess.run(
            command, check=True, capture_output=True, cwd=ROOT, env={**os.environ, "PYTHONHASHSEED": seed}
        ).stdout
        for seed in ("1", "2")
    }
    assert len(outputs) == 1


def test_the_schema_describes_every_field() -> None:
    described = schema()
    assert json.loads(json.dumps(described)) == described
    assert set(described["properties"]) >= {
        "name",
        "duration",
        "manifests",
        "cluster",
        "controller",
        "faults",
        "expect",
    }
    missing = [
        f"{title}.{name}"
        for title, part in described["$defs"].items()
        for name, field in part.get("properties", {}).items()
        if name != "kind" and "description" not in field
    ]
    assert missing == []
    parts = described["$defs"]
    assert parts["ReadinessFlap"]["properties"]["unready_for"]["default"] == "4s"
    assert parts["Engine"]["properties"]["load"]["default"] == {"lognormal": {"median": "1.8s", "p95": "6s"}}
    assert "default" not in parts["Slow"]["properties"]["until"]


def test_the_resolved_scenario_is_yaml_for_other_parsers_too() -> None:
    text = resolved(load(ROOT / "tests/data/mixed.yaml"))
    assert YAML(typ="safe").load(text)["faults"][0]["kind"] == "connection-refused"
