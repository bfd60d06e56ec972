"""A captured scenario behaves like the cluster; both are simulated, so the tests take seconds."""

from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from formats.durations import parse_duration
from tests.twin.capture.looking import look
from tests.twin.worlds import SELECTOR, adapters, deployment
from twin.capture import build_history, build_scenario, compare_phases
from twin.commands.capture import MANIFESTS, SCENARIO, _write
from twin.scenario import load

BUSY: dict[str, Any] = {
    "adapters": [adapters(60, arrive={"poisson": "30/min", "from": "30s"})],
    "cluster": {
        "engines": {"default": {"startup": "5s", "load": {"lognormal": {"median": "1500ms", "p95": "2500ms"}}}}
    },
}


def captured(folder: Path, start: float, seconds: float, **sections: Any) -> dict[str, Any]:
    """Return the scenario file of an observation, after checking that it loads."""
    observed = look(folder, start, seconds, **sections)
    result = build_history(observed)
    _write(folder / "out", build_scenario(observed, result, "captured"), result)
    load(folder / "out" / SCENARIO)
    made: dict[str, Any] = YAML(typ="safe").load(folder / "out" / SCENARIO)
    return made


def test_a_world_under_load_captured_and_simulated_has_the_same_phase_medians(tmp_path: Path) -> None:
    observed = look(tmp_path, 60, 90, **BUSY)
    result = build_history(observed)
    _write(tmp_path / "out", build_scenario(observed, result, "captured"), result)
    rows = compare_phases(tmp_path / "out" / SCENARIO, result)
    assert [row.phase for row in rows] == ["Pending", "Scheduled", "Loading", "Bound", "until Running"]
    assert rows[0].adapters > 30
    assert {row.phase: row.simulated for row in rows} == pytest.approx(
        {row.phase: row.captured for row in rows}, rel=0.1, abs=0.01
    )


