"""One story, run twice: with the operator against `fake-vllm` processes on sockets, and in the twin.

Three bare pods, `base-0` to `base-2`, one adapter that wants one replica, and something wrong with the first pod. Both
worlds have the same API server (the twin's; live behind HTTP), the same operator, and are watched in the same way.
"""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import httpx

from controller.backoff import Backoff
from controller.client.rest import RestClient
from controller.clock import SystemClock
from controller.dependencies import Dependencies
from controller.operator import Operator
from controller.settings import Settings
from fake_vllm.faults.spec import FaultSpec
from formats.timestamps import format_time
from tests.controller.fake_client import QUIET
from tests.controller.served import Served, serving
from tests.ports import free_port
from tests.twin.worlds import MODEL, SELECTOR, a_scenario
from twin.apiserver import Change, Store
from twin.kernel.loop import run
from twin.scenario import Scenario
from twin.sim.simulation import Simulation, SimulationOptions
from twin.trace.lines import RequestLine
from twin.world.network.engine_host import EngineHost

PODS = ("base-0", "base-1", "base-2")
FIRST = PODS[0]
ADAPTERS = "modeladapters.model.aibrix.ai"
EVENTS = "events.events.k8s.io"
SPEC = {"baseModel": MODEL, "podSelector": SELECTOR, "artifactURL": "huggingface://acme/sql", "replicas": 1}
PATIENCE = 1.5
"""Timeout of a load or a list, in seconds."""
RETRIES = {"retries": 2, "base": 0.1, "factor": 2.0}
LOAD = "50ms"
_UNREADY_AFTER = 4.0
"""Seconds for which probes have to fail until a pod is unready."""


@dataclass(frozen=True, slots=True)
class Story:
    """Result of a run: requests to load and their outcomes, and the events for users."""

    attempts: list[tuple[str, str]]
    reasons: list[str]
    """Conditions of the adapter, each once, in order."""
    told: set[tuple[str, str]]
    """Reasons and notes of Events."""
    phase: str
    instances: list[str]


@dataclass
class Witness:
    """Watches a store and records requests to engines."""

    attempts: list[tuple[str, str]] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    told: set[tuple[str, str]] = field(default_factory=set)
    phase: str = ""
    instances: list[str] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def watch(self, store: Store) -> None:
        store.subscribe(self._adapter, ADAPTERS)
        store.subscribe(self._event, EVENTS)

    def asked(self, pod: str, outcome: str) -> None:
        self.attempts.append((pod, outcome))

    def story(self) -> Story:
        return Story(self.attempts, self.reasons, self.told, self.phase, self.instances)

    def _adapter(self, change: Change) -> None:
        status: Mapping[str, Any] = change.object.get("status") or {}
        self.phase, self.instances = status.get("phase", ""), list(status.get("instances") or ())
        for condition in status.get("conditions") or ():
            if condition["reason"] not in self.reasons:
                self.reasons.append(condition["reason"])
        self.changed.set()

    def _event(self, change: Change) -> None:
        self.told.add((change.object["reason"], change.object["note"]))


def outcome(error: BaseException | None, status: int = 200) -> str:
    """Return the outcome of a request, in terms that do not depend on which side ended it first."""
    if error is None:
        return str(status)
    gave_up = isinstance(error, asyncio.CancelledError | httpx.TimeoutException)
    return "no answer" if gave_up else type(error).__name__


# Live


class Witnessed(httpx.AsyncBaseTransport):
    """Real sockets on this machine instead of the pods' addresses; records each load."""

    def __init__(self, witness: Witness, engines: list["Engine"]) -> None:
        self._witness = witness
        self._engines = {engine.ip: engine for engine in engines}
        self._real = httpx.AsyncHTTPTransport(trust_env=False)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        engine = self._engines[request.url.host]
        pod = engine.pod
        here = request.url.copy_with(host="127.0.0.1", port=engine.port)
        sent = httpx.Request(
            request.method, here, headers=request.headers, content=request.content, extensions=request.extensions
        )
        try:
            response = await self._real.handle_async_request(sent)
        except (httpx.HTTPError, asyncio.CancelledError) as error:
            self._record(request, pod, outcome(error))
            raise
        self._record(request, pod, outcome(None, response.status_code))
        return response

    async def aclose(self) -> None:
        await self._real.aclose()

    def _record(self, request: httpx.Request, pod: str, ended: str) -> None:
        if request.url.path == "/v1/load_lora_adapter":
            self._witness.asked(pod, ended)


