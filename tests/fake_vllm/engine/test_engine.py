"""Registered and resident adapters of an engine, and the order of its changes."""

import asyncio
import json
from collections.abc import Callable, Coroutine
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fake_vllm.distributions import Constant, Latency
from fake_vllm.engine.context import EngineContext, Randomness
from fake_vllm.engine.engine import (
    AdapterEvent,
    Artifact,
    Engine,
    EngineClosed,
    EngineConfig,
    EngineConfigError,
    EngineError,
)
from fake_vllm.engine.timing import EngineTimes
from fake_vllm.flavors import flavor_of

OLD, NEW = "0.27.0", "0.28.0"
MIB = 1 << 20
CORE_FAILED = "EngineCore encountered an issue. See stack trace (above) for the root cause."


class InTurn:
    """A latency that draws the given durations, one after another."""

    def __init__(self, *values: float) -> None:
        self._left = list(values)

    def draw(self, rng: np.random.Generator) -> float:
        return self._left.pop(0)

    def mean(self) -> float:
        return 0.0

    def upper(self) -> float:
        return 0.0


def a_config(**settings: Any) -> EngineConfig:
    return EngineConfig(served_model_names=("base",), model="acme/base", **{"enable_lora": True, **settings})


def an_engine(
    config: EngineConfig | None = None,
    load: Latency = Constant(0.0),
    artifacts: Callable[[str], Artifact | None] | None = None,
    fetch: Callable[[str], float] | None = None,
    on_change: Callable[[AdapterEvent], None] | None = None,
    unload: Latency = Constant(0.0),
    on_death: Callable[[str], None] | None = None,
) -> Engine:
    rng = np.random.default_rng(0)
    config = config or a_config()
    return Engine(
        config,
        flavor_of(config),
        EngineTimes(load, unload),
        Randomness(rng),
        EngineContext(find_artifact=artifacts, fetch=fetch, on_change=on_change, on_death=on_death),
    )


async def fault_of(work: Coroutine[Any, Any, None]) -> tuple[int, str, str]:
    with pytest.raises(EngineError) as caught:
        await work
    return caught.value.status, caught.value.type, caught.value.message


def test_a_loaded_adapter_is_listed_behind_the_base_model() -> None:
    async def story() -> None:
        engine = an_engine(a_config(max_model_len=4096))
        await engine.load("sql", "acme/sql")
        assert [(m.id, m.root, m.parent, m.max_model_len) for m in engine.models()] == [
            ("base", "acme/base", None, 4096),
            ("sql", "acme/sql", "base", None),
        ]
        listed = json.loads(engine.models_body())
        assert [(m["id"], m["root"], m["parent"]) for m in listed["data"]] == [
            ("base", "acme/base", None),
            ("sql", "acme/sql", "base"),
        ]

    asyncio.run(story())


def test_changes_are_reported_when_they_are_complete() -> None:
    async def story() -> None:
        events: list[AdapterEvent] = []
        engine = an_engine(on_change=events.append)
        await engine.load("sql", "acme/sql")
        await fault_of(engine.load("sql", "acme/sql"))
        await engine.unload("sql")
        assert events == [AdapterEvent("loaded", "sql", "acme/sql"), AdapterEvent("unloaded", "sql", "acme/sql")]

    asyncio.run(story())


def test_two_loads_of_one_name_wait_for_each_other_and_the_second_is_refused() -> None:
    async def story() -> None:
        engine = an_engine(load=InTurn(0.02))  # a second draw would fail: the second one never gets so far
        answers = await asyncio.gather(engine.load("sql", "one"), engine.load("sql", "two"), return_exceptions=True)
        assert answers[0] is None
        assert isinstance(answers[1], EngineError)
        assert engine.adapters == {"sql": "one"}

    asyncio.run(story())


def test_loads_of_different_names_overlap() -> None:
    async def story() -> None:
        engine = an_engine(load=InTurn(0.2, 0.0))
        slow = asyncio.create_task(engine.load("slow", "slow"))
        await asyncio.sleep(0)
        await engine.load("fast", "fast")
        assert list(engine.adapters) == ["fast"]
        await slow
        assert list(engine.adapters) == ["fast", "slow"]

    asyncio.run(story())


