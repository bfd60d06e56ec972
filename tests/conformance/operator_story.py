"""`make conform-operator`: the operator's story on two engines, real ones or fakes, and where the two differ.

An API server (`twin serve`), a node whose pods are processes (`twin node`) and `lora-controller` run as they would for
a user. The story: two adapters on both pods, more than the engines' cache holds, broken ones of each class, a changed
artifact, an engine killed in place, deletion. After each step it writes down phases, conditions and loads.

python -m tests.conformance.operator_story VERSION          plays it on the real vLLM of that release, and records it
python -m tests.conformance.operator_story VERSION --fake   plays it on fakes, and compares with the recording
"""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.conformance.artifacts import make_all
from tests.conformance.install import installation_of
from twin.commands.serve import server_connection

RECORDINGS = Path(__file__).parent / "recordings"
PODS = 2
BROKEN = {
    "dora": "dora",
    "high-rank": "rank64",
    "other-modules": "modules-unknown",
    "not-json": "config-cut",
    "damaged": "weights-text",
    "missing": "none",
}
"""Adapter to the folder that its artifact is."""
_ADAPTERS = "/apis/model.aibrix.ai/v1alpha1/namespaces/default/modeladapters"
_PODS = "/api/v1/namespaces/default/pods"
_SECONDS = 240.0
_FLAGS = (
    "--max-model-len",
    "512",
    "--max-lora-rank",
    "16",
    "--enable-lora",
    "--max-loras",
    "2",
    "--max-cpu-loras",
    "2",
)
_REAL_FLAGS = ("--enforce-eager", "--dtype", "bfloat16")
_REAL_ENVIRONMENT = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "VLLM_CPU_KVCACHE_SPACE": "1"}

State = dict[str, dict[str, Any]]
"""Adapter to its phase, conditions and loads."""


class Cluster:
    """The API of the running cluster, and what the operator has logged."""

    def __init__(self, kubeconfig: Path, log: Path, loras: Path) -> None:
        connection = server_connection(kubeconfig)
        self._client = httpx.Client(
            base_url=connection.url, headers=connection.headers, verify=connection.trust, trust_env=False, timeout=30
        )
        self._log = log
        self._loras = loras

    def create_pod(self, name: str, command: Sequence[str], environment: Mapping[str, str]) -> None:
        address = {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}
        container = {
            "name": "vllm",
            "image": "vllm",
            "command": [*command, "--served-model-name", "base", "--host", "$(POD_IP)", "--port", "8000", *_FLAGS],
            "env": [address, *({"name": key, "value": value} for key, value in environment.items())],
            "readinessProbe": {"httpGet": {"path": "/health", "port": 8000}, "periodSeconds": 1, "failureThreshold": 1},
        }
        labels = {"model.aibrix.ai/name": "base", "adapter.model.aibrix.ai/enabled": "true"}
        spec = {"nodeName": "processes", "terminationGracePeriodSeconds": 5, "containers": [container]}
        self._send("POST", _PODS, {"metadata": {"name": name, "labels": labels}, "spec": spec})

    def create_adapter(self, name: str, folder: str, replicas: int) -> None:
        spec = {
            "baseModel": "base",
            "podSelector": {"matchLabels": {"model.aibrix.ai/name": "base"}},
            "artifactURL": str(self._loras / folder),
            "replicas": replicas,
        }
        body = {
            "apiVersion": "model.aibrix.ai/v1alpha1",
            "kind": "ModelAdapter",
            "metadata": {"name": name},
            "spec": spec,
        }
        self._send("POST", _ADAPTERS, body)

    def change_artifact(self, name: str, folder: str) -> None:
        patch = {"spec": {"artifactURL": str(self._loras / folder)}}
        self._send("PATCH", f"{_ADAPTERS}/{name}", patch, "application/merge-patch+json")

    def delete_adapter(self, name: str) -> None:
        self._send("DELETE", f"{_ADAPTERS}/{name}", {})

    def kill_engine(self, pod: str) -> None:
        """Kill the process of a pod's engine, as a node out of memory does."""
        status = self._send("GET", f"{_PODS}/{pod}")["status"]["containerStatuses"][0]
        number = re.search(r"process://(\d+)", status["containerID"])
        assert number is not None
        os.killpg(int(number[1]), signal.SIGKILL)

    def ready_pods(self) -> int:
        pods = self._send("GET", _PODS)["items"]
        conditions = [condition for pod in pods for condition in pod.get("status", {}).get("conditions", ())]
        return sum(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)

    def state(self) -> State:
        """Return what a user sees of each adapter, without names and times that differ by chance."""
        items = self._send("GET", _ADAPTERS)["items"]
        return {item["metadata"]["name"]: self._state_of(item) for item in items}

    def _state_of(self, adapter: dict[str, Any]) -> dict[str, Any]:
        name, status = adapter["metadata"]["name"], adapter.get("status", {})
        ready = next((c for c in status.get("conditions", ()) if c["type"] == "Ready"), {})
        loads = [line for line in self._lines() if line.get("adapter") == f"default/{name}"]
        return {
            "phase": status.get("phase", ""),
            "instances": len(status.get("instances", ())),
            "ready": ready.get("status", ""),
            "reason": ready.get("reason", ""),
            "message": self._masked(ready.get("message", "")),
            "loaded": sum(line["event"] == "load ended" for line in loads),
            "refused": sum(line["event"].startswith("load failed") for line in loads),
        }

    def _masked(self, text: str) -> str:
        text = re.sub(r"tried again at \S+", "tried again at <time>", text.replace(str(self._loras), "<loras>"))
        return re.sub(r"\bengine-\d\b", "<pod>", text)

    def _lines(self) -> Iterator[dict[str, Any]]:
        for line in self._log.read_text(encoding="utf-8").splitlines():
            if line.startswith("{"):
                yield json.loads(line)

    def _send(self, method: str, path: str, body: Any = None, kind: str = "application/json") -> dict[str, Any]:
        content = json.dumps(body).encode() if body is not None else None
        response = self._client.request(method, path, content=content, headers={"content-type": kind})
        assert response.is_success, response.text
        answer: dict[str, Any] = response.json()
        return answer


