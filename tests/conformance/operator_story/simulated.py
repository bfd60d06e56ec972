"""The story in virtual time: simulated engines that emulate a release, with the same artifacts on their disks."""

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from controller.api.spec import artifact_of
from fake_vllm.engine.versions import VersionQuirks
from fake_vllm.http.messages import PREFIX_WEIGHTS_HEADER, WEIGHTS_HEADER, Request, Response
from fake_vllm.peft.base_model import ModelShape
from fake_vllm.peft.folder import AdapterCheck, read_adapter
from fake_vllm.peft.rules import AdapterRefusedError
from fake_vllm.router import COMPLETIONS_PATH, handle
from tests.conformance.adapters.artifacts import CATALOGUE
from tests.conformance.operator_story.manifests import NODE, EngineProgram, Manifest
from tests.conformance.operator_story.story import ANSWER_TOKENS, ENGINES, FOLDERS, OTHER, PROMPT, Load, Resource, State
from tests.conformance.operator_story.story import play as play_story
from twin.kernel.loop import run
from twin.scenario import load
from twin.sim.simulation import Simulation
from twin.trace.lines import Line, RequestLine

_LORAS = "/srv/loras"
"""A folder whose paths releases from 0.27 on hide in errors, as they do those of temporary folders."""
_MODEL = Path(__file__).parents[1] / "data" / "tiny"
_RANK = 16
_RESOURCES: dict[Resource, str] = {
    "pods": "pods",
    "modeladapters": "modeladapters.model.aibrix.ai",
    "endpointslices": "endpointslices.discovery.k8s.io",
    "events": "events.events.k8s.io",
}


def play(version: str) -> tuple[dict[str, State], Sequence[Line]]:
    """Return the states of the story on simulated engines of a release, and the record of the run."""
    program = EngineProgram(version, ("vllm", "serve", "tiny"))
    with tempfile.TemporaryDirectory(prefix="operator-story-") as folder:
        simulation = Simulation(load(_scenario(Path(folder), program)))
    steps = run(simulation.run_while(play_story(SimulatedCluster(simulation, program))), simulation.env)
    simulation.recorder.close()
    return steps, simulation.recorder.lines


class SimulatedCluster:
    """The simulated cluster, as the story sees it."""

    loras = _LORAS

    def __init__(self, simulation: Simulation, program: EngineProgram) -> None:
        self.program = program
        self._simulation = simulation
        self._folders = {artifact_of(f"{_LORAS}/{folder}"): folder for folder in FOLDERS}

    def create(self, resource: Resource, manifest: Manifest) -> None:
        self._simulation.store.create(_RESOURCES[resource], manifest)

    def patch(self, resource: Resource, name: str, patch: Manifest) -> None:
        self._simulation.store.patch(_RESOURCES[resource], "default", name, patch)

    def delete(self, resource: Resource, name: str) -> None:
        self._simulation.store.delete(_RESOURCES[resource], "default", name)

    def list(self, resource: Resource) -> list[Manifest]:
        return list(self._simulation.store.list(_RESOURCES[resource], namespace="default").items)

    def kill_engine(self, pod: str) -> None:
        self._simulation.world.restart_engine(f"default/{pod}")

    def loads(self) -> Sequence[Load]:
        return [
            Load(line.adapter, line.object.removeprefix("default/"), line.status == 200)
            for line in self._simulation.recorder.lines
            if isinstance(line, RequestLine) and (line.event, line.verb) == ("done", "load")
        ]

    async def ask(self, pod: str, model: str) -> str:
        host = self._simulation.world.host_of(f"default/{pod}")
        assert host is not None
        assert host.engine is not None
        body = {"model": model, "prompt": PROMPT, "max_tokens": ANSWER_TOKENS, "temperature": 0, "ignore_eos": True}
        headers = {"content-type": "application/json"}
        answer = await handle(host.engine, Request("POST", COMPLETIONS_PATH, headers, json.dumps(body).encode()))
        assert isinstance(answer, Response)
        assert answer.status == 200, answer.body
        sent = dict(answer.headers)
        weights = sent[WEIGHTS_HEADER]
        mixed = sent.get(PREFIX_WEIGHTS_HEADER, weights) != weights
        return OTHER if mixed else self._folders.get(weights, OTHER)


def _scenario(folder: Path, program: EngineProgram) -> Path:
    """Write the scenario: JSON, which is YAML too."""
    content: dict[str, Any] = {
        "name": "operator-story",
        "duration": "10h",
        "cluster": {
            "nodes": [{"name": NODE, "gpus": 8}],
            "engines": {"default": {"startup": "20s", "load": "20ms", "unload": "2ms"}},
            "artifacts": {"files": _files(folder, program.version)},
        },
        "controller": {"pod_cooldown": "1h"},
        "objects": [program.pod(pod, development=pod == ENGINES[0]) for pod in ENGINES],
    }
    path = folder / "scenario.yaml"
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def _files(folder: Path, version: str) -> dict[str, Any]:
    """Return the artifacts as a scenario declares them, with what vLLM's check says of each."""
    loras = folder / "loras"
    check = AdapterCheck(ModelShape.read(str(_MODEL)), _RANK, VersionQuirks.of(version).peft)
    files: dict[str, Any] = {}
    for name in FOLDERS:
        if name in CATALOGUE:
            (loras / name).mkdir(parents=True)
            CATALOGUE[name](loras / name)
        try:
            adapter = read_adapter(loras / name, check)
        except AdapterRefusedError as error:
            files[f"{_LORAS}/{name}"] = {"broken": str(error).replace(str(loras), _LORAS)}
            continue
        if adapter is not None:
            files[f"{_LORAS}/{name}"] = {"rank": adapter.rank, "size": f"{adapter.size}B"}
    return files