@dataclass
class Engine:
    """One `fake-vllm` process, which is started again when it ends: a pod's container."""

    pod: str
    ip: str
    """Address of the pod; a real API server refuses loopback addresses."""
    port: int = 0
    admin: int = 0
    started: int = 0
    process: "subprocess.Popen[bytes] | None" = None

    def start(self) -> None:
        """Start again on other ports: another process may have taken the free ones."""
        self.port, self.admin = free_port(), free_port()
        words = ["serve", "Qwen/Qwen", "--served-model-name", MODEL, "--enable-lora", "--max-cpu-loras", "16"]
        places = ["--host", "127.0.0.1", "--port", str(self.port), "--admin-port", str(self.admin)]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "fake_vllm", *words, *places, "--load-latency", LOAD],
            env={**os.environ, "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "1"},
        )
        self.started += 1

    def restart_if_ended(self) -> bool:
        if self.process is None or self.process.poll() is None:
            return False
        self.start()
        return True

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait(10)


@contextmanager
def engines() -> Iterator[list[Engine]]:
    """Start a process for each pod."""
    started = [Engine(pod, f"10.244.0.{number}") for number, pod in enumerate(PODS, 1)]
    try:
        for engine in started:
            engine.start()
        yield started
    finally:
        for engine in started:
            engine.stop()


class Kubelet:
    """Probes the engines, sets the pods' conditions, and restarts processes that have ended.

    A pod turns unready when its process has ended, or when its probes have failed for a while: a refusing port is
    refused to the kubelet as well, which notices later than the operator.
    """

    def __init__(self, store: Store, engines: list[Engine]) -> None:
        self._store, self._engines = store, engines
        self._known: dict[str, tuple[bool, int]] = {}
        self._well = dict.fromkeys((engine.pod for engine in engines), -_UNREADY_AFTER)
        """Time of the last success by engine, on the loop's clock."""
        self.settled = asyncio.Event()
        """All engines have been ready at once."""
        for engine in engines:
            meta = {"name": engine.pod, "namespace": "default"}
            labels = SELECTOR["matchLabels"]
            container = {"name": "vllm", "image": "fake", "args": ["--enable-lora", "--max-cpu-loras=16"]}
            spec = {"nodeName": "here", "containers": [container]}
            store.create("pods", {"metadata": {**meta, "labels": labels}, "spec": spec})

    async def run(self) -> None:
        async with httpx.AsyncClient(timeout=0.3, trust_env=False) as client:
            while True:
                for engine in self._engines:
                    now = asyncio.get_running_loop().time()
                    if engine.restart_if_ended():
                        self._well[engine.pod] = now - _UNREADY_AFTER
                    elif await self._healthy(client, engine):
                        self._well[engine.pod] = now
                    self._say(engine, ready=now - self._well[engine.pod] < _UNREADY_AFTER)
                if all(ready for ready, _ in self._known.values()):
                    self.settled.set()
                await asyncio.sleep(0.1)

    async def _healthy(self, client: httpx.AsyncClient, engine: Engine) -> bool:
        try:
            return (await client.get(f"http://127.0.0.1:{engine.port}/health")).status_code == 200
        except httpx.HTTPError:
            return False

    def _say(self, engine: Engine, *, ready: bool) -> None:
        if self._known.get(engine.pod) == (ready, engine.started):
            return
        self._known[engine.pod] = (ready, engine.started)
        now = format_time(datetime.now(UTC))  # noqa: TID251 - a live world's clock
        condition = {"type": "Ready", "status": str(ready), "lastTransitionTime": now}
        container = {"name": "vllm", "containerID": f"process://{engine.started}", "ready": ready}
        status = {"phase": "Running", "podIP": engine.ip, "conditions": [condition], "containerStatuses": [container]}
        self._store.patch("pods", "default", engine.pod, {"status": status}, subresource="status")


async def live(engines: list[Engine], folder: Path, wrong: dict[str, Any], *, later: bool = False) -> Story:
    """Run the story live. `later`: inject the fault once the adapter runs, not at the start."""
    witness = Witness()
    first = engines[0]
    async with serving(folder) as served, httpx.AsyncClient(trust_env=False) as admin, asyncio.timeout(60):
        witness.watch(served.store)
        kubelet = Kubelet(served.store, engines)
        watching = asyncio.create_task(kubelet.run())
        try:
            await kubelet.settled.wait()
            faults = f"http://127.0.0.1:{first.admin}/_faults"
            if not later:
                (await admin.post(faults, json=wrong)).raise_for_status()
            async with working(served, Witnessed(witness, engines)):
                served.store.create(ADAPTERS, {"metadata": {"name": "sql", "namespace": "default"}, "spec": SPEC})
                await until_still(witness)
                if later:
                    (await admin.post(faults, json=wrong)).raise_for_status()
                    await asyncio.wait_for(witness.changed.wait(), 20)
                    await until_still(witness)
                return witness.story()
        finally:
            watching.cancel()
            with suppress(httpx.HTTPError):
                await admin.delete(f"http://127.0.0.1:{first.admin}/_faults")
            await forget(admin, engines)
            await asyncio.gather(watching, return_exceptions=True)


