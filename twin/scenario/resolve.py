"""Resolved scenarios: YAML with all defaults and manifests and without secrets. Also the JSON schema for editors.

A run folder has the resolved scenario as `scenario.yaml`; loading it gives an equal scenario.
"""

from typing import Any

from twin.scenario.model import Scenario, ScenarioFile
from twin.scenario.yaml.writer import yaml_text

_HEADING = (
    "# A scenario as it was run: every default written out, manifests included, secrets replaced by pseudonyms.\n"
)


def resolved(scenario: Scenario) -> str:
    """Return YAML that loads as an equal scenario. The same scenario gives the same bytes."""
    file = ScenarioFile.model_construct(
        name=scenario.name,
        description=scenario.description,
        findings=scenario.findings,
        duration=scenario.duration,
        seed=scenario.seed,
        objects=scenario.objects,
        cluster=scenario.cluster,
        controller=scenario.controller,
        adapters=scenario.adapters,
        edits=scenario.edits,
        traffic=scenario.traffic,
        faults=scenario.faults,
        expect=scenario.expect,
        vary=scenario.vary,
        notes=scenario.notes,
    )
    body = file.model_dump(mode="json", by_alias=True, exclude={"manifests"}, exclude_none=True)
    body["objects"] = list(scenario.objects)
    return _HEADING + yaml_text(body)


def schema() -> dict[str, Any]:
    """Return the JSON schema of scenario files, for editors."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **ScenarioFile.model_json_schema(by_alias=True, mode="validation"),
        "title": "lora-twin scenario",
    }
