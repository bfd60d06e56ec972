"""Programs in Go, the language of most controllers, with a served world. Not run by default: the first compilation
of their libraries takes minutes and the Go module proxy (`CONTRIBUTING.md`, "Tests that are asked for")."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.ports import free_port
from tests.twin.serve.processes import until
from tests.twin.serve.worlds import World, a_served_world, run

SOURCES = Path(__file__).parent / "goclient"
ADAPTER = """\
apiVersion: model.aibrix.ai/v1alpha1
kind: ModelAdapter
metadata: {name: NAME, namespace: default}
spec: {baseModel: qwen, podSelector: {matchLabels: {app: qwen}}, artifactURL: huggingface://acme/NAME}
"""


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the compiled programs."""
    if not os.environ.get("TWIN_GO_TESTS"):
        pytest.skip("Go programs are compiled and run if TWIN_GO_TESTS is set")
    if shutil.which("go") is None:
        pytest.skip("go is not installed")
    had = subprocess.run(["go", "mod", "download"], cwd=SOURCES, capture_output=True, text=True, check=False)
    if had.returncode:
        pytest.skip(f"the Go modules cannot be had: {had.stderr.splitlines()[-1:]}")
    folder = tmp_path_factory.mktemp("go")
    subprocess.run(["go", "build", "-p", "2", "-o", f"{folder}/", "./client", "./operator"], cwd=SOURCES, check=True)
    return folder


def test_client_go_works_as_on_a_cluster(programs: Path, tmp_path: Path) -> None:
    with a_served_world(tmp_path, "--no-controller") as world:
        ran = run([str(programs / "client")], world.environment, timeout=90)
        assert ran.out.strip() == "all fine", ran.all


def test_an_operator_on_controller_runtime_is_killed_and_puts_right_what_it_missed(
    programs: Path, tmp_path: Path
) -> None:
    with a_served_world(tmp_path, "--no-controller") as world:
        with _operator(programs, world, tmp_path / "first.log") as process:
            for name in ("kept", "deleted"):
                world.kubectl("apply", "-f", "-", stdin=ADAPTER.replace("NAME", name))
                assert world.kubectl("wait", "--for=condition=Noted", f"ma/{name}", "--timeout=40s").code == 0
            process.kill()
        world.kubectl("delete", "ma", "deleted", "--wait=false")
        world.kubectl("delete", "configmap", "note-kept")
        with _operator(programs, world, tmp_path / "second.log"):
            made = world.kubectl("wait", "--for=create", "configmap/note-kept", "--timeout=40s")
            assert made.code == 0, (tmp_path / "second.log").read_text()
            assert world.kubectl("wait", "--for=delete", "ma/deleted", "--timeout=40s").code == 0
        assert world.kubectl("get", "configmap", "note-deleted").code == 1


@contextmanager
def _operator(programs: Path, world: World, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run the operator; yield once it is healthy, and stop it at the end if it still runs."""
    health = f"127.0.0.1:{free_port()}"
    environment = {**world.environment, "HEALTH": health}
    with log.open("w") as sink:
        process = subprocess.Popen([str(programs / "operator")], env=environment, stdout=sink, stderr=sink)
    try:
        until(lambda: _healthy(f"http://{health}/healthz"), "the operator is healthy", log)
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=20)


def _healthy(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False).is_success
    except httpx.TransportError:
        return False