def test_a_client_that_gives_up_does_not_stop_the_load() -> None:
    async def story() -> None:
        loaded = asyncio.Event()
        engine = an_engine(load=Constant(0.02), on_change=lambda change: loaded.set())
        client = asyncio.create_task(engine.load("sql", "acme/sql"))
        await asyncio.sleep(0)
        client.cancel()
        with pytest.raises(asyncio.CancelledError):
            await client
        assert "sql" not in engine.adapters
        await loaded.wait()
        assert engine.adapters == {"sql": "acme/sql"}

    asyncio.run(story())


def test_when_the_container_stops_waiting_callers_fail_and_nothing_more_happens() -> None:
    async def story() -> None:
        events: list[AdapterEvent] = []
        engine = an_engine(load=Constant(60.0), on_change=events.append)
        clients = [asyncio.create_task(engine.load(name, name)) for name in ("a", "b")]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        engine.close()
        answers = await asyncio.gather(*clients, return_exceptions=True)
        assert [type(answer) for answer in answers] == [EngineClosed, EngineClosed]
        with pytest.raises(EngineClosed):
            await engine.load("c", "c")
        assert events == []
        assert engine.closed

    asyncio.run(story())


def test_a_dead_core_refuses_changes() -> None:
    async def story() -> None:
        engine = an_engine()
        engine.crash_core("its files are gone")
        assert (await fault_of(engine.load("a", "a")))[0] == 500

    asyncio.run(story())


@pytest.mark.parametrize(
    ("artifact", "status", "message"),
    [
        (None, 404, "Loading lora sql failed: No adapter found for acme/sql"),
        (Artifact(missing=True), 404, "Loading lora sql failed: No adapter found for acme/sql"),
        (Artifact(rank=64), 500, "Call to add_lora method failed: LoRA rank 64 is greater than max_lora_rank 16."),
        (Artifact(broken="no such module"), 500, "Call to add_lora method failed: no such module"),
        (
            Artifact(size=200 * MIB),
            500,
            "Call to add_lora method failed: CUDA out of memory. Tried to allocate 200.00 MiB.",
        ),
    ],
)
def test_an_unusable_artifact_is_refused(artifact: Artifact | None, status: int, message: str) -> None:
    async def story() -> None:
        engine = an_engine(a_config(lora_budget=100 * MIB), artifacts=lambda path: artifact)
        assert (await fault_of(engine.load("sql", "acme/sql")))[::2] == (status, message)
        assert engine.adapters == {}
        assert engine.memory == 0

    asyncio.run(story())


def test_without_lora_enabled_no_adapter_loads() -> None:
    async def story() -> None:
        status, _, message = await fault_of(an_engine(a_config(enable_lora=False)).load("sql", "acme/sql"))
        assert (status, "not enabled" in message) == (500, True)

    asyncio.run(story())


def test_memory_runs_out_by_the_sum_of_what_stays() -> None:
    async def story() -> None:
        config = a_config(max_loras=2, lora_budget=100 * MIB)
        sizes = {"a": 60 * MIB, "b": 60 * MIB, "c": 40 * MIB, "d": 60 * MIB}
        engine = an_engine(config, artifacts=lambda path: Artifact(size=sizes[path]))
        await engine.load("a", "a")
        assert "out of memory" in (await fault_of(engine.load("b", "b")))[2]
        await engine.load("c", "c")
        await engine.load("d", "d")  # pushes out a
        assert (engine.resident, engine.memory) == (("c", "d"), 100 * MIB)

    asyncio.run(story())


def test_an_artifact_from_elsewhere_takes_its_download_first() -> None:
    async def story() -> None:
        asked: list[str] = []

        def fetch(path: str) -> float:
            asked.append(path)
            return 60.0

        engine = an_engine(fetch=fetch)
        client = asyncio.create_task(engine.load("sql", "acme/sql"))
        await asyncio.sleep(0.01)
        assert (asked, dict(engine.adapters)) == (["acme/sql"], {})
        engine.close()
        await asyncio.wait([client])
        assert isinstance(client.exception(), EngineClosed)

    asyncio.run(story())


