"""The operator's own clients against the hostile servers: every answer is a result or one of the client's errors."""

import asyncio
import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import httpx

from controller.api.types import PODS
from controller.client.config import Kubeconfig
from controller.client.interface import ClientError
from controller.client.ratelimit import rate_limits
from controller.client.rest import RestClient
from controller.client.transport import Connection
from controller.clock import SystemClock
from controller.engine.client import Address, EngineClient
from controller.engine.errors import EngineError
from controller.engine.metrics import read
from tests.adversary.answers import api_answer, engine_answer
from tests.adversary.memory import peak_mib
from tests.adversary.server import AdversaryServer, listening
from tests.contract.worlds import a_log

_ENGINE_SECONDS = 0.3
_API_SECONDS = 0.5


@dataclass
class Outcomes:
    """Results and faults of the clients, given the answers."""

    results: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    resident_mib: int = 0

    async def use(self, name: str, call: Any, *expected: type[Exception]) -> None:
        """Await a call that may raise the client's own errors only."""
        try:
            await call
        except expected as error:
            self.results[type(error).__name__] += 1
        except Exception as error:
            self.faults.append(f"{name}: {type(error).__name__}: {str(error)[:200]}")
        else:
            self.results["ok"] += 1

    def text(self) -> str:
        """Return the outcomes as JSON, with the memory that this process has used at most."""
        self.resident_mib = round(peak_mib())
        return json.dumps({"results": self.results, "faults": self.faults, "resident_mib": self.resident_mib})


async def use_engine(outcomes: Outcomes, count: int, seed: int) -> None:
    """Send requests to a hostile engine, one after the other."""
    server = AdversaryServer(engine_answer, Random(seed))
    async with listening(server) as port, httpx.AsyncHTTPTransport() as transport:
        client, address = EngineClient(transport), Address("127.0.0.1", port)

        async def metrics() -> None:
            read(await client.metrics(address, _ENGINE_SECONDS))

        for number in range(count):
            calls = (
                lambda: client.models(address, _ENGINE_SECONDS),
                lambda: client.load(address, "a", "/a", _ENGINE_SECONDS),
                lambda: client.unload(address, "a", _ENGINE_SECONDS),
                metrics,
            )
            await outcomes.use("engine", calls[number % len(calls)](), EngineError, ValueError)


async def use_api(outcomes: Outcomes, count: int, seed: int, folder: Path) -> None:
    """Send requests to a hostile API server, one after the other."""
    server = AdversaryServer(api_answer, Random(seed))
    async with listening(server) as port:
        file = folder / "kubeconfig"
        file.write_text(json.dumps(_kubeconfig(f"http://127.0.0.1:{port}")))
        access = Kubeconfig(str(file), "", SystemClock())
        async with Connection(access, limits=rate_limits(), timeout=_API_SECONDS, rng=Random(0)) as connection:
            client = RestClient(connection, Random(0), a_log())
            while len(server.given) < count:
                await outcomes.use("list", _within(client.list(PODS)), ClientError, TimeoutError)
                await outcomes.use("watch", _within(_watch(client)), ClientError, TimeoutError)
                await outcomes.use("patch", _within(client.patch(PODS, "default", "p", {})), ClientError, TimeoutError)


async def _within(call: Any) -> Any:
    """Wait as the caller would, who has other things to do: a watch may last."""
    async with asyncio.timeout(3 * _API_SECONDS):
        return await call


async def _watch(client: RestClient) -> None:
    async for _ in client.watch(PODS, resource_version="1"):
        pass


def _kubeconfig(url: str) -> dict[str, Any]:
    named = {"name": "a"}
    context = {**named, "context": {"cluster": "a", "user": "a", "namespace": "default"}}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "a",
        "clusters": [{**named, "cluster": {"server": url}}],
        "contexts": [context],
        "users": [{**named, "user": {"token": "t"}}],
    }


def use_both(count: int, seed: int) -> Outcomes:
    """Use both hostile servers, for half of the answers each."""
    outcomes = Outcomes()

    async def story(folder: Path) -> None:
        await use_engine(outcomes, count - count // 2, seed)
        await use_api(outcomes, count // 2, seed, folder)

    with TemporaryDirectory() as folder:
        asyncio.run(story(Path(folder)))
    return outcomes
