"""Costs of adapters: additional time of steps, and the memory that LoRA slots take from the KV cache."""

import asyncio
from pathlib import Path

import numpy as np
import pytest

from fake_vllm.cli import profile as profiles
from fake_vllm.cli.profile import ProfileError
from fake_vllm.distributions import Constant
from fake_vllm.engine.adapters.costs import Architecture, LoraCosts
from fake_vllm.engine.context import Randomness
from fake_vllm.engine.engine import Completion, Engine, EngineConfig
from fake_vllm.engine.timing import EngineTimes, StepTimeModel
from fake_vllm.flavors import flavor_of
from twin.kernel import loop

LLAMA_8B = Architecture(
    num_hidden_layers=32,
    hidden_size=4096,
    intermediate_size=14336,
    num_attention_heads=32,
    num_key_value_heads=8,
    head_dim=128,
)
COSTS = LoraCosts(step_base=0.002, per_adapter=0.001, per_sequence=0.0005, per_prefill_token=0.0001, rank=16)
STEPS = StepTimeModel(step_base=0.01, per_sequence=0.0, per_prefill_token=0.0, lora=COSTS)


def an_engine(steps: StepTimeModel, **config: object) -> Engine:
    names = tuple((f"a{number}", f"/a{number}") for number in range(3))
    settings = {"enable_lora": True, "max_loras": 2, "lora_modules": names, "max_cpu_loras": 3} | config
    engine_config = EngineConfig(**settings)  # type: ignore[arg-type]
    times = EngineTimes(Constant(0.5), Constant(0.0), steps)
    return Engine(engine_config, flavor_of(engine_config), times, Randomness(np.random.default_rng(0)))


def completions(engine: Engine, *models: str, prompt: int = 10, output: int = 3) -> list[Completion]:
    async def story() -> list[Completion]:
        return list(await asyncio.gather(*(engine.complete(model, prompt, output) for model in models)))

    return loop.run(story())


@pytest.mark.parametrize(
    ("models", "first", "between"),
    [
        (("Qwen/Qwen3-0.6B",), 0.01, 0.01),
        (("a0",), 0.01 + 0.002 + 0.0005 + 10 * 0.0001, 0.0125),
        (("a0", "a0"), 0.01 + 0.002 + 2 * 0.0005 + 20 * 0.0001, 0.013),
        (("a0", "a1"), 0.01 + 0.002 + 0.001 + 2 * 0.0005 + 20 * 0.0001, 0.014),
        (("a0", "Qwen/Qwen3-0.6B"), 0.01 + 0.002 + 0.0005 + 10 * 0.0001, 0.0125),
    ],
)
def test_a_step_takes_longer_by_adapter_sequence_and_prompt_token(
    models: tuple[str, ...], first: float, between: float
) -> None:
    for completion in completions(an_engine(STEPS), *models):
        assert completion.first_token == pytest.approx(first)
        assert (completion.seconds - completion.first_token) / 2 == pytest.approx(between)


@pytest.mark.parametrize(("rank", "share", "factor"), [(16, 1.0, 1.0), (64, 1.0, 4.0), (64, 0.0, 1.0), (64, 0.5, 2.5)])
def test_the_cost_of_tokens_grows_with_the_maximum_rank_of_the_server(rank: int, share: float, factor: float) -> None:
    costs = LoraCosts(step_base=0.002, per_prefill_token=0.001, rank=16, rank_share=share)
    steps = StepTimeModel(step_base=0.01, per_sequence=0.0, per_prefill_token=0.0, lora=costs)
    (completion,) = completions(an_engine(steps, max_lora_rank=rank), "a0", output=1)
    assert completion.seconds == pytest.approx(0.01 + 0.002 + 10 * 0.001 * factor)


def test_an_adapter_that_has_lost_its_gpu_slot_is_copied_again_and_an_evicted_one_is_read_from_disk() -> None:
    costs = LoraCosts(cpu_to_gpu=0.1, disk_to_cpu=0.4)
    steps = StepTimeModel(step_base=0.01, per_sequence=0.0, per_prefill_token=0.0, lora=costs)
    engine = an_engine(steps, max_loras=1, max_cpu_loras=2)
    delays = [completions(engine, model, output=1)[0].seconds - 0.01 for model in ("a2", "a1", "a1", "a2", "a0")]
    assert delays == pytest.approx([0.0, 0.1, 0.0, 0.1, 0.5])


