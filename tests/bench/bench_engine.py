"""Speed of the fake engine in process.

A day of a large fleet without changes has 144 000 requests for the list of models, an hour of churn some ten thousand
loads; the engine's share of both has to be small.
"""

import asyncio
import json
import timeit
from collections.abc import Callable

import numpy as np

from fake_vllm.distributions import Constant
from fake_vllm.engine.context import Randomness
from fake_vllm.engine.engine import Engine, EngineConfig
from fake_vllm.engine.timing import EngineTimes
from fake_vllm.faults.effects import FaultRules
from fake_vllm.faults.rules import FaultRule
from fake_vllm.flavors import flavor_of
from fake_vllm.router import LOAD_PATH, UNLOAD_PATH, Request, handle, handle_immediate

ROUNDS = 20_000
CHANGES = 3_000
JSON = {"content-type": "application/json"}


def an_engine(*api_keys: str) -> Engine:
    config = EngineConfig(enable_lora=True, runtime_updating=True, max_loras=8, max_cpu_loras=32, api_keys=api_keys)
    return Engine(
        config, flavor_of(config), EngineTimes(Constant(0.0), Constant(0.0)), Randomness(np.random.default_rng(0))
    )


def microseconds(call: Callable[[], object]) -> float:
    return min(timeit.repeat(call, number=ROUNDS, repeat=3)) / ROUNDS * 1e6


async def churn() -> None:
    engine = an_engine()
    for number in range(CHANGES):
        body = json.dumps({"lora_name": f"a{number}", "lora_path": "p"}).encode()
        await handle(engine, Request("POST", LOAD_PATH, JSON, body))
        await handle(engine, Request("POST", UNLOAD_PATH, JSON, body))


def measure() -> dict[str, float]:
    """Figures for `make bench`, in microseconds."""
    engine, guarded = an_engine(), an_engine("sk-one")
    plain = Request("GET", "/v1/models", {})
    keyed = Request("GET", "/v1/models", {"authorization": "Bearer sk-one"})
    quiet, chancy = FaultRules(), FaultRules()
    chancy.add(FaultRule("timeout", probability=0.5, adapters=("sql-*",)))
    draw = np.random.default_rng(0).random
    calls: dict[str, Callable[[], object]] = {
        "list of models, us": lambda: handle_immediate(engine, plain),
        "list of models with a key, us": lambda: handle_immediate(guarded, keyed),
        "fault effect, no faults, us": lambda: quiet.effect("controller", "/v1/models", "", draw),
        "fault effect, one rule, us": lambda: chancy.effect("controller", "/v1/models", "", draw),
    }
    figures = {name: microseconds(call) for name, call in calls.items()}
    seconds = min(timeit.repeat(lambda: asyncio.run(churn()), number=1, repeat=3))
    return {**figures, "load or unload, us": seconds / CHANGES / 2 * 1e6}
