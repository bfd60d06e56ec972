"""No secret survives loading; equal values have equal pseudonyms."""

import base64
from typing import Any

import pytest

from twin.scenario import ScenarioErrors, resolved

KEY = "sk-live-0123456789abcdef"
TOKEN = "hf_ABCDEFGHIJKLMNOP"
SHORT = "k3y"

MANIFESTS = f"""\
apiVersion: v1
kind: Secret
metadata: {{name: keys}}
data: {{engine: {base64.b64encode(KEY.encode()).decode()}}}
stringData: {{hf: {TOKEN}, pin: {SHORT}}}
---
apiVersion: model.aibrix.ai/v1alpha1
kind: ModelAdapter
metadata:
  name: sql
  annotations:
    remark: made with {KEY}
    kubectl.kubernetes.io/last-applied-configuration: '{{"api-key": "{KEY}"}}'
spec:
  podSelector: {{matchLabels: {{app: qwen}}}}
  artifactURL: huggingface://acme/sql
  additionalConfig: {{api-key: {KEY}, rank: "16"}}
"""
SCENARIO = "name: n\nmanifests: [base.yaml, m.yaml]\n"
TEMPLATE = """\
adapters:
  - name: t
    spec:
      podSelector: {matchLabels: {app: qwen}}
      artifactURL: huggingface://acme/t
      additionalConfig: {api-key: sk-of-the-template}
"""


def arguments(folder: Any, args: str, env: str = "[]") -> None:
    base = (folder.path / "base.yaml").read_text()
    folder.write("base.yaml", base.replace("[--enable-lora]", args) + f"          env: {env}\n")


@pytest.mark.parametrize(
    "args",
    [
        f"[--api-key, {KEY}]",
        f"[--api-key={KEY}]",
        f"[--api_key={KEY}, --enable-lora]",
        f"[--api-key, other-key-1, {KEY}]",
        f'[--chat-template, "vllm serve m --api-key {KEY} --enable-lora"]',
    ],
)
def test_a_key_on_the_command_line_has_the_pseudonym_of_the_same_key_elsewhere(folder: Any, args: str) -> None:
    arguments(folder, args, f"[{{name: HF_TOKEN, value: {TOKEN}}}, {{name: VLLM_API_KEY, value: {KEY}}}]")
    folder.write("m.yaml", MANIFESTS)
    scenario = folder.load(SCENARIO)
    text = resolved(scenario)
    for secret in (KEY, TOKEN, "other-key-1", base64.b64encode(KEY.encode()).decode()):
        assert secret not in text
        assert secret not in repr(scenario)
    adapter = next(item for item in scenario.objects if item["kind"] == "ModelAdapter")
    pseudonym = adapter["spec"]["additionalConfig"]["api-key"]
    assert pseudonym in scenario.secrets
    container = scenario.objects[0]["spec"]["template"]["spec"]["containers"][0]
    assert pseudonym in " ".join(container["args"])
    assert container["env"][1]["value"] == pseudonym
    assert adapter["spec"]["additionalConfig"]["rank"] == "16"


def test_the_same_secret_always_has_the_same_pseudonym(folder: Any) -> None:
    folder.write("m.yaml", MANIFESTS)
    scenario = folder.load(SCENARIO + TEMPLATE)
    assert scenario.secrets == tuple(f"not-a-secret-{n:04}" for n in range(1, 5))
    assert folder.load(resolved(scenario)) == scenario


def test_a_short_secret_inside_other_words_is_a_coincidence(folder: Any) -> None:
    arguments(folder, f"[--api-key={SHORT}, --served-model-name=mon{SHORT}]")
    folder.write("m.yaml", MANIFESTS)
    args = folder.load(SCENARIO).objects[0]["spec"]["template"]["spec"]["containers"][0]["args"]
    assert args[0].startswith("--api-key=not-a-secret-")
    assert args[1] == f"--served-model-name=mon{SHORT}"


def test_a_secret_that_reads_like_a_name_leaves_names_alone(folder: Any) -> None:
    folder.write("m.yaml", MANIFESTS.replace(TOKEN, "default"))
    assert {item["metadata"]["namespace"] for item in folder.load(SCENARIO).objects} == {"default"}


@pytest.mark.parametrize(
    "broken",
    [
        f"description: [{KEY}]\n",
        f"seed: {KEY}\n",
        f"duration: {KEY}\n",
        f"expect: ['adapters.total == {KEY}']\n",
        f"faults: [{{kind: {KEY}}}]\n",
        f"{KEY}: 1\n",
        f"cluster: {{engines: {{{KEY}: {{}}}}}}\n",
        f"faults: [{{kind: slow, pods: {{names: [{KEY}]}}}}]\n",
    ],
)
def test_errors_do_not_contain_the_secret(folder: Any, broken: str) -> None:
    folder.write("m.yaml", MANIFESTS)
    lines = folder.errors(SCENARIO + broken)
    assert lines
    assert KEY not in "\n".join(lines)


def test_a_manifest_that_is_refused_shows_no_secret(folder: Any) -> None:
    folder.write(
        "m.yaml", MANIFESTS.replace("rank:", f"api_key: {KEY}, rank:").replace("artifactURL: h", "artifactURL: x")
    )
    with pytest.raises(ScenarioErrors) as caught:
        folder.load(SCENARIO)
    assert KEY not in str(caught.value)
