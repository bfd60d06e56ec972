"""The controller's replicas as processes that start, crash and come back.

A crash is that of a process on a cluster: none of its requests in flight is answered, its tasks are gone, and the new
process starts without memory. Engines and API server continue with what they have received.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal

import simpy
import structlog
from structlog.typing import FilteringBoundLogger

from controller.client.ratelimit import rate_limits
from controller.dependencies import Dependencies
from controller.metrics.instruments import Metrics
from controller.operator import Operator
from controller.settings import Settings
from fake_vllm.distributions import Latency
from twin.apiserver import Store
from twin.kernel.random_streams import Streams
from twin.trace.lines import ControllerLine, LogLine
from twin.trace.recorder import Recorder
from twin.world.api_faults import ApiFaults
from twin.world.network.activator_port import ActivatorPort, activator_settings
from twin.world.network.transport import Network, NetworkTransport
from twin.world.store_client import StoreClient, StoreContext

OnStep = Callable[["Replica", Literal["before", "after"]], None]
"""Called for each step of a replica: just before it is sent, and when it is done but not yet answered."""


class SimulatedClock:
    """Wall time of one replica's machine."""

    def __init__(self, env: simpy.Environment, epoch: datetime) -> None:
        self.ahead = 0.0
        """Skew in seconds; negative if the clock is slow."""
        self._env = env
        self._epoch = epoch

    def now(self) -> datetime:
        return self._epoch + timedelta(seconds=self._env.now + self.ahead)


@dataclass(frozen=True, slots=True)
class ApiRate:
    """Rate limit of a replica's requests to the API server; 0 requests per second means no limit."""

    qps: float = 0.0
    burst: int = 200


@dataclass(frozen=True, slots=True)
class ReplicaContext:
    """The parts of the simulation that a replica uses."""

    env: simpy.Environment
    epoch: datetime
    """Wall time at t = 0."""
    store: Store
    network: Network
    streams: Streams
    recorder: Recorder
    settings: Settings
    api_latency: Latency
    api_faults: ApiFaults
    api_rate: ApiRate
    activator_timeout: float = 60.0
    """Time for which an activator holds a request."""


class Replica:
    """One replica of the operator, through all its incarnations."""

    def __init__(self, context: ReplicaContext, number: int) -> None:
        self.name = f"lora-controller-{number}"
        self.leading = False
        self.writes = 0
        """Number of writes since the start of the run, in all incarnations."""
        self.write_watchers: list[OnStep] = []
        """Called for each write to the API server."""
        self.requests = 0
        """Number of requests to engines since the start of the run, in all incarnations."""
        self.request_watchers: list[OnStep] = []
        """Called for each request to an engine."""
        self.metrics = Metrics()
        """Metrics of the present or last incarnation."""
        self._context = context
        self._activator = ActivatorPort()
        address = activator_settings(number, context.activator_timeout)
        context.network.activators[address.ip, address.port] = self._activator
        self.operator_settings = replace(context.settings, activator=address)
        """Settings of its operator, with its own address."""
        self.clock = SimulatedClock(context.env, context.epoch)
        self._incarnation = 0
        self._task: asyncio.Task[None] | None = None
        self._operator: Operator | None = None
        self._connections: Sequence[StoreClient | NetworkTransport] = ()
        self._failure: BaseException | None = None

    @property
    def alive(self) -> bool:
        return self._task is not None

    def start(self) -> None:
        """Start a new process."""
        context = self._context
        self._incarnation += 1
        stream = f"controller/{self.name}/{self._incarnation}"
        client = StoreClient(
            StoreContext(
                store=context.store,
                by=self.name,
                recorder=context.recorder,
                latency=context.api_latency,
                rng=context.streams.get(f"{stream}/api-latency"),
                faults=context.api_faults,
                limits=rate_limits(context.api_rate.qps, context.api_rate.burst),
                on_write=self._on_write,
            )
        )
        transport = context.network.transport(self.name, on_request=self._on_request)
        self._connections = (client, transport)
        self.metrics = metrics = Metrics()
        context.recorder.count_from(lambda: _controller_counts(metrics))
        dependencies = Dependencies(
            client=client,
            transport=transport,
            clock=self.clock,
            rng=context.streams.python(f"{stream}/policy"),
            settings=self.operator_settings,
            identity=self.name,
            log=self._log(),
            metrics=self.metrics,
        )
        self._operator = operator = Operator(dependencies, self._observe)
        self._activator.open(lambda: operator.activator)
        self._emit("started")
        self._task = asyncio.get_running_loop().create_task(operator.run(), name=self.name)
        self._task.add_done_callback(self._ended)

    def crash(self) -> None:
        """Kill the process."""
        if self._task is None:
            return
        self._activator.close()
        for connection in self._connections:
            connection.disconnect()
        task, self._task = self._task, None
        self.leading = False
        self._emit("crashed")
        task.cancel()

    def retire(self) -> None:
        """Ask the process to stop, like a kubelet with SIGTERM; it stops after a graceful shutdown."""
        if self._operator is not None:
            self._operator.stop()

    async def stop(self) -> None:
        """Stop the process at the end of a run. Raises the exception that made it fail, if any."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        self.check()

    def check(self) -> None:
        """Raise the exception that made the operator fail: a bug, not a simulated fault."""
        if self._failure is not None:
            raise self._failure

    def _ended(self, task: asyncio.Task[None]) -> None:
        if self._task is task:
            self._task = None
        if not task.cancelled() and task.exception() is not None:
            self._failure = task.exception()

    def _on_write(self, _: int, step: Literal["before", "after"]) -> None:
        if step == "before":
            self.writes += 1
        for watcher in list(self.write_watchers):
            watcher(self, step)

    def _on_request(self, step: Literal["before", "after"]) -> None:
        if step == "before":
            self.requests += 1
        for watcher in list(self.request_watchers):
            watcher(self, step)

    def _observe(self, name: str) -> None:
        match name:
            case "leading":
                self.leading = True
                self._emit("leading")
            case "lost":
                if self._task is not None:
                    self.leading = False
                    self._emit("lost")

    def _emit(self, event: Literal["started", "leading", "lost", "crashed"]) -> None:
        self._context.recorder.emit(ControllerLine(t=self._context.recorder.now(), by=self.name, event=event))

    def _log(self) -> FilteringBoundLogger:
        def record(_: object, level: str, fields: Any) -> Any:
            text = " ".join([str(fields.pop("event")), *(f"{key}={value}" for key, value in sorted(fields.items()))])
            self._context.recorder.emit(LogLine(t=self._context.recorder.now(), by=self.name, level=level, text=text))
            raise structlog.DropEvent

        wrapper = structlog.make_filtering_bound_logger(logging.WARNING)
        log: FilteringBoundLogger = structlog.wrap_logger(None, processors=[record], wrapper_class=wrapper)
        return log


def _controller_counts(metrics: Metrics) -> dict[str, int]:
    """Return the counts that come from the operator's own metrics, by their names in the record.

    They never decrease.
    """
    names = {
        "reconciles.total": "controller_runtime_reconcile_total",
        "reconciles.with_actions": "lora_controller_reconciles_with_actions_total",
    }
    return {name: int(metrics.total(metric)) for name, metric in names.items()}


def leader(replicas: Sequence[Replica]) -> Replica | None:
    """Return the replica that leads, else the first that runs."""
    alive = [replica for replica in replicas if replica.alive]
    return next((replica for replica in alive if replica.leading), alive[0] if alive else None)
