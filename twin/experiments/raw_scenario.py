"""Scenarios as plain values, before they are validated: the form in which they are drawn at random and shrunk."""

import json
import tempfile
from pathlib import Path
from typing import Any

from twin.scenario import Scenario, load
from twin.scenario.yaml.positions import documents
from twin.scenario.yaml.writer import yaml_text

RawScenario = dict[str, Any]
"""Content of a scenario file."""


def to_scenario(raw: RawScenario) -> Scenario:
    """Validate a raw scenario.

    Raises:
        ScenarioErrors: if it is not valid.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "draft.yaml"
        file.write_text(json.dumps(raw), encoding="utf-8")
        return load(file)


def read(file: Path) -> RawScenario:
    """Read a scenario file without validating it.

    Raises:
        ScenarioErrors: if it is not YAML.
    """
    value = documents(file, str(file))[0].value
    return dict(value)


def to_yaml(raw: RawScenario, heading: str) -> str:
    """Return the scenario as YAML below a comment."""
    return "".join(f"# {line}\n" for line in heading.splitlines()) + yaml_text(raw)
