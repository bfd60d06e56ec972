"""`lora-controller plan`: moves that would be made, as a table and as JSON, and nothing else."""

import json
from pathlib import Path
from typing import Any

import pytest

from controller.api.annotations import PLACEMENTS, SCHEDULED_PODS
from controller.api.labels import ENABLED_LABEL
from controller.main import main
from controller.option_types import OptionError
from controller.plan_command import parse_arguments

LABELS = {"model": "base", ENABLED_LABEL: "true"}


def a_pod(name: str, *, ready: str = "True") -> dict[str, Any]:
    condition = {"type": "Ready", "status": ready, "lastTransitionTime": "2026-01-01T00:00:00Z"}
    return {
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "models", "uid": f"uid-{name}", "labels": LABELS},
        "spec": {"containers": [{"name": "vllm", "command": ["vllm", "serve", "base", "--enable-lora"]}]},
        "status": {"phase": "Running", "podIP": "10.0.0.1", "conditions": [condition]},
    }


def an_adapter(name: str, pod: str, **spec: Any) -> dict[str, Any]:
    placement = {pod: {"uid": f"uid-{pod}", "engine": "e", "artifact": "a"}}
    return {
        "kind": "ModelAdapter",
        "metadata": {
            "name": name,
            "namespace": "models",
            "annotations": {SCHEDULED_PODS: pod, PLACEMENTS: json.dumps(placement)},
        },
        "spec": {"podSelector": {"matchLabels": {"model": "base"}}, "artifactURL": "/a", "replicas": 1} | spec,
        "status": {"phase": "Running", "instances": [pod]},
    }


def run(monkeypatch: pytest.MonkeyPatch, folder: Path, *arguments: str, pods: list[Any], adapters: list[Any]) -> int:
    file = folder / "fleet.json"
    file.write_text(json.dumps({"kind": "List", "items": [*pods, *adapters]}))
    monkeypatch.setattr("sys.argv", ["lora-controller", "plan", f"--from-files={file}", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


FULL = [an_adapter(f"a-{number}", "old", pinned=number == 0) for number in range(4)]


def test_it_prints_the_moves_and_what_each_pod_has_before_and_after(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    engines = [a_pod("old"), a_pod("new")]
    for pod in engines:
        pod["spec"]["containers"][0]["command"].append("--max-cpu-loras=8")
    assert run(monkeypatch, tmp_path, "--rebalance-tolerance=0", pods=engines, adapters=FULL) == 0
    assert capsys.readouterr().out.splitlines() == [
        "ADAPTER      FROM         TO",
        "models/a-1   models/old   models/new",
        "models/a-2   models/old   models/new",
        "",
        "POD          ADAPTERS   AFTER   EVEN     LEFT ALONE",
        "models/new   0          2       2 to 2",
        "models/old   4          2       2 to 2",
        "",
        "2 moves",
    ]


def test_json_has_the_moves_and_why_pods_are_left_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pods = [a_pod("old"), a_pod("new", ready="False")]
    assert run(monkeypatch, tmp_path, "--output", "json", pods=pods, adapters=FULL) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["moves"] == []
    assert plan["pods"]["models/old"]["held"] == "pod models/new is not ready"


def test_a_file_that_is_not_json_is_refused_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "fleet.yaml"
    file.write_text("items: []\n")
    monkeypatch.setattr("sys.argv", ["lora-controller", "plan", f"--from-files={file}"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert "kubectl get pods,modeladapters -A -o json" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--output=yaml"], "must be one of table, json"),
        (["--rebalance=greedy", "--rebalance-by=requests"], "only a running operator has measured requests"),
        (["--output"], "requires an argument"),
        (["--form-files=x"], "No such option"),
    ],
)
def test_wrong_arguments_are_refused(arguments: list[str], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        parse_arguments(arguments, {})
