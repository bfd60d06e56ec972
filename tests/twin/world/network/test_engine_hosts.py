"""Engines in their pods: what they load, how long it takes, what they forget."""

import asyncio
from collections.abc import Callable
from importlib.resources import files
from typing import Any

import pytest
from ruamel.yaml import YAML

from fake_vllm.engine.engine import EngineClosed, EngineError
from twin.kernel import loop

HUB = "acme/sql"


def at_rest(scene: Any, story: Callable[[], Any]) -> None:
    """Runs a story once the only pod's engine listens."""
    scene.deploy()

    async def main() -> None:
        await asyncio.sleep(100)
        await story()

    loop.run(main(), scene.env)


def test_a_download_is_paid_once_for_each_run_of_the_container(scene: Any) -> None:
    async def story() -> None:
        took = []
        for again in (False, False, True):
            if again:
                scene.world.restart_engine(scene.name())
                await asyncio.sleep(100)
                assert not scene.host().engine.adapters
            start = scene.env.now
            await scene.host().engine.load("sql", HUB)
            took.append(round(scene.env.now - start, 3))
            await scene.host().engine.unload("sql")
        assert took == [12.0, 2.0, 12.0]  # 100 MB at 10 MB/s, and 2 s to load

    at_rest(scene, story)
    kinds = [event for _, event, _ in scene.engine_events]
    assert kinds == ["started", *["loaded", "unloaded"] * 2, "stopped", "started", "loaded", "unloaded"]


def test_a_path_on_the_pod_needs_no_download(scene: Any) -> None:
    async def story() -> None:
        start = scene.env.now
        await scene.host().engine.load("sql", "/models/sql")
        assert round(scene.env.now - start, 3) == 2.0

    at_rest(scene, story)


def test_the_rank_that_an_adapter_states_is_the_rank_that_the_engine_finds(scene: Any) -> None:
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

    manifest = files("controller").joinpath("deploy/crd.yaml").read_text()
    scene.store.register_crd(YAML(typ="safe", pure=True).load(manifest))

    async def story() -> None:
        scene.store.create("modeladapters.model.aibrix.ai", adapter, namespace="default")
        with pytest.raises(EngineError, match="LoRA rank 64 is greater than max_lora_rank 16"):
            await scene.host().engine.load("sql", HUB)

    at_rest(scene, story)


@pytest.mark.parametrize("verb", ["restart_engine", "kill_pod"])
def test_a_load_under_way_is_reset_when_the_engine_dies(scene: Any, verb: str) -> None:
    async def story() -> None:
        load = asyncio.create_task(scene.host().engine.load("sql", HUB))
        await asyncio.sleep(1)
        getattr(scene.world, verb)(scene.name())
        with pytest.raises(EngineClosed):
            await load

    at_rest(scene, story)
    assert "loaded" not in [event for _, event, _ in scene.engine_events]


def test_static_modules_are_told_of_when_the_engine_starts(scene: Any) -> None:
    scene.deploy(container={"args": ["--enable-lora", "--lora-modules", "sql=/models/sql"]})
    scene.run(100)
    assert [(event, adapter) for _, event, adapter in scene.engine_events] == [("started", ""), ("loaded", "sql")]