def test_slots_take_their_memory_from_the_kv_cache() -> None:
    # matrices A and B of rank 16 in half precision: 81 920 rows and columns a layer, 32 layers
    assert LLAMA_8B.slot_bytes(16) == 2 * 16 * 81_920 * 32
    assert LLAMA_8B.kv_token_bytes == 128 * 1024
    config = EngineConfig(enable_lora=True, max_loras=8, max_lora_rank=64)
    assert LLAMA_8B.kv_tokens_left(400_000, config) == 400_000 - 8 * 64 * 2 * 81_920 * 32 // (128 * 1024)
    assert LLAMA_8B.kv_tokens_left(400_000, EngineConfig()) == 400_000


def test_fewer_target_modules_take_less_memory() -> None:
    attention = Architecture(32, 4096, 14336, 32, 8, 128, target_modules=("q_proj", "v_proj"))
    assert attention.slot_bytes(16) == 2 * 16 * (4096 + 4096 + 4096 + 1024) * 32


def test_the_metrics_show_the_blocks_that_the_slots_leave() -> None:
    engine = an_engine(StepTimeModel(architecture=LLAMA_8B, kv_tokens=100_000), max_lora_rank=64)
    slots = 2 * LLAMA_8B.slot_bytes(64)
    blocks = (100_000 - slots // LLAMA_8B.kv_token_bytes) // 16

    async def page() -> str:
        return engine.metrics_page()

    assert f'num_gpu_blocks="{blocks}"' in loop.run(page())


def test_requests_that_arrive_together_pass_the_api_server_one_by_one() -> None:
    steps = StepTimeModel(
        step_base=0.01, per_sequence=0.0, per_prefill_token=0.0, per_request=0.1, request_latency=0.03
    )
    first = [completion.first_token for completion in completions(an_engine(steps), *["a0"] * 3, output=1)]
    assert first == pytest.approx([0.14, 0.24, 0.34])


def test_a_request_that_is_cancelled_in_the_api_server_leaves_nothing_behind() -> None:
    engine = an_engine(StepTimeModel(per_request=1.0))

    async def story() -> None:
        task = asyncio.create_task(engine.complete("a0", 10, 3))
        await asyncio.sleep(0.5)
        task.cancel()
        await asyncio.sleep(2.0)

    loop.run(story())
    assert not engine.runner.frontend.sequences("a0")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("timing: {lora: {step_base: fast}}", "timing.lora.step_base: "),
        ("timing: {lora: {rnk: 8}}", "timing.lora.rnk: unknown key"),
        ("timing: {lora: {rank: 0}}", "timing.lora: rank is 0; it must be at least 1"),
        ("timing: {lora: {rank_share: 2}}", "timing.lora: rank_share is 2.0; it must be between 0 and 1"),
        ("timing: {architecture: {head_dim: 64}}", "timing.architecture: needs num_hidden_layers, hidden_size"),
        (
            "timing: {architecture: {hidden_size: many}}",
            "timing.architecture.hidden_size: 'many' is not a whole number",
        ),
        ("uncertainty: {timing.step_base: much}", "uncertainty.timing.step_base: 'much' is not a percentage"),
        ("uncertainty: {timing.stp: 5%}", "uncertainty.timing.stp: unknown key"),
    ],
)
def test_costs_that_cannot_be_used_are_refused_with_their_place(text: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "times.yaml"
    file.write_text(text)
    with pytest.raises(ProfileError) as caught:
        profiles.read(str(file))
    assert message in str(caught.value)


@pytest.mark.parametrize("name", profiles.presets())
def test_every_preset_says_how_sure_its_times_are(name: str) -> None:
    preset = profiles.preset(name)
    assert {"timing.step_base", "timing.per_sequence", "timing.per_prefill_token"} <= set(preset.uncertainty)
    assert preset.timing.architecture is not None
