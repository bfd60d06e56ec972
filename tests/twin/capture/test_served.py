"""`twin capture` on a served world, by an account that may only get, list and watch."""

import json
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.twin.serve.worlds import World, a_served_world, run
from tests.twin.worlds import adapters, deployment
from twin import cli

ROLE = """\
apiVersion: v1
kind: ServiceAccount
metadata: {name: looker, namespace: default}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: looker}
rules:
  - apiGroups: ["", apps, model.aibrix.ai]
    resources: [pods, deployments, services, nodes, modeladapters]
    verbs: [get, list, watch]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: looker}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: looker}
subjects: [{kind: ServiceAccount, name: looker, namespace: default}]
"""
BUSY = {
    "name": "busy",
    "duration": "10h",
    "objects": [deployment()],
    "cluster": {"engines": {"default": {"startup": "1s", "load": "1s"}}, "pod_start": "1s"},
    "controller": {"max_requests_per_pod": 3},
    "adapters": [adapters(200, arrive={"every": "500ms", "from": "6s"})],
}
"""Pods start within a few seconds; then an adapter arrives every half second."""


def a_looker(world: World, folder: Path) -> Path:
    """Write the kubeconfig of an account with read permissions only."""
    applied = world.kubectl("apply", "-f", "-", stdin=ROLE)
    assert applied.code == 0, applied.all
    token = world.kubectl("create", "token", "looker")
    assert token.code == 0, token.all
    config = json.loads(world.kubeconfig.read_text())
    config["users"][0]["user"] = {"token": token.out.strip()}
    file = folder / "looker.kubeconfig"
    file.write_text(json.dumps(config))
    return file


def test_a_served_world_under_load_is_captured_with_read_permissions(tmp_path: Path) -> None:
    with a_served_world(tmp_path, scenario=json.dumps(BUSY)) as world:
        looker, out = a_looker(world, tmp_path), tmp_path / "out"
        may = world.kubectl("--kubeconfig", str(looker), "delete", "pod", "--all")
        assert "forbidden" in may.all
        args = ["--kubeconfig", str(looker), "--for", "14s", "--out", str(out), "--json"]
        ran = run([sys.executable, "-m", "twin", "capture", *args], world.environment, timeout=240)
    assert ran.code == 0, ran.all
    phases = {row["phase"]: row for row in json.loads(ran.out)["phases"]}
    assert list(phases) == ["Pending", "Scheduled", "Loading", "Bound", "until Running"]
    for row in phases.values():
        assert row["simulated_seconds"] == pytest.approx(row["captured_seconds"], rel=0.1, abs=0.1)
    made = YAML(typ="safe").load(out / "scenario.yaml")
    assert made["controller"] == {"max_requests_per_pod": 3}, "the operator's own flags"
    assert len(made["adapters"]) > 15


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--for", "soon"], '--for soon: "soon" is not a duration'),
        (["--for", "0s"], "--for 0s: must be longer than 0"),
        (["--out", "taken"], "--out taken: exists and is not a captured scenario"),
        (["--kubeconfig", "none"], "twin capture: none: kubeconfig not found"),
        (["--kubeconfig", "taken/x"], "twin capture: taken/x: not a"),
        (["--kubeconfig", "closed", "--for", "1s"], "twin capture: http://127.0.0.1:9: modeladapters: "),
    ],
)
def test_an_invalid_command_is_an_error_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, args: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("taken").mkdir()
    Path("taken/x").write_text("[]")
    cluster = {"name": "c", "cluster": {"server": "http://127.0.0.1:9"}}
    context = {"name": "c", "context": {"cluster": "c", "user": "u"}}
    users = [{"name": "u", "user": {}}]
    closed = {"current-context": "c", "clusters": [cluster], "contexts": [context], "users": users}
    Path("closed").write_text(json.dumps({"apiVersion": "v1", "kind": "Config", **closed}))
    monkeypatch.setattr("sys.argv", ["twin", "capture", *args])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    phases = capsys.readouterr().err
    assert phases.startswith(message)
    assert phases.count("\n") == 1
    assert not Path("captured").exists()
