"""Stuck pods, drained nodes and failing registries in the world, without an operator."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from fake_vllm.engine.engine import EngineError
from tests.twin.world.conftest import is_ready
from twin.kernel import loop
from twin.world.registry import RegistryError, RegistryRule

HUB = "acme/sql"


def test_a_stranded_pod_stays_terminating_and_answers_until_its_time_is_over(cluster: Any) -> None:
    cluster.deploy()
    cluster.run(100)
    name, first = cluster.name(), cluster.host()
    cluster.world.hold_termination(name, 120.0)
    cluster.run(219)
    stuck = next(pod for pod in cluster.pods() if f"default/{pod['metadata']['name']}" == name)
    assert "deletionTimestamp" in stuck["metadata"]
    assert is_ready(stuck)
    assert first.listening
    assert len(cluster.pods()) == 2, "its Deployment has made another"
    cluster.run(221)
    assert cluster.name() != name
    assert not first.listening


def test_a_stranded_pod_can_be_forced(cluster: Any) -> None:
    cluster.deploy()
    cluster.run(100)
    name = cluster.name()
    cluster.world.hold_termination(name, 500.0)
    cluster.run(110)
    cluster.world.kill_pod(name)
    cluster.run(111)
    assert cluster.name() != name


def test_a_drained_node_loses_its_pods_gracefully_and_gets_none_until_it_is_uncordoned(cluster_of: Any) -> None:
    cluster = cluster_of(nodes=2, gpus=2)
    cluster.deploy(3)
    cluster.run(100)
    cluster.world.drain("node-0")
    assert all("deletionTimestamp" in pod["metadata"] for pod in cluster.pods() if node_of(pod) == "node-0")
    cluster.run(200)
    assert {node_of(pod) for pod in cluster.pods()} == {"node-1", ""}, "what has no room waits"
    cluster.world.uncordon("node-0")
    cluster.run(300)
    assert sorted(node_of(pod) for pod in cluster.pods()) == ["node-0", "node-1", "node-1"]


def node_of(pod: dict[str, Any]) -> str:
    return str(pod["spec"].get("nodeName", ""))


def test_draining_a_missing_node_is_an_error(cluster: Any) -> None:
    with pytest.raises(ValueError, match="node node-7 not found"):
        cluster.world.drain("node-7")


def loading(cluster: Any, story: Callable[[], Any]) -> None:
    """Run `story` once the only pod's engine listens."""
    cluster.deploy()

    async def main() -> None:
        await asyncio.sleep(100)
        await story()

    loop.run(main(), cluster.env)


async def load(cluster: Any, path: str = HUB) -> float:
    """Load and unload an adapter; return the duration of the load."""
    start = cluster.env.now
    await cluster.host().engine.load("sql", path)
    took = round(cluster.env.now - start, 3)
    await cluster.host().engine.unload("sql")
    return float(took)


@pytest.mark.parametrize("error", ["unreachable", "missing", "forbidden"])
def test_an_artifact_that_the_registry_withholds_is_not_found_by_the_engine(cluster: Any, error: RegistryError) -> None:
    async def story() -> None:
        end = cluster.world.artifacts.add(0, RegistryRule(error))
        with pytest.raises(EngineError, match=f"No adapter found for {HUB}"):
            await load(cluster)
        assert cluster.world.artifacts.download(f"huggingface://{HUB}").error == error
        assert await load(cluster, "/models/sql") == 2.0, "what lies on the pod needs no registry"
        end()
        assert await load(cluster) == 12.0

    loading(cluster, story)


def test_fetched_artifacts_are_served_while_the_registry_is_down(cluster: Any) -> None:
    async def story() -> None:
        await load(cluster)
        cluster.world.artifacts.add(0, RegistryRule("unreachable"))
        assert await load(cluster) == 2.0

    loading(cluster, story)


def test_a_broken_artifact_takes_its_time_and_is_fetched_again(cluster: Any) -> None:
    async def story() -> None:
        end = cluster.world.artifacts.add(0, RegistryRule("corrupt"))
        start = cluster.env.now
        with pytest.raises(EngineError, match="deserializing header"):
            await load(cluster)
        assert round(cluster.env.now - start, 3) == 10.0
        end()
        assert await load(cluster) == 12.0

    loading(cluster, story)


def test_a_slow_registry_takes_so_many_times_as_long(cluster: Any) -> None:
    async def story() -> None:
        cluster.world.artifacts.add(0, RegistryRule(factor=3.0))
        assert await load(cluster) == 32.0
        assert await load(cluster) == 2.0

    loading(cluster, story)


def test_a_fault_of_some_artifacts_spares_the_others(cluster: Any) -> None:
    async def story() -> None:
        cluster.world.artifacts.add(0, RegistryRule("missing", artifacts=("huggingface://acme/s*",)))
        with pytest.raises(EngineError):
            await load(cluster)
        assert await load(cluster, "acme/other") == 12.0

    loading(cluster, story)
