"""Pods that do not go, nodes that are drained, registries that fail: each in the world, without an operator."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from fake_vllm.engine.engine import EngineError
from tests.twin.world.conftest import is_ready
from twin.kernel import loop
from twin.world.registry import RegistryError, RegistryRule

HUB = "acme/sql"


def test_a_stranded_pod_stays_terminating_and_answers_until_its_time_is_over(scene: Any) -> None:
    scene.deploy()
    scene.run(100)
    name, first = scene.name(), scene.host()
    scene.world.hold_termination(name, 120.0)
    scene.run(219)
    stuck = next(pod for pod in scene.pods() if f"default/{pod['metadata']['name']}" == name)
    assert "deletionTimestamp" in stuck["metadata"]
    assert is_ready(stuck)
    assert first.listening
    assert len(scene.pods()) == 2, "its Deployment has made another"
    scene.run(221)
    assert scene.name() != name
    assert not first.listening


def test_a_stranded_pod_can_be_forced(scene: Any) -> None:
    scene.deploy()
    scene.run(100)
    name = scene.name()
    scene.world.hold_termination(name, 500.0)
    scene.run(110)
    scene.world.kill_pod(name)
    scene.run(111)
    assert scene.name() != name


def test_a_drained_node_loses_its_pods_gracefully_and_gets_none_until_it_is_uncordoned(scene_of: Any) -> None:
    scene = scene_of(nodes=2, gpus=2)
    scene.deploy(3)
    scene.run(100)
    scene.world.drain("node-0")
    assert all("deletionTimestamp" in pod["metadata"] for pod in scene.pods() if node_of(pod) == "node-0")
    scene.run(200)
    assert {node_of(pod) for pod in scene.pods()} == {"node-1", ""}, "what has no room waits"
    scene.world.uncordon("node-0")
    scene.run(300)
    assert sorted(node_of(pod) for pod in scene.pods()) == ["node-0", "node-1", "node-1"]


def node_of(pod: dict[str, Any]) -> str:
    return str(pod["spec"].get("nodeName", ""))


def test_who_drains_a_node_that_is_not_there_is_told(scene: Any) -> None:
    with pytest.raises(ValueError, match="node node-7 not found"):
        scene.world.drain("node-7")


def loading(scene: Any, story: Callable[[], Any]) -> None:
    """Runs a story once the only pod's engine listens."""
    scene.deploy()

    async def main() -> None:
        await asyncio.sleep(100)
        await story()

    loop.run(main(), scene.env)


async def load(scene: Any, path: str = HUB) -> float:
    """Loads and unloads; returns how long the load took."""
    start = scene.env.now
    await scene.host().engine.load("sql", path)
    took = round(scene.env.now - start, 3)
    await scene.host().engine.unload("sql")
    return float(took)


@pytest.mark.parametrize("error", ["unreachable", "missing", "forbidden"])
def test_what_the_registry_does_not_give_the_engine_does_not_find(scene: Any, error: RegistryError) -> None:
    async def story() -> None:
        end = scene.world.artifacts.add(0, RegistryRule(error))
        with pytest.raises(EngineError, match=f"No adapter found for {HUB}"):
            await load(scene)
        assert scene.world.artifacts.download(f"huggingface://{HUB}").error == error
        assert await load(scene, "/models/sql") == 2.0, "what lies on the pod needs no registry"
        end()
        assert await load(scene) == 12.0

    loading(scene, story)


def test_what_was_fetched_before_serves_while_the_registry_is_down(scene: Any) -> None:
    async def story() -> None:
        await load(scene)
        scene.world.artifacts.add(0, RegistryRule("unreachable"))
        assert await load(scene) == 2.0

    loading(scene, story)


def test_a_broken_artifact_takes_its_time_and_is_fetched_again(scene: Any) -> None:
    async def story() -> None:
        end = scene.world.artifacts.add(0, RegistryRule("corrupt"))
        start = scene.env.now
        with pytest.raises(EngineError, match="deserializing header"):
            await load(scene)
        assert round(scene.env.now - start, 3) == 10.0
        end()
        assert await load(scene) == 12.0

    loading(scene, story)


def test_a_slow_registry_takes_so_many_times_as_long(scene: Any) -> None:
    async def story() -> None:
        scene.world.artifacts.add(0, RegistryRule(factor=3.0))
        assert await load(scene) == 32.0
        assert await load(scene) == 2.0

    loading(scene, story)


def test_a_fault_of_some_artifacts_spares_the_others(scene: Any) -> None:
    async def story() -> None:
        scene.world.artifacts.add(0, RegistryRule("missing", artifacts=("huggingface://acme/s*",)))
        with pytest.raises(EngineError):
            await load(scene)
        assert await load(scene, "acme/other") == 12.0

    loading(scene, story)
