"""The command line: its output, its files and its exit codes."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from formats.installation import install_command
from tests.twin.synthetic import a_run
from twin import cli
from twin.evaluate import invariants, measures
from twin.runs import run as running
from twin.trace.lines import Line

SCENARIO = """\
name: {name}
duration: 30m
seed: 7
cluster:
  nodes: {{count: 1, gpus: 4, zones: [a]}}
objects:
  - apiVersion: v1
    kind: Pod
    metadata: {{name: engine, labels: {{app: engine, adapter.model.aibrix.ai/enabled: "true"}}}}
    spec:
      containers:
        - name: vllm
          image: vllm/vllm-openai:v0.9.1
          args: [--model, acme/base, --enable-lora]
          env: [{{name: VLLM_ALLOW_RUNTIME_LORA_UPDATING, value: "True"}}]
adapters:
  - name: sql-{{i}}
    spec:
      baseModel: base
      podSelector: {{matchLabels: {{app: engine}}}}
      artifactURL: huggingface://acme/sql-{{i}}
expect: [{expect}]
"""


@dataclass
class Done:
    lines: list[Line] = field(default_factory=a_run)
    partial: bool = False


@dataclass
class Verdicts:
    violations: list[Any]
    checked: int = 1
    liveness_judged: bool = True


@pytest.fixture(autouse=True)
def simulated(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Done:
    """Replace the simulation by a ready trace."""
    done = Done()
    monkeypatch.setattr(running, "simulate", lambda scenario, progress=None: done)
    monkeypatch.setattr(invariants, "check", lambda lines: Verdicts([]))
    numbers = {"adapters": {"total": 40, "running": 38, "failed": 2}}
    monkeypatch.setattr(measures, "summarise", lambda lines, verdicts: numbers)
    monkeypatch.chdir(tmp_path)
    return done


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Run `twin` with arguments and return its exit code."""

    def run(*arguments: str) -> int:
        monkeypatch.setattr("sys.argv", ["twin", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        code = ended.value.code
        return code if isinstance(code, int) else 0

    return run


def a_scenario(name: str = "made-up", expect: str = "adapters.running == 38", file: str = "a.yaml") -> str:
    Path(file).write_text(SCENARIO.format(name=name, expect=expect))
    return file


def test_a_passed_run_exits_with_0(command: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert command("run", a_scenario()) == 0
    out, err = capsys.readouterr()
    assert "38 of 40 adapters were Running at the end" in out
    assert "✓ adapters.running == 38" in out
    assert "reports/made-up/7/report.html" in out
    assert err == ""
    assert Path("reports/made-up/7/report.html").is_file()


def test_a_failed_expectation_exits_with_1_and_the_measured_value(
    command: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("run", a_scenario(expect="adapters.running == 40")) == 1
    assert "✗ adapters.running == 40  was 38" in capsys.readouterr().out


def test_a_violation_ends_with_1_and_is_named(
    command: Callable[..., int], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    @dataclass
    class Violation:
        t: float = 312.4
        invariant: int = 3
        object: str = "default/sql-04"
        message: str = "holds too many replicas"
        context: tuple[int, ...] = ()

    monkeypatch.setattr(invariants, "check", lambda lines: Verdicts([Violation()]))
    assert command("run", a_scenario()) == 1
    assert "5:12  default/sql-04: holds too many replicas (invariant 3)" in capsys.readouterr().out


def test_an_interrupted_run_is_written_and_ends_with_130(command: Callable[..., int], simulated: Done) -> None:
    simulated.partial = True
    assert command("run", a_scenario(), "--out", "there") == 130
    assert json.loads(Path("there/made-up/7/summary.json").read_text())["partial"] is True


def test_an_interrupt_elsewhere_ends_with_130_too(
    command: Callable[..., int], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(invariants, "check", interrupted)
    assert command("run", a_scenario()) == 130
    assert capsys.readouterr().err == "twin: interrupted: nothing was kept\n"


def test_json_prints_the_summary_and_nothing_else(
    command: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("run", a_scenario(), "--json") == 0
    assert json.loads(capsys.readouterr().out)["adapters"]["running"] == 38


def test_several_files_give_several_tables_and_the_worst_code(
    command: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad = a_scenario("one"), a_scenario("two", "adapters.running == 40", "b.yaml")
    assert command("run", good, bad, "nowhere.yaml") == 2
    out, err = capsys.readouterr()
    assert out.count("adapters running") == 2
    assert "nowhere.yaml" in err


def test_two_scenarios_of_one_name_would_overwrite_each_other(
    command: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("run", a_scenario(), a_scenario(file="b.yaml")) == 2
    assert "b.yaml: has the same name and seed as a.yaml" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["run", "nowhere.yaml"], "nowhere.yaml"),
        (["check", "nowhere.yaml"], "nowhere.yaml"),
        (["run", "a.yaml", "--set", "nonsense"], "--set nonsense: not a setting; allowed: PATH=VALUE"),
        (["run", "a.yaml", "--set", "sede=1"], 'did you mean "seed"'),
        (["report", "nowhere"], "nowhere: not a folder"),
        (["replay", "."], "not a run folder: summary.json is missing"),
    ],
)
def test_a_usage_error_exits_with_2_and_one_line(
    command: Callable[..., int], capsys: pytest.CaptureFixture[str], arguments: list[str], line: str
) -> None:
    a_scenario()
    assert command(*arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert line in err
    assert err.count("\n") == 1


def test_unknown_options_end_with_2(command: Callable[..., int]) -> None:
    assert command("run", "a.yaml", "--sed", "3") == 2


def test_a_fault_of_our_own_is_one_that_can_be_reported(
    command: Callable[..., int], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(invariants, "check", broken)
    assert command("run", a_scenario()) == 70
    err = capsys.readouterr().err
    assert "ZeroDivisionError: division by zero" in err
    assert "Traceback" not in err


def test_check_reports_a_valid_file(command: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert command("check", a_scenario()) == 0
    assert capsys.readouterr().out.startswith("made-up: Valid; simulates 30 min, seed 7\n")


def test_check_as_json_has_scenarios_notes_and_errors(
    command: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("check", "--json", a_scenario(), "nowhere.yaml") == 2
    output = json.loads(capsys.readouterr().out)
    assert [(entry["name"], entry["duration_seconds"], entry["seed"]) for entry in output["scenarios"]] == [
        ("made-up", 1800.0, 7)
    ]
    assert output["errors"] == ["File not found: nowhere.yaml"]


def test_a_strict_check_fails_on_notes(command: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert command("check", "--strict", a_scenario()) == 0
    no_pods = Path(a_scenario()).read_text("utf-8").replace("matchLabels: {app: engine}", "matchLabels: {app: other}")
    Path("no-pods.yaml").write_text(no_pods)
    assert command("check", "no-pods.yaml") == 0
    assert "note: " in capsys.readouterr().out
    assert command("check", "--strict", "no-pods.yaml") == 1


def test_a_replay_of_an_honest_run_finds_nothing(
    command: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    command("run", a_scenario())
    capsys.readouterr()
    assert command("replay", "reports/made-up/7") == 0
    assert "identical" in capsys.readouterr().out


def test_a_replay_that_differs_says_where(
    command: Callable[..., int], capsys: pytest.CaptureFixture[str], simulated: Done
) -> None:
    command("run", a_scenario())
    del simulated.lines[5]
    capsys.readouterr()
    assert command("replay", "reports/made-up/7") == 1
    assert "events.jsonl: line 6 differs" in capsys.readouterr().out


def test_a_report_is_drawn_again(command: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    command("run", a_scenario())
    page = Path("reports/made-up/7/report.html")
    before = page.read_bytes()
    page.unlink()
    capsys.readouterr()
    assert command("report", "reports/made-up/7") == 0
    assert page.read_bytes() == before
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("argument", "output"),
    [("faults", "connection-refused"), ("policies", "least-adapters"), ("schema", '"lora-twin scenario"')],
)
def test_the_catalogues_are_printed(
    command: Callable[..., int], capsys: pytest.CaptureFixture[str], argument: str, output: str
) -> None:
    assert command(argument) == 0
    assert output in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argument", "name", "field"), [("faults", "connection-refused", "kind"), ("policies", "least-adapters", "name")]
)
def test_the_catalogues_are_printed_as_json(
    command: Callable[..., int], capsys: pytest.CaptureFixture[str], argument: str, name: str, field: str
) -> None:
    assert command(argument, "--json") == 0
    assert name in [entry[field] for entry in json.loads(capsys.readouterr().out)]


@pytest.mark.parametrize(
    ("arguments", "unused"),
    [
        (("--help",), {"asyncio", "numpy", "pydantic", "rich", "ruamel"}),
        (("check", "SCENARIO"), {"fastapi", "jinja2", "numpy", "pandas", "prompt_toolkit", "pyarrow", "rich", "simpy"}),
        (("run", "SCENARIO"), {"fastapi", "matplotlib", "pandas", "prompt_toolkit", "scipy"}),
    ],
)
def test_a_command_imports_what_it_uses(arguments: tuple[str, ...], unused: set[str]) -> None:
    code = "import sys; from twin.cli import main\ntry: main()\nfinally: print(*sys.modules, file=sys.stderr)"
    words = [a_scenario() if word == "SCENARIO" else word for word in arguments]
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    assert "typer" in done.stderr.split()
    assert unused.isdisjoint(done.stderr.split())


def test_version_prints_the_version(command: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert command("--version") == 0
    assert capsys.readouterr().out.startswith("lora-twin ")


def test_a_missing_package_is_named_with_its_extra(
    command: Callable[..., int], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(*_: object) -> None:
        raise ModuleNotFoundError("No module named 'scipy'", name="scipy.stats")

    monkeypatch.setattr("twin.calibration.read", missing)
    assert command("calibrate", "measured.csv") == 2
    assert capsys.readouterr().err == f"twin: package scipy is required: {install_command('lab')}\n"


def test_a_wrong_axis_of_a_sweep_is_named_before_a_missing_package(
    command: Callable[..., int], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "twin.experiments.sweep", None)  # as where scipy is not installed
    assert command("sweep", a_scenario(), "--vary", "controller.polcy=spread") == 2
    assert 'unknown field "polcy"' in capsys.readouterr().err


def test_capture_asks_once_for_all_that_it_needs_and_before_it_watches_anything(
    command: Callable[..., int], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("twin.commands.common.find_spec", lambda _: None)
    assert command("capture", "--for", "1s") == 2
    expected = f"twin: packages kubernetes and scipy are required: {install_command('lab,live')}\n"
    assert capsys.readouterr().err == expected


def test_an_interrupted_simulation_is_not_followed_by_a_served_one(
    command: Callable[..., int], simulated: Done, capsys: pytest.CaptureFixture[str]
) -> None:
    simulated.partial = True
    assert command("compare-worlds", a_scenario(), "--json") == 130
    kept = "reports/made-up-simulated/7 has the simulated run until then; nothing was served"
    assert capsys.readouterr().err == f"twin: interrupted: {kept}\n"
