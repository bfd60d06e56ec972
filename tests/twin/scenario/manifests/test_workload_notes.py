"""Notes on workloads that are valid and will not do what their author expects."""

from typing import Any

import pytest

BUDGET = """\
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: llm}
spec: {selector: {matchLabels: {app: qwen}}, %s}
"""
STATEFUL_SET = """\
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: llm}
spec:
  %s
  selector: {matchLabels: {app: llm}}
  template:
    metadata: {labels: {app: llm, adapter.model.aibrix.ai/enabled: "true"}}
    spec: {containers: [{name: vllm, image: "vllm/vllm-openai:v0.24.0", command: [vllm, serve, base]}]}
"""


@pytest.mark.parametrize(
    ("rule", "note"),
    [
        ("minAvailable: 3", "PodDisruptionBudget default/llm blocks every drain: minAvailable is 3 of 3 pods"),
        ("maxUnavailable: 0", "PodDisruptionBudget default/llm blocks every drain: maxUnavailable is 0 of 3 pods"),
        ("minAvailable: 100%", "PodDisruptionBudget default/llm blocks every drain: minAvailable is 100% of 3 pods"),
        ("minAvailable: 2", ""),
        ("maxUnavailable: 1", ""),
    ],
)
def test_a_budget_that_blocks_every_drain_is_noted(folder: Any, rule: str, note: str) -> None:
    folder.write("pdb.yaml", BUDGET % rule)
    notes = folder.load("name: x\nduration: 1m\nmanifests: [base.yaml, pdb.yaml]\n").notes
    assert notes == ((note,) if note else ())


@pytest.mark.parametrize(
    ("service", "lacking"),
    [("serviceName: llm", "Service llm is not in the manifests"), ("replicas: 1", "spec.serviceName is not set")],
)
def test_a_stateful_set_without_its_service_is_noted(folder: Any, service: str, lacking: str) -> None:
    folder.write("sts.yaml", STATEFUL_SET % service)
    (note,) = folder.load("name: x\nduration: 1m\nmanifests: [sts.yaml]\n").notes
    assert note == f"StatefulSet default/llm: {lacking}: its pods have no DNS names of their own"


def test_what_keeps_adapters_from_loading_is_noted_before_the_fields_that_are_not_read(folder: Any) -> None:
    unread = STATEFUL_SET.replace("{containers:", "{hostNetwork: true, containers:")
    without_label = unread.replace(', adapter.model.aibrix.ai/enabled: "true"', "")
    folder.write("sts.yaml", without_label % "serviceName: llm")
    adapter = "{baseModel: base, podSelector: {matchLabels: {app: llm}}, artifactURL: 'hf://acme/sql'}"
    adapters = f"adapters:\n  - name: sql\n    spec: {adapter}\n"
    notes = folder.load(f"name: x\nduration: 1m\nmanifests: [sts.yaml]\n{adapters}").notes
    assert "add it to the pods' labels" in notes[0]
    assert "hostNetwork" in notes[-1]
    assert len(notes) > 2
