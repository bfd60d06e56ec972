"""SGLang's flavor where its behavior differs from vLLM's, not only its texts."""

import asyncio
from pathlib import Path

import httpx
import numpy as np
import openai
import pytest
from prometheus_client.parser import text_string_to_metric_families

from controller.engine import errors as controller_errors
from controller.engine.client import Address, EngineClient
from controller.engine.errors import AlreadyLoaded, Scope
from controller.engine.flavors import SGLANG
from fake_vllm.cli import options
from fake_vllm.cli.command_line import read
from fake_vllm.distributions import Constant
from fake_vllm.engine.context import EngineContext, Randomness
from fake_vllm.engine.engine import AdapterEvent, Artifact, Engine, EngineConfig, EngineConfigError, EngineError
from fake_vllm.engine.timing import EngineTimes
from fake_vllm.faults.effects import FaultRules
from fake_vllm.faults.rules import FaultRule
from fake_vllm.flavors import flavor_of
from tests.controller.sidecar.processes import a_process, a_sidecar_process
from tests.fake_vllm.cli.test_artifacts import an_adapter
from tests.fake_vllm.processes import answers, running
from tests.ports import free_port
from twin.kernel import loop

LORA = ("--enable-lora", "--max-lora-rank", "64", "--lora-target-modules", "all")


def an_engine(*flags: str, load: float = 0.0, changes: list[AdapterEvent] | None = None) -> Engine:
    config = read(["python3", "-m", "sglang.launch_server", "--model-path", "acme/base", *(flags or LORA)], {})
    return Engine(
        config,
        flavor_of(config),
        EngineTimes(Constant(load), Constant(0.1)),
        Randomness(np.random.default_rng(0)),
        EngineContext(
            find_artifact=lambda path: Artifact(rank=128) if path == "/huge" else Artifact(),
            on_change=None if changes is None else changes.append,
        ),
    )


def test_its_own_command_line_is_understood() -> None:
    words = (
        "python3 -m sglang.launch_server --model-path acme/base --served-model-name base --host 0.0.0.0 --port 8000"
        ' --lora-paths sql=/sql acme/chat {"lora_name":"js","lora_path":"/js"} --max-loras-per-batch 2'
        " --max-loaded-loras 4 --context-length 4096 --tp 2 --trust-remote-code --enable-metrics --api-key sk-one"
    )
    assert read(words.split(), {}) == EngineConfig(
        dialect="sglang",
        served_model_names=("base",),
        model="acme/base",
        max_model_len=4096,
        enable_lora=True,
        lora_modules=(("sql", "/sql"), ("acme/chat", "acme/chat"), ("js", "/js")),
        max_loras=2,
        max_cpu_loras=1 << 30,
        max_listed=4,
        max_lora_rank=0,
        runtime_updating=True,
        api_keys=("sk-one",),
        host="0.0.0.0",
        port=8000,
        version="0.5.9",
    )


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        (("--enable-lora",), "you need to specify both --max-lora-rank and --lora-target-modules"),
        ((*LORA, "--max-loaded-loras", "4"), "--max-loaded-loras is 4; it must be at least --max-loras-per-batch"),
        (("--lora-paths", "{}"), "is not JSON with lora_name and lora_path"),
        (("--context-length", "0"), "--context-length is 0; it must be at least 1"),
        (("--max-running-requests", "-1"), "--max-running-requests is -1; it must be at least 1"),
        (("--port", "http"), "--port: invalid int value: 'http'"),
    ],
)
def test_what_it_would_not_start_with_is_refused(flags: tuple[str, ...], complaint: str) -> None:
    with pytest.raises(EngineConfigError, match=complaint.replace("--", "[-]{2}")):
        an_engine(*flags)


def test_without_a_rank_limit_the_first_adapters_set_it() -> None:
    engine = an_engine("--lora-paths", "sql=/sql")

    async def story() -> None:
        await engine.load("same", "/same")
        with pytest.raises(EngineError, match="with rank 128 is incompatible"):
            await engine.load("huge", "/huge")

    loop.run(story())


def test_loads_of_different_names_take_turns() -> None:
    async def story() -> float:
        engine = an_engine(load=2.0)
        await asyncio.gather(engine.load("a", "/a"), engine.load("b", "/b"))
        return asyncio.get_running_loop().time()

    assert loop.run(story()) == 4.0