def play(cluster: Cluster) -> dict[str, State]:
    """Play the story; return the state after each step."""
    steps: dict[str, State] = {}
    for name, folder in (("first", "l0"), ("second", "l1"), ("third", "l2"), ("fourth", "l3")):
        cluster.create_adapter(name, folder, PODS)
        steps[f"load of the {name}"] = _settled(cluster, lambda state, name=name: _serves(state, name))
    for name, folder in BROKEN.items():
        cluster.create_adapter(name, folder, 1)
    steps["broken ones"] = _settled(cluster, lambda state: all(_is_judged(state[name]) for name in BROKEN))
    cluster.change_artifact("first", "l4")
    steps["changed artifact"] = _settled(cluster, lambda state: state["first"]["loaded"] == 2 * PODS)
    cluster.kill_engine("engine-0")
    everything = ("first", "second", "third", "fourth")
    _settled(cluster, lambda state: any(state[name]["instances"] < PODS for name in everything))
    restarted = {"first": 2 * PODS + 1, "second": PODS + 1, "third": PODS + 1, "fourth": PODS + 1}
    steps["killed engine"] = _settled(
        cluster, lambda state: all(state[name]["loaded"] >= count for name, count in restarted.items())
    )
    for name in BROKEN:
        del steps["killed engine"][name]["refused"]  # tried again only if the killed engine had refused it
    for name in (*everything, *BROKEN):
        cluster.delete_adapter(name)
    steps["deletion"] = _settled(cluster, lambda state: not state)
    return steps


def _is_judged(adapter: Mapping[str, Any]) -> bool:
    """Return whether the engines have taken the adapter, or refused it for good."""
    return adapter["phase"] in ("Failed", "Running")


def _serves(state: State, name: str) -> bool:
    return state.get(name, {}).get("instances") == PODS


def _settled(cluster: Cluster, reached: Callable[[State], bool]) -> State:
    """Return the state once it is reached and has been the same for two seconds.

    Raises:
        TimeoutError: if it is not reached; the message has the last state.
    """
    _wait(lambda: reached(cluster.state()), lambda: json.dumps(cluster.state(), indent=1))
    before: State = {}
    while (state := cluster.state()) != before:
        before = state
        time.sleep(2)  # noqa: TID251 - real processes in real time
    return state


