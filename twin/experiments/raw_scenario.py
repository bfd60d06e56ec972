"""Scenarios as plain values, before they are checked: what is drawn at random or cut down is put together here."""

import json
import tempfile
from pathlib import Path
from typing import Any

from twin.scenario import Scenario, load
from twin.scenario.yaml.positions import documents
from twin.scenario.yaml.writer import yaml_text

RawScenario = dict[str, Any]
"""What stands in a scenario file."""


def to_scenario(draft: RawScenario) -> Scenario:
    """The scenario, checked as any other.

    Raises:
        ScenarioErrors: if it is none.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "draft.yaml"
        file.write_text(json.dumps(draft), encoding="utf-8")
        return load(file)


def read(file: Path) -> RawScenario:
    """The draft in a scenario file.

    Raises:
        ScenarioErrors: if it is no YAML.
    """
    value = documents(file, str(file))[0].value
    return dict(value)


def written(draft: RawScenario, heading: str) -> str:
    """YAML for people, under a comment."""
    return "".join(f"# {line}\n" for line in heading.splitlines()) + yaml_text(draft)
