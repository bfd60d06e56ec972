"""Links between clients and engines: partitioned or slow."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from fake_vllm.distributions import Constant
from tests.twin.worlds import a_scenario
from twin.evaluate import invariants
from twin.faults import start
from twin.kernel.loop import run
from twin.sim.simulation import Simulation, simulate
from twin.trace.lines import FaultLine

TIMEOUTS = {"connect": 5.0, "read": 30.0, "write": 5.0, "pool": 5.0}


def on_the_way(folder: Path, story: Callable[[Simulation, str], Awaitable[None]]) -> None:
    """Run `story` with the address of the first of two engines that listen."""
    simulation = Simulation(a_scenario(folder, pods=2))

    async def main() -> None:
        simulation.world.start()
        simulation.users.apply_manifests()
        await asyncio.sleep(30)
        await story(simulation, min(simulation.world.hosts))
        await simulation.stop()

    run(main(), simulation.env)


async def ask(simulation: Simulation, ip: str, caller: str = "controller", **load: str) -> int:
    """Send one request and return the status of its response."""
    path, body = ("/v1/load_lora_adapter", load) if load else ("/v1/models", None)
    method = "POST" if load else "GET"
    url = f"http://{ip}:8000{path}"
    extensions = {"timeout": TIMEOUTS}
    request = httpx.Request(method, url, json=body, extensions=extensions)
    return (await simulation.network.transport("me", caller).handle_async_request(request)).status_code


def test_through_a_cut_connections_time_out(tmp_path: Path) -> None:
    async def story(simulation: Simulation, ip: str) -> None:
        mend = simulation.world.hosts[ip].link.partition(["controller"])
        start = simulation.env.now
        with pytest.raises(httpx.ConnectTimeout):
            await ask(simulation, ip)
        assert simulation.env.now - start == 5.0
        assert await ask(simulation, max(simulation.world.hosts)) == 200, "other ways are open"
        assert await ask(simulation, ip, "traffic") == 200, "and so is this one to others"
        mend()
        assert await ask(simulation, ip) == 200

    on_the_way(tmp_path, story)


def test_a_request_that_waits_when_the_link_is_repaired_gets_through(tmp_path: Path) -> None:
    async def story(simulation: Simulation, ip: str) -> None:
        mend = simulation.world.hosts[ip].link.partition(["controller"])
        asking = asyncio.ensure_future(ask(simulation, ip))
        await asyncio.sleep(3)
        mend()
        assert await asking == 200

    on_the_way(tmp_path, story)


def test_a_response_into_a_partition_is_lost_though_the_engine_acted(tmp_path: Path) -> None:
    async def story(simulation: Simulation, ip: str) -> None:
        host = simulation.world.hosts[ip]
        asking = asyncio.ensure_future(ask(simulation, ip, lora_name="x", lora_path="acme/x"))
        await asyncio.sleep(0.05)
        host.link.partition(["controller"])
        with pytest.raises(httpx.ReadTimeout):
            await asking
        assert host.engine is not None
        assert "x" in host.engine.adapters

    on_the_way(tmp_path, story)


def test_a_long_way_takes_longer_for_whom_it_is_long(tmp_path: Path) -> None:
    async def story(simulation: Simulation, ip: str) -> None:
        rng = simulation.streams.get("way")
        end = simulation.world.hosts[ip].link.delay(["controller"], Constant(2.0), rng)
        for caller, seconds in (("controller", 2.001), ("traffic", 0.001)):
            start = simulation.env.now
            await ask(simulation, ip, caller)
            assert simulation.env.now - start == pytest.approx(seconds)
        end()
        start = simulation.env.now
        await ask(simulation, ip)
        assert simulation.env.now - start == pytest.approx(0.001)

    on_the_way(tmp_path, story)


def test_a_partition_of_nodes_affects_their_present_and_future_pods(tmp_path: Path) -> None:
    cluster = {"nodes": {"count": 2, "gpus": 2}, "engines": {"default": {"startup": "2s"}}}
    faults: list[dict[str, Any]] = [
        {"kind": "partition", "nodes": {"names": ["node-0"]}, "from": "1m", "until": "3m"},
        {"kind": "pod-kill", "pods": {"count": 2}, "at": "2m"},
    ]
    lines = simulate(a_scenario(tmp_path, pods=3, faults=faults, cluster=cluster, duration="20m")).lines
    faults_recorded = [line for line in lines if isinstance(line, FaultLine) and line.fault == "partition"]
    first, *later, end = faults_recorded
    assert first.targets
    assert sorted({pod for line in (first, *later) for pod in line.targets}) == end.targets
    assert later, "a pod came to the node while it lasted"
    assert invariants.check(lines).violations == ()


def test_pods_that_were_drawn_stay_the_ones(tmp_path: Path) -> None:
    faults = [
        {"kind": "latency", "pods": {"count": 1}, "extra": "1s", "from": "1m", "until": "3m"},
        {"kind": "pod-kill", "pods": "all", "at": "2m"},
    ]
    lines = simulate(a_scenario(tmp_path, faults=faults)).lines
    faults_recorded = [line for line in lines if isinstance(line, FaultLine) and line.fault == "latency"]
    assert [(line.event, len(line.targets)) for line in faults_recorded] == [("begin", 1), ("end", 1)]


def test_faults_begin_with_the_run_by_default(tmp_path: Path) -> None:
    simulation = Simulation(a_scenario(tmp_path, faults=[{"kind": "registry-down"}]))
    start(simulation.scenario.faults, simulation.fault_context)
    simulation.env.run(until=0.1)
    assert simulation.world.artifacts.download("acme/x").error == "unreachable"
