"""Engines in their pods: loads, their durations, and what a restart forgets."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from fake_vllm.engine.engine import EngineClosed, EngineError
from twin.kernel import loop
from twin.scenario.manifests.admission import definition

HUB = "acme/sql"


def at_rest(cluster: Any, story: Callable[[], Any]) -> None:
    """Run `story` once the only pod's engine listens."""
    cluster.deploy()

    async def main() -> None:
        await asyncio.sleep(100)
        await story()

    loop.run(main(), cluster.env)


def test_a_download_is_paid_once_for_each_run_of_the_container(cluster: Any) -> None:
    async def story() -> None:
        took = []
        for again in (False, False, True):
            if again:
                cluster.world.restart_engine(cluster.name())
                await asyncio.sleep(100)
                assert not cluster.host().engine.adapters
            start = cluster.env.now
            await cluster.host().engine.load("sql", HUB)
            took.append(round(cluster.env.now - start, 3))
            await cluster.host().engine.unload("sql")
        assert took == [12.0, 2.0, 12.0]  # 100 MB at 10 MB/s, and 2 s to load

    at_rest(cluster, story)
    kinds = [event for _, event, _ in cluster.engine_events]
    assert kinds == ["started", *["loaded", "unloaded"] * 2, "stopped", "started", "loaded", "unloaded"]


def test_a_path_on_the_pod_needs_no_download(cluster: Any) -> None:
    async def story() -> None:
        start = cluster.env.now
        await cluster.host().engine.load("sql", "/models/sql")
        assert round(cluster.env.now - start, 3) == 2.0

    at_rest(cluster, story)


def test_the_rank_that_an_adapter_states_is_the_rank_that_the_engine_finds(cluster: Any) -> None:
    adapter = {
        "apiVersion": "model.aibrix.ai/v1alpha1",
        "kind": "ModelAdapter",
        "metadata": {"name": "sql", "namespace": "default"},
        "spec": {
            "artifactURL": f"huggingface://{HUB}",
            "podSelector": {"matchLabels": {"app": "qwen"}},
            "additionalConfig": {"rank": "64"},
        },
    }

    cluster.store.register_crd(definition())

    async def story() -> None:
        cluster.store.create("modeladapters.model.aibrix.ai", adapter, namespace="default")
        with pytest.raises(EngineError, match="LoRA rank 64 is greater than max_lora_rank 16"):
            await cluster.host().engine.load("sql", HUB)

    at_rest(cluster, story)


@pytest.mark.parametrize("verb", ["restart_engine", "kill_pod"])
def test_a_load_under_way_is_reset_when_the_engine_dies(cluster: Any, verb: str) -> None:
    async def story() -> None:
        load = asyncio.create_task(cluster.host().engine.load("sql", HUB))
        await asyncio.sleep(1)
        getattr(cluster.world, verb)(cluster.name())
        with pytest.raises(EngineClosed):
            await load

    at_rest(cluster, story)
    assert "loaded" not in [event for _, event, _ in cluster.engine_events]


def test_static_modules_are_recorded_when_the_engine_starts(cluster: Any) -> None:
    cluster.deploy(container={"args": ["--enable-lora", "--lora-modules", "sql=/models/sql"]})
    cluster.run(100)
    assert [(event, adapter) for _, event, adapter in cluster.engine_events] == [("started", ""), ("loaded", "sql")]
