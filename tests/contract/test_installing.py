"""The shipped manifests on a real API server, and `lora-controller` there with only the permissions they grant."""

import asyncio
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.contract.live import Server
from tests.controller.test_main import FAST, QUIET, line_of, process, refused

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "controller" / "deploy"


def kubectl(server: Server, *args: str) -> str:
    command = [str(Path(sys.executable).with_name("kubectl")), "--kubeconfig", str(server.kubeconfig), *args]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, f"kubectl {' '.join(args)}: {ran.stderr}"
    return ran.stdout.strip()


@pytest.fixture
def installed(server: Server) -> Server:
    """Install the operator's manifests as in docs/install.md."""
    if not server.etcd:
        pytest.skip("TWIN_LIVE_KUBECONFIG is a shared cluster: the operator is not installed there")
    kubectl(server, "apply", "--server-side", "--force-conflicts", "-f", str(DEPLOY / "crd.yaml"))
    kubectl(server, "apply", "-k", str(DEPLOY / "overlays" / "whole-cluster"))
    return server


def a_kubeconfig(server: Server, folder: Path, token: str, namespace: str = "lora-system") -> Path:
    """Return the kubeconfig of the server with another token."""
    content = json.loads(kubectl(server, "config", "view", "--raw", "-o", "json"))
    content["users"][0]["user"] = {"token": token}
    content["contexts"][0]["context"]["namespace"] = namespace
    file = folder / "kubeconfig"
    file.write_text(json.dumps(content))
    return file


def test_a_server_side_diff_of_the_overlay_has_no_conflict(installed: Server) -> None:
    command = [str(Path(sys.executable).with_name("kubectl")), "--kubeconfig", str(installed.kubeconfig)]
    command += ["diff", "--server-side", "-k", str(DEPLOY / "overlays" / "whole-cluster")]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode in (0, 1), ran.stderr
    changed = [
        line[1:].strip() for line in ran.stdout.splitlines() if line[:1] in "+-" and line[:3] not in ("+++", "---")
    ]
    own = ("annotations:", "kubectl.kubernetes.io/last-applied-configuration", "{", "generation:")
    assert [line for line in changed if line and not line.startswith(own)] == []


def test_both_overlays_are_accepted(installed: Server) -> None:
    kubectl(installed, "create", "namespace", "models")
    output = kubectl(installed, "apply", "-k", str(DEPLOY / "overlays" / "single-namespace"))
    assert "deployment.apps/lora-controller created" in output


def test_the_operator_leads_under_the_shipped_rules(installed: Server, tmp_path: Path) -> None:
    token = kubectl(installed, "-n", "lora-system", "create", "token", "lora-controller")
    file = a_kubeconfig(installed, tmp_path, token)

    async def story() -> None:
        async with process("--kubeconfig", str(file), *QUIET, *FAST) as operator, asyncio.timeout(60):
            await line_of(operator, "leading")
            operator.send_signal(signal.SIGTERM)
            assert await operator.wait() == 0

    asyncio.run(story())


def test_an_error_is_reported_in_one_line(installed: Server, tmp_path: Path) -> None:
    kubectl(installed, "-n", "lora-system", "create", "serviceaccount", "stranger")
    stranger = kubectl(installed, "-n", "lora-system", "create", "token", "stranger")
    small = asyncio.run(refused("--kubeconfig", str(a_kubeconfig(installed, tmp_path, stranger))))
    assert "may not list, watch, patch modeladapters.model.aibrix.ai" in small
    unknown = asyncio.run(refused("--kubeconfig", str(a_kubeconfig(installed, tmp_path, "expired"))))
    assert "the credentials are not valid or have expired" in unknown
