"""Third-party clients and operators work with a served world unchanged."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.twin.serve.worlds import World, a_served_world, run

CLIENTS = Path(__file__).parent / "clients"
ADAPTER = """\
apiVersion: model.aibrix.ai/v1alpha1
kind: ModelAdapter
metadata: {name: for-kopf, namespace: default}
spec:
  baseModel: qwen
  podSelector: {matchLabels: {model.aibrix.ai/name: qwen}}
  artifactURL: huggingface://acme/for-kopf
"""


@pytest.mark.parametrize(
    "script", [["with_kubernetes.py"], ["with_kubernetes_aio.py"], ["elected.py", "me"]], ids=lambda each: each[0]
)
def test_the_kubernetes_package_works_unchanged(tmp_path: Path, script: list[str]) -> None:
    with a_served_world(tmp_path, "--no-controller") as world:
        ran = run([sys.executable, str(CLIENTS / script[0]), *script[1:]], world.environment)
        assert ran.out.strip().endswith("all fine"), ran.all


def test_a_kopf_operator_runs_and_its_objects_are_deleted_with_their_owner(tmp_path: Path) -> None:
    with a_served_world(tmp_path, "--no-controller") as world, _kopf(world, tmp_path / "kopf.log"):
        world.kubectl("apply", "-f", "-", stdin=ADAPTER)
        waited = world.kubectl("wait", "--for=create", "configmap/card-for-kopf", "--timeout=40s")
        assert waited.code == 0, (tmp_path / "kopf.log").read_text() + waited.all
        made = world.kubectl("get", "configmap", "card-for-kopf", "-o", "jsonpath={.data.base}")
        assert made.out == "qwen"
        deleted = world.kubectl("delete", "ma", "for-kopf", "--timeout=20s")
        assert deleted.code == 0, deleted.all
        assert world.kubectl("get", "configmap", "card-for-kopf").code == 1


@contextmanager
def _kopf(world: World, log: Path) -> Iterator[None]:
    """Run the example operator with `kopf run`."""
    words = [sys.executable, "-m", "kopf", "run", "--namespace", "default", str(CLIENTS / "kopf_operator.py")]
    with log.open("w") as file:
        process = subprocess.Popen(words, env=dict(world.environment), stdout=file, stderr=file)
        try:
            yield
        finally:
            process.terminate()
            process.wait(20)
