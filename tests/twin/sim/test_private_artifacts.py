"""Pods with the runtime sidecar in the twin: requests through its real application, and faults of the registry."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from controller.sidecar.artifacts.url import digest_of
from tests.twin.worlds import SELECTOR, a_scenario, adapters, deployment
from twin.evaluate.run_result import RunResult
from twin.runs.run import run_to_folder, simulate_and_judge
from twin.scenario import Scenario, load
from twin.trace.lines import AdapterLine, EngineLine, LogLine, RequestLine

ROOT = Path(__file__).parents[3]
SECRET = {
    "apiVersion": "v1",
    "kind": "Secret",
    "metadata": {"name": "bucket", "namespace": "default"},
    "stringData": {"aws_access_key_id": "AKIA", "aws_secret_access_key": "a-secret-of-the-bucket"},
}
PRIVATE = {"artifactURL": "s3://bucket/{i}/", "credentialsSecretRef": {"name": "bucket"}}


def with_sidecar(workload: dict[str, Any]) -> dict[str, Any]:
    probe = {"httpGet": {"path": "/ready", "port": 8080}, "periodSeconds": 2, "failureThreshold": 1}
    spec = workload["spec"]["template"]["spec"] if workload["kind"] == "Deployment" else workload["spec"]
    image, command = "lora-controller:0.1.0", ["lora-runtime"]
    sidecar = {"name": "aibrix-runtime", "image": image, "command": command, "readinessProbe": probe}
    spec["containers"].append(sidecar)
    return workload


def a_bare_pod() -> dict[str, Any]:
    """Return a pod without an owner, with the labels of the Deployment's pods."""
    template = deployment()["spec"]["template"]
    meta = {"name": "bare", "namespace": "default", "labels": SELECTOR["matchLabels"]}
    return with_sidecar({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": template["spec"]})


def a_private_scenario(folder: Path, *objects: dict[str, Any], **sections: Any) -> Scenario:
    """Return a scenario with two adapters in a bucket and two pods with the sidecar."""
    there = objects or (with_sidecar(deployment(2)),)
    expected = {"adapters": [adapters(2, replicas=1, spec=PRIVATE)], **sections}
    return a_scenario(folder, objects=[SECRET, *there], **expected)


def answers(findings: RunResult, verb: str = "load") -> Counter[str]:
    """Return the results of requests: `ok`, or the sidecar's code."""
    ended = [line for line in findings.lines if isinstance(line, RequestLine) and line.event == "done"]
    return Counter("ok" if line.status == 200 else _code(line.error) for line in ended if line.verb == verb)


def _code(error: str) -> str:
    return error.partition('"code":"')[2].partition('"')[0] or error


def loads(findings: RunResult) -> list[float]:
    """Return the times at which loads were sent."""
    requests = [line for line in findings.lines if isinstance(line, RequestLine) and line.verb == "load"]
    return [line.t for line in requests if line.event == "sent"]


def reasons(findings: RunResult) -> set[str]:
    """Return the reasons in the conditions of adapters that were not ready."""
    adapters = [line for line in findings.lines if isinstance(line, AdapterLine)]
    return {reason for line in adapters for _, reason in line.conditions.values()}


def test_private_adapters_are_loaded_through_the_sidecar(tmp_path: Path) -> None:
    findings = simulate_and_judge(a_private_scenario(tmp_path))
    assert answers(findings) == Counter(ok=2)
    roots = {line.root for line in findings.lines if isinstance(line, EngineLine) and line.event == "loaded"}
    assert {root.rpartition("/")[0] for root in roots} == {
        f"/tmp/aibrix/adapters/{digest_of(f's3://bucket/{n}/')}" for n in range(2)
    }
    assert findings.measures["adapters"]["running"] == 2
    assert not findings.violations


def test_the_log_marks_a_request_through_the_sidecar(tmp_path: Path) -> None:
    missing = {"kind": "artifact-missing", "from": "0s", "until": "2m"}
    findings = simulate_and_judge(a_private_scenario(tmp_path, faults=[missing]))
    message = [line.text for line in findings.lines if isinstance(line, LogLine)]
    assert len(message) == 2
    assert all("error_class=ArtifactNotFound" in text and text.endswith("route=sidecar") for text in message)


def test_a_restarted_engine_gets_its_own_back_while_the_registry_is_down(tmp_path: Path) -> None:
    down = {"kind": "registry-down", "from": "3m", "until": "9m"}
    restart = {"kind": "engine-restart", "pods": "all", "at": "4m"}
    patient = {"unready_grace": "2m"}
    findings = simulate_and_judge(a_private_scenario(tmp_path, faults=[down, restart], controller=patient))
    assert answers(findings) == Counter(ok=4)
    assert findings.measures["adapters"]["running"] == 2


def test_registry_faults_have_different_error_codes(tmp_path: Path) -> None:
    kinds = ("registry-down", "artifact-missing", "artifact-forbidden", "artifact-corrupt")
    codes = ("store_unavailable", "artifact_not_found", "artifact_forbidden", "artifact_corrupt")
    for kind, code in zip(kinds, codes, strict=True):
        findings = simulate_and_judge(
            a_private_scenario(tmp_path, faults=[{"kind": kind, "from": "0s", "until": "2m"}])
        )
        assert answers(findings).keys() == {"ok", code}, kind
        assert findings.measures["adapters"]["running"] == 2


def test_credentials_are_not_sent_to_a_pod_without_an_owner(tmp_path: Path) -> None:
    findings = simulate_and_judge(a_private_scenario(tmp_path, a_bare_pod()))
    assert answers(findings) == Counter()
    assert "CredentialsWithheld" in reasons(findings)
    public = [adapters(1, replicas=1, spec={"artifactURL": "s3://public/{i}/"})]
    assert answers(simulate_and_judge(a_private_scenario(tmp_path, a_bare_pod(), adapters=public))) == Counter(ok=1)


def test_without_a_sidecar_the_condition_names_it_as_missing(tmp_path: Path) -> None:
    for scenario in (
        a_private_scenario(tmp_path, deployment(1)),
        a_private_scenario(tmp_path, controller={"enable_runtime_sidecar": False}),
    ):
        findings = simulate_and_judge(scenario)
        assert answers(findings) == Counter()
        assert "UnsupportedArtifact" in reasons(findings)


def test_a_deleted_adapter_is_removed_from_the_disk_and_its_successor_is_fetched_again(tmp_path: Path) -> None:
    once = adapters(1, replicas=1, spec=PRIVATE, arrive={"at": "30s"}, leave={"after": "2m"})
    again = {**adapters(1, replicas=1, spec=PRIVATE, arrive={"at": "4m"}), "name": "b-{i}"}
    down = {"kind": "registry-down", "from": "3m", "until": "6m"}
    findings = simulate_and_judge(
        a_private_scenario(tmp_path, with_sidecar(deployment(1)), adapters=[once, again], faults=[down])
    )
    assert answers(findings, "unload") == Counter(ok=1)
    assert answers(findings)["store_unavailable"] > 0, "nothing was left in the cache to load from"
    assert answers(findings)["ok"] == 2


def test_the_shipped_scenario_passes_and_leaks_no_secret(tmp_path: Path) -> None:
    scenario = load(ROOT / "scenarios" / "private-artifacts.yaml")
    findings, page = run_to_folder(scenario, tmp_path)
    assert findings.passed
    assert answers(findings).keys() == {"ok", "store_unavailable", "artifact_forbidden", "artifact_corrupt"}
    for path in page.parent.rglob("*"):
        if path.is_file():
            assert b"example-secret-key-of-the-bucket" not in path.read_bytes()


def test_a_rotated_secret_is_tried_at_once_and_with_fresh_attempts(tmp_path: Path) -> None:
    forbidden = {"kind": "artifact-forbidden", "from": "0s", "until": "3m"}
    rotation = {"at": "4m", "of": "Secret/bucket", "patch": {"stringData": {"aws_secret_access_key": "another"}}}
    findings = simulate_and_judge(a_private_scenario(tmp_path, faults=[forbidden], edits=[rotation]))
    assert answers(findings) == Counter(ok=2, artifact_forbidden=2)
    assert [time for time in loads(findings) if time > 180] == pytest.approx([240, 240], abs=1)
    assert findings.measures["adapters"]["running"] == 2
    assert not findings.violations


def test_without_a_new_secret_a_refused_adapter_is_looked_at_every_five_minutes(tmp_path: Path) -> None:
    forbidden = {"kind": "artifact-forbidden", "from": "0s", "until": "3m"}
    findings = simulate_and_judge(a_private_scenario(tmp_path, faults=[forbidden]))
    assert [time for time in loads(findings) if time > 180] == pytest.approx([310, 310], abs=15)


def test_an_adapter_with_a_deleted_secret_has_that_condition_and_no_request_is_sent(tmp_path: Path) -> None:
    gone = {"at": "1s", "of": "Secret/bucket", "delete": True}
    findings = simulate_and_judge(a_private_scenario(tmp_path, edits=[gone]))
    assert "SecretNotFound" in reasons(findings)
    assert answers(findings) == Counter()
    assert not findings.violations


def test_a_hasty_schedule_is_slower_through_an_outage_and_a_patient_one_is_not() -> None:
    """The results in docs/sidecar/outages.md, on one seed."""
    schedules = ("{base: 5s}", "{base: 1s}", "{base: 1s, retries: 14, cap: 20s}")
    default, hasty, patient = (
        simulate_and_judge(
            load(ROOT / "scenarios" / "retries" / "registry-outage.yaml", overrides={"controller.retry": text})
        )
        for text in schedules
    )
    assert default.passed
    longest = [f.measures["time_to_running_seconds"]["max"] for f in (default, hasty, patient)]
    assert longest[1] > longest[0] + 100
    assert longest[2] < longest[0] + 20
    assert [f.measures["pod_switches"] for f in (hasty, patient)] == [pytest.approx(39, abs=15), 0]


def test_the_rank_that_a_sidecar_reads_keeps_an_adapter_from_engines_that_would_refuse_it(tmp_path: Path) -> None:
    """The object says nothing about the rank: without a sidecar the engines tell it, one refused load after another."""

    def wide() -> dict[str, Any]:
        workload = deployment(1)
        workload["metadata"]["name"] = "wide"
        workload["spec"]["template"]["spec"]["containers"][0]["command"] += ["--max-lora-rank", "64"]
        return workload

    sql = adapters(1, replicas=1, arrive={"at": "30s"}, spec={"artifactURL": "/models/sql"})
    cluster = {"artifacts": {"files": {"/models/sql": {"rank": 64, "size": "100MiB"}}}}

    def refused(*objects: dict[str, Any]) -> int:
        scenario = a_scenario(tmp_path, objects=[*objects], adapters=[sql], cluster=cluster, duration="2m")
        findings = simulate_and_judge(scenario)
        assert findings.measures["adapters"]["running"] == 1
        return answers(findings).total() - 1

    assert refused(with_sidecar(deployment(2)), with_sidecar(wide())) == 0
    assert refused(deployment(2), wide()) > 0
