"""Sections of a scenario, as they are loaded."""

from typing import Any

import numpy as np
import pytest

from fake_vllm.distributions import Constant, Empirical, Exponential, LogNormal, Uniform
from fake_vllm.faults.rules import CATALOGUE
from twin.scenario import FAULTS, Candidate, parse_expectation
from twin.scenario.faults import EngineRestart
from twin.scenario.faults.catalogue import fault_catalogue
from twin.scenario.sections.adapters import AdapterTemplate
from twin.scenario.sections.targets import PodTargets

FOUR_LINES = "name: n\nduration: 10m\nmanifests:\n  - base.yaml\n"


def rng() -> np.random.Generator:
    return np.random.default_rng(1)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2s", Constant(2.0)),
        ("{uniform: [2ms, 8ms]}", Uniform(0.002, 0.008)),
        ("{exponential: 2h}", Exponential(7200.0)),
        ("{lognormal: {median: 1.8s, p95: 6s}}", LogNormal(1.8, 6.0)),
        ("{empirical: waits.csv}", Empirical((0.25, 3.0, 90.0))),
        ("{empirical: [250ms, 3s]}", Empirical((0.25, 3.0))),
    ],
)
def test_a_distribution_is_one_of_the_fake_engines_own(folder: Any, text: str, expected: object) -> None:
    folder.write("waits.csv", "seconds,what\n0.25,a\n3,b\n1m30s,c\n")
    scenario = folder.load(FOUR_LINES + f"cluster: {{pod_start: {text}}}\n")
    assert scenario.cluster.pod_start == expected


def test_four_lines_are_enough(folder: Any) -> None:
    scenario = folder.load()
    assert scenario.duration == 600
    assert scenario.controller.retry.waits() == (5, 10, 20, 40, 80)
    assert [node.gpus for node in scenario.nodes] == [8]
    assert scenario.notes == ()


def test_nodes_are_made_for_all_pods_and_a_rolling_update(folder: Any) -> None:
    text = (folder.path / "base.yaml").read_text()
    folder.write("base.yaml", text.replace("replicas: 3", "replicas: 8").replace('gpu: "1"', 'gpu: "4"'))
    assert len(folder.load().nodes) == 5


def test_zones_are_given_to_nodes_in_turn(folder: Any) -> None:
    scenario = folder.load(FOUR_LINES + "cluster: {nodes: {count: 3, gpus: 4, zones: [a, b]}}\n")
    assert [(node.name, node.zone) for node in scenario.nodes] == [("node-0", "a"), ("node-1", "b"), ("node-2", "a")]


def test_missing_fields_of_an_engine_come_from_default(folder: Any) -> None:
    engines = "cluster: {engines: {default: {startup: 5s, load: 1s}, qwen: {load: 2s}}}\n"
    cluster = folder.load(FOUR_LINES + engines).cluster
    assert (cluster.engine("qwen").startup, cluster.engine("qwen").load) == (Constant(5.0), Constant(2.0))
    assert cluster.engine("another").load == Constant(1.0)


def test_seed_and_overrides_take_the_place_of_the_files_own(folder: Any) -> None:
    overrides = {"controller.retry.base": "2s", "duration": "1h", "cluster.nodes": "{count: 2}"}
    scenario = folder.load(overrides=overrides, seed=9)
    assert (scenario.seed, scenario.duration, scenario.controller.retry.base) == (9, 3600, 2)
    assert len(scenario.nodes) == 2


def test_an_override_reaches_into_lists(folder: Any) -> None:
    text = FOUR_LINES + "faults: [{kind: slow, factor: 2}]\n"
    assert folder.load(text, overrides={"faults.0.factor": "3.5"}).faults[0].factor == 3.5


def test_a_merge_key_supplies_missing_fields(folder: Any) -> None:
    text = FOUR_LINES + "faults:\n  - &a {kind: slow, factor: 2, from: 1m}\n  - {<<: *a, factor: 3}\n"
    assert [(fault.factor, fault.start) for fault in folder.load(text).faults] == [(2, 60), (3, 60)]


