"""Sends generated requests to the served API, the fake engine and the sidecar, all in this process.

A server may refuse a request in any way that a real one does. It must not answer 500 for a fault of its own, raise,
send an invalid header, or leave the world behind it in a state that stops it.
"""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import httpx

from fake_vllm.server.asgi import AsgiApp
from tests.adversary.asgi import HttpRequest, HttpResponse, send
from tests.adversary.engine_requests import ENGINE, SIDECAR, engine_requests
from tests.adversary.kubernetes_requests import kubernetes_requests
from tests.controller.sidecar.worlds import a_sidecar
from tests.fake_vllm.openai.test_any_request import an_engine
from twin.apiserver.rest import ApiServer, TokenAuthenticator
from twin.kernel import loop
from twin.scenario import load
from twin.serve.container_logs import ContainerLogs
from twin.sim.simulation import Simulation

_SCENARIO = """\
name: adversary
duration: 10h
seed: 3
cluster: {nodes: {count: 2, gpus: 4, zones: [a, b]}, engines: {default: {startup: 20s, load: 1s}}}
objects: [{apiVersion: v1, kind: ConfigMap, metadata: {name: site}, data: {region: west}}]
"""
_REAL_500 = (
    b"failed to create typed patch object",
    b"the spec replicas field",
    b"object has no attribute 'get'",
)
"""Errors that real servers answer with 500: an API server an apply of unknown fields and a Scale without replicas, vLLM
up to 0.27.1 a body that is no object (recorded)."""
_REQUESTS_PER_WORLD = 2000
_REQUESTS_PER_ENGINE = 100
_VERSIONS = ("0.8.0", "0.11.0", "0.20.2", "0.27.1", "0.32.0")


@dataclass(slots=True)
class Report:
    """Responses by status, and the requests that were not answered as they should be."""

    statuses: Counter[int] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    async def exchange(self, app: Any, request: HttpRequest, *, leaves: bool = False) -> None:
        """Send a request and judge its response."""
        try:
            response = await asyncio.wait_for(send(app, request, leaves=leaves), 600)
        except Exception as error:
            self.faults.append(f"{type(error).__name__}: {error}: {request}")
            return
        self.statuses[response.status] += 1
        if fault := _fault(response):
            self.faults.append(f"{fault}: {request}")


def _fault(response: HttpResponse) -> str:
    body = bytes(response.body[:500])
    if response.status == 0 or (response.status == 500 and not any(text in body for text in _REAL_500)):
        return f"{response.status} {body!r}"
    if any(set(name + value) & {0, 10, 13} for name, value in response.headers):
        return "a header with a control character"
    return ""


def fuzz_served_api(count: int, seed: int, folder: Path) -> Report:
    """Send requests to the API of a simulated cluster; a simulated second passes after every fifth."""
    report, rng = Report(), Random(seed)
    file = folder / "adversary.yaml"
    file.write_text(_SCENARIO)
    for start in range(0, count, _REQUESTS_PER_WORLD):
        simulation = Simulation(load(str(file)))
        share = min(_REQUESTS_PER_WORLD, count - start)
        try:
            loop.run(_use_cluster(simulation, report, rng, share), simulation.env)
        except Exception as error:
            report.faults.append(f"the world ended with {type(error).__name__}: {error}")
    return report


async def _use_cluster(simulation: Simulation, report: Report, rng: Random, count: int) -> None:
    access = TokenAuthenticator()
    logs = ContainerLogs(simulation.network, simulation.wall_time)
    api = ApiServer(simulation.store, access, simulation.wall_time, containers=logs)
    simulation.start(controllers=False)
    try:
        for number, request in enumerate(kubernetes_requests(rng, access.admin_token, count)):
            await report.exchange(api, request, leaves=True)
            if number % 5 == 0:
                await asyncio.sleep(1.0)
    finally:
        api.close()
        await simulation.stop()
        pending = asyncio.all_tasks() - {asyncio.current_task()}
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)


def fuzz_engine(count: int, seed: int) -> Report:
    """Send requests to fake engines of several releases, in virtual time."""
    report, rng = Report(), Random(seed)

    async def story() -> None:
        for start in range(0, count, _REQUESTS_PER_ENGINE):
            app = AsgiApp(an_engine(version=rng.choice(_VERSIONS)))
            for request in engine_requests(rng, ENGINE, min(_REQUESTS_PER_ENGINE, count - start)):
                await report.exchange(app, request)

    loop.run(story())
    return report


def fuzz_sidecar(count: int, seed: int, folder: Path) -> Report:
    """Send requests to a sidecar whose engine is a fake one."""
    report, rng = Report(), Random(seed)

    async def story() -> None:
        async with a_sidecar(folder / "cache") as sidecar:
            transport = sidecar.client._transport
            assert isinstance(transport, httpx.ASGITransport)
            for request in engine_requests(rng, SIDECAR, count):
                await report.exchange(transport.app, request)

    asyncio.run(story())
    return report
