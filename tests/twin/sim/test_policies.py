"""Policies as users see them: in a scenario, in the documentation, in events."""

import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from typer.testing import CliRunner

from tests.twin.worlds import MODEL, a_scenario, adapters
from twin.cli import app
from twin.evaluate import invariants
from twin.evaluate.measures import summarise
from twin.scenario import ScenarioErrors
from twin.sim.simulation import simulate
from twin.trace.lines import EngineLine, EventLine, Line

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def clean_imports(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Remove modules that a test has made importable."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        del sys.modules[name]


def blocks(language: str) -> list[str]:
    text = (ROOT / "docs/policies.md").read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def test_the_worked_example_of_the_docs_works_as_described(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_policies.py").write_text(blocks("python")[0], encoding="utf-8")
    (scenario,) = (block for block in blocks("yaml") if block.startswith("name: few-pods"))
    (tmp_path / "few-pods.yaml").write_text(scenario, encoding="utf-8")
    shutil.copytree(ROOT / "scenarios/manifests", tmp_path / "manifests")
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["run", "few-pods.yaml"])
    assert result.exit_code == 0, result.output
    assert (
        YAML(typ="safe").load((tmp_path / "reports/few-pods/0/scenario.yaml").read_text())["controller"]["policy"]
        == "my_policies:FewPods"
    )


def test_every_policy_is_in_the_docs_and_in_the_list(capsys: pytest.CaptureFixture[str]) -> None:
    from controller.policies import BUILT_IN

    documented = set(re.findall(r"^\| `([a-z-]+)` \|", (ROOT / "docs/policies.md").read_text(encoding="utf-8"), re.M))
    listed = {line.split()[0] for line in CliRunner().invoke(app, ["policies"]).output.splitlines() if line[:1].strip()}
    assert documented == {*BUILT_IN, "default"}
    assert documented | {"module:Class"} == listed


def write(folder: Path, choose: str, name: str = "theirs") -> None:
    body = f"class Policy:\n    name = '{name}'\n    def choose(self, view):\n        {choose}\n"
    (folder / f"{name}_module.py").write_text(body, encoding="utf-8")


def summary(lines: Any) -> dict[str, Any]:
    return summarise(lines, invariants.check(lines))


def events(lines: Any, reason: str) -> list[EventLine]:
    return [line for line in lines if isinstance(line, EventLine) and line.reason == reason]


def loaded(lines: Any) -> dict[str, set[str]]:
    """Return the pods of each adapter, as loaded on the engines at a time."""
    matches: dict[str, set[str]] = {}
    for line in lines:
        if isinstance(line, EngineLine) and line.event == "loaded":
            matches.setdefault(line.adapter, set()).add(line.object)
    return matches


def test_an_adapter_names_a_module_beside_the_scenario_and_others_go_by_default(tmp_path: Path) -> None:
    write(tmp_path, "return [pod.name for pod in view.candidates][-view.count:]", name="last")
    mine = adapters(1, replicas=1, spec={"schedulerName": "last_module:Policy"}, arrive={"at": "1m"})
    other = adapters(1, replicas=1, arrive={"at": "2m"})
    lines = simulate(a_scenario(tmp_path, adapters=[mine | {"name": "mine"}, other | {"name": "other"}])).lines
    (last,), (first,) = loaded(lines)["mine"], loaded(lines)["other"]
    assert first < last
    assert summary(lines)["adapters"]["running"] == 2


@pytest.mark.parametrize(
    ("choose", "said"),
    [("raise RuntimeError('broken')", "raised RuntimeError: broken"), ("return ['pod-of-mine']", "not a candidate")],
)
def test_a_policy_that_fails_all_the_time_costs_events_and_nothing_else(tmp_path: Path, choose: str, said: str) -> None:
    name = "raising" if "raise" in choose else "lying"
    write(tmp_path, choose, name)
    lines: list[Line] = list(
        simulate(a_scenario(tmp_path, controller={"policy": f"{name}_module:Policy"}, duration="20m")).lines
    )
    outcome = summary(lines)
    assert outcome["adapters"]["running"] == 4
    assert outcome["invariants"]["violations"] == 0
    failures = events(lines, "PolicyFailed")
    assert {line.object for line in failures} == {f"default/a-{n}" for n in range(4)}
    assert all(line.type == "Warning" and said in line.note for line in failures)
    assert max(line.count for line in failures) <= 5, "told when it chooses, which it need not do when all is well"


@pytest.mark.parametrize(
    ("section", "said"),
    [
        (
            {"controller": {"policy": "least-adapter"}},
            'unknown policy "least-adapter"; did you mean "least-adapters"',
        ),
        ({"controller": {"policy": "nowhere:Class"}}, "controller.policy: policy nowhere:Class cannot be used"),
        ({"controller": {"policies": ["spread"]}}, 'controller.policies.0: "spread" is not a plug-in; allowed: module'),
        ({"adapters": [adapters(spec={"schedulerName": "no:One"})]}, "adapters.0.spec.schedulerName: policy no:One"),
    ],
)
def test_a_missing_policy_is_an_error_in_one_line_with_its_position(
    tmp_path: Path, section: dict[str, Any], said: str
) -> None:
    with pytest.raises(ScenarioErrors) as refused:
        a_scenario(tmp_path, **section)
    (problem,) = refused.value.problems
    assert said in str(problem)
    assert problem.line > 0


def test_an_unknown_policy_name_is_refused_by_the_operator_with_the_list_of_known_ones(tmp_path: Path) -> None:
    lines = simulate(a_scenario(tmp_path, adapters=[adapters(1, spec={"schedulerName": "best"})])).lines
    assert summary(lines)["adapters"]["failed"] == 1
    assert "bin-pack" in str([line for line in lines if getattr(line, "message", "")][-1])


TRAFFIC = {"rate": "2/s", "prompt_tokens": 64, "output_tokens": 16, "from": "1m"}


@pytest.mark.parametrize("policy", ["least-latency", "least-throughput", "load-aware"])
def test_policies_that_measure_read_each_pod_once_an_interval_and_place_at_once_what_comes_first(
    tmp_path: Path, policy: str
) -> None:
    late = adapters(3, replicas=1, arrive={"at": "5m"}) | {"name": "late-{i}"}
    lines = simulate(a_scenario(tmp_path, controller={"policy": policy}, adapters=[adapters(), late])).lines
    outcome = summary(lines)
    assert outcome["adapters"]["running"] == 7
    assert outcome["time_to_running_seconds"]["max"] < 20
    assert outcome["invariants"]["violations"] == 0
    assert 3 * (600 / 15 - 3) <= outcome["engine_requests"]["metrics"] <= 3 * 600 / 15


def test_metrics_that_no_policy_uses_are_not_read(tmp_path: Path) -> None:
    assert summary(simulate(a_scenario(tmp_path)).lines)["engine_requests"]["metrics"] == 0


def test_metrics_are_read_if_one_adapter_uses_such_a_policy(tmp_path: Path) -> None:
    one = adapters(1, spec={"schedulerName": "load-aware"}) | {"name": MODEL}
    lines = simulate(a_scenario(tmp_path, adapters=[adapters(), one])).lines
    assert summary(lines)["engine_requests"]["metrics"] > 100