def test_an_unload_removes_the_name_at_once_and_waits_for_requests_in_progress() -> None:
    async def story() -> None:
        clock = asyncio.get_running_loop()
        changes: list[AdapterEvent] = []
        engine = an_engine(changes=changes)
        await engine.load("sql", "/sql")
        answer = asyncio.ensure_future(engine.complete("sql", 100, 1000))
        await asyncio.sleep(1)
        gone = asyncio.ensure_future(engine.unload("sql"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert list(engine.adapters) == []
        assert [change.event for change in changes] == ["loaded"]
        done = await answer
        assert done.seconds > 5
        await gone
        assert clock.time() == pytest.approx(done.seconds + 0.1)
        assert [change.event for change in changes] == ["loaded", "unloaded"]

    loop.run(story())


def test_an_evicted_adapter_is_loaded_again_when_requested() -> None:
    async def story() -> None:
        engine = an_engine(*LORA, "--max-loras-per-batch", "2", "--max-loaded-loras", "2")
        for name in ("a", "b", "c"):
            await engine.load(name, f"/{name}")
        assert list(engine.adapters) == ["b", "c"]
        await engine.reload_evicted("a")
        assert list(engine.adapters) == ["c", "a"]
        await engine.unload("c")
        assert not engine.is_reloadable("c")
        assert engine.is_reloadable("b")

    loop.run(story())


def test_faults_of_loads_look_like_its_own_refusals() -> None:
    faults = FaultRules()
    faults.add(FaultRule("out-of-memory"))
    effect = faults.effect("controller", "/load_lora_adapter", "sql", float)
    assert effect is not None
    assert effect.response is not None
    assert effect.response.status == 400
    assert b'"success":false,"error_message":"CUDA out of memory' in effect.response.body


def test_metrics_have_its_names_and_move() -> None:
    async def story() -> str:
        engine = an_engine(*LORA, "--enable-metrics")
        await engine.load("sql", "/sql")
        await asyncio.gather(*(engine.complete("sql", 100, 20) for _ in range(3)))
        return engine.metrics_page()

    families = {family.name: family for family in text_string_to_metric_families(loop.run(story()))}
    values = {s.name: s.value for f in families.values() for s in f.samples if "le" not in s.labels}
    assert values["sglang:prompt_tokens_total"] == 300
    assert values["sglang:generation_tokens_total"] == 60
    assert values["sglang:num_requests_total"] == values["sglang:e2e_request_latency_seconds_count"] == 3
    assert values["sglang:num_running_reqs"] == values["sglang:token_usage"] == values["sglang:gen_throughput"] == 0
    assert all(name.startswith("sglang:") for name in families)
    assert families["sglang:num_queue_reqs"].samples[0].labels == {
        "model_name": "acme/base",
        "engine_type": "unified",
        "tp_rank": "0",
        "pp_rank": "0",
        "moe_ep_rank": "0",  # SGLang 0.5.9, srt/managers/scheduler_metrics_mixin.py: init_metrics
    }


# SGLang 0.5.9, srt/metrics/collector.py, SchedulerMetricsCollector; unchanged since 0.5.7, not in 0.5.6.post2
LORA_POOL = {
    "sglang:lora_pool_slots_used": "Number of LoRA adapter slots currently occupied in GPU memory.",
    "sglang:lora_pool_slots_total": "Total number of LoRA adapter slots available (max_loras_per_batch).",
    "sglang:lora_pool_utilization": "LoRA pool utilization ratio (used/total). 1.0 means pool is full.",
}


def lora_pool(engine: Engine) -> dict[str, float]:
    """Return the values of the gauges of the adapters' slots, by the end of their names."""
    families = [f for f in text_string_to_metric_families(engine.metrics_page()) if "lora" in f.name]
    assert {f.name: f.documentation for f in families} == (LORA_POOL if families else {})
    assert all((f.type, len(f.samples)) == ("gauge", 1) for f in families)
    assert all("moe_ep_rank" in f.samples[0].labels for f in families)
    return {f.name.removeprefix("sglang:lora_pool_"): f.samples[0].value for f in families}


def test_the_lora_pool_counts_adapters_of_running_requests() -> None:
    """SGLang 0.5.9, srt/managers/scheduler_metrics_mixin.py: update_lora_metrics."""

    async def story() -> None:
        engine = an_engine(*LORA, "--enable-metrics", "--max-loras-per-batch", "4")
        for name in ("a", "b", "idle"):
            await engine.load(name, f"/{name}")
        assert lora_pool(engine) == {"slots_used": 0, "slots_total": 4, "utilization": 0}
        running = [asyncio.ensure_future(engine.complete(name, 100, 200)) for name in ("a", "a", "b", "acme/base")]
        await asyncio.sleep(0.1)
        assert lora_pool(engine) == {"slots_used": 2, "slots_total": 4, "utilization": 0.5}
        await asyncio.gather(*running)
        assert lora_pool(engine)["slots_used"] == 0

    loop.run(story())


def test_there_is_no_lora_pool_without_lora() -> None:
    async def story() -> None:
        assert lora_pool(an_engine("--enable-metrics")) == {}

    loop.run(story())


def test_a_process_speaks_it_and_names_the_flags_that_make_no_difference() -> None:
    async def story() -> None:
        flags = ("--dialect", "sglang", *LORA[1:], "--enable-metrics", "--mem-fraction-static", "0.8")
        async with running(*flags) as (port, admin), httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
            await answers(client, "/health_generate")
            loaded = await client.post("/load_lora_adapter", json={"lora_name": "sql", "lora_path": "acme/sql"})
            assert loaded.json()["loaded_adapters"] == {"sql": "acme/sql"}
            asked = {"text": "hi", "lora_path": "sql", "sampling_params": {"max_new_tokens": 4}}
            assert (await client.post("/generate", json=asked)).json()["text"].startswith("[sql]")
            assert "sglang:num_running_reqs" in (await client.get("/metrics")).text
            await admin.post("/_faults", json={"kind": "unauthorized", "callers": ["controller"]})
            refused = await client.post("/unload_lora_adapter", json={"lora_name": "sql"})
            assert refused.status_code == 401

    asyncio.run(story())


def test_the_openai_client_works_against_it_unchanged() -> None:
    async def story() -> None:
        async with running("--dialect", "sglang", *LORA[1:], "--api-key", "sk-test") as (port, _):
            base = f"http://127.0.0.1:{port}"
            async with openai.AsyncOpenAI(base_url=f"{base}/v1", api_key="sk-test", max_retries=0) as client:
                asked = {"lora_name": "sql", "lora_path": "acme/sql"}
                keyed = {"authorization": "Bearer sk-test"}
                async with httpx.AsyncClient(base_url=base, headers=keyed) as plain:
                    assert (await plain.post("/load_lora_adapter", json=asked)).status_code == 200
                assert [model.id async for model in client.models.list()] == ["base", "sql"]
                done = await client.completions.create(model="base:sql", prompt="hi", max_tokens=8)
                assert done.choices[0].text.startswith("[sql]")
                pieces = []
                async for chunk in await client.chat.completions.create(
                    model="base", messages=[{"role": "user", "content": "hi"}], max_tokens=8, stream=True
                ):
                    pieces += [choice.delta.content or "" for choice in chunk.choices]
                assert "".join(pieces).startswith("[base]")
                with pytest.raises(openai.BadRequestError, match="never been loaded"):
                    await client.completions.create(model="base:ghost", prompt="hi")
                with pytest.raises(openai.AuthenticationError):
                    await client.with_options(api_key="wrong").models.list()

    asyncio.run(story())


def test_the_real_sidecar_loads_and_unloads_on_it(tmp_path: Path) -> None:
    an_adapter(tmp_path / "sql")
    port, beside = free_port(), free_port()
    serve = ["serve", "--dialect", "sglang", "--model-path", "Qwen/Qwen2.5-1.5B-Instruct", *LORA, "--port", str(port)]
    with a_process(tmp_path / "engine.log", "fake_vllm", *serve, port=port) as engine:
        engine.wait("/health")
        told = {"INFERENCE_ENGINE": "sglang"}
        with a_sidecar_process(tmp_path / "sidecar.log", tmp_path / "cache", engine.url, beside, **told) as sidecar:
            order = {"lora_name": "sql", "artifact_url": str(tmp_path / "sql")}
            assert httpx.post(f"{sidecar.url}/v1/lora_adapter/load", json=order).status_code == 200
            assert listed(engine.url) == ["Qwen/Qwen2.5-1.5B-Instruct", "sql"]
            taken = httpx.post(f"{sidecar.url}/v1/lora_adapter/load", json={**order, "artifact_url": "/nowhere"})
            assert taken.status_code >= 400
            gone = httpx.post(f"{sidecar.url}/v1/lora_adapter/unload", json={"lora_name": "sql"})
            assert gone.status_code == 200
            assert listed(engine.url) == ["Qwen/Qwen2.5-1.5B-Instruct"]


def test_the_operator_loads_and_unloads_on_it_without_a_sidecar() -> None:
    async def story() -> None:
        async with (
            running("--dialect", "sglang", *LORA[1:]) as (port, admin),
            httpx.AsyncHTTPTransport(trust_env=False) as sockets,
        ):
            operator, engine = EngineClient(sockets), Address("127.0.0.1", port, flavor=SGLANG)
            await operator.load(engine, "sql", "acme/sql", 5)
            assert (await operator.models(engine, 5)).adapters == {"sql": "acme/sql"}
            with pytest.raises(AlreadyLoaded):
                await operator.load(engine, "sql", "acme/other", 5)
            await operator.unload(engine, "sql", 5)
            await operator.unload(engine, "sql", 5)
            assert (await operator.models(engine, 5)).adapters == {}
            await admin.post("/_faults", json={"kind": "out-of-memory", "callers": ["controller"]})
            with pytest.raises(controller_errors.EngineError, match="CUDA out of memory") as refused:
                await operator.load(engine, "sql", "acme/sql", 5)
            assert (refused.value.reason, refused.value.scope) == ("OutOfMemory", Scope.POD)

    asyncio.run(story())


def listed(url: str) -> list[str]:
    return [model["id"] for model in httpx.get(f"{url}/v1/models").json()["data"]]


def test_its_flag_for_the_size_of_a_step_counts() -> None:
    flags = ["serve", "base", "--dialect", "sglang", "--chunked-prefill-size"]
    assert options.read([*flags, "512"], {})[1].profile.timing.batched_tokens == 512
    assert options.read([*flags, "-1"], {})[1].profile.timing.batched_tokens == 2048
    with pytest.raises(EngineConfigError, match="--chunked-prefill-size is 0".replace("--", "[-]{2}")):
        options.read([*flags, "0"], {})
