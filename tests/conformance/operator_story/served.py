"""The story on real vLLM servers: `twin serve`, `twin node` whose pods are their processes, and `lora-controller`.

All run as a user starts them. Nothing else happens in this process, so its requests block.
"""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.conformance.adapters.artifacts import make_all
from tests.conformance.operator_story.manifests import BASE, PORT, EngineProgram, Manifest
from tests.conformance.operator_story.story import (
    ANSWER_TOKENS,
    ENGINES,
    FOLDERS,
    OTHER,
    PROMPT,
    Load,
    Resource,
    State,
    is_ready,
)
from tests.conformance.operator_story.story import play as play_story
from tests.conformance.servers.install import installation_of
from twin.commands.serve import server_connection
from twin.serve.network.engine_sockets import loopback_address

_ROOT = Path(__file__).parents[3]
_GROUPS: dict[Resource, str] = {
    "pods": "/api/v1",
    "modeladapters": "/apis/model.aibrix.ai/v1alpha1",
    "endpointslices": "/apis/discovery.k8s.io/v1",
    "events": "/apis/events.k8s.io/v1",
}
_PATIENCE_SECONDS = 300.0
_WORLD = """\
name: operator-story
duration: 24h
cluster: {nodes: {count: 1, gpus: 1}}
objects: [{apiVersion: v1, kind: ConfigMap, metadata: {name: about}, data: {story: operator}}]
"""


