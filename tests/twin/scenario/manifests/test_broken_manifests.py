"""Manifests that a cluster would refuse are refused with their line before the run."""

from typing import Any

import pytest

ADAPTER = """\
apiVersion: model.aibrix.ai/v1alpha1
kind: ModelAdapter
metadata: {name: sql}
spec:
  baseModel: qwen
  podSelector: {matchLabels: {app: qwen}}
  artifactURL: huggingface://acme/sql
"""
SCENARIO = "name: n\nmanifests: [base.yaml, m.yaml]\n"


@pytest.mark.parametrize(
    ("old", "new", "place", "message"),
    [
        ("apiVersion: model.aibrix.ai/v1alpha1\n", "", "1:1", '"apiVersion" is missing'),
        ("apiVersion", "apiversion", "1:1", 'did "apiversion" mean it?'),
        ("kind: ModelAdapter", "kind: ModelAdaptor", "2:7: kind", 'did you mean "ModelAdapter"?'),
        ("v1alpha1", "v1alhpa1", "1:13: apiVersion", 'did you mean "model.aibrix.ai/v1alpha1"?'),
        ("{name: sql}", "{nmae: sql}", "3:11: metadata", '"name" is missing'),
        ("{name: sql}", "{name: 5}", "3:18: metadata.name", "is not a string"),
        ("{name: sql}", "{name: sql, labels: {port: 8000}}", "3:38: metadata.labels.port", "allowed: a string"),
        ("metadata: {name: sql}\n", "", "1:1: metadata", '"metadata" is missing'),
        ("{name: sql}", "{name: sql.v2}", "", "sql.v2"),
        ("artifactURL: huggingface", "artifactURL: ftp", "7:16: spec.artifactURL", ""),
        ("  artifactURL: huggingface://acme/sql\n", "", "5:3: spec.artifactURL", "equired"),
        ("  podSelector: {matchLabels: {app: qwen}}\n", "", "5:3: spec.podSelector", "equired"),
        ("baseModel: qwen", "baseModel: qwen\n  replicas: -1", "6:13: spec.replicas", ""),
        ("baseModel: qwen", "baseModel: [qwen]", "5:14: spec.baseModel", "string"),
        (ADAPTER, "- a\n", "1:1", "is not a Kubernetes object"),
        (ADAPTER, "a: [\n", "2:1", "invalid YAML"),
        ("kind: ModelAdapter", "kind: ModelAdapter\nkind: Pod", "3:1: kind", "is duplicated"),
    ],
)  # fmt: skip
def test_an_adapter_that_a_cluster_would_refuse(folder: Any, old: str, new: str, place: str, message: str) -> None:
    folder.write("m.yaml", ADAPTER.replace(old, new))
    lines = folder.errors(SCENARIO)
    assert any(line.startswith(f"m.yaml:{place}") and message in line for line in lines), lines


@pytest.mark.parametrize(
    ("old", "new", "place", "message"),
    [
        ("{matchLabels: {app: qwen}}", "{matchLabels: {app: x}}", "", "selector"),
        ("[--enable-lora]", "[--enable-lora, --max-loras=0]", "15:33: spec.template.spec.containers.0.args.1", "max_l"),
        ("[--enable-lora]", "[--max-loras, four]", "15:18: spec.template.spec.containers.0.args.0", "invalid int"),
        ("[--enable-lora]", '["vllm serve m --max-loras $(nproc)"]', "15:", "output of a command is not known here"),
        ("[--enable-lora]", "[--enable-lora, null]", "15:33: spec.template.spec.containers.0.args.1", "is null"),
        ("args:", "env: [{value: x}]\n          args:", "15:17: spec.template.spec.containers.0.env.0", '"name" is'),
        ("replicas: 3", "replicas: three", "6:13: spec.replicas", ""),
        ("args: [--enable-lora]", "args: --enable-lora", "15:17: spec.template.spec.containers.0.args", ""),
        ('gpu: "1"', 'gpu: "16"', "11:7: spec.template.spec", "no node has more than 8"),
    ],
)  # fmt: skip
def test_a_deployment_that_would_not_run(folder: Any, old: str, new: str, place: str, message: str) -> None:
    text = (folder.path / "base.yaml").read_text().replace(old, new, 1)
    folder.write("m.yaml", "# a remark\n" + text.replace("name: qwen,", "name: other,"))
    lines = folder.errors(SCENARIO + "cluster: {nodes: {count: 1}}\n")
    assert any(line.startswith(f"m.yaml:{place}") and message in line for line in lines), lines


def test_two_objects_of_one_name_are_refused_with_both_positions(folder: Any) -> None:
    folder.write("m.yaml", f"{ADAPTER}---\n{ADAPTER}")
    assert folder.errors(SCENARIO) == [
        "m.yaml:11:18: metadata.name: ModelAdapter default/sql already exists, in m.yaml:1; "
        "allowed: one object for each kind and name"
    ]


def test_a_template_may_not_take_a_name_that_a_manifest_has(folder: Any) -> None:
    folder.write("m.yaml", ADAPTER)
    template = 'adapters: [{name: sql, spec: {podSelector: {matchLabels: {app: qwen}}, artifactURL: "hf://a/b"}}]\n'
    assert "s.yaml:3:19: adapters.0.name: default/sql already exists" in folder.errors(SCENARIO + template)[0]


def test_errors_of_scenario_and_manifests_are_reported_together(folder: Any) -> None:
    folder.write("m.yaml", ADAPTER.replace("kind: ModelAdapter", "kind: Modeladapter"))
    lines = folder.errors(SCENARIO + "sead: 1\n")
    assert [line.split(":")[0] for line in lines] == ["s.yaml", "m.yaml"]


def test_a_namespace_may_be_in_the_manifest_of_its_objects_and_is_validated(folder: Any) -> None:
    """The position of the namespace in the manifest does not matter."""
    here = ADAPTER.replace("{name: sql}", "{name: sql, namespace: zoo}")
    zoo = "---\napiVersion: v1\nkind: Namespace\nmetadata: {name: zoo, labels: {team: LABEL}}\n"
    folder.write("m.yaml", here + zoo.replace("LABEL", "b"))
    assert "zoo" in [item["metadata"]["name"] for item in folder.load(SCENARIO).objects]
    folder.write("m.yaml", here + zoo.replace("LABEL", '"a b"'))
    assert ["m.yaml:" in line and "metadata.labels" in line for line in folder.errors(SCENARIO)] == [True]


def test_a_command_that_is_no_list_is_an_error_and_no_failure(folder: Any) -> None:
    folder.write("base.yaml", (folder.path / "base.yaml").read_text().replace("[vllm, serve, Qwen/Qwen3]", "true"))
    (line,) = folder.errors("name: x\nmanifests: [base.yaml]\ncluster: {containers: {vllm: {runs: 1s}}}\n")
    assert "command: invalid value" in line
