"""Plays the requests of a load test to the fake engine in virtual time, so that queueing is simulated and not fitted.

The result has the form of a measured run: what is computed from the one is computed from the other.
"""

import asyncio
from dataclasses import replace

import numpy as np

from fake_vllm.distributions import Constant
from fake_vllm.engine.config import EngineConfig
from fake_vllm.engine.context import Randomness
from fake_vllm.engine.engine import Engine
from fake_vllm.engine.timing import EngineTimes, StepTimeModel
from fake_vllm.flavors import flavor_of
from twin.calibration.load_test.records import LevelRun, RequestTiming, ServerSettings, ServerTimes
from twin.kernel import loop

_BASE = "base"
_NO_TIME = Constant(0.0)


def simulate_run(run: LevelRun, server: ServerSettings, timing: StepTimeModel) -> LevelRun:
    """Return the run as an engine with these step times would have made it; steps take their median time."""
    engine = _engine(run.level.adapters, server, replace(timing, spread=1.0))
    answers: dict[int, RequestTiming] = {}
    queued: list[float] = []

    async def client(first: int) -> None:
        for number in range(first, run.level.requests, run.level.concurrency):
            model = f"a{number % run.level.adapters}" if run.level.adapters else _BASE
            request = run.requests[number]
            sent = asyncio.get_running_loop().time()
            done = await engine.complete(model, request.prompt_tokens, request.output_tokens)
            times = (sent, sent + done.first_token, sent + done.seconds)
            answers[number] = RequestTiming(*times, done.prompt_tokens, done.output_tokens, request.in_flight)
            queued.append(done.queued)

    async def clients() -> None:
        await asyncio.gather(*(client(number) for number in range(run.level.concurrency)))

    loop.run(clients())
    requests = tuple(answers[number] for number in range(run.level.requests))
    times = ServerTimes(sum(queued) / len(queued), 0.0, 0.0)
    return LevelRun(run.level, run.repetition, requests, times)


def _engine(adapters: int, server: ServerSettings, timing: StepTimeModel) -> Engine:
    """Return an engine like the measured server, with adapters a0, a1, ... in its memory."""
    config = EngineConfig(
        served_model_names=(_BASE,),
        max_model_len=1 << 24,
        enable_lora=True,
        max_loras=server.max_loras,
        max_cpu_loras=max(server.max_cpu_loras, server.max_loras),
        max_lora_rank=server.max_lora_rank,
        max_num_seqs=server.max_num_seqs,
        lora_modules=tuple((f"a{number}", f"/a{number}") for number in range(adapters)),
    )
    steps = replace(timing, batched_tokens=server.max_num_batched_tokens)
    return Engine(
        config, flavor_of(config), EngineTimes(_NO_TIME, _NO_TIME, steps), Randomness(np.random.default_rng(0))
    )
