"""Manifests as people have them: misspelled fields, no label, Secrets kept elsewhere."""

import base64
from typing import Any

import pytest

from twin.scenario import load, resolved

ADAPTER = """\
---
apiVersion: model.aibrix.ai/v1alpha1
kind: ModelAdapter
metadata: {name: sql}
spec:
  baseModel: qwen
  podSelector: {matchLabels: {app: qwen}}
  artifactURL: huggingface://acme/sql
"""
NEEDS_A_TOKEN = "          env: [{name: HF_TOKEN, valueFrom: {secretKeyRef: {name: hf, key: token}}}]\n"
ENGINE_KEY = "          env: [{name: VLLM_API_KEY, valueFrom: {secretKeyRef: {name: engine, key: key}}}]\n"
ABSENT = "name: absent\nduration: 10m\nmanifests: [base.yaml]\ncluster: {missing_secrets: absent}\n"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("replicas: 3", "replica: 3", 'base.yaml:5:3: spec.replica: unknown field "replica"; did you mean "replicas"?'),
        (
            "image: vllm",
            "imgae: vllm",
            'base.yaml:12:11: spec.template.spec.containers.0.imgae: unknown field "imgae"; did you mean "image"?',
        ),
        ("podSelector:", "podSelectors:", 'unknown field "podSelectors"; did you mean "podSelector"?'),
        (
            "  baseModel: qwen\n",
            "  baseModel: qwen\n  replica: 2\n",
            'unknown field "replica"; did you mean "replicas"?',
        ),
    ],
)
def test_a_misspelled_field_is_refused_at_its_place(folder: Any, old: str, new: str, message: str) -> None:
    text = (folder.path / "base.yaml").read_text() + ADAPTER
    assert old in text
    folder.write("base.yaml", text.replace(old, new))
    assert any(message in error for error in folder.errors())


def test_a_field_that_kubernetes_does_not_have_is_noted(folder: Any) -> None:
    folder.write("base.yaml", (folder.path / "base.yaml").read_text().replace("replicas: 3", "zzz: 3"))
    scenario = folder.load()
    (note,) = scenario.notes
    assert note == "Deployment default/qwen: spec.zzz: Kubernetes has no such field; it is ignored"
    assert scenario.places[note].endswith("base.yaml:5")


def test_pods_without_the_label_are_noted_with_the_remedy(folder: Any) -> None:
    text = (folder.path / "base.yaml").read_text().replace(', adapter.model.aibrix.ai/enabled: "true"', "")
    folder.write("base.yaml", text + ADAPTER)
    scenario = folder.load()
    note, _ = scenario.notes
    assert 'without the label adapter.model.aibrix.ai/enabled: "true"' in note
    assert "add it to the pods' labels" in note
    assert scenario.places[note].endswith("base.yaml:8")


@pytest.mark.parametrize(
    ("old", "lacking"),
    [
        ("--enable-lora", "--enable-lora"),
        ('{name: VLLM_ALLOW_RUNTIME_LORA_UPDATING, value: "True"}', 'VLLM_ALLOW_RUNTIME_LORA_UPDATING="True"'),
    ],
)
def test_engines_that_load_no_adapter_are_noted_with_what_they_lack(folder: Any, old: str, lacking: str) -> None:
    variable = '          env: [{name: A, value: b}, {name: VLLM_ALLOW_RUNTIME_LORA_UPDATING, value: "True"}]\n'
    text = (folder.path / "base.yaml").read_text() + variable
    folder.write("base.yaml", text + ADAPTER)
    assert folder.load().notes == ()
    assert old in text
    text = text.replace(old, "{name: C, value: d}" if old.startswith("{") else "--seed=1")
    folder.write("base.yaml", text + ADAPTER)
    (note,) = folder.load().notes
    assert note == f"engines of qwen refuse every adapter, because they are without {lacking}"
    folder.write("base.yaml", text)
    assert folder.load().notes == (), "no adapter selects it"


def test_missing_secrets_get_stand_ins_that_one_note_names(folder: Any) -> None:
    adapter = ADAPTER + "  apiKeySecretRef: {name: users, key: key}\n  credentialsSecretRef: {name: store}\n"
    folder.write("base.yaml", (folder.path / "base.yaml").read_text() + ENGINE_KEY + adapter)
    scenario = folder.load()
    secrets = {item["metadata"]["name"]: item["data"] for item in scenario.objects if item["kind"] == "Secret"}
    assert {name: list(data) for name, data in secrets.items()} == {
        "engine": ["key"],
        "users": ["key"],
        "store": ["token"],
    }
    assert secrets["engine"]["key"] == secrets["users"]["key"], "an adapter's key must be that of its engine"
    assert base64.b64decode(secrets["engine"]["key"]).decode() in scenario.secrets
    (note,) = (note for note in scenario.notes if "refuse every adapter" not in note)
    assert note.startswith("Secret default/engine, Secret default/store, Secret default/users are not in the manifests")


def test_a_resolved_scenario_has_the_same_stand_ins_and_notes(folder: Any) -> None:
    folder.write("base.yaml", (folder.path / "base.yaml").read_text() + NEEDS_A_TOKEN)
    text = resolved(folder.load())
    assert resolved(load(folder.write("resolved.yaml", text))) == text


def test_a_scenario_may_do_without_stand_ins(folder: Any) -> None:
    folder.write("base.yaml", (folder.path / "base.yaml").read_text() + NEEDS_A_TOKEN)
    scenario = folder.load(ABSENT)
    assert [item["kind"] for item in scenario.objects] == ["Deployment"]
    assert scenario.notes == ("pods of qwen cannot start: Secret hf is not in the manifests",)


def test_notes_that_ask_for_a_change_come_before_those_on_what_is_ignored(folder: Any) -> None:
    text = (folder.path / "base.yaml").read_text().replace(', adapter.model.aibrix.ai/enabled: "true"', "")
    role = "---\napiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {name: reader}\nrules: []\n"
    folder.write("base.yaml", text + NEEDS_A_TOKEN + ADAPTER + role)
    starts = ("pods of qwen are without the label", "Secret default/hf is not in", "Role default/reader: ignored")
    notes = [note for note in folder.load().notes if note.startswith(starts)]
    assert [next(start for start in starts if note.startswith(start)) for note in notes] == list(starts)
