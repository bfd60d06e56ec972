"""Edits by users during a run: validated when the scenario is loaded, made at their time."""

import base64
from pathlib import Path
from typing import Any

import pytest

from tests.twin.worlds import a_scenario, adapters
from twin.scenario import resolved
from twin.sim.simulation import simulate
from twin.trace.lines import AdapterLine

HEAD = """\
name: edited
duration: 10m
manifests: [base.yaml]
adapters:
  - name: sql-{i}
    count: 2
    spec: {podSelector: {matchLabels: {app: qwen}}, artifactURL: "huggingface://acme/sql-{i}"}
edits:
"""


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        ("{at: 1m, of: ModelAdapter/sql-0}", "an edit is a patch, a deletion or a creation"),
        ("{at: 1m, of: ModelAdapter/sql-0, patch: {}, delete: true}", "an edit is a patch, a deletion or a creation"),
        ("{at: 1m, of: ModelAdapter/sql-7, delete: true}", 'ModelAdapter "sql-7" not found in namespace default'),
        ("{at: 1m, of: ModelAdaptor/sql-0, delete: true}", 'did you mean "ModelAdapter"?'),
        ("{at: 1m, of: sql-0, delete: true}", "edits.0.of"),
        ("{at: 11m, of: ModelAdapter/sql-0, delete: true}", "is at 11m, after the end of the run"),
        ("{at: 1m, of: ModelAdapter/sql-0, patch: {spec: {replicas: -1}}}", "edits.0.patch.spec.replicas"),
        ("{at: 1m, of: ModelAdapter/sql-0, patch: {spec: {artifactURL: ftp://x}}}", "use huggingface://ORG/MODEL"),
    ],
)
def test_an_edit_that_cannot_be_done_is_refused_with_its_place(folder: Any, edit: str, message: str) -> None:
    (line,) = folder.errors(f"{HEAD}  - {edit}\n")
    assert line.startswith("s.yaml:9:")
    assert message in line


def test_an_edit_is_validated_after_the_earlier_ones(folder: Any) -> None:
    edit = "  - {at: %s, of: ModelAdapter/sql-0, patch: {spec: {podSelector: %s}}}\n"
    fine = edit % ("1m", "{matchExpressions: [{key: a, operator: Exists}]}")
    wrong = edit % ("2m", "{matchLabels: null, matchExpressions: null}")
    assert folder.load(HEAD + fine).edits
    (line,) = folder.errors(HEAD + wrong + fine)
    assert "an empty selector would match every pod" in line


def test_a_secret_in_an_edit_is_hidden_like_any_other(folder: Any) -> None:
    key = "sk-rotated-0123456789"
    encoded = base64.b64encode(key.encode()).decode()
    secret = f"apiVersion: v1\nkind: Secret\nmetadata: {{name: keys}}\ndata: {{engine: {encoded}}}\n"
    folder.write("base.yaml", f"{(folder.path / 'base.yaml').read_text()}---\n{secret}")
    text = f"{HEAD}  - {{at: 1m, of: Secret/keys, patch: {{data: {{engine: {encoded}}}}}}}\n"
    text += f"  - {{at: 2m, of: ModelAdapter/sql-0, patch: {{spec: {{additionalConfig: {{api-key: {key}}}}}}}}}\n"
    scenario = folder.load(text)
    written = resolved(scenario)
    assert key not in written
    assert encoded not in written
    assert len(scenario.secrets) == 1


def test_edits_happen_at_their_time(tmp_path: Path) -> None:
    scenario = a_scenario(
        tmp_path,
        adapters=[adapters(2, replicas=1)],
        edits=[
            {"at": "2m", "of": "ModelAdapter/a-0", "patch": {"spec": {"replicas": 2}}},
            {"at": "3m", "of": "ModelAdapter/a-1", "delete": True},
        ],
    )
    lines = [line for line in simulate(scenario).lines if isinstance(line, AdapterLine)]
    scaled = next(line.t for line in lines if line.object == "default/a-0" and line.wanted == 2)
    deleting = next(line.t for line in lines if line.object == "default/a-1" and line.deleting)
    assert (scaled, deleting) == (120.0, 180.0)
    assert len(next(line for line in reversed(lines) if line.object == "default/a-0").instances) == 2