def test_slowness_multiplies_the_time() -> None:
    async def story() -> None:
        engine = an_engine(load=Constant(0.001))
        client = asyncio.create_task(engine.load("sql", "acme/sql", slow=1e6))
        await asyncio.sleep(0.02)
        assert not client.done()
        engine.close()
        await asyncio.wait([client])
        assert isinstance(client.exception(), EngineClosed)

    asyncio.run(story())


def test_more_than_fit_stay_listed_while_the_oldest_weights_go() -> None:
    async def story() -> None:
        engine = an_engine(a_config(max_loras=1, max_cpu_loras=2))
        for name in ("a", "b", "c"):
            await engine.load(name, name)
        assert list(engine.adapters) == ["a", "b", "c"]
        assert engine.resident == ("b", "c")
        assert engine.active == ("c",)

    asyncio.run(story())


def test_a_request_brings_dropped_weights_back_and_renews_the_others() -> None:
    async def story() -> None:
        engine = an_engine(a_config(max_loras=1, max_cpu_loras=2))
        for name in ("a", "b", "c"):
            await engine.load(name, name)
        assert engine.use("b") is True
        assert engine.use("a") is False
        assert engine.resident == ("b", "a")
        with pytest.raises(EngineError):
            engine.use("unknown")

    asyncio.run(story())


def test_old_releases_forget_the_name_and_keep_the_weights() -> None:
    async def story() -> None:
        engine = an_engine(a_config(max_loras=2, version=OLD), artifacts=lambda path: Artifact(size=MIB))
        await engine.load("a", "a")
        await engine.unload("a")
        assert (dict(engine.adapters), engine.memory) == ({}, MIB)
        await engine.load("a", "a")  # takes a second place
        assert (engine.resident, engine.memory) == (("a",), 2 * MIB)

    asyncio.run(story())


@pytest.mark.parametrize("version", [OLD, NEW])
def test_unloading_what_was_pushed_out_succeeds(version: str) -> None:
    async def story() -> None:
        engine = an_engine(a_config(version=version))
        await engine.load("a", "a")
        await engine.load("b", "b")
        await engine.unload("a")
        assert list(engine.adapters) == ["b"]

    asyncio.run(story())


def test_a_load_in_place_replaces_the_path_and_takes_no_second_place() -> None:
    async def story() -> None:
        engine = an_engine(a_config(max_loras=2), artifacts=lambda path: Artifact(size=MIB))
        await engine.load("a", "first")
        engine.models_body()
        await engine.load("a", "second", load_inplace=True)
        assert (dict(engine.adapters), engine.memory) == ({"a": "second"}, MIB)
        assert b"second" in engine.models_body()

    asyncio.run(story())


def test_releases_that_know_no_load_in_place_refuse_the_name() -> None:
    async def story() -> None:
        engine = an_engine(a_config(version="0.7.1"))
        await engine.load("a", "a")
        assert await fault_of(engine.load("a", "b", load_inplace=True)) == (
            400,
            "InvalidUserInput",
            "The lora adapter 'a' has already been loaded.",
        )

    asyncio.run(story())


class Files:
    """Folders of adapters, which may change behind the engine's back."""

    def __init__(self) -> None:
        self.changed: dict[str, Artifact | None] = {}

    def __call__(self, path: str) -> Artifact | None:
        return self.changed.get(path, Artifact(digest=path))


async def evict(engine: Engine) -> None:
    """Load adapters until the first one is no longer in memory."""
    await engine.load("gone", "/gone")
    for name in ("b", "c"):
        await engine.load(name, f"/{name}")
    assert not engine.is_resident("gone")