def _wait(reached: Callable[[], bool], told: Callable[[], str] = str) -> None:
    deadline = time.perf_counter() + _SECONDS
    while not reached():
        if time.perf_counter() > deadline:
            raise TimeoutError(f"not reached within {_SECONDS:g} s: {told()}")
        time.sleep(0.2)  # noqa: TID251 - real processes in real time


@contextmanager
def _process(command: Sequence[str], folder: Path, log: str) -> Iterator[Path]:
    path = folder / log
    with path.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", *command], cwd=folder, stdout=output, stderr=output, env=_environment()
        )
    try:
        yield path
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "PYTHONUNBUFFERED": "1"}


_WORLD = """\
name: conform-operator
duration: 24h
cluster: {nodes: {count: 1, gpus: 1}}
objects: [{apiVersion: v1, kind: ConfigMap, metadata: {name: about}, data: {story: operator}}]
"""


def run(command: Sequence[str], environment: Mapping[str, str], first_address: str) -> dict[str, State]:
    """Start everything, with engines of this command; return the states of the story."""
    with tempfile.TemporaryDirectory(prefix="operator-story-") as name, ExitStack() as stack:
        folder = Path(name)
        loras, kubeconfig = folder / "loras", folder / "twin.kubeconfig"
        make_all(loras)
        (folder / "world.yaml").write_text(_WORLD, encoding="utf-8")
        served = stack.enter_context(_process(["twin", "serve", "world.yaml", "--no-controller"], folder, "serve.log"))
        _wait(lambda: kubeconfig.exists() and "gateway" in served.read_text(), served.read_text)
        gateway = re.search(r"gateway\s+(http://\S+)", served.read_text())
        assert gateway is not None
        stack.enter_context(_process(["twin", "node", "--first-address", first_address], folder, "node.log"))
        arguments = ["--kubeconfig", str(kubeconfig), "--engine-proxy", gateway[1]]
        arguments += ["--metrics-bind-address=0", "--health-probe-bind-address=0"]
        log = stack.enter_context(_process(["controller", *arguments], folder, "operator.log"))
        cluster = Cluster(kubeconfig, log, loras)
        updating = {"VLLM_ALLOW_RUNTIME_LORA_UPDATING": "True", **environment}
        for number in range(PODS):
            cluster.create_pod(f"engine-{number}", command, updating)
        _wait(lambda: cluster.ready_pods() == PODS, log.read_text)
        return play(cluster)


def path_of(version: str) -> Path:
    return RECORDINGS / f"operator-{version}.json"


def differences(real: Mapping[str, State], fake: Mapping[str, State]) -> list[str]:
    """Return a line for each value that differs, in the order of the story."""
    return [
        f"{step}: {name}.{field}: real {value!r}, fake {fake.get(step, {}).get(name, {}).get(field)!r}"
        for step, adapters in real.items()
        for name, values in adapters.items()
        for field, value in values.items()
        if fake.get(step, {}).get(name, {}).get(field) != value
    ]


def main() -> int:
    parser = argparse.ArgumentParser(prog="operator_story", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("version", help="release of vLLM, such as 0.32.0")
    parser.add_argument("--fake", action="store_true", help="play on fakes and compare with the recording")
    parser.add_argument("--first-address", default="10.89.0.1", help="address of the first pod")
    options = parser.parse_args()
    if options.fake:
        command = [sys.executable, "-m", "fake_vllm", "serve", "base", "--emulate", options.version]
        states = run(command, {"PYTHONPATH": str(Path(__file__).parents[2])}, options.first_address)
        found = differences(json.loads(path_of(options.version).read_text(encoding="utf-8")), states)
        print("\n".join(found) or f"the operator's story is the same on vLLM {options.version} and on the fake")
        return 1 if found else 0
    installation = installation_of(options.version)
    command = [str(installation / "venv/bin/vllm"), "serve", str(installation / "tiny"), *_REAL_FLAGS]
    states = run(command, _REAL_ENVIRONMENT, options.first_address)
    path_of(options.version).write_text(json.dumps(states, indent=1) + "\n", encoding="utf-8")
    print(f"{len(states)} steps of the story on vLLM {options.version} in {path_of(options.version).name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