def play(version: str, first_address: str, logs: Path) -> dict[str, State]:
    """Return the states of the story on two processes of an installed vLLM.

    Args:
        version: release, as installed by `install.py`.
        first_address: address of the first pod, below 10.0.0.0/8.
        logs: folder for the output of all processes.
    """
    installation = installation_of(version)
    program = EngineProgram(
        version,
        command=(str(installation / "venv/bin/vllm"), "serve", str(installation / "tiny")),
        flags=("--enforce-eager", "--dtype", "bfloat16"),
        environment={"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "VLLM_CPU_KVCACHE_SPACE": "1"},
    )
    with tempfile.TemporaryDirectory(prefix="operator-story-", dir="/tmp") as name, ExitStack() as stack:
        loras, kubeconfig = Path(name) / "loras", Path(name) / "twin.kubeconfig"
        make_all(loras)
        world = Path(name) / "world.yaml"
        world.write_text(_WORLD, encoding="utf-8")
        config = ("--kubeconfig", str(kubeconfig))
        serve = _process(logs / "serve.log", "twin", "serve", str(world), "--no-controller", *config)
        gateway = re.search(r"gateway\s+(http://\S+)", _text_with("Press Ctrl-C", stack.enter_context(serve)))
        assert gateway is not None
        where = ("--first-address", first_address, "--logs", str(logs))
        stack.enter_context(_process(logs / "node.log", "twin", "node", *config, *where))
        cluster = ServedCluster(program, loras, kubeconfig, logs / "operator.log")
        cluster.start_engines()
        ports = ("--metrics-bind-address", "0", "--health-probe-bind-address", "0")
        operator = ("controller", *config, "--engine-proxy", gateway[1], *ports, "--pod-cooldown", "1h")
        stack.enter_context(_process(logs / "operator.log", *operator))
        return asyncio.run(play_story(cluster))


class ServedCluster:
    """The served world, as the story sees it."""

    def __init__(self, program: EngineProgram, loras: Path, kubeconfig: Path, operator_log: Path) -> None:
        self.program = program
        self.loras = str(loras)
        self._log = operator_log
        connection = server_connection(kubeconfig)
        self._api = httpx.Client(
            base_url=connection.url, headers=connection.headers, verify=connection.trust, trust_env=False, timeout=30
        )
        self._engines = httpx.Client(trust_env=False, timeout=120)
        self._folders: dict[str, str] = {}
        """Answer to `PROMPT` to the folder whose weights make it."""

    def start_engines(self) -> None:
        """Create the pods, wait until they are ready, and learn how each artifact answers."""
        for pod in ENGINES:
            self.create("pods", self.program.pod(pod, development=pod == ENGINES[0]))
        _wait(lambda: sum(map(is_ready, self.list("pods"))) == len(ENGINES), "the engines are ready")
        engine = self._engine(ENGINES[0])
        answers = {BASE: self._answer(engine, BASE)}
        for folder in FOLDERS:
            body = {"lora_name": f"reference-{folder}", "lora_path": f"{self.loras}/{folder}"}
            if self._engines.post(f"{engine}/v1/load_lora_adapter", json=body).is_success:
                answers[folder] = self._answer(engine, body["lora_name"])
                self._engines.post(f"{engine}/v1/unload_lora_adapter", json=body)
        self._folders = {answer: folder for folder, answer in answers.items()}
        if len(self._folders) < len(answers):
            raise RuntimeError(f"two artifacts give the same answer, so answers tell nothing: {answers}")

    def create(self, resource: Resource, manifest: Manifest) -> None:
        self._send("POST", _path(resource), manifest)

    def patch(self, resource: Resource, name: str, patch: Manifest) -> None:
        self._send("PATCH", f"{_path(resource)}/{name}", patch, "application/merge-patch+json")

    def delete(self, resource: Resource, name: str) -> None:
        self._send("DELETE", f"{_path(resource)}/{name}")

    def list(self, resource: Resource) -> list[Manifest]:
        items: list[Manifest] = self._send("GET", _path(resource))["items"]
        return items

    def kill_engine(self, pod: str) -> None:
        status = self._send("GET", f"{_path('pods')}/{pod}")["status"]["containerStatuses"][0]
        number = re.search(r"process://(\d+)", status["containerID"])
        assert number is not None
        os.killpg(int(number[1]), signal.SIGKILL)

    def loads(self) -> Sequence[Load]:
        lines = [line for line in self._log.read_text(encoding="utf-8").splitlines() if line.startswith("{")]
        entries = [
            entry for entry in map(json.loads, lines) if entry["event"].startswith(("load ended", "load failed"))
        ]
        return [
            Load(entry["adapter"].removeprefix("default/"), entry["pod"], entry["event"] == "load ended")
            for entry in entries
        ]

    async def ask(self, pod: str, model: str) -> str:
        return self._folders.get(self._answer(self._engine(pod), model), OTHER)

    def _engine(self, pod: str) -> str:
        address = self._send("GET", f"{_path('pods')}/{pod}")["status"]["podIP"]
        return f"http://{loopback_address(address)}:{PORT}"

    def _answer(self, engine: str, model: str) -> str:
        body = {"model": model, "prompt": PROMPT, "max_tokens": ANSWER_TOKENS, "temperature": 0, "ignore_eos": True}
        response = self._engines.post(f"{engine}/v1/completions", json=body)
        assert response.is_success, response.text
        return str(response.json()["choices"][0]["text"])

    def _send(self, method: str, path: str, body: Any = None, kind: str = "application/json") -> dict[str, Any]:
        content = None if body is None else json.dumps(body).encode()
        response = self._api.request(method, path, content=content, headers={"content-type": kind})
        assert response.is_success, response.text
        answer: dict[str, Any] = response.json()
        return answer


def _path(resource: Resource) -> str:
    return f"{_GROUPS[resource]}/namespaces/default/{resource}"


@contextmanager
def _process(log: Path, *command: str) -> Iterator[Path]:
    """Run a Python module until the end of the block; yield the file with its output."""
    environment = {**os.environ, "PYTHONPATH": str(_ROOT), "PYTHONUNBUFFERED": "1"}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", *command], cwd=_ROOT, stdout=output, stderr=output, env=environment
        )
    try:
        yield log
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()


def _text_with(text: str, log: Path) -> str:
    """Return a log as soon as it contains `text`."""
    _wait(lambda: text in log.read_text(encoding="utf-8"), f"{log} has {text!r}")
    return log.read_text(encoding="utf-8")


def _wait(holds: Any, what: str) -> None:
    pause = threading.Event()
    for _ in range(int(_PATIENCE_SECONDS / 0.2)):
        if holds():
            return
        pause.wait(0.2)
    raise TimeoutError(f"not within {_PATIENCE_SECONDS:g} s: {what}")
