"""Pods with SGLang in the twin, called by the sidecar or by the operator itself."""

from pathlib import Path
from typing import Any

import pytest

from tests.twin.sim.test_private_artifacts import PRIVATE, SECRET, with_sidecar
from tests.twin.worlds import MODEL, SELECTOR, a_scenario, adapters, deployment
from twin.evaluate.run_result import RunResult
from twin.runs.run import simulate_and_judge
from twin.scenario import ScenarioErrors
from twin.trace.lines import EngineLine, EventLine, PodLine, RequestLine

COMMAND = ["python3", "-m", "sglang.launch_server", "--model-path", "Qwen/Qwen", "--served-model-name", MODEL]
LORA = ["--enable-lora", "--max-lora-rank", "64", "--lora-target-modules", "all"]


def a_run(folder: Path, container: dict[str, Any], engine: str = "sglang", **sections: Any) -> RunResult:
    """Run two pods with the engine container `container` and a sidecar configured for `engine`."""
    workload = with_sidecar(deployment(2))
    workload["spec"]["template"]["metadata"]["labels"] = {**SELECTOR["matchLabels"], **container.pop("labels", {})}
    containers = workload["spec"]["template"]["spec"]["containers"]
    containers[0] = {key: value for key, value in containers[0].items() if key not in ("command", "env")} | container
    containers[1]["env"] = [{"name": "INFERENCE_ENGINE", "value": engine}]
    expected = {"adapters": [adapters(4, replicas=2, spec=PRIVATE)], **sections}
    return simulate_and_judge(a_scenario(folder, objects=[SECRET, workload], **expected))


LABELS = {**SELECTOR["matchLabels"], "model.aibrix.ai/engine": "sglang"}


def without_a_sidecar(folder: Path, labels: dict[str, str], *flags: str, **sections: Any) -> RunResult:
    """Return two pods of SGLang without a sidecar."""
    workload = deployment(2)
    template = workload["spec"]["template"]
    template["metadata"]["labels"] = labels
    kept = {key: value for key, value in template["spec"]["containers"][0].items() if key not in ("command", "env")}
    template["spec"]["containers"] = [kept | {"command": COMMAND, "args": [*LORA, "--port", "8000", *flags]}]
    expected = {"adapters": [adapters(4, replicas=2)], **sections}
    return simulate_and_judge(a_scenario(folder, objects=[workload], **expected))


def answered(findings: RunResult) -> set[tuple[str, int]]:
    """Return verbs and statuses of the operator's requests."""
    return {(line.verb, line.status) for line in findings.lines if isinstance(line, RequestLine) if line.status}


def test_the_operator_speaks_to_a_pod_so_labelled_in_sglangs_words(tmp_path: Path) -> None:
    edits = [{"at": "5m", "of": f"ModelAdapter/a-{n}", "delete": True} for n in range(2)]
    traffic = {"rate": "2/s", "prompt_tokens": 64, "output_tokens": 16}
    findings = without_a_sidecar(tmp_path, LABELS, edits=edits, traffic=traffic)
    assert answered(findings) == {("load", 200), ("unload", 200)}
    measures = findings.measures
    assert (measures["adapters"]["running"], measures["adapters"]["deleted"]) == (2, 2)
    assert measures["loads"]["attempted"] == measures["loads"]["succeeded"] == 8
    assert measures["traffic"]["ok"] > 0
    assert not findings.violations


def test_an_engine_that_was_restarted_or_forgets_is_loaded_again_in_its_words(tmp_path: Path) -> None:
    faults = [
        {"kind": "engine-restart", "pods": {"count": 1}, "at": "4m"},
        {"kind": "timeout", "pods": {"count": 1}, "from": "0s", "until": "2m"},
    ]
    findings = without_a_sidecar(tmp_path, LABELS, faults=faults, controller={"load_timeout": "20s"})
    assert findings.measures["adapters"]["running"] == 4
    assert findings.measures["loads"]["succeeded"] > 8
    assert not findings.violations


