"""The walk-through of docs/sidecar: operator, sidecar, engine and a private bucket, each a process, on a served API.

One test, because it is one story; it applies the very files that the page names.
"""

import json
import os
import re
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.ports import free_port
from tests.twin.serve.processes import a_process, until
from tests.twin.serve.worlds import World, a_served_world, run

PAGE = Path(__file__).parents[3] / "docs" / "sidecar" / "walkthrough"
ENGINE_KEY = "sk-walkthrough-7f3a"
QUIET = ("--metrics-bind-address=0", "--health-probe-bind-address=0")


@dataclass
class Walkthrough:
    """All processes of the walkthrough, and their output."""

    world: World
    folder: Path
    bucket: int
    """The port of the S3 server."""
    output: str = ""

    @property
    def cache(self) -> Path:
        return self.folder / "adapters"

    def kubectl(self, command: str, stdin: str = "") -> str:
        ran = self.world.kubectl(*command.split(), stdin=stdin)
        self.output += ran.all
        assert ran.code == 0, f"kubectl {command}: {ran.all}"
        return ran.out

    def running(self, adapter: str) -> None:
        self.kubectl(f"wait --for=jsonpath={{.status.phase}}=Running modeladapter/{adapter} --timeout=40s")

    def pod(self, path: str) -> str:
        return self.kubectl(f"get pods -l model.aibrix.ai/name=qwen -o jsonpath={{.items[0]{path}}}")

    def sidecar(self, path: str) -> str:
        ip = self.pod(".status.podIP").replace("10.", "127.", 1)
        text = httpx.get(f"http://{ip}:8080{path}").text
        self.output += text
        return text

    def fetches(self) -> int:
        return len(json.loads(self.sidecar("/v1/downloads"))["downloads"])

    def rotated(self) -> str:
        ran = run([sys.executable, str(PAGE / "bucket.py"), "rotate", str(self.bucket)], dict(os.environ))
        assert ran.code == 0, ran.all
        return ran.out

    def completion(self, model: str) -> int:
        body = {"model": model, "prompt": "hi", "max_tokens": 2}
        headers = {"authorization": f"Bearer {ENGINE_KEY}"}
        return httpx.post(f"{self.world.gateway}/v1/completions", json=body, headers=headers).status_code


@pytest.fixture
def walkthrough(tmp_path: Path) -> Iterator[Walkthrough]:
    port, number = free_port(), os.getpid() % 60000
    world = (PAGE / "world.yaml").read_text()
    with a_served_world(tmp_path, "--no-controller", scenario=world) as served:
        config = ("--kubeconfig", str(served.kubeconfig))
        place = ("--first-address", f"10.89.{number // 250}.{number % 250 + 1}", "--logs", str(tmp_path / "logs"))
        operator = ("-m", "controller", *config, "--engine-proxy", served.gateway, *QUIET)
        with (
            a_process(tmp_path / "bucket.log", str(PAGE / "bucket.py"), "serve", str(port), ready="bucket-keys"),
            a_process(tmp_path / "node.log", "-m", "twin", "node", *config, *place, ready="joins"),
            a_process(tmp_path / "operator.log", *operator, ready='"leading"'),
        ):
            yield Walkthrough(served, tmp_path, port)


def test_a_private_adapter_from_apply_to_a_clean_disk(walkthrough: Walkthrough) -> None:
    first = re.findall(r'^\{"apiVersion.*$', (walkthrough.folder / "bucket.log").read_text(), re.MULTILINE)[0]
    pods = (PAGE / "pods.yaml").read_text().replace("/tmp/lora-walkthrough/adapters", str(walkthrough.cache))
    adapter = (PAGE / "adapters.yaml").read_text()
    for manifest in (pods, adapter):
        walkthrough.kubectl("apply -f -", manifest)
    walkthrough.kubectl("wait --for=jsonpath={.status.phase}=Failed modeladapter/sql --timeout=30s")
    lacking = "Secret default/bucket-keys, named in credentialsSecretRef, does not exist: create it"
    assert lacking in walkthrough.kubectl("get modeladapter sql -o json")
    walkthrough.kubectl("apply -f -", first)
    walkthrough.running("sql")
    assert walkthrough.completion("sql") == 200
    assert walkthrough.fetches() == 1

    second = walkthrough.rotated()
    walkthrough.kubectl("apply -f -", adapter.replace("sql", "rust"))
    walkthrough.kubectl("wait --for=jsonpath={.status.phase}=Failed modeladapter/rust --timeout=20s")
    refused = walkthrough.kubectl("get modeladapter rust -o json")
    assert "403 InvalidAccessKeyId: check the keys and their permissions" in refused
    walkthrough.kubectl("apply -f -", second)
    walkthrough.running("rust")
    assert walkthrough.completion("rust") == 200

    before = walkthrough.fetches()
    engine = walkthrough.pod(".status.containerStatuses[0].containerID")
    os.kill(int(re.findall(r"process://(\d+)-", engine)[0]), signal.SIGKILL)
    until(lambda: walkthrough.pod(".status.containerStatuses[0].restartCount") == "1", "the engine was started again")
    for name in ("sql", "rust"):
        until(lambda name=name: walkthrough.completion(name) == 200, f"{name} is there again")
        walkthrough.running(name)
    assert walkthrough.fetches() == before, "it came from the cache"

    walkthrough.kubectl("get events -o yaml")
    walkthrough.kubectl("get modeladapters,pods -o yaml")
    walkthrough.sidecar("/metrics")
    walkthrough.kubectl("delete modeladapters --all --timeout=40s")
    assert not [path for path in walkthrough.cache.rglob("*") if path.is_file()]
    assert _leaked_secrets(walkthrough, first, second) == []


def _leaked_secrets(walkthrough: Walkthrough, *manifests: str) -> list[str]:
    """Return the secrets that occur in outputs, pages, logs or the trace."""
    secrets = [json.loads(manifest)["stringData"]["aws_secret_access_key"] for manifest in manifests]
    record = walkthrough.world.twin("events").out
    lines = [line for path in walkthrough.folder.rglob("*.log") for line in path.read_text().splitlines()]
    logs = "\n".join(line for line in lines if '"kind": "Secret"' not in line)  # where the bucket gives them out
    assert "Successfully loaded adapter" in walkthrough.output
    assert '"not loaded"' in logs
    return [secret for secret in (*secrets, ENGINE_KEY) if secret in walkthrough.output + logs + record]
