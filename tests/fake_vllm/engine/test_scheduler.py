"""Continuous batching: order and duration of requests, and statistics."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fake_vllm.distributions import Constant
from fake_vllm.engine.context import Randomness
from fake_vllm.engine.engine import Completion, Engine, EngineClosed, EngineConfig, EngineError
from fake_vllm.engine.timing import EngineTimes, StepTimeModel
from fake_vllm.flavors import flavor_of
from twin.kernel import loop

STEP = 0.01
PLAIN = StepTimeModel(
    step_base=STEP, per_sequence=0.001, per_prefill_token=0.0001, kv_tokens=100_000, batched_tokens=1000
)
ADAPTERS = tuple((f"a{number}", f"/a{number}") for number in range(6))


def an_engine(timing: StepTimeModel = PLAIN, load: float = 0.5, **settings: Any) -> Engine:
    config = EngineConfig(
        **{
            "served_model_names": ("base",),
            "max_model_len": 4096,
            "enable_lora": True,
            "max_loras": 2,
            "max_cpu_loras": 6,
            "lora_modules": ADAPTERS,
            **settings,
        }
    )
    return Engine(
        config,
        flavor_of(config),
        EngineTimes(Constant(load), Constant(0.0), timing),
        Randomness(np.random.default_rng(0)),
    )


def simulated(story: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    return loop.run(story())


async def together(engine: Engine, *asked: tuple[str, int, int]) -> list[Completion]:
    return await asyncio.gather(*(engine.complete(*each) for each in asked))


def test_one_answer_takes_its_prompt_and_a_step_for_each_token() -> None:
    (done,) = simulated(lambda: together(an_engine(), ("base", 100, 11)))
    assert done.first_token == pytest.approx(STEP + 100 * 0.0001)
    assert done.seconds == pytest.approx(done.first_token + 10 * STEP)
    assert (done.prompt_tokens, done.output_tokens, done.queued, done.ending) == (100, 11, 0.0, "length")


def test_a_larger_batch_makes_every_token_slower() -> None:
    done = simulated(lambda: together(an_engine(), *[("base", 1, 11)] * 5))
    assert [each.seconds for each in done] == [pytest.approx(11 * (STEP + 4 * 0.001) + 5 * 0.0001)] * 5


def test_a_prompt_that_exceeds_a_steps_budget_is_prefilled_in_chunks_and_slows_others() -> None:
    long, short = simulated(lambda: together(an_engine(), ("base", 2500, 1), ("base", 1, 1)))
    assert long.first_token == pytest.approx(2 * (STEP + 0.1) + STEP + 0.001 + 501 * 0.0001)
    assert short.first_token == pytest.approx(long.first_token)  # it had to wait for the budget


def test_a_request_waits_while_the_batch_is_full() -> None:
    done = simulated(lambda: together(an_engine(max_num_seqs=2), *[("base", 1, 10)] * 3))
    assert [each.queued > 0 for each in done] == [False, False, True]
    assert done[2].queued == pytest.approx(done[0].seconds)


def test_a_third_adapter_waits_while_two_are_in_the_batch_and_others_overtake_it() -> None:
    asked = [("a0", 1, 10), ("a1", 1, 20), ("a2", 1, 10), ("a0", 1, 10), ("base", 1, 10)]
    done = simulated(lambda: together(an_engine(), *asked))
    assert [each.queued > 0 for each in done] == [False, False, True, False, False]
    assert done[2].queued == pytest.approx(done[0].seconds)


def test_an_adapter_that_fell_out_of_host_memory_is_read_again() -> None:
    async def story() -> list[float]:
        engine = an_engine(max_loras=1, max_cpu_loras=2)
        return [(await engine.complete(name, 1, 1)).seconds for name in ("a4", "a5", "a0", "a5", "a4")]

    warm, cold = pytest.approx(STEP + 0.0001), pytest.approx(STEP + 0.0001 + 0.5)
    assert simulated(story) == [warm, warm, cold, warm, cold]


def test_a_load_slows_running_requests() -> None:
    async def story() -> tuple[float, float]:
        engine = an_engine(StepTimeModel(step_base=STEP, per_sequence=0.0, per_prefill_token=0.0, loading_slowdown=2.0))
        quiet = await engine.complete("base", 1, 100)
        busy, _ = await asyncio.gather(engine.complete("base", 1, 100), engine.load("new", "/new"))
        return quiet.seconds, busy.seconds

    quiet, busy = simulated(story)
    assert quiet == pytest.approx(1.0)
    assert busy == pytest.approx(1.0 + 0.25, abs=0.03)  # half a second at half the speed


def test_a_full_kv_cache_preempts_the_youngest_and_all_complete() -> None:
    async def story() -> tuple[list[Completion], int, int]:
        engine = an_engine(StepTimeModel(step_base=STEP, kv_tokens=300), max_model_len=300)
        done = await together(engine, *[("base", 80, 100)] * 3)
        return done, engine.runner.metrics.preemptions, engine.runner.scheduler.kv_used

    done, preemptions, used = simulated(story)
    assert preemptions > 0
    assert used == 0
    assert done[0].seconds < done[2].seconds


def test_a_caller_that_gives_up_takes_its_request_off_the_engine() -> None:
    async def story() -> tuple[int, int, dict[str, int]]:
        engine = an_engine(max_num_seqs=1)
        for _ in range(2):  # one is being answered, one waits
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(1.0):
                    await together(engine, ("a0", 10, 1000), ("a1", 10, 1000))
        await engine.complete("base", 1, 1)
        batch = engine.runner.scheduler
        return batch.kv_used, len(batch.running) + len(batch.waiting), dict(engine.runner.metrics.endings)

    assert simulated(story) == (0, 0, {"abort": 4, "length": 1})


@pytest.mark.parametrize(
    ("model", "prompt", "output", "status"), [("ghost", 1, 1, 404), ("base", 4000, 200, 400), ("a0", 1, 5000, 400)]
)
def test_what_the_engine_would_refuse_is_refused(model: str, prompt: int, output: int, status: int) -> None:
    with pytest.raises(EngineError) as refused:
        simulated(lambda: an_engine().complete(model, prompt, output))
    assert refused.value.status == status


@pytest.mark.parametrize(("end", "error"), [("kill_core", EngineError), ("close", EngineClosed)])
def test_an_engine_that_stops_fails_all_waiting_requests(end: str, error: type[Exception]) -> None:
    async def story() -> list[object]:
        engine = an_engine(max_num_seqs=1)
        asyncio.get_running_loop().call_later(1.0, getattr(engine, end))
        work = [engine.complete("base", 1, 4000) for _ in range(3)]
        ended = await asyncio.gather(*work, return_exceptions=True)
        with pytest.raises(error):
            await engine.complete("base", 1, 1)
        return list(ended)

    assert {type(each) for each in simulated(story)} == {error}


def test_the_same_seed_gives_the_same_times() -> None:
    timing = StepTimeModel(step_base=STEP, spread=1.5)

    def times(seed: int) -> list[float]:
        config = EngineConfig(served_model_names=("base",))
        engine = Engine(
            config,
            flavor_of(config),
            EngineTimes(Constant(0), Constant(0), timing),
            Randomness(np.random.default_rng(0), seed=seed),
        )
        return [each.seconds for each in simulated(lambda: together(engine, *[("base", 9, 9), ("base", 5, 30)]))]

    assert times(1) == times(1)
    assert times(1) != times(2)


requests = st.tuples(
    st.sampled_from(["base", "a0", "a1", "a2", "a3"]), st.integers(1, 900), st.integers(1, 300), st.floats(0, 5)
)


@given(asked=st.lists(requests, max_size=25), give_up=st.floats(0.1, 20.0), crowd=st.integers(1, 8))
@settings(max_examples=150, deadline=None)
def test_any_sequence_of_requests_completes_and_frees_its_memory(
    asked: list[tuple[str, int, int, float]], give_up: float, crowd: int
) -> None:
    async def story() -> None:
        engine = an_engine(
            StepTimeModel(step_base=STEP, kv_tokens=1500, batched_tokens=256), max_model_len=1500, max_num_seqs=crowd
        )

        async def one(model: str, prompt: int, output: int, after: float) -> Completion | None:
            await asyncio.sleep(after)
            try:
                async with asyncio.timeout(give_up):
                    return await engine.complete(model, prompt, output)
            except TimeoutError:
                return None

        done = await asyncio.gather(*(one(*each) for each in asked))
        counted = engine.runner.metrics
        batch = engine.runner.scheduler
        assert (batch.kv_used, len(batch.running), len(batch.waiting), dict(batch.adapters)) == (0, 0, 0, {})
        finished = [each for each in done if each is not None]
        assert counted.endings["length"] == len(finished)
        assert counted.endings["length"] + counted.endings["abort"] == len(asked)
        for each in finished:
            assert 0 <= each.queued <= each.first_token <= each.seconds
            assert each.seconds >= STEP * each.output_tokens * 0.999
        if len(finished) == len(asked) and not counted.preemptions:
            assert counted.generation_tokens == sum(each.output_tokens for each in finished)
            assert counted.prompt_tokens == sum(each.prompt_tokens for each in finished)

    simulated(story)
