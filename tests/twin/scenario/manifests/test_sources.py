"""Kustomizations, Helm charts, applications and lists that people give instead of manifests."""

from typing import Any

import pytest

from twin.scenario.first_draft import DraftError, draft


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("kustomization.yaml", "resources: [a.yaml]\n", "kubectl kustomize ."),
        (
            "all.yaml",
            "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: [a.yaml]\n",
            "is a kustomization, not a manifest",
        ),
        ("Chart.yaml", "apiVersion: v2\nname: llm\nversion: 1.0.0\n", "helm template ."),
        ("values.yaml", "replicaCount: 1\n", "helm template CHART -f "),
        ("deployment.yaml", "metadata:\n  name: {{ .Release.Name }}\n", "helm template"),
    ],
)
def test_a_source_of_manifests_is_refused_with_the_command_that_prints_them(
    folder: Any, name: str, text: str, message: str
) -> None:
    folder.write(name, text)
    errors = folder.errors(f"name: x\nduration: 1m\nmanifests: [{name}]\n")
    assert message in errors[0].replace("./values", "values")


def test_a_folder_with_a_kustomization_is_no_start_of_a_scenario(folder: Any) -> None:
    folder.write("kustomization.yaml", "resources: [a.yaml]\n")
    for path in (folder.path, folder.path / "kustomization.yaml"):
        with pytest.raises(DraftError, match="kubectl kustomize"):
            draft([path], "x", folder.path)


def test_an_application_is_noted_with_the_command_that_prints_its_manifests(folder: Any) -> None:
    folder.write(
        "app.yaml",
        "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: {name: llm}\nspec: {}\n"
        "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n",
    )
    (note,) = folder.load("name: x\nduration: 1m\nmanifests: [app.yaml]\n").notes
    assert note == (
        "HelmRelease default/llm: ignored: it only points to manifests; list those that `helm get manifest llm` prints"
    )


def test_lists_in_lists_and_typed_lists_are_expanded(folder: Any) -> None:
    folder.write(
        "all.json",
        '{"apiVersion":"v1","kind":"List","items":[{"apiVersion":"v1","kind":"List","items":[{"apiVersion":"v1",'
        '"kind":"ConfigMap","metadata":{"name":"a"}}]},{"apiVersion":"v1","kind":"ConfigMapList","items":'
        '[{"metadata":{"name":"b"}}]}]}',
    )
    scenario = folder.load("name: x\nduration: 1m\nmanifests: [all.json]\n")
    assert [(item["kind"], item["metadata"]["name"]) for item in scenario.objects] == [
        ("ConfigMap", "a"),
        ("ConfigMap", "b"),
    ]