@asynccontextmanager
async def working(served: Served, transport: httpx.AsyncBaseTransport) -> AsyncIterator[None]:
    """Run the operator on the served API and real sockets."""
    settings = Settings(
        policy="least-adapters",
        backoff=Backoff(**RETRIES),
        stable_for=0.0,
        list_timeout=PATIENCE,
        load_timeout=PATIENCE,
        audit_interval=1.0,
    )
    async with served.connection() as connection:
        cluster = RestClient(connection, Random(0), QUIET)
        operator = Operator(
            Dependencies(
                client=cluster,
                transport=transport,
                clock=SystemClock(),
                rng=Random(0),
                settings=settings,
                identity="live",
                log=QUIET,
            )
        )
        task = asyncio.create_task(operator.run())
        try:
            yield
        finally:
            operator.stop()
            await asyncio.wait_for(task, 10)
            await transport.aclose()


async def until_still(witness: Witness) -> None:
    """Wait until the adapter runs or has failed, and nothing has changed for a while."""
    async with asyncio.timeout(20):
        while True:
            witness.changed.clear()
            try:
                await asyncio.wait_for(witness.changed.wait(), 1.0)
            except TimeoutError:
                if witness.phase in ("Running", "Failed"):
                    return


async def forget(client: httpx.AsyncClient, engines: list[Engine]) -> None:
    """Unload the adapter from all engines, for the next story."""
    for engine in engines:
        with suppress(httpx.HTTPError):
            await client.post(
                f"http://127.0.0.1:{engine.port}/v1/unload_lora_adapter", json={"lora_name": "sql"}, timeout=2
            )


# In the twin


def simulated(folder: Path, wrong: dict[str, Any], *, later: bool = False) -> Story:
    """Run the story in the twin: the same fault at the same pod.

    One from the start is read by the same code as live; one that strikes later is the scenario's.
    """
    options = SimulationOptions()
    if not later:
        rule = FaultSpec.parse(wrong).rule
        assert rule is not None
        hit = replace(rule, callers=tuple(wrong.get("callers", ("controller",))))

        def break_first(host: EngineHost, event: str, adapter: str, root: str) -> None:
            if (host.pod, event) == (f"default/{FIRST}", "started"):
                host.faults.add(hit)

        options = SimulationOptions(on_engine=break_first)
    simulation = Simulation(scenario(folder, wrong if later else None), options)
    witness = Witness()
    witness.watch(simulation.store)
    run(simulation.main(None), simulation.env)
    simulation.recorder.close()
    for line in simulation.recorder.lines:
        if isinstance(line, RequestLine) and (line.event, line.verb) == ("done", "load"):
            witness.asked(line.object.split("/")[1], _ended(line))
    return witness.story()


def _ended(line: RequestLine) -> str:
    if line.status:
        return str(line.status)
    name = line.error.partition(":")[0]
    return "no answer" if name in ("abandoned", "ReadTimeout", "ConnectTimeout") else name


def scenario(folder: Path, incident: dict[str, Any] | None) -> Scenario:
    """Return the pods, the adapter after they are up, and the fault of the first pod half a minute later."""
    command = ["vllm", "serve", "Qwen/Qwen", "--served-model-name", MODEL, "--enable-lora", "--max-cpu-loras", "16"]
    container = {
        "name": "vllm",
        "image": "vllm/vllm-openai:v0.27.0",
        "command": command,
        "env": [{"name": "VLLM_ALLOW_RUNTIME_LORA_UPDATING", "value": "True"}],
        "readinessProbe": {
            "httpGet": {"path": "/health", "port": 8000},
            "periodSeconds": 1,
            "failureThreshold": 1,
        },
    }
    pods = [
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": "default", "labels": SELECTOR["matchLabels"]},
            "spec": {"containers": [container]},
        }
        for name in PODS
    ]
    return a_scenario(
        folder,
        duration="2m",
        objects=pods,
        cluster={"engines": {"default": {"startup": "1s", "load": LOAD}}, "artifacts": {"bandwidth": "10Gbit/s"}},
        adapters=[{"name": "sql", "spec": SPEC, "arrive": {"at": "30s"}}],
        faults=[incident | {"pods": {"names": [FIRST]}}] if incident else [],
        controller={
            "policy": "least-adapters",
            "retry": {"retries": RETRIES["retries"], "base": f"{RETRIES['base']}s", "factor": RETRIES["factor"]},
            "stable_for": "0s",
            "list_timeout": f"{PATIENCE}s",
            "load_timeout": f"{PATIENCE}s",
            "audit_interval": "1s",
        },
    )