@pytest.mark.parametrize(
    "now", [None, Artifact(missing=True), Artifact(rank=64), Artifact(config={"use_dora": True}), Artifact(broken="x")]
)
@pytest.mark.parametrize("in_place", [False, True])
def test_a_reload_from_disk_that_fails_ends_the_engine_core(now: Artifact | None, in_place: bool) -> None:
    """As recorded on vLLM 0.28.0, 0.30.0 and 0.32.0, of deleted and of refused files."""

    async def story() -> None:
        files, reasons = Files(), list[str]()
        engine = an_engine(a_config(max_loras=2), artifacts=files, on_death=reasons.append)
        if in_place:
            await engine.load("gone", "/gone", load_inplace=True)
        else:
            await evict(engine)
        files.changed["/gone"] = now
        assert (await fault_of(engine.complete("gone", 5, 3)))[::2] == (500, CORE_FAILED)
        assert len(reasons) == 1
        assert not engine.healthy
        assert (await fault_of(engine.complete("base", 5, 3)))[::2] == (500, CORE_FAILED)

    asyncio.run(story())


def test_changed_files_of_an_evicted_adapter_are_its_weights_from_then_on() -> None:
    async def story() -> None:
        files = Files()
        engine = an_engine(a_config(max_loras=2), artifacts=files)
        await evict(engine)
        files.changed["/gone"] = Artifact(digest="other")
        assert (await engine.complete("gone", 5, 3)).weights == "other"

    asyncio.run(story())


def test_files_of_an_adapter_in_memory_may_go() -> None:
    async def story() -> None:
        files = Files()
        engine = an_engine(a_config(max_loras=2), artifacts=files)
        await engine.load("a", "/a")
        files.changed["/a"] = None
        assert (await engine.complete("a", 5, 3)).weights == "/a"

    asyncio.run(story())


def test_an_aborted_request_has_the_tokens_that_it_got() -> None:
    async def story() -> None:
        engine = an_engine(a_config(version="0.32.0"))
        request = asyncio.ensure_future(engine.complete("base", 5, 1000))
        await asyncio.sleep(0.2)
        engine.shut_down()
        done = await request
        assert done.ending == "abort"
        assert 0 < done.output_tokens < 1000

    asyncio.run(story())


def test_static_adapters_are_there_from_the_start() -> None:
    assert an_engine(a_config(lora_modules=(("a", "/a"),))).adapters == {"a": "/a"}


@pytest.mark.parametrize(
    ("modules", "artifact"),
    [((("a", "/a"), ("a", "/b")), Artifact()), ((("a", "/a"),), None), ((("a", "/a"),), Artifact(rank=32))],
)
def test_a_static_adapter_that_cannot_be_loaded_keeps_the_server_from_starting(
    modules: tuple[tuple[str, str], ...], artifact: Artifact | None
) -> None:
    with pytest.raises(EngineConfigError) as caught:
        an_engine(a_config(lora_modules=modules), artifacts=lambda path: artifact)
    assert (caught.value.flag, caught.value.exit_code) == ("--lora-modules", 1)


NAMES = st.sampled_from(["a", "b", "c", "d"])
STEPS = st.lists(st.tuples(st.sampled_from(["load", "unload"]), NAMES), max_size=30)


@settings(deadline=None)
@given(steps=STEPS, version=st.sampled_from([OLD, NEW]))
def test_what_is_listed_is_what_was_loaded_less_what_was_unloaded(steps: list[tuple[str, str]], version: str) -> None:
    async def story() -> None:
        events: list[AdapterEvent] = []
        engine = an_engine(a_config(max_loras=1, max_cpu_loras=2, version=version), on_change=events.append)
        expected: dict[str, str] = {}
        for number, (step, name) in enumerate(steps):
            try:
                if step == "load":
                    await engine.load(name, f"path-{number}")
                    expected[name] = f"path-{number}"
                else:
                    await engine.unload(name)
                    del expected[name]
            except EngineError:
                pass
            assert list(engine.adapters.items()) == list(expected.items())
            listed = json.loads(engine.models_body())["data"][1:]
            assert {model["id"]: model["root"] for model in listed} == expected
            assert len(engine.resident) <= 2
            assert set(engine.resident) <= set(expected)
        heard: dict[str, str] = {}
        for change in events:
            if change.event == "loaded":
                heard[change.adapter] = change.root
            else:
                assert heard.pop(change.adapter) == change.root
        assert heard == expected

    asyncio.run(story())