def test_a_load_that_timed_out_and_ended_later_counts_as_loaded(tmp_path: Path) -> None:
    engine = {"startup": "2s", "load": "4s"}
    hasty = [adapters(1, replicas=1, spec={"additionalConfig": {"timeout": "2s"}})]
    sections = {"cluster": {"engines": {"default": engine}, "artifacts": {"bandwidth": "10Gbit/s"}}, "adapters": hasty}
    findings = without_a_sidecar(tmp_path, LABELS, **sections)
    assert answered(findings) == {("load", 400)}, "the name is taken, by the right artifact"
    assert findings.measures["adapters"]["running"] == findings.measures["loads"]["succeeded"] == 1
    assert findings.measures["loads"]["failed_final"] == 0


def test_a_pod_without_the_label_is_treated_as_vllm_and_the_condition_has_the_fix(tmp_path: Path) -> None:
    findings = without_a_sidecar(tmp_path, dict(SELECTOR["matchLabels"]))
    assert answered(findings) == {("load", 404)}
    assert findings.measures["adapters"]["running"] == 0
    message = {line.note for line in findings.lines if isinstance(line, EventLine) if line.reason == "LoadFailed"}
    assert all("label model.aibrix.ai/engine" in note for note in message)
    assert message


@pytest.mark.parametrize(
    "container",
    [
        {"image": "somewhere/engine:1", "command": COMMAND, "args": [*LORA, "--port", "8000"]},
        {"image": "lmsysorg/sglang:v0.5.9", "args": ["--model-path", "Qwen/Qwen", *LORA, "--port", "8000"]},
        {
            "image": "somewhere/engine:1",
            "args": ["--model-path", "Qwen/Qwen", *LORA, "--port", "8000"],
            "labels": {"model.aibrix.ai/engine": "sglang"},
        },
    ],
    ids=["by its command", "by its image", "by its label"],
)
def test_a_pod_is_sglangs_by_its_command_its_image_or_its_label(container: dict[str, Any], tmp_path: Path) -> None:
    findings = a_run(tmp_path, dict(container), traffic={"rate": "2/s", "prompt_tokens": 64, "output_tokens": 16})
    loaded = [line.adapter for line in findings.lines if isinstance(line, EngineLine) and line.event == "loaded"]
    assert sorted(loaded) == sorted([f"a-{n}" for n in range(4)] * 2)
    assert findings.measures["adapters"]["running"] == 4
    assert findings.measures["traffic"]["ok"] > 0
    assert not findings.violations


def test_a_rank_above_its_limit_fails_in_its_words(tmp_path: Path) -> None:
    low = [*LORA[:1], "--max-lora-rank", "8", *LORA[3:], "--port", "8000"]
    faults = [{"kind": "invalid-adapter", "pods": "all", "adapters": ["a-0"]}]
    findings = a_run(tmp_path, {"command": COMMAND, "args": low}, faults=faults)
    assert findings.measures["adapters"]["running"] < 4
    assert findings.measures["loads"]["failed_final"] + findings.measures["loads"]["failed_retriable"] > 0


def test_a_sidecar_that_takes_it_for_vllm_finds_no_such_route(tmp_path: Path) -> None:
    findings = a_run(tmp_path, {"command": COMMAND, "args": [*LORA, "--port", "8000"]}, engine="vllm")
    assert findings.measures["adapters"]["running"] == 0


def test_a_sidecar_for_an_unknown_engine_does_not_start(tmp_path: Path) -> None:
    findings = a_run(tmp_path, {"command": COMMAND, "args": [*LORA, "--port", "8000"]}, engine="triton")
    assert findings.measures["adapters"]["running"] == 0
    assert not any(line.ready for line in findings.lines if isinstance(line, PodLine))


def test_flags_that_it_would_not_start_with_are_named_when_the_scenario_is_read(tmp_path: Path) -> None:
    with pytest.raises(
        ScenarioErrors,
        match="the engine would not start: When no initial --lora-paths is provided, you need to specify both",
    ):
        a_run(tmp_path, {"command": COMMAND, "args": ["--enable-lora"]})