def test_a_list_of_objects_is_expanded_and_server_fields_are_dropped(folder: Any) -> None:
    folder.write(
        "base.yaml",
        """\
apiVersion: v1
kind: List
items:
  - apiVersion: v1
    kind: Pod
    metadata: {name: a, namespace: default, uid: u, resourceVersion: "9", creationTimestamp: null}
    spec: {containers: [{name: vllm, image: "vllm/vllm-openai:v0.24.0"}]}
    status: {phase: Running}
  - apiVersion: v1
    kind: Pod
    metadata: {name: b, ownerReferences: [{kind: ReplicaSet, name: x, controller: true}]}
  - {apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: i}}
""",
    )
    scenario = folder.load()
    assert [item["metadata"] for item in scenario.objects] == [{"name": "a", "namespace": "default"}]
    assert "status" not in scenario.objects[0]
    ignored = [note.split(": ignored: ")[0] for note in scenario.notes]
    assert ignored == ["Pod default/b", "Ingress default/i"]


def test_a_null_in_a_manifest_is_ignored(folder: Any) -> None:
    base = (folder.path / "base.yaml").read_text()
    folder.write("base.yaml", base + "          env:\n          livenessProbe: null\n")
    container = folder.load().objects[0]["spec"]["template"]["spec"]["containers"][0]
    assert "env" not in container
    assert "livenessProbe" not in container


def test_sglang_without_its_label_is_noted(folder: Any) -> None:
    base = (folder.path / "base.yaml").read_text()
    lora = "[--enable-lora, --max-lora-rank, '64', --lora-target-modules, all]"
    sglang = base.replace("vllm, serve, Qwen/Qwen3", "sglang, serve, Qwen/Qwen3").replace("[--enable-lora]", lora)
    folder.write("base.yaml", sglang)
    (note,) = folder.load().notes
    assert note.startswith("pods of qwen run SGLang without the label model.aibrix.ai/engine: sglang")
    folder.write(
        "base.yaml", sglang.replace("{app: qwen, adapter", "{app: qwen, model.aibrix.ai/engine: sglang, adapter")
    )
    assert folder.load().notes == ()


def test_an_adapter_without_pods_is_noted_and_a_sidecar_is_nothing_special(folder: Any) -> None:
    folder.write(
        "m.yaml",
        "apiVersion: model.aibrix.ai/v1alpha1\nkind: ModelAdapter\nmetadata: {name: lost}\n"
        "spec: {podSelector: {matchExpressions: [{key: app, operator: NotIn, values: [qwen]}]}, artifactURL: /a}\n",
    )
    base = (folder.path / "base.yaml").read_text()
    folder.write("base.yaml", base + "        - {name: aibrix-runtime, image: aibrix/runtime:v0.7.0}\n")
    notes = folder.load(FOUR_LINES + "  - m.yaml\n").notes
    assert len(notes) == 1
    assert "ModelAdapter default/lost selects no pod" in notes[0]


def test_every_place_for_the_number_is_filled() -> None:
    spec = {"artifactURL": "hf://a/{i}", "additionalConfig": {"k-{i}": ["{i:03}", 1]}}
    template = AdapterTemplate.model_validate({"name": "a-{i:02}", "count": 12, "spec": spec})
    made = template.manifest(7)
    assert made["metadata"] == {"name": "a-07", "namespace": "default"}
    assert made["spec"] == {"artifactURL": "hf://a/7", "additionalConfig": {"k-7": ["007", 1]}}


@pytest.mark.parametrize(
    ("arrive", "times"),
    [
        ({"at": "5s"}, [5, 5, 5]),
        ({"every": "2s", "from": "1s"}, [1, 3, 5]),
        ({"trace": ["1s", "9s"]}, [1, 9]),
    ],
)
def test_adapters_arrive_as_configured(arrive: dict[str, Any], times: list[float]) -> None:
    template = AdapterTemplate.model_validate({"name": "{i}", "count": 3, "spec": {}, "arrive": arrive})
    assert template.visits(rng()) == [(time, None) for time in times]