def test_load_times_are_those_that_the_engines_took(tmp_path: Path) -> None:
    made = captured(tmp_path, 60, 90, **BUSY)
    quantiles = made["cluster"]["engines"]["qwen"]["load"]["empirical"]
    assert seconds(quantiles[len(quantiles) // 2]) == pytest.approx(1.5 + 0.336, rel=0.1), "with the download"
    few = captured(tmp_path, 60, 30, **BUSY)["cluster"]["engines"]["qwen"]["load"]
    assert list(few) == ["lognormal"]


def test_pods_that_flapped_flap_again_as_long(tmp_path: Path) -> None:
    fault = {
        "kind": "readiness-flap",
        "pods": {"count": 1},
        "from": "70s",
        "until": "130s",
        "ready_for": "12s",
        "unready_for": "6s",
    }
    (flap,) = captured(tmp_path, 60, 90, faults=[fault])["faults"]
    assert flap["kind"] == "readiness-flap"
    assert flap["pods"] == {"of": "qwen", "count": 1}
    assert (seconds(flap["unready_for"]), seconds(flap["ready_for"])) == pytest.approx((6, 12), abs=0.2)
    assert seconds(flap["until"]) - seconds(flap["from"]) == pytest.approx(60, abs=7)


def test_loads_that_failed_fail_again_on_one_pod_for_the_same_reason(tmp_path: Path) -> None:
    fault = {"kind": "connection-refused", "pods": {"count": 1}, "from": "55s", "until": "90s"}
    arriving = [adapters(12, replicas=3, arrive={"at": "65s"})]
    faults = captured(tmp_path, 60, 90, faults=[fault], adapters=arriving)["faults"]
    assert [(entry["kind"], entry["pods"]) for entry in faults] == [("connection-refused", {"of": "qwen", "count": 1})]
    assert faults[0].get("probability", 1) > 0.9
    assert seconds(faults[0]["until"]) - seconds(faults[0]["from"]) == pytest.approx(20, abs=12)


@pytest.mark.parametrize(
    ("fault", "made"),
    [
        ({"kind": "engine-restart", "pods": {"count": 1}, "at": "80s"}, [("engine-restart", "at")]),
        ({"kind": "pod-kill", "pods": {"count": 1}, "at": "80s"}, [("pod-kill", "at")]),
        ({"kind": "rollout", "deployment": "qwen", "at": "80s"}, [("rollout", "at")]),
        ({"kind": "node-down", "nodes": {"count": 1}, "from": "70s", "until": "140s"}, [("node-down", "from")]),
        (
            {"kind": "http-error", "status": 503, "pods": {"count": 1}, "from": "55s", "until": "90s"},
            [("http-error", "from")],
        ),
    ],
    ids=lambda given: given["kind"] if isinstance(given, dict) else "",
)
def test_captured_failures_recur_at_their_times(
    tmp_path: Path, fault: dict[str, Any], made: list[tuple[str, str]]
) -> None:
    arriving = [adapters(6, replicas=3, arrive={"at": "65s"})]
    scenario = captured(tmp_path, 60, 90, faults=[fault], adapters=arriving)
    lead = seconds(scenario["duration"]) - 90 - 60
    assert [
        (entry["kind"], next(key for key in ("at", "from") if key in entry)) for entry in scenario["faults"]
    ] == made
    time = seconds(scenario["faults"][0][made[0][1]])
    expected = {"http-error": 5, "node-down": 60}.get(fault["kind"], 20)  # a lost node is noticed after 50 s
    assert time - lead == pytest.approx(expected, abs=3)


def test_adapters_are_created_and_deleted_at_their_times_and_earlier_ones_are_manifests(tmp_path: Path) -> None:
    templates = [
        adapters(2),
        {**adapters(1, arrive={"at": "80s"}, leave={"at": "110s"}), "name": "late"},
    ]
    scenario = captured(tmp_path, 60, 90, adapters=templates)
    lead = seconds(scenario["duration"]) - 90 - 60
    (late,) = scenario["adapters"]
    assert late["name"] == "late"
    assert (seconds(late["arrive"]["at"]) - lead, seconds(late["leave"]["at"]) - lead) == pytest.approx((20, 50), abs=1)
    kinds = [item["kind"] for item in manifests(tmp_path)]
    assert kinds.count("ModelAdapter") == 2
    assert scenario["expect"] == ["adapters.running >= 2", "invariants.violations == 0"]


def test_captured_edits_are_made_again(tmp_path: Path) -> None:
    edits = [
        {"at": "70s", "of": "ModelAdapter/a-0", "patch": {"spec": {"replicas": 1}}},
        {"at": "80s", "of": "Deployment/qwen", "patch": {"spec": {"replicas": 4}}},
        {"at": "90s", "of": "ModelAdapter/a-1", "delete": True},
    ]
    scenario = captured(tmp_path, 60, 60, edits=edits)
    made = [(entry["of"], entry.get("patch"), entry.get("delete")) for entry in scenario["edits"]]
    assert made == [
        ("ModelAdapter/a-0", {"spec": {"replicas": 1}}, None),
        ("Deployment/qwen", {"spec": {"replicas": 4}}, None),
        ("ModelAdapter/a-1", None, True),
    ]


def test_no_key_and_nothing_of_a_secret_is_written(tmp_path: Path) -> None:
    """The observation is of real objects, not of those whose keys the twin has removed."""
    observed = look(tmp_path, 30, 20)
    pod = deployment(key="sesame-open-17")
    container = pod["spec"]["template"]["spec"]["containers"][0]
    container["env"].append({"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {"name": "hub", "key": "token"}}})
    observed.first["Deployment"] = [pod]
    adapter = {
        "apiVersion": "model.aibrix.ai/v1alpha1",
        "kind": "ModelAdapter",
        "metadata": {"name": "guarded", "namespace": "default", "uid": "1"},
        "spec": {
            "baseModel": "qwen",
            "podSelector": SELECTOR,
            "artifactURL": "s3://acme/x",
            "additionalConfig": {"api-key": "sesame-open-17"},
            "credentialsSecretRef": {"name": "store"},
        },
    }
    observed.first["ModelAdapter"] = [adapter]
    result = build_history(observed)
    _write(tmp_path / "out", build_scenario(observed, result, "captured"), result)
    written = "".join(file.read_text() for file in (tmp_path / "out").iterdir())
    assert "sesame" not in written
    assert written.count("not-a-secret-0001") == 2, "the same key is the same pseudonym"
    stand_ins = {
        item["metadata"]["name"]: item["stringData"] for item in manifests(tmp_path) if item["kind"] == "Secret"
    }
    assert stand_ins == {
        "hub": {"token": "captured-without-its-contents"},
        "store": {"unknown": "captured-without-its-contents"},
    }
    load(tmp_path / "out" / SCENARIO)


def manifests(folder: Path) -> list[dict[str, Any]]:
    return list(YAML(typ="safe").load_all(folder / "out" / MANIFESTS))


def seconds(text: str) -> float:
    return parse_duration(text)
