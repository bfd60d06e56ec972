"""Scenarios as plain values, before they are checked: what is drawn at random or cut down is put together here."""

import io
import json
import tempfile
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from twin.scenario import Scenario, load
from twin.scenario.document import documents

Draft = dict[str, Any]
"""What stands in a scenario file."""


def scenario_of(draft: Draft) -> Scenario:
    """The scenario, checked as any other.

    Raises:
        ScenarioErrors: if it is none.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "draft.yaml"
        file.write_text(json.dumps(draft), encoding="utf-8")
        return load(file)


def read(file: Path) -> Draft:
    """The draft in a scenario file.

    Raises:
        ScenarioErrors: if it is no YAML.
    """
    value = documents(file, str(file))[0].value
    return dict(value)


def written(draft: Draft, heading: str) -> str:
    """YAML for people, under a comment."""
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    yaml.width = 120
    yaml.allow_unicode = True
    yaml.representer.ignore_aliases = lambda _: True
    out = io.StringIO()
    yaml.dump(draft, out)
    return "".join(f"# {line}\n" for line in heading.splitlines()) + out.getvalue()