def test_poisson_arrivals_come_at_the_rate_and_leave_after_they_came() -> None:
    arrive, leave = {"poisson": "60/min", "from": "1m"}, {"after": {"exponential": "10s"}}
    values = {"name": "{i}", "count": 2000, "spec": {}, "arrive": arrive, "leave": leave}
    visits = AdapterTemplate.model_validate(values).visits(rng())
    assert visits == sorted(visits)
    assert visits[0][0] >= 60
    assert 1900 < visits[-1][0] - 60 < 2100
    assert all(gone is not None and gone >= came for came, gone in visits)


PODS = [Candidate(f"default/q-{i}", {"app": "q", "n": str(i % 2)}, "q") for i in range(8)] + [
    Candidate("other/r-0", {"app": "r"}, "r")
]


@pytest.mark.parametrize(
    ("targets", "number"),
    [
        ({"all": True}, 9),
        ({"fraction": 0.25}, 2),
        ({"fraction": 0.01}, 1),
        ({"count": 3}, 3),
        ({"count": 30}, 9),
        ({"names": ["q-1", "other/*"]}, 2),
        ({"selector": {"n": "1"}}, 4),
        ({"of": "r"}, 1),
        ({"count": 2, "of": "q"}, 2),
    ],
)
def test_targets_pick_whom_they_name(targets: dict[str, Any], number: int) -> None:
    chosen = PodTargets.model_validate(targets).pick(PODS, rng())
    assert len(chosen) == number
    assert chosen == sorted(set(chosen))


def test_choice_depends_on_the_draws_alone_and_not_on_the_order_of_pods() -> None:
    half = PodTargets(fraction=0.5)
    assert half.pick(PODS, rng()) == half.pick(PODS[::-1], rng())


def test_a_moment_strikes_once_or_again_and_again() -> None:
    once = EngineRestart.model_validate({"kind": "engine-restart", "pods": "all", "at": "5m"})
    often = EngineRestart.model_validate(
        {"kind": "engine-restart", "pods": "all", "every": "1m", "from": "2m", "until": "5m"}
    )
    assert list(once.strikes(600, rng())) == [300]
    assert list(often.strikes(600, rng())) == [180, 240, 300]
    assert list(often.strikes(200, rng())) == [180]


@pytest.mark.parametrize("kind", list(CATALOGUE))
def test_a_fault_of_engines_is_a_rule_of_theirs_with_all_its_settings(kind: str) -> None:
    fields = set(FAULTS[kind].model_fields) - {"kind", "start", "until", "pods"}
    assert fields == {parameter.name for parameter in CATALOGUE[kind].parameters}
    given = {"kind": kind, "probability": 0.5, "callers": ["probes"]}
    rule = FAULTS[kind].model_validate(given).rule()
    assert (rule.kind, rule.probability, rule.callers) == (kind, 0.5, ("probes",))


def test_the_catalogue_has_the_fields_of_each_kind() -> None:
    entries = {entry.kind: entry for entry in fault_catalogue()}
    assert list(entries) == list(FAULTS)
    assert all(entry.summary and all(p.meaning for p in entry.parameters) for entry in entries.values())
    slow = {parameter.name: parameter.default for parameter in entries["slow"].parameters}
    assert slow == {
        "from": "0s",
        "until": "none",
        "pods": "all",
        "probability": "1",
        "callers": "[controller]",
        "adapters": "[]",
        "factor": "10",
    }


@pytest.mark.parametrize(
    ("text", "name", "op", "value"),
    [
        ("adapters.running == 40", "adapters.running", "==", 40),
        ("availability>=0.99", "availability", ">=", 0.99),
        ("placement.adapters_per_pod.cv < 1e-1", "placement.adapters_per_pod.cv", "<", 0.1),
    ],
)
def test_an_expectation_is_name_operator_number(text: str, name: str, op: str, value: float) -> None:
    result = parse_expectation(text)
    assert (result.name, result.op, result.value) == (name, op, value)
    assert parse_expectation(str(result)) == result
