"""`twin examples` and `twin init`."""

import json
from pathlib import Path

import pytest

from tests.twin.scenario.conftest import DEPLOYMENT
from twin import cli, examples
from twin.scenario import load

UPDATING = '          env: [{name: VLLM_ALLOW_RUNTIME_LORA_UPDATING, value: "True"}]\n'


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def command(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        cli.app([*arguments])
    return int(str(ended.value.code or 0))


def test_the_list_has_a_question_for_each_example(capsys: pytest.CaptureFixture[str]) -> None:
    assert command("examples", "--json") == 0
    questions = {entry["name"]: entry["question"] for entry in json.loads(capsys.readouterr().out)}
    assert questions["quickstart"] == "How long does it take from `kubectl apply` until adapters serve?"
    assert "faults/pod-kill" in questions


def test_every_example_is_valid_where_it_was_copied(tmp_path: Path) -> None:
    for example in examples.examples():
        scenario, *_ = examples.copy_example(example, tmp_path / "all")
        assert load(scenario).name == load(example.path).name


def test_a_copied_example_can_be_run_as_the_output_says(capsys: pytest.CaptureFixture[str]) -> None:
    assert command("examples", "faults/pod-kill", "--out", "mine") == 0
    assert capsys.readouterr().out.endswith("run it with: twin run mine/faults/pod-kill.yaml\n")
    assert command("check", "mine/faults/pod-kill.yaml") == 0


def test_a_changed_file_is_not_replaced(capsys: pytest.CaptureFixture[str]) -> None:
    Path("quickstart.yaml").write_text("mine")
    assert command("examples", "quickstart") == 2
    assert "quickstart.yaml exists and differs" in capsys.readouterr().err
    assert [path.name for path in Path().iterdir()] == ["quickstart.yaml"]


def test_an_unknown_example_has_a_suggestion(capsys: pytest.CaptureFixture[str]) -> None:
    assert command("examples", "quikstart") == 2
    assert 'unknown example quikstart; did you mean "quickstart"?' in capsys.readouterr().err


@pytest.mark.parametrize("given", ["k8s/qwen.yaml", "k8s"])
def test_a_first_draft_is_valid(capsys: pytest.CaptureFixture[str], given: str) -> None:
    Path("k8s").mkdir()
    Path("k8s/qwen.yaml").write_text(DEPLOYMENT + UPDATING)
    assert command("init", given, "--out", "twin/My first.yaml") == 0
    assert capsys.readouterr().out == "twin/My first.yaml: written; run it with: twin run 'twin/My first.yaml'\n"
    scenario = load("twin/My first.yaml")
    assert (scenario.name, scenario.objects[0]["kind"]) == ("my-first", "Deployment")


def test_a_draft_for_an_engine_without_adapters_has_three_that_run(capsys: pytest.CaptureFixture[str]) -> None:
    """With the newest image, as public manifests have it."""
    enabled = DEPLOYMENT.replace("image: vllm/vllm-openai:v0.24.0", "image: vllm/vllm-openai:latest")
    Path("qwen.yaml").write_text(enabled + UPDATING)
    assert command("init", "qwen.yaml", "--out", "mine.yaml") == 0
    scenario = load("mine.yaml")
    (template,) = scenario.adapters
    spec = template.manifest(0)["spec"]
    assert (template.count, spec["podSelector"]) == (3, {"matchLabels": {"app": "qwen"}})
    capsys.readouterr()
    assert command("run", "mine.yaml") == 0, capsys.readouterr().out
    assert "adapters running    3 of 3" in capsys.readouterr().out


def test_an_adapter_that_does_not_run_is_named_with_the_reason(capsys: pytest.CaptureFixture[str]) -> None:
    Path("qwen.yaml").write_text(DEPLOYMENT.replace("--enable-lora", "--seed=1"))
    assert command("init", "qwen.yaml", "--out", "mine.yaml") == 0
    capsys.readouterr()
    assert command("run", "mine.yaml") == 1
    out = capsys.readouterr().out
    assert "engines of qwen refuse every adapter" in out
    (line,) = (line for line in out.splitlines() if "not running" in line)
    assert "default/example-0" in line


@pytest.mark.parametrize(
    ("manifest", "out", "error"),
    [
        (DEPLOYMENT.replace("replicas", "replica"), "s.yaml", 'did you mean "replicas"?'),
        ("a: [", "s.yaml", "m.yaml:1:5: invalid YAML"),
        (DEPLOYMENT, "s.txt", "allowed: a name that ends in .yaml"),
        (DEPLOYMENT, "m.yaml", "exists; choose another name"),
    ],
)
def test_bad_input_leaves_no_draft(capsys: pytest.CaptureFixture[str], manifest: str, out: str, error: str) -> None:
    Path("m.yaml").write_text(manifest)
    assert command("init", "m.yaml", "--out", out) == 2
    assert error in capsys.readouterr().err
    assert [path.name for path in Path().iterdir()] == ["m.yaml"]
