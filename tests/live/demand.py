"""Demand and rebalancing on a served world, with a real client: the second part of `make live`.

`twin serve --operator-process` serves eight engines on sockets; requests go to its gateway. The story, in order:

1. load for one adapter makes its replicas rise, and they fall when it has ended;
2. two engines are added, and the operator is killed in the middle of the first move to them;
3. `lora-controller plan` shows the moves that are left, another operator makes them, and no request is lost.

The deployment has fewer engines than GPUs, so that the added ones start at once.
"""

import asyncio
import json
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.twin.serve.worlds import World, a_served_world, run

SPEED = 4
EVEN = 40
SHARE = 3
"""Adapters that each of ten engines has at least, of 41, within the tolerance of rebalancing."""
MOVE = "adapter.model.aibrix.ai/move"
_SPEC = """
    baseModel: qwen-coder-1-5b-instruct
    podSelector: {matchLabels: {model.aibrix.ai/name: qwen-coder-1-5b-instruct}}
"""
SCENARIO = f"""\
name: live-demand
duration: 10h
seed: 5
manifests: [{Path("scenarios/manifests/qwen-coder-8.yaml").absolute()}]
cluster:
  nodes: {{count: 3, gpus: 4, zones: [a, b]}}
  engines: {{default: {{startup: 10s, load: 20s}}}}
controller: {{rebalance: {{algorithm: min-cost-flow, interval: 10s}}}}
adapters:
- name: busy
  spec:{_SPEC}    artifactURL: huggingface://acme/busy
    autoscaling:
      {{max: 4, target: {{concurrency: 4}}, cooldownSeconds: 5, scaleUp: {{stabilizationWindowSeconds: 5}},
       scaleDown: {{stabilizationWindowSeconds: 60}}}}
- name: even-{{i}}
  count: {EVEN}
  spec:{_SPEC}    artifactURL: huggingface://acme/even-{{i}}
    replicas: 1
"""


@dataclass
class Client:
    """A client of the gateway, and what it was answered."""

    gateway: str
    answers: Counter[str] = field(default_factory=Counter)

    async def ask(self, http: httpx.AsyncClient, adapter: str, tokens: int) -> None:
        body = {"model": adapter, "prompt": "San Francisco is a", "max_tokens": tokens, "ignore_eos": True}
        try:
            response = await http.post(f"{self.gateway}/v1/completions", json=body)
            self.answers[f"{response.status_code}"] += 1
            if response.status_code != 200:
                print(f"   {adapter}: {response.status_code} {response.text[:150]}")
        except httpx.HTTPError as error:
            self.answers[type(error).__name__] += 1
            print(f"   {adapter}: {type(error).__name__} {error}")

    async def keep_asking(self, adapters: list[str], streams: int, tokens: int, stop: asyncio.Event) -> None:
        """Send requests for the adapters in turn, `streams` at once, until `stop` is set."""

        async def stream(number: int) -> None:
            while not stop.is_set():
                await self.ask(http, adapters[number % len(adapters)], tokens)
                number += streams

        async with httpx.AsyncClient(timeout=120, limits=httpx.Limits(max_connections=streams)) as http:
            await asyncio.gather(*map(stream, range(streams)))


def adapters(world: World) -> dict[str, dict[str, Any]]:
    """Return all adapters by name."""
    listed = world.kubectl("get", "modeladapters", "-o", "json")
    assert listed.code == 0, listed.all
    return {item["metadata"]["name"]: item for item in json.loads(listed.out)["items"]}


def moving(world: World) -> list[str]:
    """Return the adapters with a move under way."""
    moves = {name: item["metadata"].get("annotations", {}).get(MOVE) for name, item in adapters(world).items()}
    return [name for name, move in moves.items() if move and not json.loads(move).get("finished")]


def planned(world: World) -> int:
    """Return the number of moves that `lora-controller plan` prints."""
    command = [str(Path(sys.executable).with_name("lora-controller")), "plan", "--namespaces", "default"]
    environment = {**world.environment, "PYTHONPATH": os.getcwd()}
    shown = run([*command, "--output", "json"], environment)
    assert shown.code == 0, shown.all
    print(run(command, environment).out.rstrip().splitlines()[-1])
    moves: list[object] = json.loads(shown.out)["moves"]
    return len(moves)


async def until(what: str, holds: Callable[[], object], seconds: float = 120.0) -> None:
    """Wait until something holds."""
    started = time.perf_counter()
    while not await asyncio.to_thread(holds):
        if time.perf_counter() - started > seconds:
            raise AssertionError(f"after {seconds:g} s not so: {what}")
        await asyncio.sleep(0.3)
    print(f"{what}: after {time.perf_counter() - started:.0f} s")


async def with_load(client: Client, names: list[str], streams: int, tokens: int, story: Awaitable[None]) -> None:
    """Run a part of the story while the client sends requests."""
    stop = asyncio.Event()
    load = asyncio.create_task(client.keep_asking(names, streams, tokens, stop))
    try:
        await story
    finally:
        stop.set()
        await load


async def rise_and_fall(world: World) -> None:
    client = Client(world.gateway)
    more = until("load makes replicas rise", lambda: adapters(world)["busy"]["status"]["readyReplicas"] >= 3)
    await with_load(client, ["busy"], 24, 600, more)
    await until("without load they fall", lambda: adapters(world)["busy"]["status"]["readyReplicas"] == 1)
    print(f"answers: {dict(client.answers)}")
    assert set(client.answers) == {"200"}, client.answers


async def move_to_added_engines(world: World) -> None:
    assert planned(world) == 0
    before = {item["status"]["instances"][0] for item in adapters(world).values()}
    world.kubectl("scale", "deployment", "qwen-coder-1-5b-instruct", "--replicas=10")
    await until("a move is under way", lambda: moving(world))
    killed = world.twin("fault", "controller-crash")
    assert killed.code == 0, killed.all
    print(f"operator killed while it moved {', '.join(moving(world))}")
    assert planned(world) > 0

    def is_even() -> bool:
        placed = Counter(pod for item in adapters(world).values() for pod in item["status"]["instances"])
        added = [placed[pod] for pod in placed if pod not in before]
        return len(added) == 2 and min(added) >= SHARE and not moving(world)

    await until("the added engines have their share", is_even)
    assert planned(world) == 0
    events = world.kubectl("get", "events", "-o", "json")
    reasons = Counter(event["reason"] for event in json.loads(events.out)["items"])
    print(f"events: {reasons['Moving']} Moving, {reasons['Moved']} Moved, {reasons['MoveCancelled']} MoveCancelled")


async def story(world: World) -> None:
    def all_run() -> bool:
        found = adapters(world)
        return len(found) == EVEN + 1 and all(
            item.get("status", {}).get("phase") == "Running" for item in found.values()
        )

    await until("all adapters are Running", all_run)
    await rise_and_fall(world)
    client = Client(world.gateway)
    await with_load(client, [f"even-{i}" for i in range(EVEN)], 4, 16, move_to_added_engines(world))
    print(f"answers: {dict(client.answers)}")
    assert set(client.answers) == {"200"}, client.answers


def main() -> int:
    """Run the story; return 1 if it goes otherwise."""
    with tempfile.TemporaryDirectory() as folder:
        arguments = ("--operator-process", "--speed", str(SPEED))
        with a_served_world(Path(folder), *arguments, scenario=SCENARIO) as world:
            try:
                asyncio.run(story(world))
            except AssertionError as error:
                print(f"failed: {error}", file=sys.stderr)
                return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
